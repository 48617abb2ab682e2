/* One row for each rule that a frame header can break; every row is parsed whole and as each of its beginnings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ws/frame.h"

#define SERVER WSB_ROLE_SERVER
#define CLIENT WSB_ROLE_CLIENT

static const struct row {
    const char *name;
    uint8_t in[14];
    size_t in_len;
    enum wsb_role role;
    uint8_t allowed_rsv;
    wsb_err want;
    size_t early; /* bytes that settle it: with fewer the answer is WSB_MORE */
    uint64_t payload_len;
} rows[] = {
    {"§5.2 empty masked text", {0x81, 0x80, 1, 2, 3, 4}, 6, SERVER, 0, WSB_OK, 6, 0},
    {"§5.2 binary, first fragment", {0x02, 0x85, 1, 2, 3, 4}, 6, SERVER, 0, WSB_OK, 6, 5},
    {"§5.2 continuation", {0x80, 0x85, 1, 2, 3, 4}, 6, SERVER, 0, WSB_OK, 6, 5},
    {"§5.2 largest 7-bit length", {0x82, 0xfd, 1, 2, 3, 4}, 6, SERVER, 0, WSB_OK, 6, 125},
    {"§5.2 smallest 16-bit length", {0x82, 0xfe, 0, 126, 1, 2, 3, 4}, 8, SERVER, 0, WSB_OK, 8, 126},
    {"§5.2 largest 16-bit length", {0x82, 0xfe, 0xff, 0xff, 1, 2, 3, 4}, 8, SERVER, 0, WSB_OK, 8, 65535},
    {"§5.2 smallest 64-bit length", {0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4}, 14, SERVER, 0, WSB_OK, 14, 65536},
    {"§5.2 largest 64-bit length",
     {0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4},
     14,
     SERVER,
     0,
     WSB_OK,
     14,
     INT64_MAX},
    {"§5.1 a server's frame", {0x81, 0x05}, 2, CLIENT, 0, WSB_OK, 2, 5},
    {"§5.1 a server's long frame", {0x82, 0x7e, 1, 0}, 4, CLIENT, 0, WSB_OK, 4, 256},
    {"§5.5 ping of 125", {0x89, 0xfd, 1, 2, 3, 4}, 6, SERVER, 0, WSB_OK, 6, 125},
    {"§5.5 pong", {0x8a, 0x80, 1, 2, 3, 4}, 6, SERVER, 0, WSB_OK, 6, 0},
    {"§5.5 close", {0x88, 0x82, 1, 2, 3, 4}, 6, SERVER, 0, WSB_OK, 6, 2},
    {"RFC 7692 §6.1 RSV1 when negotiated", {0xc1, 0x80, 1, 2, 3, 4}, 6, SERVER, WSB_RSV1, WSB_OK, 6, 0},

    {"§5.2 RSV1", {0xc1}, 1, SERVER, 0, WSB_ERR_PROTO, 1, 0},
    {"§5.2 RSV2", {0xa1}, 1, SERVER, 0, WSB_ERR_PROTO, 1, 0},
    {"§5.2 RSV3", {0x91}, 1, SERVER, 0, WSB_ERR_PROTO, 1, 0},
    {"§5.2 RSV2 when RSV1 is negotiated", {0xa1}, 1, SERVER, WSB_RSV1, WSB_ERR_PROTO, 1, 0},
    {"RFC 7692 §6.1 RSV1 on a continuation", {0xc0}, 1, SERVER, WSB_RSV1, WSB_ERR_PROTO, 1, 0},
    {"RFC 7692 §6.1 RSV1 on a ping", {0xc9}, 1, SERVER, WSB_RSV1, WSB_ERR_PROTO, 1, 0},
    {"§5.2 opcode 3", {0x83}, 1, SERVER, 0, WSB_ERR_PROTO, 1, 0},
    {"§5.2 opcode 4", {0x84}, 1, SERVER, 0, WSB_ERR_PROTO, 1, 0},
    {"§5.2 opcode 5", {0x85}, 1, SERVER, 0, WSB_ERR_PROTO, 1, 0},
    {"§5.2 opcode 6", {0x86}, 1, SERVER, 0, WSB_ERR_PROTO, 1, 0},
    {"§5.2 opcode 7", {0x87}, 1, SERVER, 0, WSB_ERR_PROTO, 1, 0},
    {"§5.2 opcode B", {0x8b}, 1, SERVER, 0, WSB_ERR_PROTO, 1, 0},
    {"§5.2 opcode C", {0x8c}, 1, SERVER, 0, WSB_ERR_PROTO, 1, 0},
    {"§5.2 opcode D", {0x8d}, 1, SERVER, 0, WSB_ERR_PROTO, 1, 0},
    {"§5.2 opcode E", {0x8e}, 1, SERVER, 0, WSB_ERR_PROTO, 1, 0},
    {"§5.2 opcode F", {0x8f}, 1, SERVER, 0, WSB_ERR_PROTO, 1, 0},
    {"§5.1 unmasked to a server", {0x81, 0x05}, 2, SERVER, 0, WSB_ERR_PROTO, 2, 0},
    {"§5.1 masked to a client", {0x81, 0x85, 1, 2, 3, 4}, 6, CLIENT, 0, WSB_ERR_PROTO, 2, 0},
    {"§5.5 fragmented close", {0x08}, 1, SERVER, 0, WSB_ERR_PROTO, 1, 0},
    {"§5.5 fragmented ping", {0x09, 0x80, 1, 2, 3, 4}, 6, SERVER, 0, WSB_ERR_PROTO, 1, 0},
    {"§5.5 fragmented pong", {0x0a}, 1, SERVER, 0, WSB_ERR_PROTO, 1, 0},
    {"§5.5 ping of 126", {0x89, 0xfe, 0, 126, 1, 2, 3, 4}, 8, SERVER, 0, WSB_ERR_PROTO, 2, 0},
    {"§5.5 close with a 64-bit length", {0x88, 0xff}, 2, SERVER, 0, WSB_ERR_PROTO, 2, 0},
    {"§5.2 16-bit length of 125", {0x82, 0xfe, 0, 125, 1, 2, 3, 4}, 8, SERVER, 0, WSB_ERR_PROTO, 4, 0},
    {"§5.2 16-bit length of 0", {0x82, 0xfe, 0, 0, 1, 2, 3, 4}, 8, SERVER, 0, WSB_ERR_PROTO, 4, 0},
    {"§5.2 64-bit length of 65535",
     {0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4},
     14,
     SERVER,
     0,
     WSB_ERR_PROTO,
     8,
     0},
    {"§5.2 64-bit length with its top bit", {0x82, 0xff, 0x80}, 3, SERVER, 0, WSB_ERR_PROTO, 3, 0},
};

static wsb_err parse(const struct row *r, size_t len, struct wsb_frame_hdr *ret, size_t *ret_used)
{
    uint8_t exact[sizeof r->in]; /* what lies behind len must not matter */
    memset(exact, 0xff, sizeof exact);
    memcpy(exact, r->in, len);
    return wsb_frame_hdr_parse(exact, len, r->role, r->allowed_rsv, ret, ret_used);
}

static void test_frame_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *r = &rows[i];
        for (size_t len = 0; len <= r->in_len; len++) {
            struct wsb_frame_hdr hdr = {0};
            size_t used = 99;
            wsb_err err = parse(r, len, &hdr, &used);
            if (err != (len < r->early ? WSB_MORE : r->want))
                fail_msg("%s: %s after %zu bytes", r->name, wsb_err_name(err), len);
            if (err) {
                assert_int_equal(used, 99); /* outputs are written on success only */
                continue;
            }
            assert_int_equal(used, r->in_len);
            assert_int_equal(hdr.payload_len, r->payload_len);
            assert_int_equal(hdr.opcode, r->in[0] & 15);
            assert_int_equal(hdr.fin, r->in[0] >> 7);
            assert_int_equal(hdr.rsv, r->in[0] >> 4 & 7);
            assert_int_equal(hdr.masked, r->role == SERVER);
        }
    }
}

static void test_frame_write_gives_the_shortest_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *r = &rows[i];
        if (r->want != WSB_OK)
            continue;
        struct wsb_frame_hdr hdr;
        size_t used;
        uint8_t out[WSB_FRAME_HDR_MAX];
        assert_int_equal(parse(r, r->in_len, &hdr, &used), WSB_OK);
        assert_int_equal(wsb_frame_hdr_write(out, &hdr), r->in_len);
        assert_memory_equal(out, r->in, r->in_len);
    }
}

static void test_frame_keeps_the_mask(void **state)
{
    (void)state;
    const uint8_t in[] = {0x82, 0x81, 0x37, 0xfa, 0x21, 0x3d, 0xff};
    const uint8_t want[] = {0x37, 0xfa, 0x21, 0x3d};
    struct wsb_frame_hdr hdr;
    size_t used;
    assert_int_equal(wsb_frame_hdr_parse(in, sizeof in, SERVER, 0, &hdr, &used), WSB_OK);
    assert_int_equal(used, 6);
    assert_memory_equal(hdr.mask, want, sizeof want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_rules),
        cmocka_unit_test(test_frame_write_gives_the_shortest_form),
        cmocka_unit_test(test_frame_keeps_the_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
