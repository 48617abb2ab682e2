/*
 * The vtable. A receive goes round those who have something to say, some work for each in turn; what it may do in a round is
 * bounded, also by what is no message. What is sent waits for the end of the round, and leaves in one call for each peer.
 */
#include "link/zmtp_server.h"

#include <sys/epoll.h>

#include "base/scratch.h"

static struct wsb_zmtp_server *self(const struct wsb_server *s)
{
    return wsb_zmtp_server_of(s);
}

/* --------------------------------------------------------------------- receiving */

void wsb_zmtp_begin_round(struct wsb_zmtp_channel *ch)
{
    ch->budget = (struct wsb_zmtp_budget){
        .bytes = WSB_ZMTP_ROUND_BYTES, .work = WSB_ZMTP_ROUND_WORK, .handshakes = WSB_ZMTP_ROUND_HANDSHAKES};
    ch->local.accepts = ch->tcp.accepts = WSB_ZMTP_ROUND_ACCEPTS;
}

/* The envelope of a message, and who sent it. */
static wsb_err read_message(struct wsb_zmtp_channel *ch, struct wsb_zmtp_conn *conn, const struct wsb_zmtp_event *ev,
                            struct wsb_inbound *ret)
{
    struct wsb_zmtp_letter *l = &ch->letter;
    l->chunk = conn->in;
    l->chunk->refs++;
    l->sender = conn;
    conn->was_heard = true;
    if (conn->name_len) {
        memcpy(l->peer, conn->name, conn->name_len);
        ret->peer = wsb_span(l->peer, conn->name_len);
        ret->known = &conn->known;
    }
    if (conn->user[0]) {
        memcpy(l->user, conn->user, sizeof l->user);
        ret->user = wsb_span(l->user, WSB_KEY_LEN);
    }
    if (conn->channel == WSB_CHANNEL_EVENTS || ev->part_count < 2 || ev->part_count > 3)
        return WSB_ERR_PROTO;
    return wsb_envelope_from_parts(ev->parts[0], ev->parts[1], ev->part_count == 3 ? ev->parts[2] : wsb_span(NULL, 0),
                                   &ret->envelope);
}

/* RFC 37: a peer that sends more and more PINGs and takes no answer gets none. */
static void answer_ping(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn, const struct wsb_zmtp_ping *ping)
{
    uint8_t pong[WSB_ZMTP_PONG_MAX];
    z->ttl_count += (ping->ttl_ms != 0) - (uint32_t)(conn->ttl_ms != 0);
    conn->ttl_ms = ping->ttl_ms;
    wsb_zmtp_tick(z);
    if (conn->out.commands >= WSB_ZMTP_PONGS_MAX)
        return;
    size_t len = wsb_zmtp_pong_write(pong, ping->context);
    if (wsb_zmtp_outbox_push_command(&conn->out, wsb_span(pong, len), wsb_zmtp_conn_is_curve(conn)) == WSB_OK)
        wsb_zmtp_note_dirty(z, conn);
    else
        wsb_zmtp_refuse(z, conn, WSB_ZMTP_WHY_MEMORY);
}

static void subscribe(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn, const struct wsb_zmtp_event *ev)
{
    if (ev->kind == WSB_ZMTP_EV_CANCEL) {
        wsb_subscribers_remove(&z->subscribers, &conn->subscriber, ev->topic);
        return;
    }
    wsb_err err = wsb_subscribers_add(&z->subscribers, &conn->subscriber, ev->topic);
    if (err)
        wsb_zmtp_refuse(z, conn, err == WSB_ERR_LIMIT ? WSB_ZMTP_WHY_SUBSCRIPTIONS : WSB_ZMTP_WHY_MEMORY);
}

static void welcome(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn, const struct wsb_zmtp_event *ev)
{
    if (wsb_zmtp_outbox_push_raw(&conn->out, wsb_span(ev->welcome, sizeof ev->welcome)) == WSB_OK)
        wsb_zmtp_note_dirty(z, conn);
    else
        wsb_zmtp_refuse(z, conn, WSB_ZMTP_WHY_MEMORY);
}

/* What is no message, or the end of the peer, is dealt with here. */
static void handle(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn, const struct wsb_zmtp_event *ev)
{
    switch (ev->kind) {
    case WSB_ZMTP_EV_GREETING:
        wsb_zmtp_greet(z, conn);
        break;
    case WSB_ZMTP_EV_WELCOME:
        welcome(z, conn, ev);
        break;
    case WSB_ZMTP_EV_READY:
        (void)!wsb_zmtp_admit(z, conn, ev->identity);
        wsb_zmtp_tick(z);
        break;
    case WSB_ZMTP_EV_SUBSCRIBE:
    case WSB_ZMTP_EV_CANCEL:
        subscribe(z, conn, ev);
        break;
    case WSB_ZMTP_EV_PING:
        answer_ping(z, conn, &ev->ping);
        break;
    case WSB_ZMTP_EV_MESSAGE:
    case WSB_ZMTP_EV_NOTHING:
        break;
    }
}

/* The next one's turn. */
static void pass_turn(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn)
{
    wsb_zmtp_ready_remove(z, conn);
    wsb_zmtp_ready_add(z, conn);
}

/* It has nothing more to say, ever. True: *ret tells so. */
static bool end(struct wsb_zmtp_server *z, struct wsb_zmtp_channel *ch, struct wsb_zmtp_conn *conn,
                struct wsb_inbound *ret)
{
    if (conn->state != WSB_CONN_LEAVING) {
        wsb_zmtp_leave(z, conn);
        return false;
    }
    struct wsb_zmtp_letter *l = &ch->letter;
    memcpy(l->peer, conn->name, conn->name_len);
    l->conn = conn;
    ret->peer = wsb_span(l->peer, conn->name_len);
    ret->known = &conn->known;
    wsb_zmtp_ready_remove(z, conn);
    return true;
}

static wsb_err zs_recv(struct wsb_server *s, enum wsb_channel c, struct wsb_inbound *ret)
{
    struct wsb_zmtp_server *z = self(s);
    struct wsb_zmtp_channel *ch = &z->channels[c];
    struct wsb_zmtp_conn *conn;
    WSB_SCRATCH struct wsb_zmtp_event ev;
    *ret = (struct wsb_inbound){.message = &ch->letter};
    if (ch->is_woken)
        wsb_zmtp_collect(z, c);
    else if (wsb_zmtp_is_asked(ch))
        wsb_zmtp_accept(z, c);
    ch->budget.now_ms = z->now_ms;
    for (size_t passed = 0; (conn = ch->ready.first) && passed < ch->ready.count;) {
        wsb_err err = wsb_zmtp_conn_next(conn, &z->pool, &ch->budget, &ev);
        switch (err) {
        case WSB_OK:
            passed = 0;
            if (ev.kind == WSB_ZMTP_EV_MESSAGE)
                return read_message(ch, conn, &ev, ret);
            handle(z, conn, &ev);
            break;
        case WSB_AGAIN:
            wsb_zmtp_ready_remove(z, conn);
            break;
        case WSB_MORE:
            passed += conn->turn_bytes && conn->turn_work; /* it waits for the next round, not for its turn */
            pass_turn(z, conn);
            if (ch->budget.bytes == 0 || ch->budget.work == 0)
                return WSB_AGAIN;
            break;
        case WSB_CLOSED:
            wsb_zmtp_take_off(&ch->budget.work, WSB_CONN_END_WORK);
            if (end(z, ch, conn, ret))
                return WSB_CLOSED;
            break;
        case WSB_ERR_PROTO:
            wsb_zmtp_take_off(&ch->budget.work, WSB_CONN_END_WORK);
            wsb_zmtp_refuse(z, conn, conn->peer.why);
            break;
        case WSB_ERR_LIMIT: /* all of them are looked at */
            wsb_zmtp_take_off(&ch->budget.work, WSB_CONN_END_WORK + z->descriptors);
            wsb_zmtp_relieve(z, conn);
            break;
        default:
            wsb_zmtp_refuse(z, conn, WSB_ZMTP_WHY_MEMORY);
            break;
        }
    }
    return WSB_AGAIN;
}

static void zs_release(struct wsb_inbound *in)
{
    struct wsb_zmtp_letter *l = in->message;
    wsb_zmtp_chunk_free(&l->server->pool, l->chunk);
    if (l->conn)
        wsb_zmtp_remove(l->server, l->conn); /* whoever was told has let go of it */
    l->chunk = NULL;
    l->conn = l->sender = NULL;
    in->message = NULL;
}

static void zs_on_readable(struct wsb_server *s, enum wsb_channel c)
{
    self(s)->channels[c].is_woken = true;
}

/* What waits to be written is everybody's. */
static bool zs_has_input(struct wsb_server *s, enum wsb_channel c)
{
    struct wsb_zmtp_server *z = self(s);
    struct wsb_zmtp_channel *ch = &z->channels[c];
    wsb_zmtp_begin_round(ch); /* whoever asks is done with this one */
    return ch->is_woken || ch->ready.count || z->dirty.count || wsb_zmtp_is_asked(ch);
}

/* ----------------------------------------------------------------------- sending */

static wsb_err zs_send(struct wsb_server *s, struct wsb_span peer, const struct wsb_header *h,
                       struct wsb_block *payload, struct wsb_span meta)
{
    struct wsb_zmtp_server *z = self(s);
    struct wsb_zmtp_conn *conn = wsb_zmtp_find(z, peer);
    struct wsb_zmtp_parcel parcel = {.header = h, .payload = payload, .meta = meta};
    if (!conn || conn->is_deaf || conn->out.bytes >= z->queue_max) {
        wsb_block_free(payload);
        return conn && !conn->is_deaf ? WSB_AGAIN : WSB_CLOSED;
    }
    parcel.is_record = conn->takes_records && wsb_record_size(payload->len, meta.len) != 0;
    if (wsb_zmtp_outbox_push(&conn->out, &parcel, wsb_zmtp_conn_is_curve(conn)) != WSB_OK) {
        wsb_zmtp_refuse(z, conn, WSB_ZMTP_WHY_MEMORY); /* rather than a hole in what it is told */
        return WSB_CLOSED;
    }
    wsb_zmtp_note_dirty(z, conn);
    return WSB_OK;
}

static void zs_take_records(struct wsb_server *s, const struct wsb_inbound *in, bool on)
{
    const struct wsb_zmtp_letter *l = in->message;
    (void)s;
    if (l->sender)
        l->sender->takes_records = on;
}

static bool zs_is_behind(const struct wsb_server *s, struct wsb_span peer)
{
    const struct wsb_zmtp_conn *conn = wsb_zmtp_find(self(s), peer);
    return conn && conn->out.bytes >= WSB_ZMTP_BEHIND;
}

struct copies {
    struct wsb_zmtp_server *server;
    struct wsb_zmtp_parcel parcel;
    size_t others_bytes; /* of payloads that are under way already */
    size_t missed;
};

static struct wsb_zmtp_conn *conn_of(struct wsb_subscriber *s)
{
    return (struct wsb_zmtp_conn *)(void *)((char *)s - offsetof(struct wsb_zmtp_conn, subscriber));
}

/*
 * Subscribers that do not read share what there is with those that do: each may hold as much as is left, so that there is always
 * something left; and a little in any case.
 */
static bool is_in_bounds(size_t held, size_t more, size_t all, size_t most)
{
    size_t left = all < most ? most - all : 0;
    return held + more <= WSB_ZMTP_COPIES_SURE || held + more <= left;
}

/* One copy may be larger than all that one subscriber may have waiting. */
static bool has_room(const struct copies *copies, const struct wsb_zmtp_outbox *o, size_t own)
{
    const struct wsb_zmtp_server *z = copies->server;
    if (o->count >= WSB_ZMTP_COPIES_MAX || (o->bytes >= WSB_ZMTP_COPIES_BYTES && o->count))
        return false;
    return is_in_bounds(o->bytes, copies->parcel.payload->len, copies->others_bytes, z->copies_max) &&
           is_in_bounds(o->own, own, z->copies_own, z->copies_max * WSB_ZMTP_COPIES_OWN);
}

static void copy_to(void *ctx, struct wsb_subscriber *s)
{
    struct copies *copies = ctx;
    struct wsb_zmtp_conn *conn = conn_of(s);
    bool is_curve = wsb_zmtp_conn_is_curve(conn);
    size_t own = wsb_zmtp_outbox_cost(&copies->parcel, is_curve);
    if (conn->is_deaf)
        return;
    if (!has_room(copies, &conn->out, own)) {
        copies->missed++;
        return;
    }
    (void)wsb_block_ref(copies->parcel.payload); /* a push gives it up, whatever it returns */
    if (wsb_zmtp_outbox_push(&conn->out, &copies->parcel, is_curve) != WSB_OK) {
        copies->missed++;
        return;
    }
    copies->server->copies_own += own;
    copies->server->has_copied = true;
    wsb_zmtp_note_dirty(copies->server, conn);
}

static size_t zs_publish(struct wsb_server *s, const char *topic, const struct wsb_header *h, struct wsb_block *payload,
                         struct wsb_span meta)
{
    struct wsb_zmtp_server *z = self(s);
    struct wsb_span t = wsb_span_str(topic);
    struct copies copies = {.server = z,
                            .parcel = {.topic = t, .header = h, .payload = payload, .meta = meta},
                            .others_bytes = wsb_account_bytes(payload->account) - payload->charge};
    wsb_subscribers_each(&z->subscribers, t, copy_to, &copies);
    wsb_block_free(payload);
    return copies.missed;
}

static bool zs_is_wanted(const struct wsb_server *s, const char *topic)
{
    return wsb_subscribers_want(&self(s)->subscribers, wsb_span_str(topic));
}

/* The kernel tells when there is room. */
static void block(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = &conn->of_socket};
    conn->is_blocked = true;
    if (epoll_ctl(z->channels[conn->channel].poll, EPOLL_CTL_MOD, conn->fd, &event) != 0)
        wsb_zmtp_refuse(z, conn, WSB_ZMTP_WHY_MEMORY);
}

/* What it had said is still read. */
static void deafen(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn)
{
    wsb_zmtp_throw(z, conn);
    conn->is_deaf = conn->has_ended = conn->is_readable = true;
    wsb_zmtp_ready_add(z, conn);
}

static void write_to(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn, size_t *left)
{
    size_t budget = *left < WSB_ZMTP_WRITE_BYTES ? *left : WSB_ZMTP_WRITE_BYTES, before = budget;
    wsb_err err = conn->is_deaf ? WSB_OK : wsb_zmtp_conn_write(conn, &budget);
    *left -= before - budget;
    switch (err) {
    case WSB_OK:
        break;
    case WSB_AGAIN:
        block(z, conn);
        break;
    case WSB_MORE:
        wsb_zmtp_note_dirty(z, conn); /* in the next round */
        break;
    case WSB_CLOSED:
        deafen(z, conn);
        break;
    default:
        wsb_zmtp_refuse(z, conn, WSB_ZMTP_WHY_MEMORY);
        break;
    }
}

/* What has not left, or is not freed. */
static void count_copies(struct wsb_zmtp_server *z)
{
    z->copies_own = z->channels[WSB_CHANNEL_EVENTS].waste.own;
    for (const struct wsb_zmtp_conn *conn = z->channels[WSB_CHANNEL_EVENTS].conns; conn; conn = conn->next)
        z->copies_own += conn->out.own;
    z->has_copied = z->copies_own != 0;
}

/* A round's part of what peers that have left did not take. */
static void shed_waste(struct wsb_zmtp_server *z)
{
    size_t left = WSB_ZMTP_ROUND_WASTE;
    bool is_all = true;
    for (int c = 0; c < WSB_CHANNELS; c++) {
        left = wsb_zmtp_outbox_shed(&z->channels[c].waste, left);
        is_all = is_all && wsb_zmtp_outbox_is_empty(&z->channels[c].waste);
    }
    if (!is_all)
        wsb_zmtp_tick_soon(z);
}

/* Those whose turn it was, and who have more, are behind the others in the next round. */
static void zs_flush(struct wsb_server *s)
{
    struct wsb_zmtp_server *z = self(s);
    size_t left = WSB_ZMTP_WRITE_ALL, count = z->dirty.count;
    for (int c = 0; c < WSB_CHANNELS; c++) {
        if (z->channels[c].is_woken)
            wsb_zmtp_collect(z, (enum wsb_channel)c); /* somebody may have room again */
        wsb_zmtp_begin_round(&z->channels[c]);
    }
    for (; count && left; count--) {
        struct wsb_zmtp_conn *conn = z->dirty.first;
        if (!conn)
            break;
        wsb_zmtp_forget_dirty(z, conn);
        write_to(z, conn, &left);
    }
    shed_waste(z);
    if (z->has_copied)
        count_copies(z);
}

/* ------------------------------------------------------------------------ asking */

static int zs_fd(const struct wsb_server *s, enum wsb_channel c)
{
    return self(s)->channels[c].poll;
}

static bool zs_allows(const struct wsb_server *s, struct wsb_span user, const char *route)
{
    const struct wsb_curve *curve = self(s)->curve;
    return user.len == 0 || (curve && wsb_key_list_allows(&curve->clients, user, route));
}

static bool zs_allows_name(const struct wsb_server *s, struct wsb_span user, struct wsb_span name)
{
    const struct wsb_curve *curve = self(s)->curve;
    return user.len == 0 || (curve && wsb_key_list_allows_name(&curve->clients, user, name));
}

static const char *zs_endpoint(const struct wsb_server *s, enum wsb_channel c)
{
    const char *text = self(s)->channels[c].tcp.text;
    return *text ? text : NULL;
}

static void zs_stats(const struct wsb_server *s, struct wsb_server_stats *ret)
{
    const struct wsb_zmtp_server *z = self(s);
    *ret = z->stats;
    ret->keys_refused = z->stats.refused_by[WSB_ZMTP_WHY_KEY];
    ret->last_refused_key = z->last_key;
    ret->last_refused_address = z->last_key_address;
    ret->last_address = z->last_address;
    for (int c = 0; c < WSB_CHANNELS; c++) {
        ret->peers += z->channels[c].conn_count;
        ret->unproven += z->channels[c].unproven.count;
    }
    ret->subscriptions = z->subscribers.count;
    ret->input_bytes = z->pool.bytes;
}

/* ------------------------------------------------------------------ who still runs */

static void zs_watch(struct wsb_server *s, const struct wsb_inbound *in, uint32_t heartbeat_ms)
{
    struct wsb_zmtp_server *z = self(s);
    const struct wsb_zmtp_letter *l = in->message;
    struct wsb_zmtp_conn *conn = l->sender;
    if (!conn || conn->state != WSB_CONN_PROVEN)
        return;
    conn->heartbeat_ms = heartbeat_ms;
    conn->is_watched = true;
    wsb_life_begin(&conn->life, conn->fd);
    if (conn->process >= 0 || z->descriptors >= z->descriptors_max)
        return; /* without one it is asked */
    conn->process = wsb_life_pidfd(conn->fd);
    z->descriptors += conn->process >= 0;
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &conn->of_process};
    if (conn->process >= 0)
        (void)epoll_ctl(z->channels[conn->channel].poll, EPOLL_CTL_ADD, conn->process, &event); /* else it is asked */
}

static void zs_unwatch(struct wsb_server *s, struct wsb_span peer)
{
    struct wsb_zmtp_conn *conn = wsb_zmtp_find(self(s), peer);
    if (conn)
        conn->is_watched = false;
}

enum { HEARTBEATS_MISSED = 3, GAP_MS = 500 };

/* Whoever asks leaves out time in which it did not run. We see that by our own clock, which is further ahead of it than before. */
static void leave_out_gap(struct wsb_zmtp_server *z, uint64_t now_ms)
{
    uint64_t ahead_ms = wsb_zmtp_now_ms() - now_ms;
    if (z->ahead_ms && ahead_ms - z->ahead_ms > GAP_MS && ahead_ms - z->ahead_ms < UINT64_MAX / 2)
        wsb_zmtp_forgive(z, ahead_ms - z->ahead_ms);
    z->ahead_ms = ahead_ms;
}

static bool zs_has_unread(const struct wsb_server *s, struct wsb_span peer)
{
    const struct wsb_zmtp_conn *conn = wsb_zmtp_find(self(s), peer);
    return conn && (conn->is_ready || wsb_zmtp_conn_has_unread(conn));
}

static bool zs_is_stalled(struct wsb_server *s, struct wsb_span peer, uint64_t now_ms)
{
    struct wsb_zmtp_conn *conn = wsb_zmtp_find(self(s), peer);
    leave_out_gap(self(s), now_ms);
    if (!conn || !conn->is_watched)
        return false;
    if (conn->heartbeat_ms &&
        wsb_zmtp_conn_is_silent(conn, wsb_zmtp_now_ms(), (uint64_t)conn->heartbeat_ms * HEARTBEATS_MISSED))
        return true;
    return wsb_life_is_over(&conn->life, now_ms);
}

const struct wsb_server_ops wsb_zmtp_server_ops = {
    .close = wsb_zmtp_server_close,
    .fd = zs_fd,
    .on_readable = zs_on_readable,
    .recv = zs_recv,
    .release = zs_release,
    .has_input = zs_has_input,
    .send = zs_send,
    .is_behind = zs_is_behind,
    .flush = zs_flush,
    .publish = zs_publish,
    .is_wanted = zs_is_wanted,
    .take_records = zs_take_records,
    .watch = zs_watch,
    .unwatch = zs_unwatch,
    .has_unread = zs_has_unread,
    .is_stalled = zs_is_stalled,
    .allows = zs_allows,
    .allows_name = zs_allows_name,
    .endpoint = zs_endpoint,
    .stats = zs_stats,
};
