/*
 * The reader of one peer. A frame is judged as early as its bytes allow: its head before its body, the nonce of a box before its
 * text, so that nothing is held for a peer that has broken a rule already.
 */
#include "zmtp/peer.h"

static const char *const role_names[] = {
    [WSB_ZMTP_ROUTER] = "ROUTER", [WSB_ZMTP_XPUB] = "XPUB", [WSB_ZMTP_PULL] = "PULL"};

void wsb_zmtp_peer_init(struct wsb_zmtp_peer *p, const struct wsb_zmtp_rules *rules, uint64_t connection)
{
    *p = (struct wsb_zmtp_peer){.rules = rules, .connection = connection, .wanted = WSB_ZMTP_GREETING};
}

void wsb_zmtp_peer_deinit(struct wsb_zmtp_peer *p)
{
    wsb_curvezmq_session_wipe(&p->session);
    sodium_memzero(&p->box, sizeof p->box);
}

static wsb_err fail(struct wsb_zmtp_peer *p, enum wsb_zmtp_why why)
{
    p->state = WSB_ZMTP_FAILED;
    p->why = why;
    wsb_zmtp_peer_deinit(p);
    return WSB_ERR_PROTO;
}

static wsb_err want(struct wsb_zmtp_peer *p, size_t bytes)
{
    p->wanted = bytes;
    return WSB_MORE;
}

/* ----------------------------------------------------------------- the greeting */

static wsb_err take_greeting(struct wsb_zmtp_peer *p, struct wsb_span in, struct wsb_zmtp_event *ret, size_t *ret_used)
{
    enum wsb_zmtp_why why;
    wsb_err err = wsb_zmtp_greeting_parse(in, p->rules->curve ? WSB_ZMTP_CURVE : WSB_ZMTP_NULL, &why);
    if (err == WSB_MORE)
        return want(p, WSB_ZMTP_GREETING);
    if (err)
        return fail(p, why);
    p->state = p->rules->curve ? WSB_ZMTP_HELLO : WSB_ZMTP_READY;
    ret->kind = WSB_ZMTP_EV_GREETING;
    *ret_used = WSB_ZMTP_GREETING;
    return WSB_OK;
}

/* ---------------------------------------------------------------- the handshake */

/* RFC 28, 29, 30: who talks to whom. */
static bool fits(enum wsb_zmtp_role role, struct wsb_span socket_type)
{
    switch (role) {
    case WSB_ZMTP_ROUTER:
        return wsb_span_eq_str(socket_type, "DEALER") || wsb_span_eq_str(socket_type, "REQ") ||
               wsb_span_eq_str(socket_type, "ROUTER");
    case WSB_ZMTP_XPUB:
        return wsb_span_eq_str(socket_type, "SUB") || wsb_span_eq_str(socket_type, "XSUB");
    case WSB_ZMTP_PULL:
        break;
    }
    return wsb_span_eq_str(socket_type, "PUSH");
}

static wsb_err take_metadata(struct wsb_zmtp_peer *p, struct wsb_span metadata, struct wsb_zmtp_event *ret)
{
    struct wsb_zmtp_metadata said;
    if (wsb_zmtp_metadata_parse(metadata, &said) != WSB_OK)
        return fail(p, WSB_ZMTP_WHY_COMMAND);
    if (!fits(p->rules->role, said.socket_type))
        return fail(p, WSB_ZMTP_WHY_SOCKET_TYPE);
    if (said.identity.len && said.identity.ptr[0] == 0) /* RFC 37: those are ours */
        return fail(p, WSB_ZMTP_WHY_IDENTITY);
    p->state = WSB_ZMTP_TRAFFIC;
    ret->kind = WSB_ZMTP_EV_READY;
    ret->identity = said.identity;
    return WSB_OK;
}

static wsb_err take_hello(struct wsb_zmtp_peer *p, struct wsb_span body, const uint8_t *random,
                          struct wsb_zmtp_event *ret)
{
    enum wsb_zmtp_why why;
    size_t head = wsb_zmtp_head_write(ret->welcome, WSB_ZMTP_COMMAND, WSB_CURVEZMQ_WELCOME);
    if (wsb_curvezmq_welcome(p->rules->curve, p->connection, body, random, ret->welcome + head, &p->hello_nonce,
                             &why) != WSB_OK)
        return fail(p, why);
    p->state = WSB_ZMTP_INITIATE;
    ret->kind = WSB_ZMTP_EV_WELCOME;
    return WSB_OK;
}

static wsb_err take_initiate(struct wsb_zmtp_peer *p, uint8_t *body, size_t len, struct wsb_zmtp_event *ret)
{
    enum wsb_zmtp_why why;
    struct wsb_span metadata;
    if (wsb_curvezmq_initiate(p->rules->curve, p->connection, p->hello_nonce, body, len, &p->session, p->client,
                              &metadata, &why) != WSB_OK)
        return fail(p, why);
    return take_metadata(p, metadata, ret);
}

static wsb_err take_ready(struct wsb_zmtp_peer *p, struct wsb_span body, struct wsb_zmtp_event *ret)
{
    struct wsb_zmtp_command c;
    if (wsb_zmtp_command_parse(body, &c) != WSB_OK || !wsb_span_eq_str(c.name, "READY"))
        return fail(p, WSB_ZMTP_WHY_COMMAND);
    return take_metadata(p, c.data, ret);
}

static wsb_err take_shake(struct wsb_zmtp_peer *p, uint8_t *body, const uint8_t *random, struct wsb_zmtp_event *ret)
{
    const struct wsb_span whole = wsb_span(body, p->head.body_len);
    return p->state == WSB_ZMTP_HELLO      ? take_hello(p, whole, random, ret)
           : p->state == WSB_ZMTP_INITIATE ? take_initiate(p, body, whole.len, ret)
                                           : take_ready(p, whole, ret);
}

size_t wsb_zmtp_ready_write(struct wsb_zmtp_peer *p, uint8_t out[WSB_ZMTP_READY_FRAME])
{
    static const uint8_t name[] = {5, 'R', 'E', 'A', 'D', 'Y'};
    uint8_t metadata[WSB_ZMTP_METADATA_MAX];
    size_t len = wsb_zmtp_metadata_write(metadata, role_names[p->rules->role]);
    size_t head;
    if (p->rules->curve) {
        head = wsb_zmtp_head_write(out, WSB_ZMTP_COMMAND, len + WSB_CURVEZMQ_READY_OVERHEAD);
        return head + wsb_curvezmq_ready(&p->session, wsb_span(metadata, len), out + head);
    }
    head = wsb_zmtp_head_write(out, WSB_ZMTP_COMMAND, sizeof name + len);
    memcpy(out + head, name, sizeof name);
    memcpy(out + head + sizeof name, metadata, len);
    return head + sizeof name + len;
}

/* ------------------------------------------------------------------ the traffic */

static wsb_err take_command(struct wsb_zmtp_peer *p, struct wsb_span body, struct wsb_zmtp_event *ret)
{
    struct wsb_zmtp_command c;
    if (wsb_zmtp_command_parse(body, &c) != WSB_OK)
        return fail(p, WSB_ZMTP_WHY_COMMAND);
    bool is_publisher = p->rules->role == WSB_ZMTP_XPUB;
    ret->kind = WSB_ZMTP_EV_NOTHING;
    ret->topic = c.data;
    if (wsb_span_eq_str(c.name, "PING")) {
        ret->kind = WSB_ZMTP_EV_PING;
        if (wsb_zmtp_ping_parse(c.data, &ret->ping) != WSB_OK)
            return fail(p, WSB_ZMTP_WHY_COMMAND);
    } else if (is_publisher && wsb_span_eq_str(c.name, "SUBSCRIBE")) {
        ret->kind = WSB_ZMTP_EV_SUBSCRIBE;
    } else if (is_publisher && wsb_span_eq_str(c.name, "CANCEL")) {
        ret->kind = WSB_ZMTP_EV_CANCEL;
    } else if (wsb_span_eq_str(c.name, "ERROR")) {
        return fail(p, WSB_ZMTP_WHY_COMMAND);
    }
    return WSB_OK;
}

/* ZMTP 3.0: a subscription is a message of one part, 1 or 0 and the topic. */
static void look_for_subscription(const struct wsb_zmtp_peer *p, struct wsb_zmtp_event *ev)
{
    struct wsb_span said = ev->parts[0];
    if (p->rules->role != WSB_ZMTP_XPUB || ev->part_count != 1 || said.len == 0 || said.ptr[0] > 1)
        return;
    ev->kind = said.ptr[0] ? WSB_ZMTP_EV_SUBSCRIBE : WSB_ZMTP_EV_CANCEL;
    ev->topic = wsb_span(said.ptr + 1, said.len - 1);
}

/* The part at `at`, behind which the frame ends. */
static wsb_err take_part(struct wsb_zmtp_peer *p, const uint8_t *in, size_t at, size_t len, bool more,
                         struct wsb_zmtp_event *ret)
{
    if (p->part_count < WSB_ZMTP_PARTS) {
        p->parts[p->part_count].at = at;
        p->parts[p->part_count].len = len;
    }
    if (++p->part_count > WSB_ZMTP_PARTS_MAX)
        return fail(p, WSB_ZMTP_WHY_PARTS);
    ret->kind = WSB_ZMTP_EV_NOTHING;
    if (more)
        return WSB_OK;
    ret->kind = WSB_ZMTP_EV_MESSAGE;
    ret->part_count = p->part_count;
    for (size_t i = 0; i < p->part_count && i < WSB_ZMTP_PARTS; i++)
        ret->parts[i] = wsb_span(in + p->parts[i].at, p->parts[i].len);
    p->part_count = 0;
    look_for_subscription(p, ret);
    return WSB_OK;
}

static wsb_err take_plain(struct wsb_zmtp_peer *p, const uint8_t *in, struct wsb_zmtp_event *ret)
{
    size_t at = p->at + p->head.len;
    if (p->head.flags & WSB_ZMTP_COMMAND)
        return take_command(p, wsb_span(in + at, p->head.body_len), ret);
    return take_part(p, in, at, p->head.body_len, p->head.flags & WSB_ZMTP_MORE, ret);
}

/* Open what has arrived of the box. libzmq sends MESSAGE as a message, the RFC calls it a command: either will do. */
static wsb_err open_more(struct wsb_zmtp_peer *p, uint8_t *in, size_t in_len)
{
    uint8_t *body = in + p->at + p->head.len;
    size_t there = in_len - p->at - p->head.len;
    enum wsb_zmtp_why why;
    there = there < p->head.body_len ? there : p->head.body_len;
    if (there < WSB_CURVEZMQ_FRONT)
        return WSB_OK;
    if (p->opened == 0) {
        if (wsb_curvezmq_open_begin(&p->session, body, &p->box, &why) != WSB_OK)
            return fail(p, why);
        p->opened = WSB_CURVEZMQ_FRONT;
    }
    wsb_box_open(&p->box, body + p->opened, there - p->opened);
    p->opened = there;
    return WSB_OK;
}

static wsb_err take_boxed(struct wsb_zmtp_peer *p, const uint8_t *in, struct wsb_zmtp_event *ret)
{
    size_t at = p->at + p->head.len;
    size_t data = at + WSB_CURVEZMQ_OVERHEAD, len = p->head.body_len - WSB_CURVEZMQ_OVERHEAD;
    p->opened = 0;
    if (!wsb_box_is_true(&p->box, in + at + WSB_CURVEZMQ_HEAD))
        return fail(p, WSB_ZMTP_WHY_BOX);
    switch (in[data - 1]) { /* bit 0: more follows; bit 1, which libzmq has added: a command */
    case 0:
    case 1:
        return take_part(p, in, data, len, in[data - 1] & 1, ret);
    case 2:
        return take_command(p, wsb_span(in + data, len), ret);
    default:
        return fail(p, WSB_ZMTP_WHY_FRAME);
    }
}

/* ------------------------------------------------------------------ any frame */

static wsb_err read_head(struct wsb_zmtp_peer *p, const uint8_t *in, size_t in_len)
{
    bool is_traffic = p->state == WSB_ZMTP_TRAFFIC, is_boxed = is_traffic && p->rules->curve;
    size_t max = is_traffic ? p->rules->max_frame + (is_boxed ? WSB_CURVEZMQ_OVERHEAD : 0) : WSB_ZMTP_SHAKE_MAX;
    wsb_err err = wsb_zmtp_head_parse(in + p->at, in_len - p->at, max, &p->head);
    if (err == WSB_MORE)
        return want(p, p->at + (in_len > p->at && in[p->at] & WSB_ZMTP_LONG ? WSB_ZMTP_HEAD_MAX : 2));
    if (err)
        return fail(p, err == WSB_ERR_LIMIT ? WSB_ZMTP_WHY_SIZE : WSB_ZMTP_WHY_FRAME);
    if (!is_traffic && !(p->head.flags & WSB_ZMTP_COMMAND))
        return fail(p, WSB_ZMTP_WHY_COMMAND);
    if (is_boxed && (p->head.body_len < WSB_CURVEZMQ_OVERHEAD || p->head.flags & WSB_ZMTP_MORE))
        return fail(p, WSB_ZMTP_WHY_FRAME);
    if (p->at + p->head.len + p->head.body_len > p->rules->max_message && is_traffic)
        return fail(p, WSB_ZMTP_WHY_SIZE);
    return WSB_OK;
}

static wsb_err take_frame(struct wsb_zmtp_peer *p, uint8_t *in, const uint8_t *random, struct wsb_zmtp_event *ret)
{
    if (p->state != WSB_ZMTP_TRAFFIC)
        return take_shake(p, in + p->at + p->head.len, random, ret);
    return p->rules->curve ? take_boxed(p, in, ret) : take_plain(p, in, ret);
}

static wsb_err next_frame(struct wsb_zmtp_peer *p, uint8_t *in, size_t in_len, const uint8_t *random,
                          struct wsb_zmtp_event *ret, size_t *ret_used)
{
    wsb_err err = p->head.len ? WSB_OK : read_head(p, in, in_len);
    if (!err && p->state == WSB_ZMTP_TRAFFIC && p->rules->curve)
        err = open_more(p, in, in_len);
    if (err)
        return err;
    size_t end = p->at + p->head.len + p->head.body_len;
    if (in_len < end)
        return want(p, end);
    p->frames++;
    err = take_frame(p, in, random, ret);
    if (err)
        return err;
    p->head.len = 0;
    p->at = p->part_count ? end : 0; /* a message that has begun stays until it is whole */
    *ret_used = p->part_count ? 0 : end;
    return WSB_OK;
}

/* Part by part: a message has a bounded number of them. */
static wsb_err next_in_traffic(struct wsb_zmtp_peer *p, uint8_t *in, size_t in_len, struct wsb_zmtp_event *ret,
                               size_t *ret_used)
{
    size_t parts;
    wsb_err err;
    do {
        parts = p->part_count;
        err = next_frame(p, in, in_len, NULL, ret, ret_used);
    } while (!err && p->part_count > parts);
    return err;
}

wsb_err wsb_zmtp_next(struct wsb_zmtp_peer *p, uint8_t *in, size_t in_len, const uint8_t *random,
                      struct wsb_zmtp_event *ret, size_t *ret_used)
{
    switch (p->state) {
    case WSB_ZMTP_FAILED:
        return WSB_ERR_PROTO;
    case WSB_ZMTP_GREETS:
        return take_greeting(p, wsb_span(in, in_len), ret, ret_used);
    case WSB_ZMTP_HELLO:
    case WSB_ZMTP_INITIATE:
    case WSB_ZMTP_READY:
        return next_frame(p, in, in_len, random, ret, ret_used);
    case WSB_ZMTP_TRAFFIC:
        break;
    }
    return next_in_traffic(p, in, in_len, ret, ret_used);
}
