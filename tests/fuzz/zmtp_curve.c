/*
 * The handshake with keys, and sealed messages. Input: a script: how many bytes of the client's stream are changed, where and how;
 * the size of the pieces; then what the client says, each with flags of its own.
 * Properties: as of zmtp_peer; a peer is only ever told as ready when the handshake was left as it was, and then with the key of
 * the client; of messages, those behind a change are never handed out.
 */
#include "zmtp_run.h"

#include "support/curve_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    STREAM_MAX = 1 << 15,
    MESSAGES = 8,
    HANDSHAKE_PADDING_BEGINS = 64 + 2 + 8,
    HANDSHAKE_PADDING_ENDS = 64 + 2 + 80
};

static struct wsb_curvezmq_server server;
static uint8_t stream[STREAM_MAX];

static size_t put_frame(size_t at, uint8_t flags, const uint8_t *body, size_t len)
{
    at += wsb_zmtp_head_write(stream + at, flags, len);
    memcpy(stream + at, body, len);
    return at + len;
}

/* What the client says until it is in; the connection's number and the random bytes are those of zmtp_run(). */
static size_t put_handshake(struct curve_client *c)
{
    static const uint8_t random[WSB_CURVEZMQ_RANDOM] = {1, 2, 3};
    static const char metadata[] = "\x0bSocket-Type\0\0\0\6DEALER";
    uint8_t body[512], welcome[WSB_CURVEZMQ_WELCOME];
    uint64_t nonce;
    enum wsb_zmtp_why why;
    curve_client_init(c, 2, server.public_key);
    wsb_zmtp_greeting_write(stream, WSB_ZMTP_CURVE);
    stream[32] = 0; /* as-server */
    size_t at = put_frame(WSB_ZMTP_GREETING, WSB_ZMTP_COMMAND, body, curve_hello(c, body));
    require(wsb_curvezmq_welcome(&server, 5, wsb_span(body, WSB_CURVEZMQ_HELLO), random, welcome, &nonce, &why) ==
            WSB_OK);
    curve_take_welcome(c, welcome, sizeof welcome);
    return put_frame(at, WSB_ZMTP_COMMAND, body, curve_initiate(c, metadata, sizeof metadata - 1, body));
}

static size_t put_messages(struct curve_client *c, size_t at, const uint8_t *data, size_t size)
{
    for (int i = 0; i < MESSAGES && size >= 2; i++) {
        uint8_t body[300];
        size_t len = data[1] < size - 2 ? data[1] : size - 2;
        at =
            put_frame(at, data[0] & 8 ? WSB_ZMTP_COMMAND : 0, body, curve_message(c, data[0] & 7, data + 2, len, body));
        data += 2 + len;
        size -= 2 + len;
    }
    return at;
}

/* Bytes of the greeting that are not looked at, and HELLO's padding. */
static bool means_nothing(size_t at)
{
    return (at >= 1 && at <= 8) || (at >= 10 && at <= 11) || (at >= 33 && at < WSB_ZMTP_GREETING) ||
           (at >= HANDSHAKE_PADDING_BEGINS && at < HANDSHAKE_PADDING_ENDS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct wsb_zmtp_rules rules = {WSB_ZMTP_ROUTER, &server, 2000, 3000};
    struct curve_client client;
    if (!server.cookie_count) {
        static const uint8_t fresh[WSB_CURVEZMQ_KEY] = {7};
        require(sodium_init() >= 0);
        curve_pair(1, server.public_key, server.secret_key);
        wsb_curvezmq_rotate(&server, fresh);
    }
    if (size < 2 || size > STREAM_MAX / 2)
        return 0;
    size_t step = data[1] + 1u, changes = data[0] & 7, handshake = put_handshake(&client);
    const uint8_t *script = data + 2;
    size -= 2;
    if (size < 3 * changes)
        return 0;
    size_t len = put_messages(&client, handshake, script + 3 * changes, size - 3 * changes);
    bool is_harmed = false;
    for (size_t i = 0; i < changes; i++) {
        size_t at = ((size_t)script[3 * i] << 8 | script[3 * i + 1]) % len;
        stream[at] ^= script[3 * i + 2];
        is_harmed = is_harmed || (script[3 * i + 2] && at < handshake && !means_nothing(at));
    }
    struct zmtp_run whole = zmtp_run(&rules, stream, len, len);
    struct zmtp_run pieces = zmtp_run(&rules, stream, len, step);
    zmtp_require_same(&whole, &pieces);
    if (changes == 0)
        require(whole.is_ready);
    if (whole.is_ready)
        require(memcmp(whole.client, client.public_key, sizeof whole.client) == 0);
    if (is_harmed && changes == 1)
        require(!whole.is_ready);
    return 0;
}
