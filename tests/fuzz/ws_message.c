/*
 * The message reader. Input: two bytes (role, bits, limits; the size of the pieces), then a stream of frames.
 * Properties: it uses no more than there is and leaves at most the beginning of a header; the stream in pieces comes to the
 * same events as the stream in one, compressed or not; taking a payload equals unmasking it byte by byte; it holds no more memory than
 * what has arrived, and none when idle.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "ws/close.h"
#include "ws/deflate.h"
#include "ws/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADER_REST_MAX = 13 };

/* What came of a stream: a running hash of its events, how many there were, and how it ended. */
struct outcome {
    uint64_t hash;
    size_t events;
    wsb_err end;
    bool is_refused; /* by whoever took a message, not by the reader */
};

enum { UNPACKED_MAX = 1 << 20 };

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void add(struct outcome *o, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < len; i++)
        o->hash = (o->hash ^ p[i]) * UINT64_C(0x100000001b3);
}

static void add_number(struct outcome *o, size_t v)
{
    add(o, &v, sizeof v);
}

static wsb_err add_message(struct outcome *o, const struct wsb_ws_event *ev)
{
    uint8_t *taken = malloc(ev->len ? ev->len : 1);
    uint8_t *naive = malloc(ev->len ? ev->len : 1);
    require(taken && naive);
    for (size_t i = 0; i < ev->len; i++)
        naive[i] = ev->masked ? ev->payload[i] ^ ev->mask[i % 4] : ev->payload[i];
    wsb_err err = wsb_ws_event_take(ev, taken);
    bool is_text = ev->opcode == WSB_OP_TEXT && !ev->rsv;
    require(err == (is_text && !wsb_utf8_is_valid(naive, ev->len) ? WSB_ERR_UTF8 : WSB_OK));
    if (!err) {
        require(ev->len == 0 || memcmp(taken, naive, ev->len) == 0);
        add(o, naive, ev->len);
        add_number(o, ev->len);
        add_number(o, ev->rsv);
    }
    free(naive);
    free(taken);
    return err;
}

static wsb_err add_event(struct outcome *o, struct wsb_deflate *deflate, struct wsb_ws_event *ev)
{
    if (ev->type == WSB_WS_MESSAGE) {
        wsb_err err = ev->rsv && deflate ? wsb_deflate_unpack(deflate, ev, UNPACKED_MAX) : WSB_OK;
        if (!err)
            err = add_message(o, ev);
        o->is_refused = err != WSB_OK;
        if (err)
            return err;
    } else {
        require(ev->len <= WSB_FRAME_CONTROL_MAX);
        add(o, ev->control, ev->len);
    }
    if (ev->type == WSB_WS_CLOSE) {
        require(ev->has_code || ev->len == 0);
        require(!ev->has_code || wsb_close_code_is_sendable(ev->code));
        require(wsb_utf8_is_valid(ev->control, ev->len));
        add_number(o, ev->code);
    }
    add_number(o, ev->type);
    add_number(o, ev->opcode);
    o->events++;
    return WSB_OK;
}

static struct outcome read_stream(const uint8_t *stream, size_t len, size_t piece, uint8_t how)
{
    const struct wsb_ws_limits limits = {
        .max_message = how & 0x40 ? 200 : 0, .max_frame = how & 0x20 ? 100 : 0, .max_fragments = how & 0x10 ? 3 : 0};
    struct outcome o = {.end = WSB_MORE};
    struct wsb_ws_in in;
    enum wsb_role role = how & 1 ? WSB_ROLE_CLIENT : WSB_ROLE_SERVER;
    struct wsb_deflate_account account = {.max = 1 << 20};
    struct wsb_deflate_shared *shared = NULL;
    struct wsb_deflate *deflate = NULL;
    if (how & 0x80) { /* compressed, with takeover if bit 1 is set */
        const struct wsb_deflate_params p = {
            .server_no_takeover = !(how & 2), .client_no_takeover = !(how & 2), .server_bits = 15, .client_bits = 15};
        require(wsb_deflate_shared_new(&shared, &account) == WSB_OK);
        require(wsb_deflate_new(&deflate, shared, role, &p, /*level=*/1) == WSB_OK);
    }
    wsb_ws_in_init(&in, role, deflate ? WSB_RSV1 : (how >> 1) & 7, &limits);

    size_t start = 0; /* of what has not been used */
    size_t end = 0;   /* of what has arrived */
    while (end < len && o.end == WSB_MORE) {
        end = len - end < piece ? len : end + piece;
        uint8_t *data = malloc(end - start); /* exact, so that the sanitizer sees a byte too many */
        require(data);
        memcpy(data, stream + start, end - start);
        size_t at = 0;
        do {
            struct wsb_ws_event ev;
            size_t used = 0;
            o.end = wsb_ws_in_next(&in, data + at, end - start - at, &used, &ev);
            require(used <= end - start - at);
            at += used;
            if (o.end == WSB_OK)
                o.end = add_event(&o, deflate, &ev);
        } while (o.end == WSB_OK);
        require(wsb_ws_in_held(&in) <= 2 * end + 256);
        if (o.end == WSB_MORE)
            require(end - start - at <= HEADER_REST_MAX);
        else
            require(o.end != WSB_CLOSED || at == end - start);
        free(data);
        start += at;
    }
    if (o.end != WSB_MORE && !o.is_refused) /* a message refused by who took it leaves the reader as it was */
        require(wsb_ws_in_held(&in) == 0);
    wsb_ws_in_deinit(&in);
    require(wsb_ws_in_held(&in) == 0);
    wsb_deflate_free(deflate);
    wsb_deflate_shared_free(shared);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const uint8_t *stream = data + 2;
    size_t len = size - 2;
    struct outcome whole = read_stream(stream, len, len ? len : 1, data[0]);
    struct outcome pieces = read_stream(stream, len, (size_t)data[1] + 1, data[0]);
    struct outcome bytes = read_stream(stream, len, 1, data[0]);

    /* Also for bad text: in one piece it is refused by take(), in several while it is gathered, each time before what
     * comes next. */
    require(whole.end == pieces.end && whole.events == pieces.events && whole.hash == pieces.hash);
    require(whole.end == bytes.end && whole.events == bytes.events && whole.hash == bytes.hash);
    return 0;
}
