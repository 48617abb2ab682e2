/*
 * A session with TLS, and a client that does anything: handshakes or not, says plain bytes in records or raw ones between them,
 * reads or not, is sent messages, leaves. Input: pieces of an operation, a length, and that many bytes.
 * Properties: whatever was said, the session goes when its client does, and nothing is left of it, nor of its handshake.
 */
#include "unit/session/fixture.h"

#include <stdint.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROOM = 80 << 10, PIECE_MAX = 4096, STEPS_MAX = 64 };

static void raw(struct fixture *f, const uint8_t *data, size_t len)
{
    if (f->client >= 0 && len)
        (void)!send(f->client, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void sealed(struct fixture *f, const uint8_t *data, size_t len)
{
    static uint8_t out[ROOM];
    size_t used = 0;
    struct wsb_tls_io io = {.out = out, .room = ROOM};
    if (len && wsb_tls_stream_write(f->tls, &io, wsb_span(data, len), &used, NULL) == WSB_OK)
        raw(f, out, io.len);
}

static void goodbye(struct fixture *f)
{
    static uint8_t out[ROOM];
    struct wsb_tls_io io = {.out = out, .room = ROOM};
    wsb_tls_stream_finish(f->tls, &io);
    raw(f, out, io.len);
}

static void send_to(struct fixture *f, const uint8_t *data, size_t len)
{
    void *s;
    struct wsg_command c = {.type = WSB_SEND,
                            .code = WSB_BINARY,
                            .flags = WSB_FLAG_WANT_OUTCOME,
                            .payload = wsb_span(len ? data : (const uint8_t *)"", len)};
    if (f->conn && wsg_slots_find(&f->env.slots, f->conn, &s) == WSB_OK)
        wsg_session_command(s, &c);
}

static void act(struct fixture *f, uint8_t op, const uint8_t *data, size_t len)
{
    switch (op % 8) {
    case 0:
        raw(f, data, len);
        break;
    case 1:
    case 2:
        sealed(f, data, len);
        break;
    case 3:
        sealed(f, (const uint8_t *)handshake, sizeof handshake - 1);
        break;
    case 4:
        send_to(f, data, len);
        break;
    case 5:
        f->reads_nothing = !f->reads_nothing;
        break;
    case 6:
        goodbye(f);
        break;
    default:
        turn(f);
    }
    if (op & 8)
        turn(f);
    f->events[0] = f->replies[0] = 0;
    f->got_len = f->got_len > sizeof f->got / 2 ? 0 : f->got_len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void *state = NULL;
    if (setup(&state))
        abort();
    struct fixture *f = state;
    for (int i = 0; size >= 2 && i < STEPS_MAX; i++) {
        uint8_t op = data[0];
        size_t len = (size_t)data[1] * 4;
        data += 2;
        size -= 2;
        len = len < size ? len : size;
        act(f, op, data, len);
        data += len;
        size -= len;
    }
    turn(f);
    if (f->env.secure.handshakes != 0)
        abort();
    return teardown(&state); /* asserts that no session is left */
}
