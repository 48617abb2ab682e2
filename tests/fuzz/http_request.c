/*
 * A stream of requests. Whatever it is: the events are the same however it is cut, no more is used than was given, and
 * each message that is accepted survives a second reading by the small checker below, which shares no code with the
 * parser: lines end with CRLF, one Host, one way to tell the length, and the body is exactly what that length says.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/host.h"
#include "http/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            (void)fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static const struct wsg_http_limits LIMITS = {
    .max_head_bytes = 1024, .max_headers = 16, .max_target = 256, .max_body = 512};

/* ---- the second reader ---- */

struct facts {
    unsigned hosts, lengths, codings, fields;
    struct wsb_span length, coding;
};

static bool name_is(const uint8_t *p, size_t len, const char *name)
{
    return len == strlen(name) && strncasecmp((const char *)p, name, len) == 0;
}

static struct wsb_span strip(const uint8_t *p, size_t len)
{
    while (len && (*p == ' ' || *p == '\t')) {
        p++;
        len--;
    }
    while (len && (p[len - 1] == ' ' || p[len - 1] == '\t'))
        len--;
    return wsb_span(p, len);
}

/* The bytes up to the CRLF, which has to be there. Nothing that could be read as another line end may be in between. */
static struct wsb_span line_at(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *q = p;
    while (q < end && *q != '\r') {
        REQUIRE(*q != '\n' && *q != 0);
        q++;
    }
    REQUIRE(end - q >= 2 && q[1] == '\n');
    return wsb_span(p, (size_t)(q - p));
}

static void read_head(const uint8_t *p, const uint8_t *end, struct facts *f)
{
    struct wsb_span line = line_at(p, end);
    while (line.len == 0) { /* empty lines before the request line */
        p += 2;
        line = line_at(p, end);
    }
    REQUIRE(line.len > 9 && wsb_span_eq_str(wsb_span(line.ptr + line.len - 9, 8), " HTTP/1."));
    for (;;) {
        p += line.len + 2;
        line = line_at(p, end);
        if (line.len == 0)
            break;
        const uint8_t *colon = memchr(line.ptr, ':', line.len);
        REQUIRE(colon && colon > line.ptr && colon[-1] != ' ' && colon[-1] != '\t' && *line.ptr != ' ' &&
                *line.ptr != '\t');
        size_t name_len = (size_t)(colon - line.ptr);
        struct wsb_span value = strip(colon + 1, line.len - name_len - 1);
        f->fields++;
        f->hosts += name_is(line.ptr, name_len, "host");
        if (name_is(line.ptr, name_len, "content-length")) {
            f->lengths++;
            f->length = value;
        }
        if (name_is(line.ptr, name_len, "transfer-encoding")) {
            f->codings++;
            f->coding = value;
        }
    }
    REQUIRE(p + 2 == end);
}

static bool is_digits(struct wsb_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    }
    return s.len > 0;
}

/* It is in its canonical form, and so is its name. */
static void check_host(const struct wsg_http_head *h)
{
    struct wsb_host again;
    if (!h->host.ptr)
        return;
    REQUIRE(wsb_host_parse(h->host, &again) == WSB_OK && wsb_span_eq(wsb_host_text(&again), h->host));
    REQUIRE(wsb_span_eq(wsb_host_name(&again), h->host_name));
}

static void check_head(const struct wsg_http_head *h, const uint8_t *begin, const uint8_t *end)
{
    struct facts f = {0};
    read_head(begin, end, &f);
    REQUIRE(f.fields == h->header_count && f.fields <= LIMITS.max_headers);
    REQUIRE((size_t)(end - begin) <= LIMITS.max_head_bytes && h->target.len <= LIMITS.max_target);
    REQUIRE(h->minor == 1 ? f.hosts == 1 : f.hosts <= 1);
    REQUIRE(f.lengths + f.codings <= 1);
    REQUIRE(h->is_chunked == (f.codings == 1) &&
            (!h->is_chunked || (h->minor == 1 && wsb_span_ieq_str(f.coding, "chunked"))));
    REQUIRE(!h->is_upgrade || (f.codings == 0 && h->content_length == 0));
    REQUIRE(h->content_length <= LIMITS.max_body);
    if (f.lengths) {
        char text[64];
        REQUIRE(is_digits(f.length));
        while (f.length.len > 1 && *f.length.ptr == '0')
            f.length = wsb_span(f.length.ptr + 1, f.length.len - 1);
        (void)snprintf(text, sizeof text, "%llu", (unsigned long long)h->content_length);
        REQUIRE(wsb_span_eq_str(f.length, text));
    } else {
        REQUIRE(h->content_length == 0);
    }
    REQUIRE(h->path.len > 0 && !memchr(h->path.ptr, 0, h->path.len));
    REQUIRE(!memmem(h->path.ptr, h->path.len, "//", 2) && !memmem(h->path.ptr, h->path.len, "/../", 4));
    check_host(h);
    REQUIRE(h->path.ptr[0] == '/' || (h->method == WSG_HTTP_OPTIONS && wsb_span_eq_str(h->path, "*")));
}

/* Decode a chunked body the simple way; it has to be complete, and to end exactly at `end`. */
static void check_chunked(const uint8_t *p, const uint8_t *end, const struct wsb_buf *body)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    size_t seen = 0;
    for (;;) {
        struct wsb_span line = line_at(p, end);
        size_t n = 0;
        size_t i = 0;
        for (; i < line.len && line.ptr[i] != ';'; i++) {
            const char *at = line.ptr[i] ? strchr(digits, line.ptr[i]) : NULL;
            REQUIRE(at && n <= LIMITS.max_body);
            n = n * 16 + (size_t)(at - digits) % 16;
        }
        REQUIRE(i > 0);
        p += line.len + 2;
        if (n == 0)
            break;
        REQUIRE((size_t)(end - p) >= n + 2 && body->len - seen >= n && memcmp(p, body->data + seen, n) == 0);
        REQUIRE(p[n] == '\r' && p[n + 1] == '\n');
        seen += n;
        p += n + 2;
    }
    REQUIRE(seen == body->len);
    for (;;) {
        struct wsb_span line = line_at(p, end);
        p += line.len + 2;
        if (line.len == 0)
            break;
    }
    REQUIRE(p == end);
}

/* ---- the parser ---- */

struct run {
    struct wsg_http_in in;
    struct wsb_buf log; /* all events, bodies merged */
    struct wsb_buf body;
    bool failed;
};

static void put(struct run *r, const void *bytes, size_t len)
{
    REQUIRE(wsb_buf_append(&r->log, bytes, len) == WSB_OK);
}

static void put_head(struct run *r, const struct wsg_http_head *h)
{
    REQUIRE(wsb_buf_printf(&r->log, "H%d.%d%d%d%d%d.%llu ", (int)h->method, h->minor, h->keep_alive, h->expect_continue,
                           h->is_chunked, h->is_upgrade, (unsigned long long)h->content_length) == WSB_OK);
    put(r, h->target.ptr, h->target.len);
    put(r, "|", 1);
    put(r, h->path.ptr, h->path.len);
    put(r, "|", 1);
    put(r, h->query.ptr, h->query.len);
    put(r, "|", 1);
    put(r, h->host.ptr, h->host.len);
    for (size_t i = 0; i < h->header_count; i++) {
        put(r, "|", 1);
        put(r, h->headers[i].name.ptr, h->headers[i].name.len);
        put(r, "=", 1);
        put(r, h->headers[i].value.ptr, h->headers[i].value.len);
    }
}

static void on_event(struct run *r, const struct wsg_http_event *e)
{
    switch (e->kind) {
    case WSG_HTTP_EV_HEAD:
        put_head(r, e->head);
        wsb_buf_clear(&r->body);
        break;
    case WSG_HTTP_EV_BODY:
        REQUIRE(e->body.len > 0);
        put(r, e->body.ptr, e->body.len);
        REQUIRE(wsb_buf_append(&r->body, e->body.ptr, e->body.len) == WSB_OK);
        REQUIRE(r->body.len <= LIMITS.max_body);
        break;
    case WSG_HTTP_EV_END:
        put(r, "E", 1);
        break;
    }
}

static void feed(struct run *r, const uint8_t *data, size_t size, bool verify)
{
    size_t at = 0;
    size_t begin = 0; /* of the message */
    size_t body = 0;  /* of its body */
    bool is_chunked = false;
    uint64_t length = 0;
    uint8_t *copy = malloc(size ? size : 1);
    REQUIRE(copy);
    if (size)
        memcpy(copy, data, size);
    while (!r->failed) {
        struct wsg_http_event e;
        size_t used = 0;
        wsb_err err = wsg_http_in_next(&r->in, copy + at, size - at, &used, &e);
        REQUIRE(used <= size - at);
        if (err && err != WSB_MORE) {
            char text[16];
            int n = snprintf(text, sizeof text, "F%d", wsg_http_in_status(&r->in));
            REQUIRE(wsg_http_in_status(&r->in) >= 400 && *wsg_http_in_reason(&r->in));
            put(r, text, (size_t)n);
            r->failed = true;
            break;
        }
        at += used;
        if (err == WSB_MORE) {
            REQUIRE(at == size);
            break;
        }
        if (e.kind == WSG_HTTP_EV_HEAD && verify) {
            check_head(e.head, data + begin, data + at);
            is_chunked = e.head->is_chunked;
            length = e.head->content_length;
            body = at;
        }
        on_event(r, &e);
        if (e.kind == WSG_HTTP_EV_END && verify) {
            if (is_chunked)
                check_chunked(data + body, data + at, &r->body);
            else
                REQUIRE(at - body == length && r->body.len == length);
            begin = at;
        }
    }
    free(copy);
}

static void run_begin(struct run *r)
{
    *r = (struct run){0};
    wsg_http_in_init(&r->in, &LIMITS);
}

static void run_end(struct run *r)
{
    wsg_http_in_deinit(&r->in);
    wsb_buf_deinit(&r->log);
    wsb_buf_deinit(&r->body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run whole;
    struct run cut;
    if (size == 0)
        return 0;
    size_t step = data[0] & 0x3fu; /* the first byte says how to cut; 0: once, in the middle */
    data++;
    size--;
    run_begin(&whole);
    feed(&whole, data, size, /*verify=*/true);
    for (int pass = 0; pass < 2; pass++) {
        size_t piece = pass == 0 ? 1 : step ? step : size / 2 + 1;
        run_begin(&cut);
        for (size_t at = 0; at < size && !cut.failed; at += piece)
            feed(&cut, data + at, size - at < piece ? size - at : piece, /*verify=*/false);
        REQUIRE(whole.failed == cut.failed && wsb_span_eq(wsb_buf_span(&whole.log), wsb_buf_span(&cut.log)));
        REQUIRE(wsg_http_in_is_idle(&whole.in) == wsg_http_in_is_idle(&cut.in));
        run_end(&cut);
    }
    run_end(&whole);
    return 0;
}
