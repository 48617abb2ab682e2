/*
 * Who is connected. Whoever has not shown who it is has a few seconds for it, and makes room when another one comes and there is none;
 * so nobody who says nothing keeps anybody out. A refusal is counted by its reason. Nothing is freed while an event may name it: events
 * are turned into marks before anything else is done.
 */
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/scratch.h"
#include "base/z85.h"
#include "link/zmtp_server.h"

enum { EVENTS = 64 /* a call of epoll */, LOOKS = 16 /* calls in a row */ };

uint64_t wsb_zmtp_now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct wsb_zmtp_channel *channel_of(struct wsb_zmtp_server *z, const struct wsb_zmtp_conn *conn)
{
    return &z->channels[conn->channel];
}

/* ------------------------------------------------------------------------- lists */

/* A connection is in a list by a pair of fields, `next_<name>` and `prev_<name>`. */
#define LIST_APPEND(list, conn, name)                                                                                  \
    do {                                                                                                               \
        (conn)->next_##name = NULL;                                                                                    \
        (conn)->prev_##name = (list)->last;                                                                            \
        if ((list)->last)                                                                                              \
            (list)->last->next_##name = (conn);                                                                        \
        else                                                                                                           \
            (list)->first = (conn);                                                                                    \
        (list)->last = (conn);                                                                                         \
        (list)->count++;                                                                                               \
    } while (0)

#define LIST_REMOVE(list, conn, name)                                                                                  \
    do {                                                                                                               \
        if ((conn)->prev_##name)                                                                                       \
            (conn)->prev_##name->next_##name = (conn)->next_##name;                                                    \
        else                                                                                                           \
            (list)->first = (conn)->next_##name;                                                                       \
        if ((conn)->next_##name)                                                                                       \
            (conn)->next_##name->prev_##name = (conn)->prev_##name;                                                    \
        else                                                                                                           \
            (list)->last = (conn)->prev_##name;                                                                        \
        (conn)->next_##name = (conn)->prev_##name = NULL;                                                              \
        (list)->count--;                                                                                               \
    } while (0)

void wsb_zmtp_ready_add(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn)
{
    if (conn->is_ready)
        return;
    conn->is_ready = true;
    conn->turn_bytes = WSB_ZMTP_TURN_BYTES;
    conn->turn_work = WSB_ZMTP_TURN_WORK;
    LIST_APPEND(&channel_of(z, conn)->ready, conn, ready);
}

void wsb_zmtp_ready_remove(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn)
{
    if (!conn->is_ready)
        return;
    conn->is_ready = false;
    LIST_REMOVE(&channel_of(z, conn)->ready, conn, ready);
}

static void unproven_add(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn)
{
    struct wsb_zmtp_channel *ch = channel_of(z, conn);
    LIST_APPEND(&ch->unproven, conn, unproven);
    LIST_APPEND(&ch->kin[conn->origin], conn, kin);
}

static void unproven_remove(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn)
{
    struct wsb_zmtp_channel *ch = channel_of(z, conn);
    LIST_REMOVE(&ch->unproven, conn, unproven);
    LIST_REMOVE(&ch->kin[conn->origin], conn, kin);
}

void wsb_zmtp_note_dirty(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn)
{
    if (conn->is_dirty || conn->is_blocked)
        return;
    conn->is_dirty = true;
    LIST_APPEND(&z->dirty, conn, dirty);
}

void wsb_zmtp_forget_dirty(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn)
{
    if (!conn->is_dirty)
        return;
    conn->is_dirty = false;
    LIST_REMOVE(&z->dirty, conn, dirty);
}

/* -------------------------------------------------------------------------- names */

static struct wsb_zmtp_conn **place_of(const struct wsb_zmtp_server *z, struct wsb_span name)
{
    return &z->names[wsb_siphash(&z->seed, name) & z->name_mask];
}

static struct wsb_span name_of(const struct wsb_zmtp_conn *conn)
{
    return wsb_span(conn->name, conn->name_len);
}

static struct wsb_zmtp_conn *named(const struct wsb_zmtp_server *z, struct wsb_span name)
{
    struct wsb_zmtp_conn *conn = *place_of(z, name);
    while (conn && !wsb_span_eq(name_of(conn), name))
        conn = conn->next_named;
    return conn;
}

struct wsb_zmtp_conn *wsb_zmtp_find(const struct wsb_zmtp_server *z, struct wsb_span name)
{
    struct wsb_zmtp_conn *conn = named(z, name);
    return conn && conn->state == WSB_CONN_PROVEN ? conn : NULL;
}

static void name_add(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn)
{
    struct wsb_zmtp_conn **at = place_of(z, name_of(conn));
    conn->next_named = *at;
    *at = conn;
    conn->is_named = true;
}

static void name_remove(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn)
{
    struct wsb_zmtp_conn **at = place_of(z, name_of(conn));
    if (!conn->is_named)
        return;
    while (*at != conn)
        at = &(*at)->next_named;
    *at = conn->next_named;
    conn->is_named = false;
}

/* Ours begin with a zero, as RFC 37 has it, and are never used twice. */
static void give_name(struct wsb_zmtp_conn *conn)
{
    uint64_t number = conn->peer.connection;
    conn->name[0] = (uint8_t)conn->door;
    conn->name[1] = 0;
    memcpy(conn->name + 2, &number, sizeof number);
    conn->name_len = 2 + sizeof number;
}

/* False: somebody has it, or this one may not: whoever has a key is known by it, and one that is too long cannot be kept. */
static bool choose_name(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn, struct wsb_span identity)
{
    if (identity.len && (conn->door == WSB_DOOR_KEYS || identity.len >= sizeof conn->name))
        return false;
    if (identity.len) {
        conn->name[0] = (uint8_t)conn->door;
        memcpy(conn->name + 1, identity.ptr, identity.len);
        conn->name_len = (uint8_t)(1 + identity.len);
        if (named(z, name_of(conn)))
            return false;
    } else {
        give_name(conn);
    }
    name_add(z, conn);
    return true;
}

/* ------------------------------------------------------------------------ leaving */

void wsb_zmtp_throw(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn)
{
    wsb_zmtp_outbox_throw(&conn->out, &channel_of(z, conn)->waste);
}

static void hang_up(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn)
{
    z->descriptors -= (conn->fd >= 0) + (size_t)(conn->process >= 0);
    wsb_zmtp_conn_hang_up(conn);
    wsb_zmtp_throw(z, conn);
}

void wsb_zmtp_remove(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn)
{
    struct wsb_zmtp_channel *ch = channel_of(z, conn);
    if (conn->state == WSB_CONN_UNPROVEN)
        unproven_remove(z, conn);
    wsb_zmtp_ready_remove(z, conn);
    wsb_zmtp_forget_dirty(z, conn);
    name_remove(z, conn);
    wsb_subscribers_leave(&z->subscribers, &conn->subscriber);
    z->ttl_count -= conn->ttl_ms != 0;
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        ch->conns = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    ch->conn_count--;
    if (conn->holder)
        conn->holder->conns[conn->channel]--;
    if (ch->letter.sender == conn)
        ch->letter.sender = NULL;
    hang_up(z, conn);
    wsb_zmtp_conn_free(conn, &z->pool);
}

void wsb_zmtp_leave(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn)
{
    if (conn->state == WSB_CONN_LEAVING)
        return;
    if (!conn->was_heard || conn->channel != WSB_CHANNEL_HANDLERS) {
        wsb_zmtp_remove(z, conn);
        return;
    }
    conn->state = WSB_CONN_LEAVING;
    conn->is_readable = false;
    conn->is_at_end = true;
    hang_up(z, conn);
    wsb_zmtp_forget_dirty(z, conn);
    wsb_zmtp_ready_add(z, conn); /* the next receive tells */
}

static void note_refusal(struct wsb_zmtp_server *z, enum wsb_zmtp_why why, const char *address)
{
    z->stats.refused_by[why]++;
    if (why == WSB_ZMTP_WHY_KEY)
        return; /* told with the key */
    z->stats.last_why = why;
    (void)snprintf(z->last_address, sizeof z->last_address, "%s", address);
}

void wsb_zmtp_refuse(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn, enum wsb_zmtp_why why)
{
    note_refusal(z, why, conn->address);
    conn->begin = conn->end = 0; /* nothing more of it counts */
    wsb_zmtp_leave(z, conn);
}

/* What its end would give back: not what somebody still looks at. */
static size_t bytes_of(const struct wsb_zmtp_conn *conn)
{
    return conn->in && conn->in->refs == 1 && conn->state != WSB_CONN_LEAVING ? conn->in->cap : 0;
}

/* How much whoever has this connection holds: with a key, by all that came with it; without, by this one. */
static size_t burden_of(const struct wsb_zmtp_conn *conn)
{
    return conn->holder ? conn->holder->bytes : bytes_of(conn);
}

/* a is to go rather than b: it belongs to whoever holds the most; of several, its message has taken longer. */
static bool goes_first(const struct wsb_zmtp_conn *a, const struct wsb_zmtp_conn *b)
{
    if (burden_of(a) != burden_of(b))
        return burden_of(a) > burden_of(b);
    return a->unfinished_since_ms && (!b->unfinished_since_ms || a->unfinished_since_ms < b->unfinished_since_ms);
}

static void count_burdens(struct wsb_zmtp_server *z)
{
    for (size_t i = 0; z->curve && i < z->curve->clients.key_count; i++)
        z->holders[i].bytes = 0;
    for (int c = 0; c < WSB_CHANNELS; c++) {
        for (struct wsb_zmtp_conn *conn = z->channels[c].conns; conn; conn = conn->next) {
            if (conn->holder)
                conn->holder->bytes += bytes_of(conn);
        }
    }
}

void wsb_zmtp_relieve(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn)
{
    struct wsb_zmtp_conn *first = conn;
    count_burdens(z);
    for (int c = 0; c < WSB_CHANNELS; c++) {
        for (struct wsb_zmtp_conn *other = z->channels[c].conns; other; other = other->next) {
            if (bytes_of(other) && goes_first(other, first))
                first = other;
        }
    }
    wsb_zmtp_refuse(z, first, WSB_ZMTP_WHY_MEMORY);
}

/* ------------------------------------------------------------------------ proving */

static bool key_is_welcome(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn)
{
    char key[WSB_KEY_TEXT];
    wsb_z85_encode(wsb_span(conn->peer.client, sizeof conn->peer.client), key);
    const struct wsb_listed_key *listed = wsb_key_list_find(&z->curve->clients, wsb_span(key, WSB_KEY_LEN));
    /* Events are not kept apart by route: who is limited to routes has no business there. */
    if (listed && (listed->route_count == 0 || conn->channel != WSB_CHANNEL_EVENTS)) {
        memcpy(conn->user, key, sizeof conn->user);
        conn->holder = &z->holders[listed - z->curve->clients.keys];
        conn->holder->conns[conn->channel]++;
        z->stats.keys_allowed++;
        return true;
    }
    memcpy(z->last_key, key, sizeof key);
    memcpy(z->last_key_address, conn->address, sizeof z->last_key_address);
    return false;
}

/* A key may have as many places as are left, so that no key keeps out the others. Those in their handshake make room. */
static bool has_place_for_key(const struct wsb_zmtp_server *z, const struct wsb_zmtp_conn *conn)
{
    const struct wsb_zmtp_channel *ch = &z->channels[conn->channel];
    size_t proven = ch->conn_count - ch->unproven.count;
    return conn->holder->conns[conn->channel] + proven <= z->peers_max;
}

/* No word of refusal: a ZeroMQ that is told ERROR never tries again, and a handler would have to be started anew when its key has
 * been put on the list. */
bool wsb_zmtp_admit(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn, struct wsb_span identity)
{
    uint8_t reply[WSB_ZMTP_READY_FRAME];
    if (conn->door == WSB_DOOR_KEYS && !key_is_welcome(z, conn)) {
        wsb_zmtp_refuse(z, conn, WSB_ZMTP_WHY_KEY);
        return false;
    }
    if (conn->holder && !has_place_for_key(z, conn)) {
        wsb_zmtp_refuse(z, conn, WSB_ZMTP_WHY_PEERS);
        return false;
    }
    if (conn->channel == WSB_CHANNEL_HANDLERS && !choose_name(z, conn, identity)) {
        wsb_zmtp_refuse(z, conn, WSB_ZMTP_WHY_IDENTITY);
        return false;
    }
    size_t len = wsb_zmtp_ready_write(&conn->peer, reply);
    if (wsb_zmtp_outbox_push_raw(&conn->out, wsb_span(reply, len)) != WSB_OK) {
        wsb_zmtp_refuse(z, conn, WSB_ZMTP_WHY_MEMORY);
        return false;
    }
    unproven_remove(z, conn);
    conn->state = WSB_CONN_PROVEN;
    wsb_zmtp_note_dirty(z, conn);
    return true;
}

/* ------------------------------------------------------------------------- coming */

/* The secret that cookies are made with is new every minute, and gone when nobody needs it. False: there is none. */
static bool freshen_cookies(struct wsb_zmtp_server *z)
{
    uint8_t fresh[WSB_CURVEZMQ_KEY];
    if (z->curvezmq.cookie_count && z->now_ms - z->cookie_ms < WSB_ZMTP_COOKIE_MS)
        return true;
    if (getrandom(fresh, sizeof fresh, 0) == sizeof fresh) {
        wsb_curvezmq_rotate(&z->curvezmq, fresh);
        z->cookie_ms = z->now_ms;
    }
    explicit_bzero(fresh, sizeof fresh);
    return z->curvezmq.cookie_count > 0;
}

/* Bytes `from` to `to` of our greeting. False: there is no memory. */
static bool greet(struct wsb_zmtp_conn *conn, size_t from, size_t to)
{
    uint8_t greeting[WSB_ZMTP_GREETING];
    wsb_zmtp_greeting_write(greeting, conn->door == WSB_DOOR_KEYS ? WSB_ZMTP_CURVE : WSB_ZMTP_NULL);
    return wsb_zmtp_outbox_push_raw(&conn->out, wsb_span(greeting + from, to - from)) == WSB_OK;
}

/* libzmq never connects again to a gate that has told it of another mechanism; to one that hangs up before, it does. So whoever
 * has the wrong keys, or none, comes in when the gate, or he, has been given the right ones. */
void wsb_zmtp_greet(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn)
{
    if (greet(conn, WSB_ZMTP_GREETING_FRONT, WSB_ZMTP_GREETING))
        wsb_zmtp_note_dirty(z, conn);
    else
        wsb_zmtp_refuse(z, conn, WSB_ZMTP_WHY_MEMORY);
}

static void come_in(struct wsb_zmtp_server *z, const struct wsb_zmtp_entrance *e, int fd,
                    const struct wsb_zmtp_caller *caller)
{
    struct wsb_zmtp_channel *ch = &z->channels[e->channel];
    struct wsb_zmtp_conn *conn = wsb_zmtp_conn_new(fd, &ch->rules[e->door], ++z->last_number, z->now_ms);
    if (!conn) {
        note_refusal(z, WSB_ZMTP_WHY_MEMORY, caller->address);
        return;
    }
    wsb_zmtp_outbox_init(&conn->out, z->sealed);
    conn->channel = e->channel;
    conn->door = e->door;
    memcpy(conn->address, caller->address, sizeof conn->address);
    conn->origin =
        (uint8_t)(wsb_siphash(&z->seed, wsb_span(&caller->origin, sizeof caller->origin)) % WSB_ZMTP_ORIGINS);
    conn->next = ch->conns;
    if (ch->conns)
        ch->conns->prev = conn;
    ch->conns = conn;
    ch->conn_count++;
    z->descriptors++;
    unproven_add(z, conn);
    if (conn->door == WSB_DOOR_KEYS && !freshen_cookies(z)) {
        wsb_zmtp_refuse(z, conn, WSB_ZMTP_WHY_MEMORY);
        return;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = &conn->of_socket};
    if (!greet(conn, 0, WSB_ZMTP_GREETING_FRONT) || epoll_ctl(ch->poll, EPOLL_CTL_ADD, fd, &event) != 0) {
        wsb_zmtp_refuse(z, conn, WSB_ZMTP_WHY_MEMORY);
        return;
    }
    wsb_zmtp_note_dirty(z, conn);
}

/*
 * One of those at this endpoint who have not shown who they are goes: of the place that most of them come from the oldest, so that
 * whoever connects very often pushes out nobody but himself. False: there is none.
 */
static bool make_room(struct wsb_zmtp_server *z, struct wsb_zmtp_channel *ch)
{
    const struct wsb_zmtp_list *most = &ch->kin[0];
    if (!ch->unproven.first)
        return false;
    for (int i = 1; i < WSB_ZMTP_ORIGINS; i++) {
        if (ch->kin[i].count > most->count)
            most = &ch->kin[i];
    }
    wsb_zmtp_refuse(z, most->count > 1 ? most->first : ch->unproven.first, WSB_ZMTP_WHY_ROOM);
    return true;
}

/* The same of all endpoints: descriptors are common to them. */
static bool free_descriptor(struct wsb_zmtp_server *z)
{
    struct wsb_zmtp_channel *oldest = &z->channels[0];
    for (int c = 1; c < WSB_CHANNELS; c++) {
        const struct wsb_zmtp_conn *first = z->channels[c].unproven.first;
        if (first && (!oldest->unproven.first || first->since_ms < oldest->unproven.first->since_ms))
            oldest = &z->channels[c];
    }
    return make_room(z, oldest);
}

/* False: there is no place for this one, and why. */
static bool has_place(struct wsb_zmtp_server *z, struct wsb_zmtp_channel *ch, enum wsb_zmtp_why *ret_why)
{
    *ret_why = WSB_ZMTP_WHY_PEERS;
    if (ch->conn_count >= z->peers_max && !make_room(z, ch))
        return false;
    *ret_why = WSB_ZMTP_WHY_DESCRIPTORS;
    return z->descriptors < z->descriptors_max || free_descriptor(z);
}

/* Nobody can be accepted now: who waits goes on waiting, and is looked at again after a moment. */
static void hold(struct wsb_zmtp_server *z, struct wsb_zmtp_entrance *e)
{
    if (free_descriptor(z))
        return;
    if (!e->is_out)
        note_refusal(z, WSB_ZMTP_WHY_DESCRIPTORS, "");
    e->is_out = true;
}

/* What those who have left did not take is much, and not freed yet: whoever came now could leave as much again. */
static bool is_littered(const struct wsb_zmtp_server *z)
{
    size_t bytes = 0;
    for (int c = 0; c < WSB_CHANNELS; c++)
        bytes += z->channels[c].waste.own;
    return bytes > z->queue_max;
}

static void accept_from(struct wsb_zmtp_server *z, struct wsb_zmtp_channel *ch, struct wsb_zmtp_entrance *e)
{
    struct wsb_zmtp_caller caller = {0};
    enum wsb_zmtp_why why;
    int fd;
    while (e->fd >= 0 && e->is_waiting && !e->is_out && e->accepts > 0) {
        e->accepts--;
        switch (wsb_zmtp_entrance_accept(e, &fd, &caller)) {
        case WSB_OK:
            if (has_place(z, ch, &why)) {
                come_in(z, e, fd, &caller);
            } else {
                note_refusal(z, why, caller.address);
                close(fd);
            }
            break;
        case WSB_AGAIN:
            e->is_waiting = false;
            break;
        case WSB_ERR_FULL:
            hold(z, e);
            break;
        default:
            break;
        }
    }
}

void wsb_zmtp_accept(struct wsb_zmtp_server *z, enum wsb_channel c)
{
    struct wsb_zmtp_channel *ch = &z->channels[c];
    if (is_littered(z))
        return; /* each round frees some, and there is another one until all is freed */
    accept_from(z, ch, &ch->local);
    accept_from(z, ch, &ch->tcp);
    wsb_zmtp_tick(z);
}

/* --------------------------------------------------------------------------- time */

static bool is_out(const struct wsb_zmtp_channel *ch)
{
    return ch->local.is_out || ch->tcp.is_out;
}

void wsb_zmtp_tick(struct wsb_zmtp_server *z)
{
    bool wanted = z->ttl_count > 0;
    size_t unproven = 0;
    for (int c = 0; c < WSB_CHANNELS; c++) {
        unproven += z->channels[c].unproven.count;
        wanted = wanted || is_out(&z->channels[c]);
    }
    if (unproven == 0 && z->curvezmq.cookie_count)
        wsb_curvezmq_forget(&z->curvezmq);
    wanted = wanted || unproven;
    if (wanted == z->is_ticking)
        return;
    const struct timespec every = {.tv_nsec = wanted ? (long)WSB_ZMTP_TICK_MS * 1000000 : 0};
    const struct itimerspec t = {.it_interval = every, .it_value = every};
    (void)timerfd_settime(z->timer, 0, &t, NULL); /* cannot fail: it is a timer and a time */
    z->is_ticking = wanted;
    z->ticked_ms = wsb_zmtp_now_ms(); /* now_ms may be of long ago: nobody was looked at since */
}

/* Time in which we did not run, for whatever reason, is nobody's fault: who had something to say could not be heard. */
static uint64_t lost_time(struct wsb_zmtp_server *z)
{
    uint64_t passed = z->now_ms - z->ticked_ms;
    z->ticked_ms = z->now_ms;
    return passed > (uint64_t)2 * WSB_ZMTP_TICK_MS ? passed : 0;
}

static uint64_t later(uint64_t at_ms, uint64_t by_ms, uint64_t most_ms)
{
    return at_ms + by_ms < most_ms ? at_ms + by_ms : most_ms;
}

void wsb_zmtp_forgive(struct wsb_zmtp_server *z, uint64_t ms)
{
    uint64_t now_ms = wsb_zmtp_now_ms();
    for (int c = 0; c < WSB_CHANNELS; c++) {
        for (struct wsb_zmtp_conn *conn = z->channels[c].conns; conn; conn = conn->next) {
            conn->heard_ms = later(conn->heard_ms, ms, now_ms);
            conn->since_ms = later(conn->since_ms, ms, now_ms);
        }
    }
}

/* End those who have had their time, as far as a round goes. Returns how many more might be ended. */
static size_t expire(struct wsb_zmtp_server *z, struct wsb_zmtp_channel *ch, size_t most)
{
    struct wsb_zmtp_conn *conn, *next;
    while (most && (conn = ch->unproven.first) && wsb_zmtp_since(z->now_ms, conn->since_ms) > z->handshake_ms) {
        wsb_zmtp_refuse(z, conn, WSB_ZMTP_WHY_TIME);
        most--;
    }
    for (conn = z->ttl_count ? ch->conns : NULL; conn && most; conn = next) {
        next = conn->next;
        if (!conn->ttl_ms || !wsb_zmtp_conn_is_silent(conn, z->now_ms, conn->ttl_ms))
            continue;
        wsb_zmtp_refuse(z, conn, WSB_ZMTP_WHY_SILENCE);
        most--;
    }
    return most;
}

void wsb_zmtp_tick_soon(struct wsb_zmtp_server *z)
{
    if (!z->is_ticking)
        z->ticked_ms = wsb_zmtp_now_ms();
    z->is_ticking = true;
    const struct itimerspec t = {.it_interval = {.tv_nsec = (long)WSB_ZMTP_TICK_MS * 1000000},
                                 .it_value = {.tv_nsec = 1}};
    (void)timerfd_settime(z->timer, 0, &t, NULL);
}

static void on_tick(struct wsb_zmtp_server *z)
{
    uint64_t lost_ms = lost_time(z), expirations;
    size_t most = WSB_ZMTP_ROUND_EXPIRED;
    (void)!read(z->timer, &expirations, sizeof expirations);
    if (lost_ms)
        wsb_zmtp_forgive(z, lost_ms);
    for (int c = 0; c < WSB_CHANNELS; c++) {
        struct wsb_zmtp_channel *ch = &z->channels[c];
        most = expire(z, ch, most);
        ch->local.is_out = ch->tcp.is_out = false;
        if (wsb_zmtp_is_asked(ch))
            wsb_zmtp_accept(z, (enum wsb_channel)c);
    }
    wsb_zmtp_tick(z);
    if (most == 0)
        wsb_zmtp_tick_soon(z);
}

/* ------------------------------------------------------------------------- events */

static void on_socket(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn, uint32_t events)
{
    if (events & EPOLLOUT) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = &conn->of_socket};
        conn->is_blocked = false;
        (void)epoll_ctl(channel_of(z, conn)->poll, EPOLL_CTL_MOD, conn->fd, &event);
        wsb_zmtp_note_dirty(z, conn);
    }
    conn->has_hung_up = conn->has_hung_up || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
    if (events & ~(uint32_t)EPOLLOUT) {
        conn->is_readable = true;
        wsb_zmtp_ready_add(z, conn);
    }
}

static bool note_event(struct wsb_zmtp_server *z, const struct wsb_zmtp_source *source, uint32_t events)
{
    switch (source->what) {
    case WSB_ZMTP_SOURCE_ENTRANCE:
        source->entrance->is_waiting = true;
        return false;
    case WSB_ZMTP_SOURCE_SOCKET:
        on_socket(z, source->conn, events);
        return false;
    case WSB_ZMTP_SOURCE_PROCESS:
        source->conn->has_ended = source->conn->is_readable = true;
        wsb_zmtp_ready_add(z, source->conn);
        return false;
    case WSB_ZMTP_SOURCE_TIMER:
        break;
    }
    return true;
}

void wsb_zmtp_collect(struct wsb_zmtp_server *z, enum wsb_channel c)
{
    WSB_SCRATCH struct epoll_event events[EVENTS];
    struct wsb_zmtp_channel *ch = &z->channels[c];
    bool has_ticked = false;
    z->now_ms = wsb_zmtp_now_ms();
    for (int looks = 0; ch->is_woken && looks < LOOKS; looks++) {
        int n = epoll_wait(ch->poll, events, EVENTS, 0);
        for (int i = 0; i < n; i++)
            has_ticked = note_event(z, events[i].data.ptr, events[i].events) || has_ticked;
        ch->is_woken = n == EVENTS;
    }
    if (has_ticked)
        on_tick(z); /* last: it may free whom an event has named */
    if (wsb_zmtp_is_asked(ch))
        wsb_zmtp_accept(z, c);
}
