/* A worker: accepting, commands, and the end of each round. */
#include "gate/worker.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"
#include "base/scratch.h"
#include "gate/gate.h"
#include "hub/hub.h"

enum {
    ACCEPT_LINES_EVERY = 10, /* times as long as a second: five lines each */
    LAST_ACCEPTS = 256,      /* rounds */
    DRAIN_TICK_MS = 20,
    DRAINED_AT_ONCE = 256, /* clients, each tick */

    ACCEPTS_PER_ROUND = 32,
    ACCEPT_PAUSE_MS = 100,
    IN_FLIGHT_HIGH = 16 << 20,
    IN_FLIGHT_LOW = 4 << 20,
    OUTBOX_KEEP = 1 << 20, /* a larger one gives its memory back */
    BELT_TURN = 64,        /* loads of one belt in a round */
    TAKEN_A_ROUND = 2048,  /* records of all uplinks, or as much in bytes: then no further load is begun */
    TAKEN_BYTES = 2048,    /* are as dear as a record */
    WORK_A_ROUND = 4096,   /* messages that are queued */
    WORK_AT_ONCE =
        512, /* of them without a look at the clock: for clients that were idle so long that no cache knows them */
    WORK_BETWEEN = 32, /* connections between two looks */
    WORK_US = 2000,    /* that a round may take for them */
    OTHER_WORK = 128,  /* of them is any other command as dear: it may write, and end its client; PAUSE does neither */
    ENDING_WORK = 48,  /* of them is a command for one alone that may do so */
    PARCELS_EARLY = 16 << 10, /* bytes that leave before the round ends */
    PARCELS_HIGH = 32 << 20,  /* bytes of commands waiting for one worker */
};

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* ------------------------------------------------------------------ accepting */

static void pause_accepting(struct wsg_worker *w)
{
    for (size_t i = 0; i < w->acceptor_count; i++) {
        if (w->acceptors[i].watch.events)
            wsg_loop_unwatch(w->loop, &w->acceptors[i].watch);
    }
    (void)!wsg_loop_arm(w->loop, &w->accept_pause, wsg_loop_now_ms(w->loop) + ACCEPT_PAUSE_MS);
}

static wsb_err watch_acceptor(struct wsg_worker *w, struct wsg_acceptor *a)
{
    /* A shared descriptor wakes one worker a client, not all of them. */
    return wsg_loop_watch(w->loop, &a->watch, a->owns_fd ? EPOLLIN : EPOLLIN | EPOLLEXCLUSIVE);
}

static void on_accept_pause(struct wsg_timer *t)
{
    struct wsg_worker *w = CONTAINER(t, struct wsg_worker, accept_pause);
    for (size_t i = 0; i < w->acceptor_count; i++) {
        if (w->acceptors[i].watch.events == 0 && watch_acceptor(w, &w->acceptors[i]) != WSB_OK) {
            (void)!wsg_loop_arm(w->loop, t, wsg_loop_now_ms(w->loop) + ACCEPT_PAUSE_MS);
            return;
        }
    }
}

/* Who comes waits in the kernel's queue, like everybody when a worker is busy. */
static void hold_handshakes(struct wsg_worker *w)
{
    for (size_t i = 0; i < w->acceptor_count; i++) {
        if (w->acceptors[i].tls && w->acceptors[i].watch.events)
            wsg_loop_unwatch(w->loop, &w->acceptors[i].watch);
    }
    w->is_held = true;
    atomic_fetch_add_explicit(&w->env.secure.tally->held, 1, memory_order_relaxed);
}

static bool has_too_many_handshakes(const struct wsg_worker *w)
{
    return w->env.secure.handshakes >= w->env.secure.handshakes_max;
}

static void release_handshakes(struct wsg_worker *w)
{
    if (w->accept_pause.heap_index)
        return; /* that one watches all of them again */
    for (size_t i = 0; i < w->acceptor_count; i++) {
        if (w->acceptors[i].watch.events == 0 && watch_acceptor(w, &w->acceptors[i]) != WSB_OK)
            return; /* again in the next round */
    }
    w->is_held = false;
}

/* Without a session: there is no place for one. What it has asked is read, or the answer would be destroyed by a reset. */
static void turn_away(int fd, bool is_secure)
{
    static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
                               "Connection: close\r\n\r\n";
    uint8_t asked[4096];
    size_t ignored;
    if (!is_secure) {
        (void)!wsg_socket_read(fd, asked, sizeof asked, &ignored);
        (void)!wsg_socket_write(fd, (const uint8_t *)busy, sizeof busy - 1, &ignored);
    }
    close(fd);
}

/* As many as one round may. False: there is nobody, or nobody can be let in now. */
static bool accept_some(struct wsg_acceptor *a)
{
    struct wsg_worker *w = a->worker;
    struct wsg_address peer;
    int fd;
    if (a->round_us == wsg_loop_now_us(w->loop))
        return true; /* the gate drains, and its descriptor was readable as well */
    a->round_us = wsg_loop_now_us(w->loop);
    for (int i = 0; i < ACCEPTS_PER_ROUND; i++) {
        if (a->tls && has_too_many_handshakes(w)) {
            hold_handshakes(w);
            return false;
        }
        wsb_err err = wsg_socket_accept(a->watch.fd, &fd, &peer);
        if (err == WSB_AGAIN)
            return false;
        if (err == WSB_ERR_LIMIT) {
            WSB_LOG_FEW(&w->accept_lines, WSB_LOG_LIMIT_LINES, wsg_loop_now_ms(w->loop) / ACCEPT_LINES_EVERY,
                        WSB_LOG_GATE, WSB_LOG_WARN, "cannot accept: out of descriptors or memory");
            pause_accepting(w);
            return false;
        }
        if (err)
            continue;
        if (!wsg_gate_count_connection(w->gate, w)) {
            turn_away(fd, a->tls != NULL);
            continue;
        }
        (void)!wsg_session_open(&w->env, fd, a->entrance, &peer, a->tls); /* it counts what goes wrong */
    }
    return true;
}

static void on_client(struct wsg_watch *watch, uint32_t events)
{
    (void)events;
    (void)accept_some(CONTAINER(watch, struct wsg_acceptor, watch));
}

wsb_err wsg_worker_listen(struct wsg_worker *w, int fd, uint8_t entrance, bool owns_fd, struct wsb_tls_context *tls)
{
    struct wsg_acceptor *a = &w->acceptors[w->acceptor_count];
    if (w->acceptor_count == WSG_LISTENERS_MAX)
        return WSB_ERR_LIMIT;
    *a = (struct wsg_acceptor){
        .watch = {.fd = fd, .fn = on_client}, .worker = w, .entrance = entrance, .owns_fd = owns_fd};
    wsb_err err = watch_acceptor(w, a);
    if (err)
        return err;
    a->tls = wsb_tls_context_ref(tls);
    w->acceptor_count++;
    return WSB_OK;
}

void wsg_worker_set_tls(struct wsg_worker *w, struct wsb_tls_context *const *contexts, size_t count)
{
    (void)count;                                     /* where there are no assertions */
    for (size_t i = 0; i < w->acceptor_count; i++) { /* none of them once the last clients are in */
        struct wsg_acceptor *a = &w->acceptors[i];
        assert(a->entrance < count);
        wsb_tls_context_unref(a->tls);
        a->tls = wsb_tls_context_ref(contexts[a->entrance]);
    }
}

/* Those whose handshake the kernel has finished are clients: a listener that closes would reset them. False: there are none. */
static bool accept_waiting(struct wsg_worker *w)
{
    bool has_more = false;
    for (size_t i = 0; i < w->acceptor_count; i++)
        has_more = (w->acceptors[i].watch.events && accept_some(&w->acceptors[i])) || has_more;
    return has_more;
}

static void tell(struct wsg_session *s, uint8_t type)
{
    const struct wsg_command c = {.type = type, .by = WSG_BY_GATE};
    wsg_session_command(s, &c);
}

/* Some more of all places. False: that were all. */
static bool tell_some(struct wsg_worker *w, uint32_t *at, uint8_t type)
{
    for (int some = DRAINED_AT_ONCE; some && *at < w->env.slots.count; some--, (*at)++) {
        if (w->env.slots.slots[*at].value)
            tell(w->env.slots.slots[*at].value, type);
    }
    return *at < w->env.slots.count;
}

static void on_drain_tick(struct wsg_timer *t)
{
    struct wsg_worker *w = CONTAINER(t, struct wsg_worker, drain.timer);
    struct wsg_drain_plan *d = &w->drain;
    uint64_t now_ms = wsg_loop_now_ms(w->loop);
    bool is_forced = now_ms >= d->force_ms;
    if (w->acceptor_count && accept_waiting(w) && !is_forced && d->last_accepts++ < LAST_ACCEPTS) {
        if (wsg_loop_arm(w->loop, t, now_ms + 1) == WSB_OK)
            return;
    }
    if (w->acceptor_count) {
        wsg_worker_stop_listening(w);
        /* not at once: what those who have just come have sent already is read first */
        if (!is_forced && wsg_loop_arm(w->loop, t, now_ms + DRAIN_TICK_MS) == WSB_OK)
            return;
    }
    if (is_forced) {
        if (tell_some(w, &d->forced, WSG_CMD_DRAIN))
            (void)!wsg_loop_arm(w->loop, t, now_ms + 1);
        return;
    }
    bool has_more = tell_some(w, &d->at, WSG_CMD_QUIET);
    uint64_t next_ms = now_ms + d->tick_ms;
    (void)!wsg_loop_arm(w->loop, t, has_more && next_ms < d->force_ms ? next_ms : d->force_ms);
}

void wsg_worker_drain(struct wsg_worker *w, uint32_t spread_ms, uint64_t force_ms)
{
    w->env.draining = true;
    uint64_t ticks = spread_ms / DRAIN_TICK_MS + 1;
    uint64_t each = w->env.slots.count / ticks + 1; /* more than are told at once are told in ticks that are shorter */
    uint64_t tick_ms = each > DRAINED_AT_ONCE ? (uint64_t)DRAIN_TICK_MS * DRAINED_AT_ONCE / each : DRAIN_TICK_MS;
    w->drain = (struct wsg_drain_plan){
        .timer.fn = on_drain_tick, .tick_ms = tick_ms ? (uint32_t)tick_ms : 1, .force_ms = force_ms};
    on_drain_tick(&w->drain.timer);
}

void wsg_worker_stop_listening(struct wsg_worker *w)
{
    wsg_loop_disarm(w->loop, &w->accept_pause);
    for (size_t i = 0; i < w->acceptor_count; i++) {
        wsg_loop_unwatch(w->loop, &w->acceptors[i].watch);
        if (w->acceptors[i].owns_fd)
            close(w->acceptors[i].watch.fd);
        wsb_tls_context_unref(w->acceptors[i].tls);
    }
    w->acceptor_count = 0;
}

/* ------------------------------------------------------------------- commands */

static void answer_missing(struct wsg_worker *w, const struct wsg_command *c, wsb_conn id, wsb_err why)
{
    if (!(c->flags & WSB_FLAG_WANT_OUTCOME))
        return;
    bool is_gone = why == WSB_ERR_GONE;
    static const char gone[] = "{\"reason\":\"closed\"}";
    static const char stale[] = "{\"reason\":\"not a connection of this gate\"}";
    struct wsg_out out = {
        .kind = WSG_OUT_REPLY,
        .origin = c->origin,
        .envelope = {.header = {.type = WSB_OUTCOME,
                                .code = is_gone ? WSB_OUTCOME_GONE : WSB_OUTCOME_STALE,
                                .conn = id,
                                .seq = c->seq,
                                .time_ns = wsg_loop_wall_ns(w->loop)},
                     .meta = is_gone ? wsb_span(gone, sizeof gone - 1) : wsb_span(stale, sizeof stale - 1)},
    };
    (void)!wsg_outbox_put(&w->env.outbox, &out);
}

static void carry_out(struct wsg_worker *w, const struct wsg_command *c, const wsb_conn *ids, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        void *s;
        wsb_err err = wsg_slots_find(&w->env.slots, ids[i], &s);
        if (err) {
            atomic_fetch_add_explicit(&w->missed, c->by == WSG_BY_HANDLER, memory_order_relaxed);
            answer_missing(w, c, ids[i], err);
        } else {
            wsg_session_command(s, c);
        }
    }
}

/* ---------------------------------------------------- commands, between threads */

/* All that belts bring is looked for in the round that a task makes. */
static void wake_hub(struct wsg_worker *w)
{
    if (!atomic_exchange(&w->wake_posted, true))
        wsg_loop_post(wsg_gate_worker(w->gate, 0)->loop, &w->wake);
}

static void on_wake(struct wsg_task *t)
{
    atomic_store(&CONTAINER(t, struct wsg_worker, wake)->wake_posted, false); /* the round that runs this takes it */
}

static void on_down_wake(struct wsg_task *t)
{
    atomic_store(&CONTAINER(t, struct wsg_worker, down.wake)->down.wake_posted, false);
}

static void wake_down(struct wsg_down *d, struct wsg_worker *w)
{
    if (!atomic_exchange(&d->wake_posted, true))
        wsg_loop_post(w->loop, &d->wake);
}

/* What does not fit stays in the buffer: the worker says when it has made room. */
static void put_parcels(struct wsg_worker *w)
{
    struct wsg_down *d = &w->down;
    if (d->parcels.len == 0)
        return;
    d->is_full = !wsg_belt_put(&d->belt, &d->parcels);
    if (d->is_full) {
        atomic_store(&d->wants_room, true);
        atomic_thread_fence(memory_order_seq_cst); /* so either it sees that, or we see the room */
        d->is_full = !wsg_belt_put(&d->belt, &d->parcels);
    }
    if (wsg_belt_tell(&d->belt))
        wake_down(d, w);
}

static void put_all_parcels(struct wsg_worker *hubs)
{
    size_t count = wsg_gate_worker_count(hubs->gate);
    for (size_t i = 0; i < count; i++)
        put_parcels(wsg_gate_worker(hubs->gate, i));
}

static size_t work_of(const struct wsg_command *c)
{
    bool is_cheap = c->type == WSB_PUBLISH || c->type == WSB_SEND || c->type == WSG_CMD_PAUSE;
    return is_cheap ? 1 : OTHER_WORK;
}

static bool has_commands_under_way(const struct wsg_worker *w)
{
    return w->down.sent != atomic_load_explicit(&w->down.carried_out, memory_order_relaxed);
}

void wsg_worker_command(struct wsg_worker *w, const struct wsg_command *c, const wsb_conn *ids, size_t count)
{
    struct wsg_down *d = &w->down;
    size_t work = count > 1 ? count * work_of(c) : 0; /* whoever has commanded one has paid for it */
    if (w->index == 0 && work <= WORK_AT_ONCE && work <= w->work_left && !has_commands_under_way(w)) {
        w->work_left -= work;
        carry_out(w, c, ids, count);
        return;
    }
    if (wsg_parcel_put(&d->parcels, c, ids, count, &d->sent) != WSB_OK) {
        wsg_lost_note(&d->lost, ids, count);
        wake_down(d, w);
        return;
    }
    if (d->parcels.len >= PARCELS_EARLY && !d->is_full)
        put_parcels(w);
}

bool wsg_worker_is_behind(const struct wsg_worker *w)
{
    return w->down.sent - atomic_load_explicit(&w->down.carried_out, memory_order_relaxed) > PARCELS_HIGH;
}

static const struct wsg_command out_of_memory = {
    .type = WSG_CMD_FAIL,
    .code = WSG_REFUSED_MEMORY,
    .by = WSG_BY_GATE,
    .status = 503,
    .reason = {(const uint8_t *)"out of memory", sizeof "out of memory" - 1}};

static void fail_one(struct wsg_session *s, void *ctx)
{
    (void)ctx;
    wsg_session_command(s, &out_of_memory);
}

/* Commands for them were lost: they end, rather than go on with a hole. */
static void fail_lost(struct wsg_worker *w)
{
    wsb_conn ids[WSG_LOST_MAX];
    bool all;
    size_t count = wsg_lost_take(&w->down.lost, ids, &all);
    if (all)
        wsg_worker_each(w, fail_one, NULL);
    carry_out(w, &out_of_memory, ids, count);
}

/* The same where events of them were lost: whoever has them hears that they are over. */
static void end_lost(struct wsg_worker *w, struct wsg_hub *hub)
{
    wsb_conn ids[WSG_LOST_MAX];
    bool all;
    size_t count = wsg_lost_take(&w->env.lost, ids, &all);
    if (all)
        wsg_hub_lose_all(hub, w->index);
    for (size_t i = 0; i < count; i++)
        wsg_hub_lose(hub, ids[i]);
}

static void end_all_lost(struct wsg_worker *hubs, struct wsg_hub *hub)
{
    size_t count = wsg_gate_worker_count(hubs->gate);
    for (size_t i = 0; i < count; i++) {
        struct wsg_worker *w = wsg_gate_worker(hubs->gate, i);
        if (wsg_lost_has(&w->env.lost))
            end_lost(w, hub);
    }
}

static bool is_time_up(struct wsg_worker *w)
{
    w->work_unseen = 0;
    return wsg_loop_read_us(w->loop) >= w->work_until_us;
}

static size_t work_of_errand(const struct wsg_errand *e)
{
    if (e->count > 1)
        return e->count * work_of(e->command);
    return wsg_may_end_one(e->command->type) ? ENDING_WORK : 1;
}

static void carry_out_some(struct wsg_worker *w)
{
    WSB_SCRATCH struct wsg_errand e;
    if (!w->work_until_us)
        w->work_until_us = wsg_loop_read_us(w->loop) + WORK_US; /* what the round did before is not of this */
    while (w->work_left && wsg_errands_next(&w->down.errands, WORK_BETWEEN, &e)) {
        size_t work = work_of_errand(&e);
        carry_out(w, e.command, e.ids, e.count);
        w->work_left -= work < w->work_left ? work : w->work_left;
        w->work_unseen += work;
        if (w->work_unseen >= WORK_BETWEEN && is_time_up(w))
            w->work_left = 0;
    }
}

/* What the hub has for our sessions. False: there is more. */
static bool take_parcels(struct wsg_worker *w)
{
    struct wsg_down *d = &w->down;
    struct wsb_span load;
    int turn = 0;
    w->work_left = WORK_A_ROUND;
    w->work_until_us = 0;
    while (turn < BELT_TURN && w->work_left) {
        if (!d->errands.are_open) {
            if (!wsg_belt_next(&d->belt, &load))
                break;
            wsg_errands_begin(&d->errands, load);
        }
        carry_out_some(w);
        if (!d->errands.are_open) {
            wsg_belt_done(&d->belt);
            turn++;
        }
    }
    atomic_store_explicit(&d->carried_out, d->errands.done_weight, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* as in put_parcels() */
    if (turn && atomic_exchange(&d->wants_room, false))
        wake_hub(w);
    return turn < BELT_TURN && !d->errands.are_open && w->work_left;
}

static wsb_err open_belts(struct wsg_worker *w, struct wsb_fault *fault)
{
    wsb_err err = wsg_belt_open(&w->down.belt, fault);
    return err || w->index == 0 ? err : wsg_belt_open(&w->uplink, fault);
}

static void drop(struct wsb_span parcels)
{
    WSB_SCRATCH struct wsg_parcel p;
    while (wsg_parcel_next(&parcels, &p))
        wsg_parcel_done(&p);
}

static void close_belts(struct wsg_worker *w)
{
    struct wsb_span load;
    wsg_belt_close(&w->uplink);
    if (w->down.errands.are_open) {
        wsg_errands_drop(&w->down.errands);
        wsg_belt_done(&w->down.belt);
    }
    while (w->down.belt.consumer && wsg_belt_next(&w->down.belt, &load)) {
        drop(load);
        wsg_belt_done(&w->down.belt);
    }
    wsg_belt_close(&w->down.belt);
    drop(wsb_buf_span(&w->down.parcels));
    wsb_buf_deinit(&w->down.parcels);
}

/* --------------------------------------------------------------------- rounds */

static void on_unstall(struct wsg_task *t)
{
    struct wsg_worker *w = CONTAINER(t, struct wsg_worker, unstall);
    atomic_store(&w->unstall_posted, false);
    w->env.outbox_full = atomic_load(&w->in_flight) > IN_FLIGHT_HIGH;
    atomic_store(&w->is_stalled, w->env.outbox_full);
}

/* The hub looks whether somebody is stalled after it has made room. */
static void stall(struct wsg_worker *w)
{
    w->env.outbox_full = true;
    atomic_store(&w->is_stalled, true);
    atomic_thread_fence(memory_order_seq_cst); /* so either it sees that, or we see the room */
}

static bool try_put(struct wsg_worker *w, size_t len)
{
    size_t before = atomic_fetch_add(&w->in_flight, len);
    if (before + len > IN_FLIGHT_HIGH)
        stall(w);
    if (wsg_belt_put(&w->uplink, &w->env.outbox.buf))
        return true;
    atomic_fetch_sub(&w->in_flight, len);
    return false;
}

static void put_outbox(struct wsg_worker *w)
{
    struct wsb_buf *buf = &w->env.outbox.buf;
    size_t len = buf->len;
    if (len == 0)
        return;
    bool is_put = try_put(w, len);
    if (!is_put) {
        stall(w);
        do
            is_put = try_put(w, len);
        while (!is_put && wsg_belt_is_empty(&w->uplink)); /* otherwise the hub has something to take, and looks then */
    }
    if (is_put)
        w->env.outbox.has_data = false; /* or it stays where it is, for the round that the hub wakes us for */
    if (wsg_belt_tell(&w->uplink))
        wake_hub(w);
}

static size_t take_one(struct wsg_worker *w, struct wsg_hub *hub, struct wsb_span outbox)
{
    size_t len = outbox.len;
    size_t work = wsg_hub_take(hub, outbox) + len / TAKEN_BYTES;
    wsg_belt_done(&w->uplink);
    size_t before = atomic_fetch_sub(&w->in_flight, len);
    if (before - len <= IN_FLIGHT_LOW && atomic_load(&w->is_stalled) && !atomic_exchange(&w->unstall_posted, true))
        wsg_loop_post(w->loop, &w->unstall);
    return work;
}

/* What the sessions of the other workers said. A load that was begun is taken whole; a round of its worker made it. False: there is more. */
static bool take_uplinks(struct wsg_worker *hubs, struct wsg_hub *hub)
{
    size_t others = wsg_gate_worker_count(hubs->gate) - 1;
    size_t taken = 0;
    hubs->first_uplink++; /* each is first in its turn */
    for (size_t i = 0; i < others; i++) {
        struct wsg_worker *w = wsg_gate_worker(hubs->gate, 1 + (hubs->first_uplink + i) % others);
        struct wsb_span outbox;
        while (taken < TAKEN_A_ROUND && wsg_belt_next(&w->uplink, &outbox))
            taken += take_one(w, hub, outbox);
    }
    return taken < TAKEN_A_ROUND;
}

bool wsg_workers_are_heard(struct wsg_worker *hubs)
{
    size_t count = wsg_gate_worker_count(hubs->gate);
    for (size_t i = 0; i < count; i++) {
        const struct wsg_worker *w = wsg_gate_worker(hubs->gate, i);
        if ((i && wsg_belt_has_next(&w->uplink)) || has_commands_under_way(w))
            return false;
    }
    return true;
}

static bool hub_may_sleep(struct wsg_worker *hubs)
{
    size_t count = wsg_gate_worker_count(hubs->gate);
    bool may = true;
    for (size_t i = 1; i < count; i++)
        may = wsg_belt_may_sleep(&wsg_gate_worker(hubs->gate, i)->uplink) && may;
    return may;
}

static void take_outbox(struct wsg_worker *w, struct wsg_hub *hub)
{
    struct wsb_buf taken = w->env.outbox.buf; /* what the hub makes sessions say meanwhile goes to a new one */
    if (taken.len == 0)
        return;
    wsb_buf_init(&w->env.outbox.buf, 0);
    (void)wsg_hub_take(hub, wsb_buf_span(&taken));
    w->env.outbox.has_data = w->env.outbox.buf.len != 0;
    if (w->env.outbox.buf.cap == 0 && taken.cap <= OUTBOX_KEEP) {
        w->env.outbox.buf = taken;
        wsb_buf_clear(&w->env.outbox.buf);
    } else {
        wsb_buf_deinit(&taken);
    }
}

static void run_again(struct wsg_worker *w)
{
    if (w->again_posted)
        return;
    w->again_posted = true;
    wsg_loop_post(w->loop, &w->again);
}

static void unstall_some(struct wsg_worker *w)
{
    wsg_sessions_unstall(&w->env);
    if (w->env.stalled)
        run_again(w);
}

/* The first worker's round: commands in, events out, then the clients, then what writing to them brought about. */
static void hub_round(struct wsg_worker *w)
{
    struct wsg_hub *hub = wsg_gate_hub(w->gate);
    wsg_hub_receive(hub);
    take_outbox(w, hub);
    bool took_all = take_uplinks(w, hub);
    w->env.flushing.fan.more_comes = has_commands_under_way(w);
    wsg_sessions_flush(&w->env);
    while (w->env.outbox.buf.len)
        take_outbox(w, hub);
    end_all_lost(w, hub);
    wsg_hub_flush(hub);
    wsg_hub_before_sleep(hub);
    if (!(took_all && hub_may_sleep(w)))
        run_again(w);
}

static void on_round(void *ctx)
{
    struct wsg_worker *w = ctx;
    bool took_all = take_parcels(w);
    w->env.flushing.fan.more_comes = !took_all;
    if (wsg_lost_has(&w->down.lost))
        fail_lost(w);
    if (w->index == 0)
        hub_round(w);
    else
        wsg_sessions_flush(&w->env);
    wsg_sessions_flush_more(&w->env); /* flushing and taking may have queued more */
    if (w->index != 0) {
        put_outbox(w);
        if (wsg_lost_has(&w->env.lost))
            wake_hub(w);
    } else {
        put_all_parcels(w);
        if (w->env.outbox.buf.len)
            run_again(w); /* said too late for this round: do not sleep on it */
    }
    if (!(took_all && wsg_belt_may_sleep(&w->down.belt)))
        run_again(w);
    if (w->env.stalled && !w->env.outbox_full)
        unstall_some(w);
    if (!wsg_sessions_reap(&w->env))
        run_again(w);
    if (w->is_held && !has_too_many_handshakes(w))
        release_handshakes(w);
    wsg_gate_publish_count(w->gate, w);
}

static bool express_begin(void *ctx, const struct wsb_header *h, uint8_t **ret_payload)
{
    return wsg_hub_express(ctx, h, ret_payload);
}

static void express_end(void *ctx, bool keep)
{
    wsg_hub_express_end(ctx, keep);
}

/* What clients of the first worker say need not wait for the end of the round: the hub is in the same thread. */
void wsg_worker_offer_express(struct wsg_worker *w)
{
    w->env.outbox.express = (struct wsg_express){express_begin, express_end, wsg_gate_hub(w->gate)};
}

static void on_again(struct wsg_task *t)
{
    CONTAINER(t, struct wsg_worker, again)->again_posted = false;
}

/* --------------------------------------------------------------- begin, end */

wsb_err wsg_worker_init(struct wsg_worker *w, struct wsg_gate *gate, uint8_t index, struct wsb_fault *fault)
{
    w->gate = gate;
    w->index = index;
    w->unstall.fn = on_unstall;
    w->wake.fn = on_wake;
    w->again.fn = on_again;
    w->down.wake.fn = on_down_wake;
    wsb_buf_init(&w->down.parcels, 0);
    w->accept_pause.fn = on_accept_pause;
    wsb_err err = wsg_loop_new(&w->loop);
    if (!err)
        err = open_belts(w, fault);
    if (err) {
        close_belts(w);
        wsg_loop_free(w->loop);
        w->loop = NULL;
        return err;
    }
    wsg_loop_set_round_hook(w->loop, on_round, w);
    w->env.loop = w->loop;
    return wsg_env_init(&w->env);
}

void wsg_worker_each(struct wsg_worker *w, void (*fn)(struct wsg_session *s, void *ctx), void *ctx)
{
    for (uint32_t i = 0; i < w->env.slots.count; i++) {
        if (w->env.slots.slots[i].value)
            fn(w->env.slots.slots[i].value, ctx);
    }
}

static void kill_one(struct wsg_session *s, void *ctx)
{
    (void)ctx;
    wsg_session_kill(s, "the gate stopped");
}

void wsg_worker_deinit(struct wsg_worker *w)
{
    if (!w->loop)
        return;
    wsg_worker_stop_listening(w);
    wsg_worker_each(w, kill_one, NULL);
    while (wsg_sessions_are_in_line(&w->env))
        wsg_sessions_flush(&w->env);
    while (!wsg_sessions_reap(&w->env)) {
    }
    wsg_env_deinit(&w->env);
    close_belts(w);
    wsg_loop_free(w->loop);
    w->loop = NULL;
}
