/* The PROXY protocol: each row whole, byte by byte, and with more behind it. */
#include "support/test.h"

#include "net/proxy_header.h"

#define V2   "\r\n\r\n\0\r\nQUIT\n"
#define TCP4 "\xc0\x00\x02\x01\xc6\x33\x64\x02\x1f\x90\x01\xbb" /* 192.0.2.1:8080 to 198.51.100.2:443 */
#define TCP6 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x1f\x90\x01\xbb"

#define ONES "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
#define TEN  "/run/proxy"
#define UNIX                                                                                                           \
    TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN                                \
        "/run/p" /* 216 bytes: two paths */

static const struct row {
    const char *name, *in;
    size_t len;
    wsb_err want;
    const char *client; /* NULL: it names none */
    uint16_t port;
} rows[] = {
#define ROW(name, text, ...)                                                                                           \
    {                                                                                                                  \
        name, text, sizeof(text) - 1, __VA_ARGS__                                                                      \
    }
    ROW("v1 TCP4", "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", WSB_OK, "192.0.2.1", 56324),
    ROW("v1 TCP6", "PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", WSB_OK, "2001:db8::1", 1),
    ROW("v1 UNKNOWN", "PROXY UNKNOWN\r\n", WSB_OK, "unknown", 0),
    ROW("v1 UNKNOWN with a tail", "PROXY UNKNOWN ffff:f...f:ffff ffff 65535 65535\r\n", WSB_OK, "unknown", 0),
    ROW("v1 port 0", "PROXY TCP4 192.0.2.1 198.51.100.2 0 443\r\n", WSB_OK, "192.0.2.1", 0),
    ROW("v1 longest",
        "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
        WSB_OK, "unknown", 0),
    ROW("v1 too long",
        "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
        "655355\r\n",
        WSB_ERR_PROTO, NULL, 0),
    ROW("v1 bare LF", "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n", WSB_ERR_PROTO, NULL, 0),
    ROW("v1 LF at once", "PROXY \n", WSB_ERR_PROTO, NULL, 0),
    ROW("v1 two spaces", "PROXY TCP4  192.0.2.1 198.51.100.2 56324 443\r\n", WSB_ERR_PROTO, NULL, 0),
    ROW("v1 space at the end", "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 \r\n", WSB_ERR_PROTO, NULL, 0),
    ROW("v1 no destination port", "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n", WSB_ERR_PROTO, NULL, 0),
    ROW("v1 port too large", "PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n", WSB_ERR_PROTO, NULL, 0),
    ROW("v1 port with a zero", "PROXY TCP4 192.0.2.1 198.51.100.2 080 443\r\n", WSB_ERR_PROTO, NULL, 0),
    ROW("v1 port no number", "PROXY TCP4 192.0.2.1 198.51.100.2 http 443\r\n", WSB_ERR_PROTO, NULL, 0),
    ROW("v1 other family's address", "PROXY TCP4 2001:db8::1 198.51.100.2 1 443\r\n", WSB_ERR_PROTO, NULL, 0),
    ROW("v1 IPv4 in TCP6", "PROXY TCP6 192.0.2.1 2001:db8::2 1 443\r\n", WSB_ERR_PROTO, NULL, 0),
    ROW("v1 nobody", "PROXY TCP6 :: 2001:db8::2 1 443\r\n", WSB_ERR_PROTO, NULL, 0),
    ROW("v1 UDP4", "PROXY UDP4 192.0.2.1 198.51.100.2 1 443\r\n", WSB_ERR_PROTO, NULL, 0),
    ROW("v1 lower case", "proxy TCP4 192.0.2.1 198.51.100.2 1 443\r\n", WSB_ERR_PROTO, NULL, 0),
    ROW("a request", "GET / HTTP/1.1\r\n", WSB_ERR_PROTO, NULL, 0),
    ROW("a POST, alike for a byte", "POST / HTTP/1.1\r\n", WSB_ERR_PROTO, NULL, 0),
    ROW("TLS", "\x16\x03\x01\x02\x00", WSB_ERR_PROTO, NULL, 0),
    ROW("v2 TCP4", V2 "\x21\x11\x00\x0c" TCP4, WSB_OK, "192.0.2.1", 8080),
    ROW("v2 TCP6", V2 "\x21\x21\x00\x24" TCP6, WSB_OK, "2001:db8::1", 8080),
    ROW("v2 with an extension", V2 "\x21\x11\x00\x11" TCP4 "\x04\x00\x02hi", WSB_OK, "192.0.2.1", 8080),
    ROW("v2 LOCAL", V2 "\x20\x00\x00\x00", WSB_OK, NULL, 0),
    ROW("v2 LOCAL with an address to ignore", V2 "\x20\x11\x00\x0c" TCP4, WSB_OK, NULL, 0),
    ROW("v2 LOCAL of a family that is none", V2 "\x20\x1f\x00\x00", WSB_OK, NULL, 0),
    ROW("v2 of no family", V2 "\x21\x00\x00\x00", WSB_OK, "unknown", 0),
    ROW("v2 of no family, with bytes to ignore", V2 "\x21\x00\x00\x0c" TCP4, WSB_OK, "unknown", 0),
    ROW("v2 Unix", V2 "\x21\x31\x00\xd8" UNIX, WSB_OK, "unknown", 0),
    ROW("v2 Unix, datagrams", V2 "\x21\x32\x00\xd8" UNIX, WSB_OK, "unknown", 0),
    ROW("v2 Unix, too short", V2 "\x21\x31\x00\x02xy", WSB_ERR_PROTO, NULL, 0),
    ROW("v2 Unix, half an extension", V2 "\x21\x31\x00\xda" UNIX "\x04\x00", WSB_ERR_PROTO, NULL, 0),
    ROW("v2 UDP4", V2 "\x21\x12\x00\x0c" TCP4, WSB_OK, "192.0.2.1", 8080),
    ROW("v2 UDP6", V2 "\x21\x22\x00\x24" TCP6, WSB_OK, "2001:db8::1", 8080),
    ROW("v2 IPv4 of no transport", V2 "\x21\x10\x00\x0c" TCP4, WSB_ERR_PROTO, NULL, 0),
    ROW("v2 IPv4 of a transport that is none", V2 "\x21\x13\x00\x0c" TCP4, WSB_ERR_PROTO, NULL, 0),
    ROW("v2 a transport of no family", V2 "\x21\x01\x00\x00", WSB_ERR_PROTO, NULL, 0),
    ROW("v2 a family that is none", V2 "\x21\x41\x00\x0c" TCP4, WSB_ERR_PROTO, NULL, 0),
    ROW("v2 all ones", V2 "\x21\x21\x00\x24" ONES ONES "\1\1\1\1", WSB_OK, "unknown", 257),
    ROW("v2 right checksum", V2 "\x21\x11\x00\x13" TCP4 "\x03\x00\x04\xdc\xa6\xb6\xbb", WSB_OK, "192.0.2.1", 8080),
    ROW("v2 wrong checksum", V2 "\x21\x11\x00\x13" TCP4 "\x03\x00\x04\x00\x00\x00\x00", WSB_ERR_PROTO, NULL, 0),
    ROW("v2 short checksum", V2 "\x21\x11\x00\x12" TCP4 "\x03\x00\x03\x00\x00\x00", WSB_ERR_PROTO, NULL, 0),
    ROW("v2 extension too long", V2 "\x21\x11\x00\x11" TCP4 "\x04\x00\x03hi", WSB_ERR_PROTO, NULL, 0),
    ROW("v2 half an extension", V2 "\x21\x11\x00\x0e" TCP4 "\x04\x00", WSB_ERR_PROTO, NULL, 0),
    ROW("v2 too short for its family", V2 "\x21\x11\x00\x0b" TCP4, WSB_ERR_PROTO, NULL, 0),
    ROW("v2 version 3", V2 "\x31\x11\x00\x0c" TCP4, WSB_ERR_PROTO, NULL, 0),
    ROW("v2 other command", V2 "\x22\x11\x00\x0c" TCP4, WSB_ERR_PROTO, NULL, 0),
    ROW("v2 larger than we read", V2 "\x21\x11\x0f\xf1", WSB_ERR_PROTO, NULL, 0),
    ROW("v2 nobody", V2 "\x21\x21\x00\x24\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        WSB_ERR_PROTO, NULL, 0),
    ROW("v2 signature broken off", "\r\n\r\n\0\r\nQUIX", WSB_ERR_PROTO, NULL, 0),
};

static void check(const struct row *r, wsb_err err, const struct wsg_proxy_header *h, size_t used)
{
    char text[WSB_IP_TEXT];
    if (err != r->want)
        fail_msg("%s: %s", r->name, wsb_err_name(err));
    if (err)
        return;
    assert_int_equal(used, r->len);
    if (h->has_client != (r->client != NULL))
        fail_msg("%s: %s client", r->name, h->has_client ? "a" : "no");
    if (!r->client)
        return;
    wsb_ip_format(&h->ip, text);
    assert_string_equal(text, r->client);
    assert_int_equal(h->port, r->port);
}

static void test_each_row_whole_and_byte_by_byte(void **state)
{
    (void)state;
    for (const struct row *r = rows; r < rows + COUNT(rows); r++) {
        struct wsg_proxy_header h = {0};
        uint8_t behind[512];
        size_t used = 0;
        wsb_err err = wsg_proxy_header_parse((const uint8_t *)r->in, r->len, &h, &used);
        check(r, err, &h, used);
        memcpy(behind, r->in, r->len);
        memset(behind + r->len, 'x', sizeof behind - r->len);
        if (r->want == WSB_OK) {
            err = wsg_proxy_header_parse(behind, sizeof behind, &h, &used);
            check(r, err, &h, used);
        }
        for (size_t len = 0; len < r->len; len++) {
            uint8_t *exact = malloc(len ? len : 1); /* so that a sanitizer sees a read behind it */
            assert_non_null(exact);
            memcpy(exact, r->in, len);
            err = wsg_proxy_header_parse(exact, len, &h, &used);
            free(exact);
            if (err == WSB_ERR_PROTO && r->want == WSB_ERR_PROTO)
                break; /* seen earlier: the better */
            if (err != WSB_MORE)
                fail_msg("%s: %s after %zu bytes", r->name, wsb_err_name(err), len);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_row_whole_and_byte_by_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
