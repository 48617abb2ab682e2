/* Content codings: what clients take, and what is done to whose fields. */
#include "support/test.h"

#include "http/coding.h"

static const struct want_row {
    const char *accept[2]; /* NULL: no such field */
    int gzip, identity, any;
    bool wants;
} wants[] = {
    {{NULL}, -1, -1, -1, false}, /* it may take anything, but says nothing */
    {{""}, -1, -1, -1, false},
    {{"gzip"}, 1000, -1, -1, true},
    {{"GZip"}, 1000, -1, -1, true},
    {{"x-gzip"}, 1000, -1, -1, true},
    {{"deflate, gzip, br"}, 1000, -1, -1, true},
    {{"deflate", "gzip"}, 1000, -1, -1, true},
    {{"br", "deflate"}, -1, -1, -1, false},
    {{"gzip;q=0"}, 0, -1, -1, false},
    {{"gzip;q=0.000"}, 0, -1, -1, false},
    {{"gzip;q=0.001"}, 1, -1, -1, true},
    {{"gzip;q=1.000"}, 1000, -1, -1, true},
    {{"gzip;Q=0.5"}, 500, -1, -1, true},
    {{"gzip ; q=0.25"}, 250, -1, -1, true},
    {{"gzip;q=0."}, 0, -1, -1, false},
    {{"gzip;q=1."}, 1000, -1, -1, true},
    {{"*"}, -1, -1, 1000, true},
    {{"*;q=0"}, -1, -1, 0, false},
    {{"gzip, *;q=0"}, 1000, -1, 0, true},
    {{"gzip;q=0, *"}, 0, -1, 1000, false},
    {{"br, *;q=0.1"}, -1, -1, 100, true},
    {{"identity"}, -1, 1000, -1, false},
    {{"identity;q=0"}, -1, 0, -1, false}, /* nothing that we have; then it gets it plain */
    {{"identity;q=0, gzip;q=0.1"}, 100, 0, -1, true},
    {{"gzip;q=0.5, identity"}, 500, 1000, -1, false}, /* RFC 9110 §12.5.3: the higher one is preferred */
    {{"gzip;q=0.5, identity;q=0.5"}, 500, 500, -1, true},
    {{"identity;q=0.5, *;q=0.6"}, -1, 500, 600, true},
    {{"gzip, gzip;q=0"}, 0, -1, -1, false}, /* twice: the lower one */
    {{"gzip", "x-gzip;q=0"}, 0, -1, -1, false},
    /* malformed: not taken */
    {{"gzip;q=2"}, 0, -1, -1, false},
    {{"gzip;q=1.001"}, 0, -1, -1, false},
    {{"gzip;q=0.1234"}, 0, -1, -1, false},
    {{"gzip;q=-1"}, 0, -1, -1, false},
    {{"gzip;q="}, 0, -1, -1, false},
    {{"gzip;q"}, 0, -1, -1, false},
    {{"gzip;"}, 0, -1, -1, false},
    {{"gzip;q=01"}, 0, -1, -1, false},
    {{"gzip;q=0.5;q=1"}, 0, -1, -1, false},
    {{"gzip;level=9"}, 0, -1, -1, false},
    {{"gzip;q=.5"}, 0, -1, -1, false},
    {{"gzip gzip"}, -1, -1, -1, false},
    {{",,gzip,"}, 1000, -1, -1, true},
    {{";q=1"}, -1, -1, -1, false},
    {{"\"gzip\""}, -1, -1, -1, false},
    {{"gzip\t;\tq=1"}, 1000, -1, -1, true},
};

static void test_what_a_client_takes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(wants); i++) {
        const struct want_row *r = &wants[i];
        struct wsg_http_header headers[3] = {{wsb_span_str("Host"), wsb_span_str("gzip")}};
        struct wsg_codings c;
        size_t count = 1;
        for (size_t k = 0; k < 2 && r->accept[k]; k++)
            headers[count++] = (struct wsg_http_header){wsb_span_str(k ? "accept-encoding" : "Accept-Encoding"),
                                                        wsb_span_str(r->accept[k])};
        wsg_codings_parse(headers, count, &c);
        if (c.gzip != r->gzip || c.identity != r->identity || c.any != r->any || wsg_codings_want_gzip(&c) != r->wants)
            fail_msg("'%s': gzip %d, identity %d, any %d, wants %d", r->accept[0] ? r->accept[0] : "nothing", c.gzip,
                     c.identity, c.any, wsg_codings_want_gzip(&c));
    }
}

static const struct suit_row {
    int status;
    const char *type;
    const char *name, *value; /* one more field; NULL: none */
    bool suits;
} suits[] = {
    {200, "text/html", NULL, NULL, true},
    {200, "Text/HTML; charset=utf-8", NULL, NULL, true},
    {200, "text/event-stream", NULL, NULL, true},
    {200, "application/json", NULL, NULL, true},
    {200, "application/problem+json", NULL, NULL, true},
    {200, "application/atom+xml;type=feed", NULL, NULL, true},
    {200, "image/svg+xml", NULL, NULL, true},
    {200, "application/javascript", NULL, NULL, true},
    {200, "application/wasm", NULL, NULL, true},
    {404, "text/plain", NULL, NULL, true},
    {500, "text/plain", NULL, NULL, true},
    {200, NULL, NULL, NULL, false},
    {200, "", NULL, NULL, false},
    {200, "text", NULL, NULL, false},
    {200, "text/", NULL, NULL, false},
    {200, "+json", NULL, NULL, false},
    {200, "image/png", NULL, NULL, false},
    {200, "application/octet-stream", NULL, NULL, false},
    {200, "application/jsonx", NULL, NULL, false},
    {200, "video/mp4", NULL, NULL, false},
    {204, "text/plain", NULL, NULL, false},
    {205, "text/plain", NULL, NULL, false},
    {206, "text/plain", NULL, NULL, false},
    {304, "text/plain", NULL, NULL, false},
    {101, "text/plain", NULL, NULL, false},
    {200, "text/plain", "Content-Encoding", "br", false},
    {200, "text/plain", "content-encoding", "identity", false},
    {200, "text/plain", "Content-Range", "bytes 0-1/2", false},
    {200, "text/plain", "Content-Digest", "sha-256=:x:", false},
    {200, "text/plain", "Repr-Digest", "sha-256=:x:", false},
    {200, "text/plain", "Content-Type", "text/html", false}, /* which one? */
    {200, "text/plain", "Cache-Control", "no-transform", false},
    {200, "text/plain", "Cache-Control", "max-age=5, No-Transform", false},
    {200, "text/plain", "Cache-Control", "no-store", true},
};

static void test_what_may_be_packed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(suits); i++) {
        const struct suit_row *r = &suits[i];
        struct wsg_http_header headers[2];
        size_t count = 0;
        if (r->type)
            headers[count++] = (struct wsg_http_header){wsb_span_str("Content-Type"), wsb_span_str(r->type)};
        if (r->name)
            headers[count++] = (struct wsg_http_header){wsb_span_str(r->name), wsb_span_str(r->value)};
        if (wsg_coding_suits(r->status, headers, count) != r->suits)
            fail_msg("%d, %s, %s: %s", r->status, r->type ? r->type : "no type", r->name ? r->name : "no more",
                     r->value ? r->value : "");
    }
}

static const struct change_row {
    enum wsg_coding_change change;
    const char *before, *after; /* fields, "name: value" and a line feed each */
} changes[] = {
    {WSG_CODING_VARIES, "A: b\n", "A: b\nVary: Accept-Encoding\n"},
    {WSG_CODING_VARIES, "ETag: \"x\"\nAccept-Ranges: bytes\n",
     "ETag: \"x\"\nAccept-Ranges: bytes\nVary: Accept-Encoding\n"},
    {WSG_CODING_VARIES, "Vary: Origin\n", "Vary: Origin\nVary: Accept-Encoding\n"},
    {WSG_CODING_VARIES, "vary: origin, accept-encoding\n", "vary: origin, accept-encoding\n"},
    {WSG_CODING_VARIES, "Vary: *\n", "Vary: *\n"},
    {WSG_CODING_WEAK, "ETag: \"x\"\nA: b\n", "ETag: W/\"x\"\nA: b\nVary: Accept-Encoding\n"},
    {WSG_CODING_WEAK, "ETag: W/\"x\"\n", "ETag: W/\"x\"\nVary: Accept-Encoding\n"},
    {WSG_CODING_GZIP, "", "Content-Encoding: gzip\nVary: Accept-Encoding\n"},
    {WSG_CODING_GZIP, "etag:  \"x\" \naccept-ranges: bytes\nA: b\n",
     "etag: W/\"x\"\nA: b\nContent-Encoding: gzip\nVary: Accept-Encoding\n"},
    {WSG_CODING_GZIP, "ETag: none\n", "ETag: none\nContent-Encoding: gzip\nVary: Accept-Encoding\n"},
};

static size_t split(const char *text, struct wsg_http_header *headers)
{
    size_t count = 0;
    while (*text) {
        const char *colon = strchr(text, ':');
        const char *end = strchr(text, '\n');
        headers[count++] = (struct wsg_http_header){wsb_span(text, (size_t)(colon - text)),
                                                    wsb_span(colon + 2, (size_t)(end - colon - 2))};
        text = end + 1;
    }
    return count;
}

static void test_what_it_does_to_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(changes); i++) {
        struct wsg_http_header headers[4 + WSG_CODING_FIELDS];
        struct wsb_buf etag, text;
        size_t count = split(changes[i].before, headers);
        wsb_buf_init(&etag, 0);
        wsb_buf_init(&text, 0);
        assert_int_equal(wsg_coding_apply(headers, &count, changes[i].change, &etag), WSB_OK);
        for (size_t k = 0; k < count; k++)
            assert_int_equal(wsb_buf_printf(&text, "%.*s: %.*s\n", (int)headers[k].name.len,
                                            (const char *)headers[k].name.ptr, (int)headers[k].value.len,
                                            (const char *)headers[k].value.ptr),
                             WSB_OK);
        assert_int_equal(wsb_buf_append(&text, "", 1), WSB_OK);
        assert_string_equal((char *)text.data, changes[i].after);
        wsb_buf_deinit(&etag);
        wsb_buf_deinit(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_client_takes),
        cmocka_unit_test(test_what_may_be_packed),
        cmocka_unit_test(test_what_it_does_to_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
