/*
 * Sec-WebSocket-Extensions. Input: one byte (the server's policy, the client's offer), then a value. Properties: what is
 * read, written down again, reads the same; what a server answers to an offer is an answer that means the same to a
 * client; a client that takes an answer holds to windows that exist.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "ws/deflate_params.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

/* In a normal form; false when it breaks the grammar. */
static bool normalise(struct wsb_span rest, struct wsb_buf *out)
{
    struct wsb_extension e;
    struct wsb_extension_param p;
    wsb_err err;
    while ((err = wsb_extension_next(&rest, &e)) == WSB_OK) {
        require(wsb_buf_printf(out, "%s%.*s", out->len ? ", " : "", (int)e.name.len, (const char *)e.name.ptr) ==
                WSB_OK);
        while (wsb_extension_next_param(&e.params, &p)) {
            require(p.name.len > 0 && (!p.has_value || p.value.len > 0));
            require(wsb_extension_param_number(&p) <= 99);
            require(wsb_buf_printf(out, "; %.*s", (int)p.name.len, (const char *)p.name.ptr) == WSB_OK);
            if (p.has_value)
                require(wsb_buf_printf(out, "=\"%.*s\"", (int)p.value.len, (const char *)p.value.ptr) == WSB_OK);
        }
        require(e.params.len == 0);
    }
    return err == WSB_CLOSED;
}

static void check_offers(struct wsb_span rest, uint8_t how)
{
    const struct wsb_deflate_policy policy = {
        .server_takeover = how & 1, .client_takeover = how & 2, .bits = (uint8_t)(9 + how % 7)};
    struct wsb_extension e, answered;
    struct wsb_deflate_params p;
    char text[WSB_DEFLATE_TEXT_SIZE];
    while (wsb_extension_next(&rest, &e) == WSB_OK) {
        if (!wsb_deflate_accept(&e, &policy, &p))
            continue;
        require(p.server_bits >= WSB_DEFLATE_WRITE_BITS_MIN && p.server_bits <= WSB_DEFLATE_BITS_MAX);
        require(p.client_bits >= WSB_DEFLATE_BITS_MIN && p.client_bits <= WSB_DEFLATE_BITS_MAX);
        wsb_deflate_params_format(&p, text);
        struct wsb_span answer = wsb_span_str(text);
        require(answer.len < sizeof text - 1);
        require(wsb_extension_next(&answer, &answered) == WSB_OK && answer.len == 0);
    }
}

static void check_answer(struct wsb_span value, uint8_t how)
{
    const struct wsb_deflate_offer o = {.server_no_takeover = how & 1,
                                        .client_no_takeover = how & 2,
                                        .server_bits = how & 4 ? (uint8_t)(8 + how % 8) : 0,
                                        .client_bits = how & 8 ? (uint8_t)(8 + how / 16 % 8) : 0};
    struct wsb_deflate_params p;
    bool agreed;
    if (wsb_deflate_answer_check(value, &o, &agreed, &p) != WSB_OK || !agreed)
        return;
    require(p.server_bits >= WSB_DEFLATE_BITS_MIN && p.server_bits <= (o.server_bits ? o.server_bits : 15));
    require(p.client_bits >= WSB_DEFLATE_BITS_MIN && p.client_bits <= (o.client_bits ? o.client_bits : 15));
    require(p.server_no_takeover || !o.server_no_takeover);
    require(p.client_no_takeover || !o.client_no_takeover);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct wsb_span value = wsb_span(data + 1, size - 1);
    struct wsb_buf once, twice;
    wsb_buf_init(&once, 0);
    wsb_buf_init(&twice, 0);
    if (normalise(value, &once)) {
        require(normalise(wsb_buf_span(&once), &twice));
        require(wsb_span_eq(wsb_buf_span(&once), wsb_buf_span(&twice)));
    }
    check_offers(value, data[0]);
    check_answer(value, data[0]);
    wsb_buf_deinit(&once);
    wsb_buf_deinit(&twice);
    return 0;
}
