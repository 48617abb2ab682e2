/*
 * A peer of the bench: what stands behind mongrel2. Every message goes back; what comes on /pub goes to all on /sub.
 *
 *   peer_mongrel2 REQUESTS REPLIES      mongrel2's send_spec (we pull) and recv_spec (we publish)
 *
 * A request is "UUID ID PATH " and two netstrings: the headers as a dictionary, and the body. A reply is "UUID LENGTH:IDS, "
 * and the bytes for these connections, frames and all.
 */
#include <string.h>
#include <zmq.h>

#include "bench/common.h"
#include "base/buf.h"
#include "ws/frame.h"

enum { TARGETS_MAX = 128, ID_MAX = 21 }; /* connections of one reply: mongrel2's limit; digits of one */

struct request {
    struct wsb_span uuid, id, path, headers, body;
};

static void *replies;
static uint64_t *subscribers; /* owned */
static size_t count, cap;

/* --- parsing ------------------------------------------------------------------------------------------------------ */

static bool take_word(struct wsb_span *in, struct wsb_span *ret)
{
    const uint8_t *end = in->len ? memchr(in->ptr, ' ', in->len) : NULL;
    if (!end)
        return false;
    *ret = wsb_span(in->ptr, (size_t)(end - in->ptr));
    *in = wsb_span(end + 1, in->len - ret->len - 1);
    return true;
}

/* LENGTH:BYTES and one character that tells the type. */
static bool take_netstring(struct wsb_span *in, struct wsb_span *ret)
{
    size_t len = 0, at = 0;
    for (; at < in->len && at < 9 && in->ptr[at] >= '0' && in->ptr[at] <= '9'; at++)
        len = len * 10 + (size_t)(in->ptr[at] - '0');
    if (!at || at >= in->len || in->ptr[at] != ':' || in->len - at < len + 2)
        return false;
    *ret = wsb_span(in->ptr + at + 1, len);
    *in = wsb_span(ret->ptr + len + 1, in->len - at - len - 2);
    return true;
}

static struct wsb_span header(struct wsb_span headers, const char *name)
{
    struct wsb_span key, value;
    while (take_netstring(&headers, &key) && take_netstring(&headers, &value)) {
        if (wsb_span_eq_str(key, name))
            return value;
    }
    return wsb_span(NULL, 0);
}

static bool parse(struct wsb_span in, struct request *ret)
{
    return take_word(&in, &ret->uuid) && take_word(&in, &ret->id) && take_word(&in, &ret->path) &&
           take_netstring(&in, &ret->headers) && take_netstring(&in, &ret->body);
}

static uint64_t number_of(struct wsb_span text, int base)
{
    char digits[ID_MAX] = {0};
    memcpy(digits, text.ptr, text.len < sizeof digits - 1 ? text.len : sizeof digits - 1);
    return strtoull(digits, NULL, base);
}

/* --- replying ----------------------------------------------------------------------------------------------------- */

static void reply(struct wsb_span uuid, struct wsb_span ids, struct wsb_span head, struct wsb_span body)
{
    char front[128];
    int len = snprintf(front, sizeof front, "%.*s %zu:", (int)uuid.len, (const char *)uuid.ptr, ids.len);
    const struct wsb_span parts[] = {wsb_span(front, (size_t)len), ids, wsb_span(", ", 2), head, body};
    size_t total = 0;
    zmq_msg_t message;
    for (size_t i = 0; i < 5; i++)
        total += parts[i].len;
    if (zmq_msg_init_size(&message, total))
        bench_die("out of memory");
    uint8_t *at = zmq_msg_data(&message);
    for (size_t i = 0; i < 5; i++) {
        if (parts[i].len)
            memcpy(at, parts[i].ptr, parts[i].len);
        at += parts[i].len;
    }
    (void)zmq_msg_send(&message, replies, 0);
}

static void reply_frame(struct wsb_span uuid, struct wsb_span ids, uint8_t opcode, struct wsb_span payload)
{
    uint8_t head[WSB_FRAME_HDR_MAX];
    const struct wsb_frame_hdr hdr = {.opcode = opcode, .fin = true, .payload_len = payload.len};
    reply(uuid, ids, wsb_span(head, wsb_frame_hdr_write(head, &hdr)), payload);
}

static void publish(struct wsb_span uuid, uint8_t opcode, struct wsb_span payload)
{
    char ids[TARGETS_MAX * ID_MAX];
    for (size_t i = 0; i < count;) {
        size_t len = 0;
        for (size_t k = 0; k < TARGETS_MAX && i < count; k++, i++)
            len += (size_t)snprintf(ids + len, sizeof ids - len, "%s%llu", k ? " " : "",
                                    (unsigned long long)subscribers[i]);
        reply_frame(uuid, wsb_span(ids, len), opcode, payload);
    }
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void subscribe(uint64_t id)
{
    if (count == cap) {
        cap = cap ? cap * 2 : 1024;
        subscribers = realloc(subscribers, cap * sizeof *subscribers);
        if (!subscribers)
            bench_die("out of memory");
    }
    subscribers[count++] = id;
}

static void unsubscribe(uint64_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (subscribers[i] == id)
            subscribers[i--] = subscribers[--count];
    }
}

/* The body is the accept key. */
static void on_handshake(const struct request *r)
{
    char answer[256];
    int len = snprintf(answer, sizeof answer,
                       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Accept: %.*s\r\n\r\n",
                       (int)r->body.len, (const char *)r->body.ptr);
    reply(r->uuid, r->id, wsb_span(NULL, 0), wsb_span(answer, (size_t)len));
    if (wsb_span_eq_str(r->path, "/sub"))
        subscribe(number_of(r->id, 10));
}

static void on_message(const struct request *r)
{
    uint8_t opcode = (uint8_t)(number_of(header(r->headers, "FLAGS"), 16) & 15);
    if (opcode == WSB_OP_CLOSE) {
        reply_frame(r->uuid, r->id, opcode, wsb_span(r->body.ptr, r->body.len < 2 ? 0 : 2));
        reply(r->uuid, r->id, wsb_span(NULL, 0), wsb_span(NULL, 0)); /* nothing: hang up */
    } else if (opcode == WSB_OP_PING) {
        reply_frame(r->uuid, r->id, WSB_OP_PONG, r->body);
    } else if (wsb_span_eq_str(r->path, "/pub") && !wsb_opcode_is_control(opcode)) {
        publish(r->uuid, opcode, r->body);
    } else if (opcode != WSB_OP_PONG) {
        reply_frame(r->uuid, r->id, opcode, r->body);
    }
}

static void serve(struct wsb_span message)
{
    struct request r;
    if (!parse(message, &r))
        return;
    struct wsb_span method = header(r.headers, "METHOD");
    if (wsb_span_eq_str(method, "WEBSOCKET"))
        on_message(&r);
    else if (wsb_span_eq_str(method, "WEBSOCKET_HANDSHAKE"))
        on_handshake(&r);
    else if (wsb_span_eq_str(method, "JSON")) /* {"type":"disconnect"} */
        unsubscribe(number_of(r.id, 10));
}

int main(int argc, char **argv)
{
    void *context = zmq_ctx_new(), *requests = zmq_socket(context, ZMQ_PULL);
    const int none = 0;
    replies = zmq_socket(context, ZMQ_PUB);
    (void)zmq_setsockopt(requests, ZMQ_RCVHWM, &none, sizeof none); /* no limit: it would drop */
    (void)zmq_setsockopt(replies, ZMQ_SNDHWM, &none, sizeof none);
    if (argc != 3 || zmq_connect(requests, argv[1]) || zmq_connect(replies, argv[2]))
        bench_die("usage: peer_mongrel2 REQUESTS REPLIES: %s", zmq_strerror(zmq_errno()));
    for (;;) {
        zmq_msg_t message;
        (void)zmq_msg_init(&message);
        if (zmq_msg_recv(&message, requests, 0) < 0)
            bench_die("%s", zmq_strerror(zmq_errno()));
        serve(wsb_span(zmq_msg_data(&message), zmq_msg_size(&message)));
        (void)zmq_msg_close(&message);
    }
}
