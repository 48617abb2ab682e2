/* Who the client is behind proxies. 10.0.0.0/8 is trusted. */
#include "support/test.h"

#include "http/forwarded.h"

static const struct row {
    const char *name;
    enum wsg_forwarded kind;
    const char *headers[4]; /* name, value, name, value */
    const char *client;     /* NULL: nobody is named */
    uint16_t port;
    const char *proto;
    bool is_broken;
} rows[] = {
#define X   WSG_FORWARDED_X
#define F   WSG_FORWARDED_RFC7239
#define XFF "X-Forwarded-For"
    {"one", X, {XFF, "192.0.2.1"}, "192.0.2.1", 0, "", false},
    {"with a port", X, {XFF, "192.0.2.1:4711"}, "192.0.2.1", 4711, "", false},
    {"IPv6", X, {XFF, "2001:db8::1"}, "2001:db8::1", 0, "", false},
    {"IPv6 in brackets", X, {XFF, "[2001:db8::1]"}, "2001:db8::1", 0, "", false},
    {"IPv6 with a port", X, {XFF, "[2001:db8::1]:80"}, "2001:db8::1", 80, "", false},
    {"the last counts, whatever the client wrote before",
     X,
     {XFF, "198.51.100.9, 192.0.2.1"},
     "192.0.2.1",
     0,
     "",
     false},
    {"a trusted one is passed over", X, {XFF, "192.0.2.1, 10.0.0.7"}, "192.0.2.1", 0, "", false},
    {"two trusted ones", X, {XFF, "198.51.100.9, 192.0.2.1, 10.0.0.7, 10.1.1.1"}, "192.0.2.1", 0, "", false},
    {"all are trusted: the outermost", X, {XFF, "10.0.0.9, 10.0.0.7"}, "10.0.0.9", 0, "", false},
    {"two fields are one list", X, {XFF, "198.51.100.9", XFF, "192.0.2.1, 10.0.0.7"}, "192.0.2.1", 0, "", false},
    {"rubbish ends it", X, {XFF, "192.0.2.1, unknown"}, "unknown", 0, "", false},
    {"rubbish behind a trusted one", X, {XFF, "192.0.2.1, _hidden, 10.0.0.7"}, "unknown", 0, "", false},
    {"an empty element is rubbish", X, {XFF, "192.0.2.1,"}, "unknown", 0, "", false},
    {"a bad port", X, {XFF, "192.0.2.1:65536"}, "unknown", 0, "", false},
    {"no port behind the colon", X, {XFF, "192.0.2.1:"}, "unknown", 0, "", false},
    {"IPv4 in brackets", X, {XFF, "[192.0.2.1]"}, "unknown", 0, "", false},
    {"a bracket that does not close", X, {XFF, "[2001:db8::1"}, "unknown", 0, "", false},
    {"something behind a bracket", X, {XFF, "[2001:db8::1]x"}, "unknown", 0, "", false},
    {"nobody", X, {XFF, "::"}, "unknown", 0, "", false},
    {"the other header does not count", X, {"Forwarded", "for=192.0.2.1"}, NULL, 0, "", false},
    {"proto", X, {XFF, "192.0.2.1", "X-Forwarded-Proto", "http, https"}, "192.0.2.1", 0, "https", false},
    {"an empty field", X, {XFF, ""}, "unknown", 0, "", false},
    {"a Unix socket, as nginx writes it", X, {XFF, "unix:"}, "unknown", 0, "", false},
    {"all ones", X, {XFF, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}, "unknown", 0, "", false},
    {"a proxy that does not say for whom",
     F,
     {"Forwarded", "for=192.0.2.1, proto=https"},
     "unknown",
     0,
     "https",
     false},
    {"no header", X, {"Host", "h"}, NULL, 0, "", false},
    {"for", F, {"Forwarded", "for=192.0.2.60;proto=http;by=203.0.113.43"}, "192.0.2.60", 0, "http", false},
    {"for, quoted", F, {"Forwarded", "For=\"[2001:db8:cafe::17]:4711\""}, "2001:db8:cafe::17", 4711, "", false},
    {"a list",
     F,
     {"Forwarded", "for=198.51.100.9;proto=http, for=192.0.2.43;proto=https"},
     "192.0.2.43",
     0,
     "https",
     false},
    {"a comma in quotes", F, {"Forwarded", "for=192.0.2.1, by=\",\";for=10.0.0.7"}, "192.0.2.1", 0, "", false},
    {"an escaped quote in quotes",
     F,
     {"Forwarded", "for=192.0.2.1, by=\"\\\",\";for=10.0.0.7"},
     "192.0.2.1",
     0,
     "",
     false},
    {"unknown", F, {"Forwarded", "for=192.0.2.1, for=unknown;proto=https"}, "unknown", 0, "https", false},
    {"hidden behind a trusted one", F, {"Forwarded", "for=_hidden, for=10.0.0.7"}, "unknown", 0, "", false},
    {"two fields", F, {"Forwarded", "for=192.0.2.1", "Forwarded", "for=10.0.0.7"}, "192.0.2.1", 0, "", false},
    {"a quote that does not end", F, {"Forwarded", "for=192.0.2.1, for=\"10.0.0.7"}, "unknown", 0, "", true},
    {"a quote that a client opened",
     F,
     {"Forwarded", "by=\"x", "Forwarded", "for=192.0.2.1"},
     "192.0.2.1",
     0,
     "",
     false},
    {"a quoted end", F, {"Forwarded", "for=\"\\"}, "unknown", 0, "", true},
    {"not a pair", F, {"Forwarded", "192.0.2.1"}, "unknown", 0, "", true},
    {"not a pair, and a proxy that goes on", F, {"Forwarded", "], for=192.0.2.1"}, "unknown", 0, "", true},
    {"a quote that a client opened, and a proxy that goes on",
     F,
     {"Forwarded", "for=\"x, for=192.0.2.1", false},
     "unknown",
     0,
     "",
     true},
    {"rubbish before a trusted one", F, {"Forwarded", "]", "Forwarded", "for=10.0.0.7"}, "unknown", 0, "", true},
    {"no value", F, {"Forwarded", "for="}, "unknown", 0, "", true},
    {"empty pairs are allowed", F, {"Forwarded", ";;for=192.0.2.1;;"}, "192.0.2.1", 0, "", false},
    {"none wanted", WSG_FORWARDED_NONE, {XFF, "192.0.2.1"}, NULL, 0, "", false},
};

static void test_each_row(void **state)
{
    char *texts[] = {"10.0.0.0/8"};
    struct wsb_ip_nets trusted;
    (void)state;
    assert_int_equal(wsb_ip_nets_init(&trusted, texts, 1, NULL), WSB_OK);
    for (const struct row *r = rows; r < rows + COUNT(rows); r++) {
        struct wsg_http_header headers[2];
        struct wsg_forwarded_client c;
        char text[WSB_IP_TEXT];
        size_t count = 0;
        for (size_t i = 0; i < 4 && r->headers[i]; i += 2)
            headers[count++] = (struct wsg_http_header){wsb_span_str(r->headers[i]), wsb_span_str(r->headers[i + 1])};
        bool found = wsg_forwarded_find(r->kind, headers, count, &trusted, &c);
        if (found != (r->client != NULL))
            fail_msg("%s: %s", r->name, found ? "found" : "not found");
        if (c.is_broken != r->is_broken)
            fail_msg("%s: %s", r->name, c.is_broken ? "broken" : "not broken");
        if (!wsb_span_eq_str(c.proto, r->proto))
            fail_msg("%s: proto is '%.*s'", r->name, (int)c.proto.len, (const char *)c.proto.ptr);
        if (!found)
            continue;
        wsb_ip_format(&c.ip, text);
        if (strcmp(text, r->client) != 0 || c.port != r->port)
            fail_msg("%s: %s port %u", r->name, text, c.port);
    }
    wsb_ip_nets_deinit(&trusted);
}

/* More hops than are kept: the last ones count. */
static void test_a_long_list(void **state)
{
    char value[4096] = "198.51.100.9";
    char *texts[] = {"10.0.0.0/8"};
    struct wsb_ip_nets trusted;
    struct wsg_forwarded_client c;
    char text[WSB_IP_TEXT];
    (void)state;
    for (int i = 0; i < 2 * WSG_FORWARDED_HOPS_MAX; i++)
        (void)snprintf(value + strlen(value), sizeof value - strlen(value), ", 10.0.0.%d", i);
    struct wsg_http_header header = {wsb_span_str(XFF), wsb_span_str(value)};
    assert_int_equal(wsb_ip_nets_init(&trusted, texts, 1, NULL), WSB_OK);
    assert_true(wsg_forwarded_find(X, &header, 1, &trusted, &c));
    wsb_ip_format(&c.ip, text);
    assert_string_equal(text, "10.0.0.32");
    wsb_ip_nets_deinit(&trusted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_row),
        cmocka_unit_test(test_a_long_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
