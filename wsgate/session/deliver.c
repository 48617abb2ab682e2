/*
 * Messages to a client: whether there is room for one, and what becomes of it, or of others, when there is none. Each one
 * that comes here is counted once more when its fate is known: the kernel has it, or it was dropped, and why. A client that
 * does not read costs what its route allows and delays nobody.
 */
#include "session/compress.h"
#include "session/framing.h"
#include "session/parts.h"
#include "ws/close.h"

/* ------------------------------------------------------------------- counting */

static void count_drops(struct wsg_session *s, enum wsg_out_drop reason, uint64_t count)
{
    s->messages_dropped += count;
    if (s->route && count)
        wsg_count(&s->route->tally.out_dropped[reason], count);
}

/* The new message goes nowhere. */
static void refuse(struct wsg_session *s, const struct wsg_command *c, enum wsg_out_drop reason,
                   enum wsb_outcome outcome, const char *text)
{
    count_drops(s, reason, 1);
    wsg_outcome(s, c, outcome, text);
}

/* One that waits goes, to make room. */
static void drop_waiting(struct wsg_session *s, struct wsg_chunk *m, enum wsg_out_drop reason, const char *text)
{
    struct wsg_receipt *r = wsg_outq_drop(&s->out, &s->env->pool, m);
    count_drops(s, reason, 1);
    if (r)
        wsg_session_end_receipt(s, r, WSB_OUTCOME_DROPPED, text);
}

void wsg_deliver_settle(struct wsg_session *s)
{
    uint64_t count = s->out.messages_written - s->messages_written;
    if (!count)
        return;
    wsg_count(&s->route->tally.written, count);
    wsg_count(&s->route->tally.written_bytes, s->out.sizes_written - s->bytes_written);
    s->messages_written = s->out.messages_written;
    s->bytes_written = s->out.sizes_written;
}

void wsg_deliver_end(struct wsg_session *s)
{
    wsg_deliver_settle(s);
    count_drops(s, WSG_OUT_GONE, s->out.messages);
}

/* ----------------------------------------------------------------------- room */

/* With `instead`, as if that one did not wait any more. An empty queue takes a message of any size. */
static bool fits(const struct wsg_session *s, size_t more, const struct wsg_chunk *instead)
{
    size_t bytes = s->out.bytes;
    size_t messages = s->out.messages;
    size_t waiting = wsg_session_waiting(s);
    if (instead) {
        bytes -= wsg_outq_len(instead);
        messages--;
        waiting -= wsg_outq_cost(instead) + (wsg_outq_has_note(instead) ? WSG_RECEIPT_BYTES : 0);
    }
    return bytes == 0 ||
           (waiting + more <= s->route->policy.max_queue && messages < s->route->policy.max_queue_messages);
}

/* Would it fit if all were dropped that may be? */
static bool can_fit(const struct wsg_session *s, size_t more)
{
    const struct wsg_outq_droppable *d = wsg_outq_droppable(&s->out);
    size_t stays = wsg_session_waiting(s) - d->bytes - d->noted * WSG_RECEIPT_BYTES;
    return stays + more <= s->route->policy.max_queue &&
           s->out.messages - d->count < s->route->policy.max_queue_messages;
}

bool wsg_deliver_has_room(struct wsg_session *s, size_t bytes)
{
    const struct wsg_route_policy *p = &s->route->policy;
    if (s->out.bytes && wsg_session_waiting(s) + bytes > p->max_queue)
        wsg_session_make_room(s);
    return s->out.bytes == 0 || wsg_session_waiting(s) + bytes <= p->max_queue;
}

static enum wsg_slow slow_of(const struct wsg_session *s, const struct wsg_command *c)
{
    return c->slow != WSG_SLOW_AS_ROUTE ? (enum wsg_slow)c->slow : s->route->policy.slow;
}

/* The message that waits and that this one replaces; NULL: none. */
static struct wsg_chunk *older_of(const struct wsg_session *s, const struct wsg_loose *m)
{
    return m->key.ptr ? wsg_outq_find(&s->out, m->key, m->key_hash) : NULL;
}

static bool drop_old(struct wsg_session *s, size_t more)
{
    if (!can_fit(s, more))
        return false;
    while (!fits(s, more, NULL))
        drop_waiting(s, wsg_outq_droppable(&s->out)->oldest, WSG_OUT_SLOW_OLD, "slow client: dropped");
    return true;
}

/* False: there is no room for it, and its outcome is told. */
static bool make_way(struct wsg_session *s, const struct wsg_command *c, enum wsg_slow slow, const struct wsg_loose *m)
{
    size_t more = c->payload.len + m->key.len;
    struct wsg_chunk *older = older_of(s, m);
    if (!fits(s, more, older)) {
        wsg_session_make_room(s);
        older = older_of(s, m); /* it may be on its way now */
    }
    if (fits(s, more, older)) {
        if (older)
            drop_waiting(s, older, WSG_OUT_CONFLATED, "replaced by a newer message of its key");
        return true;
    }
    s->was_full = true;
    s->full_at = s->out.written;
    if (slow == WSG_SLOW_DROP_OLD && drop_old(s, more))
        return true;
    if (slow == WSG_SLOW_CLOSE || slow == WSG_SLOW_AS_ROUTE) {
        refuse(s, c, WSG_OUT_SLOW_CLOSE, WSB_OUTCOME_DROPPED, "slow client");
        wsg_websocket_end(s, WSG_ENDED_SLOW, WSB_CLOSE_TRY_AGAIN_LATER, "slow client");
    } else {
        refuse(s, c, WSG_OUT_SLOW_NEW, WSB_OUTCOME_DROPPED, "slow client: dropped");
    }
    return false;
}

/* Down to half, and by the client's own doing: otherwise one large message could be tried, and dropped, for ever. */
void wsg_deliver_check_writable(struct wsg_session *s)
{
    if (!s->was_full || s->state != WSG_SESSION_OPEN || s->out.written == s->full_at)
        return;
    const struct wsg_route_policy *p = &s->route->policy;
    if (wsg_session_waiting(s) > p->max_queue / 2 || s->out.messages > p->max_queue_messages / 2)
        return;
    s->was_full = false;
    wsg_emit_writable(s, wsb_span(NULL, 0));
}

/* -------------------------------------------------------------------- sending */

/* A message that nothing drops: it joins the others without a place of its own. */
static wsb_err append_fixed(struct wsg_session *s, const struct wsg_command *c, const struct wsg_outgoing *out)
{
    uint8_t header[WSB_FRAME_HDR_MAX];
    uint8_t *to;
    if (out->frame)
        return wsg_outq_message_shared(&s->out, &s->env->pool, out->frame, (uint32_t)c->payload.len);
    size_t n = wsg_frame_head(s, header, c->code, out->rsv, out->payload.len);
    if (n == 0)
        return WSB_ERR_IO;
    wsb_err err = wsg_outq_message(&s->out, &s->env->pool, n + out->payload.len, (uint32_t)c->payload.len, &to);
    if (!err)
        wsg_frame_fill(to, header, n, out->payload);
    return err;
}

static wsb_err append_loose(struct wsg_session *s, const struct wsg_command *c, const struct wsg_outgoing *out,
                            struct wsg_loose *m, struct wsg_chunk **ret)
{
    uint8_t header[WSB_FRAME_HDR_MAX];
    size_t n = out->frame ? 0 : wsg_frame_head(s, header, c->code, out->rsv, out->payload.len);
    if (!out->frame && n == 0)
        return WSB_ERR_IO;
    m->shared = out->frame;
    m->len = out->frame ? out->frame->len : n + out->payload.len;
    m->size = (uint32_t)c->payload.len;
    wsb_err err = wsg_outq_loose(&s->out, m, ret);
    if (!err && !out->frame)
        wsg_frame_fill(wsg_outq_bytes(*ret), header, n, out->payload);
    return err;
}

static wsb_err append(struct wsg_session *s, const struct wsg_command *c, bool is_loose, struct wsg_loose *m)
{
    struct wsg_chunk *chunk = NULL;
    struct wsg_outgoing out = {.frame = s->is_dialed ? NULL : c->frame, .payload = c->payload};
    if (s->is_compressed)
        wsg_compress_pack(s, c, /*may_be_dropped=*/is_loose, &out);
    wsb_err err = is_loose ? append_loose(s, c, &out, m, &chunk) : append_fixed(s, c, &out);
    if (err) {
        wsg_compress_undo(s);
        return err;
    }
    struct wsg_receipt *r = wsg_session_add_receipt(s, c);
    if (chunk && r)
        wsg_outq_set_note(&s->out, chunk, r);
    if (c->frame) /* also of those who could not share it: it is the moment that counts */
        wsg_session_mark_fanned(s);
    else
        wsg_session_mark_dirty(s);
    return WSB_OK;
}

/* Not a WebSocket that takes messages, or not this one. */
static bool is_refused(struct wsg_session *s, const struct wsg_command *c)
{
    bool is_gone = s->state == WSG_SESSION_CLOSING || s->state == WSG_SESSION_LINGER || s->state == WSG_SESSION_DEAD;
    if (is_gone)
        refuse(s, c, WSG_OUT_GONE, WSB_OUTCOME_GONE, "closing");
    else if (s->state != WSG_SESSION_OPEN)
        refuse(s, c, WSG_OUT_REFUSED, WSB_OUTCOME_REFUSED, "not an open WebSocket");
    else if (c->payload.len >
             s->route->policy.max_message) /* NOLINT(clang-analyzer-core.NullDereference): OPEN has a route */
        refuse(s, c, WSG_OUT_REFUSED, WSB_OUTCOME_TOO_BIG, "larger than max_message of the route");
    else
        return false;
    return true;
}

void wsg_websocket_send(struct wsg_session *s, const struct wsg_command *c)
{
    struct wsg_loose m = {0};
    if (s->route) {
        struct wsg_traffic *t = wsg_session_traffic(s);
        t->messages_out++;
        t->bytes_out += c->payload.len;
    }
    if (is_refused(s, c))
        return;
    enum wsg_slow slow = slow_of(s, c);
    if (slow == WSG_SLOW_CONFLATE && c->key.ptr) {
        m.key = c->key;
        m.key_hash = wsb_siphash(&s->env->routes->seed, c->key);
    }
    if (!make_way(s, c, slow, &m))
        return;
    if (append(s, c, slow == WSG_SLOW_DROP_OLD || m.key.ptr, &m) != WSB_OK) {
        refuse(s, c, WSG_OUT_NO_MEMORY, WSB_OUTCOME_DROPPED, "out of memory");
        wsg_websocket_end(s, WSG_ENDED_MEMORY, WSB_CLOSE_TRY_AGAIN_LATER, "out of memory"); /* rather than a hole */
        return;
    }
    s->messages_out++;
    s->sent_ms = wsg_loop_now_ms(s->env->loop);
    s->bytes_out += c->payload.len;
    if (wsg_session_is_tapped(s))
        wsg_tap(s, WSG_OUT_TAP_OUT, c->code, c->payload);
}
