/*
 * Compressed messages. Input: one byte (takeover, role, text, limit), then messages, each behind two bytes of length.
 * Properties: masked or not, the same comes out; nothing beyond the limit does; text that comes out is UTF-8; what came
 * out is packed and unpacked again to the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "ws/deflate.h"
#include "ws/mask.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIMIT_SMALL = 300, LIMIT_LARGE = 1 << 20, MESSAGE_MAX = 1 << 16 };

static void require(bool truth)
{
    if (!truth)
        abort();
}

struct end {
    struct wsb_deflate_account account;
    struct wsb_deflate_shared *shared;
    struct wsb_deflate *deflate;
};

static void end_init(struct end *e, enum wsb_role role, const struct wsb_deflate_params *p)
{
    *e = (struct end){.account.max = 1 << 20};
    require(wsb_deflate_shared_new(&e->shared, &e->account) == WSB_OK);
    require(wsb_deflate_new(&e->deflate, e->shared, role, p, /*level=*/1) == WSB_OK);
}

static void end_deinit(struct end *e)
{
    wsb_deflate_free(e->deflate);
    wsb_deflate_shared_free(e->shared);
    require(e->account.used == 0);
}

static wsb_err unpack(struct end *e, uint8_t opcode, struct wsb_span packed, bool masked, size_t limit,
                      struct wsb_ws_event *ev)
{
    static uint8_t copy[MESSAGE_MAX];
    static const uint8_t mask[4] = {0x12, 0xff, 0, 0x81};
    *ev = (struct wsb_ws_event){
        .type = WSB_WS_MESSAGE, .opcode = opcode, .rsv = WSB_RSV1, .masked = masked, .len = packed.len};
    require(packed.len <= sizeof copy);
    if (masked) {
        memcpy(ev->mask, mask, sizeof mask);
        wsb_mask_copy(copy, packed.ptr, packed.len, mask, 0);
    }
    ev->payload = masked ? copy : packed.ptr;
    if (!masked)
        return wsb_deflate_unpack(e->deflate, ev, limit);
    size_t budget = 1 + packed.len % 100; /* in steps, which must not need what was shown to the first */
    wsb_err err = wsb_deflate_unpack_some(e->deflate, ev, limit, &budget);
    for (memset(copy, 0, sizeof copy); err == WSB_AGAIN; budget = 1000)
        err = wsb_deflate_unpack_more(e->deflate, ev, &budget);
    return err;
}

static void check_again(struct end *from, struct end *to, const struct wsb_ws_event *ev)
{
    struct wsb_ws_event back;
    struct wsb_span packed;
    wsb_err err = wsb_deflate_pack(from->deflate, WSB_DEFLATE_IN_ORDER, wsb_span(ev->payload, ev->len), &packed);
    require(err == WSB_OK || err == WSB_AGAIN);
    if (err || packed.len > MESSAGE_MAX)
        return;
    require(packed.len < ev->len);
    uint8_t *copy = malloc(ev->len);
    require(copy != NULL);
    memcpy(copy, ev->payload, ev->len);
    require(unpack(to, ev->opcode, packed, /*masked=*/true, ev->len, &back) == WSB_OK);
    require(back.len == ev->len && memcmp(back.payload, copy, back.len) == 0);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    uint8_t how = data[0];
    const struct wsb_deflate_params p = {.server_no_takeover = how & 1,
                                         .client_no_takeover = how & 1,
                                         .server_bits = (uint8_t)(8 + (how >> 5)),
                                         .client_bits = (uint8_t)(8 + (how >> 5))};
    size_t limit = how & 4 ? LIMIT_SMALL : LIMIT_LARGE;
    uint8_t opcode = how & 8 ? WSB_OP_TEXT : WSB_OP_BINARY;
    struct end plain, masked, from, to;
    end_init(&plain, WSB_ROLE_CLIENT, &p);
    end_init(&masked, WSB_ROLE_SERVER, &p);
    end_init(&from, WSB_ROLE_SERVER, &p);
    end_init(&to, WSB_ROLE_CLIENT, &p);
    for (size_t at = 1; size - at >= 2;) {
        size_t len = (size_t)(data[at] << 8 | data[at + 1]);
        at += 2;
        len = len < size - at ? len : size - at;
        struct wsb_ws_event a, b;
        wsb_err err = unpack(&plain, opcode, wsb_span(data + at, len), false, limit, &a);
        require(unpack(&masked, opcode, wsb_span(data + at, len), true, limit, &b) == err);
        if (err)
            break;
        at += len;
        require(a.len <= limit && a.len == b.len && (!a.len || memcmp(a.payload, b.payload, a.len) == 0));
        require(opcode != WSB_OP_TEXT || wsb_utf8_is_valid(a.payload, a.len));
        check_again(&from, &to, &a);
    }
    end_deinit(&plain);
    end_deinit(&masked);
    end_deinit(&from);
    end_deinit(&to);
    return 0;
}
