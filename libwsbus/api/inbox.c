/*
 * What the gate sends. A message is looked through once when it arrives: what is for the library is answered, what makes no
 * sense is dropped whole, and what is for the program waits in the inbox until the reader has come that far. Nothing the
 * gate sends is trusted; nothing it sends or leaves unsent makes a call wait longer than it may.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "api/handle.h"

enum {
    HELLO_RETRY_MS = 1000,
    RETRY_REFUSED_MS = 5000,
    HEARTBEATS_MISSED = 3,
    HELLOS_MAX = 3, /* without an answer: then it is told */
    LOOK_EVERY_MS = 250,
    NAP_MS = 20, /* and then on descriptors */
    ROOM_A_MESSAGE =
        512, /* bytes of a link's room for each message of the window: short ones take more than their bytes */
    BUDGET_MESSAGES = 256, /* a pump */
    BUDGET_BYTES = 1 << 20
};

uint64_t wsb_now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t wsb_coarse_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t wsb_deadline(int timeout_ms)
{
    return timeout_ms < 0 ? WSB_FOREVER : wsb_now_ms() + (uint64_t)timeout_ms;
}

/* ------------------------------------------------------------- the library's */

/* Somebody else than the one it is for may have received an outcome. */
static void wake_waiters(struct wsb_handle *h)
{
    (void)pthread_cond_broadcast(&h->changed);
    if (h->polling)
        wsb_signal_set(h);
}

void wsb_finish_waiter(struct wsb_handle *h, uint64_t seq, enum wsb_reason reason)
{
    for (struct wsb_waiter *w = h->waiters; w; w = w->next) {
        if (w->seq == seq) {
            w->done = true;
            w->reason = reason;
            wake_waiters(h);
        }
    }
}

static void fail_waiters(struct wsb_handle *h)
{
    for (struct wsb_waiter *w = h->waiters; w; w = w->next) {
        w->done = true;
        w->reason = WSB_REASON_GATE_GONE;
        wake_waiters(h);
    }
}

static uint64_t less_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Of a link that holds only so much, what clients send never takes all: what the gate itself has to say, and outcomes, must still
 * get through while the program is busy. */
static void set_window(struct wsb_handle *h)
{
    size_t room = h->link->ops->room ? h->link->ops->room(h->link) : SIZE_MAX;
    h->credit.window_messages = less_of(h->most_messages, room / ROOM_A_MESSAGE);
    h->credit.window_bytes = less_of(h->most_bytes, room / 2);
}

static wsb_err write_hello(struct wsb_handle *h)
{
    wsb_buf_clear(&h->scratch);
    wsb_err err = wsb_buf_append(&h->scratch, h->hello.data, h->hello.len - 1); /* without its brace */
    return err ? err
               : wsb_buf_printf(&h->scratch, ",\"credit\":{\"messages\":%llu,\"bytes\":%llu}}",
                                (unsigned long long)h->credit.window_messages,
                                (unsigned long long)h->credit.window_bytes);
}

static void say_hello(struct wsb_handle *h, enum wsb_serving next)
{
    set_window(h);
    h->serving = next;
    h->hellos++;
    h->hello_ms = wsb_now_ms();
    h->hello_seq = ++h->seq;
    const struct wsb_header hello = {.type = WSB_HELLO, .seq = h->hello_seq};
    if (write_hello(h) == WSB_OK)
        (void)wsb_send_control(h, &hello, wsb_span(NULL, 0),
                               wsb_buf_span(&h->scratch)); /* said again until it is answered */
}

static void lose_gate(struct wsb_handle *h)
{
    h->serving = WSB_SERVING_DOWN;
    h->hellos = 0;
    wsb_outbox_drop(h);
    wsb_settle_forget(h);
    fail_waiters(h);
}

/* The gate does not know us: another one, or one that took us for dead. What is written would only be refused. */
static void lose_registration(struct wsb_handle *h)
{
    wsb_outbox_drop(h);
    wsb_settle_forget(h);
    h->is_forgotten = true;
    say_hello(h, WSB_SERVING_ASKED);
}

static void on_welcome(struct wsb_handle *h, const struct wsb_envelope *e)
{
    struct wsb_welcome w;
    if (h->serving == WSB_SERVING_DOWN || wsb_welcome_parse(e->meta, &w) != WSB_OK)
        return;
    if (w.epoch != h->given_epoch || w.id != h->given_id) {
        wsb_outbox_drop(h); /* written for the registration before */
        wsb_settle_forget(h);
        fail_waiters(h);
    }
    h->given_epoch = w.epoch;
    h->given_id = w.id;
    h->is_forgotten = false;
    h->serving = WSB_SERVING_YES;
    h->hellos = 0;
    h->heartbeat_ms = w.heartbeat_ms;
    h->max_message = w.max_message;
    (void)wsb_outbox_flush(h); /* what waited because we were not sure */
}

enum wsb_reason wsb_error_reason(uint8_t code)
{
    switch (code) {
    case WSB_ERROR_NOT_REGISTERED:
        return WSB_REASON_GATE_GONE;
    case WSB_ERROR_REFUSED:
        return WSB_REASON_REFUSED;
    case WSB_ERROR_LIMIT:
        return WSB_REASON_TOO_BIG;
    default:
        return WSB_REASON_INVALID;
    }
}

enum wsb_reason wsb_outcome_reason(uint8_t code)
{
    static const enum wsb_reason reasons[] = {
        [WSB_OUTCOME_WRITTEN] = WSB_REASON_OK,      [WSB_OUTCOME_DROPPED] = WSB_REASON_DROPPED,
        [WSB_OUTCOME_GONE] = WSB_REASON_GONE,       [WSB_OUTCOME_STALE] = WSB_REASON_STALE,
        [WSB_OUTCOME_TOO_BIG] = WSB_REASON_TOO_BIG, [WSB_OUTCOME_REFUSED] = WSB_REASON_REFUSED,
        [WSB_OUTCOME_INVALID] = WSB_REASON_INVALID,
    };
    return code < sizeof reasons / sizeof *reasons ? reasons[code] : WSB_REASON_INVALID;
}

static void on_error(struct wsb_handle *h, const struct wsb_envelope *e)
{
    if (e->header.code == WSB_ERROR_NOT_REGISTERED) {
        if (wsb_is_registered(h))
            lose_registration(h);
        fail_waiters(h);
    } else if (e->header.seq == h->hello_seq && h->serving == WSB_SERVING_ASKED) {
        h->serving = WSB_SERVING_REFUSED;
        h->hellos = 0;
        (void)snprintf(h->refusal, sizeof h->refusal, "%.*s", (int)less_of(e->payload.len, sizeof h->refusal - 1),
                       (const char *)e->payload.ptr);
    }
    wsb_finish_waiter(h, e->header.seq, wsb_error_reason(e->header.code));
}

static void on_ping(struct wsb_handle *h, const struct wsb_envelope *e)
{
    const struct wsb_header pong = {.type = WSB_PONG, .seq = e->header.seq};
    if (e->payload.len <= WSB_CONTROL_MAX)
        (void)wsb_send_control(h, &pong, e->payload, wsb_span(NULL, 0)); /* a gate that does not read needs no answer */
}

bool wsb_is_other_event(const struct wsb_envelope *e)
{
    const struct wsb_header *d = &e->header;
    switch (d->type) {
    case WSB_OPEN:
    case WSB_CLOSED_EV:
    case WSB_REQUEST:
    case WSB_BODY_EV:
    case WSB_ABORTED:
    case WSB_WRITABLE:
    case WSB_REVOKED:
    case WSB_JOINED:
    case WSB_LEFT:
        return d->conn != 0;
    case WSB_OUTCOME:
        return !(d->seq & WSB_SEQ_WAITED);
    case WSB_ERROR:
        return d->code != WSB_ERROR_NOT_REGISTERED && !(d->seq & WSB_SEQ_WAITED);
    case WSB_WELCOME:
    case WSB_PONG_EV:
    case WSB_DRAIN:
    case WSB_MEMBERS:
        return true;
    default:
        return false;
    }
}

/* Nothing more may be said to it or about it; the program hears of it when it has read so far. */
static void on_revoked(struct wsb_handle *h, const struct wsb_envelope *e)
{
    if (e->header.conn) {
        wsb_fence_add(&h->fence, e->header.conn);
        wsb_acks_forget(&h->acks, e->header.conn);
    } else {
        h->malformed++;
    }
}

static void look_at(struct wsb_handle *h, const struct wsb_envelope *e)
{
    switch (e->header.type) {
    case WSB_WELCOME:
        on_welcome(h, e);
        break;
    case WSB_OUTCOME:
        wsb_finish_waiter(h, e->header.seq, wsb_outcome_reason(e->header.code));
        break;
    case WSB_PING_EV:
        on_ping(h, e);
        break;
    case WSB_LEVEL:
        if (e->header.code <= WSB_LOG_ERROR)
            atomic_store_explicit(&h->level, e->header.code, memory_order_relaxed);
        break;
    case WSB_ERROR:
        on_error(h, e);
        break;
    case WSB_REVOKED:
        on_revoked(h, e);
        break;
    default:
        if (!wsb_is_event(e)) {
            h->malformed++;
            wsb_settle_lost(h, &e->header);
        }
        break;
    }
}

/* ------------------------------------------------------------------- filing */

static bool is_whole(struct wsb_span batch, size_t *ret_events)
{
    struct wsb_envelope e;
    wsb_err err;
    *ret_events = 0;
    while ((err = wsb_record_next(&batch, &e)) == WSB_OK)
        *ret_events += wsb_is_event(&e);
    return err == WSB_CLOSED;
}

/* What can be read of a batch that cannot be read to its end is not acted on, but it was sent. */
static void lose(struct wsb_handle *h, struct wsb_span batch)
{
    struct wsb_envelope e;
    h->malformed++;
    while (wsb_record_next(&batch, &e) == WSB_OK)
        wsb_settle_lost(h, &e.header);
}

/* True when there is something for the program in it. */
static bool look_through(struct wsb_handle *h, const struct wsb_received *m)
{
    size_t events;
    if (wsb_is_data(&m->envelope))
        return true; /* nothing in it is for the library */
    if (m->envelope.header.type != WSB_BATCH) {
        look_at(h, &m->envelope);
        if (m->envelope.header.type == WSB_REVOKED)
            wsb_outbox_drop_fenced(h);
        return wsb_is_event(&m->envelope);
    }
    struct wsb_span batch = m->envelope.payload;
    if (m->envelope.meta.len || !is_whole(batch, &events)) {
        lose(h, batch);
        return false;
    }
    struct wsb_envelope e;
    bool has_revoked = false;
    while (wsb_record_next(&batch, &e) == WSB_OK) {
        look_at(h, &e);
        has_revoked = has_revoked || e.header.type == WSB_REVOKED;
    }
    if (has_revoked)
        wsb_outbox_drop_fenced(h);
    return events > 0;
}

static void file(struct wsb_handle *h, struct wsb_received *m)
{
    if (!look_through(h, m)) {
        h->link->ops->release(m);
        return;
    }
    m->next = NULL;
    if (h->last)
        h->last->next = m;
    else
        h->first = m;
    h->last = m;
    h->inbox_bytes += m->size;
}

/* Take what has come, but not for ever: whoever asks may have something to read already. */
static enum wsb_reason receive_some(struct wsb_handle *h, bool *ret_all, bool *ret_any)
{
    size_t before = h->inbox_bytes;
    *ret_all = *ret_any = false;
    for (int i = 0; i < BUDGET_MESSAGES; i++) {
        struct wsb_received *m;
        if (h->inbox_bytes >= h->in_limit || h->inbox_bytes - before >= BUDGET_BYTES)
            return WSB_REASON_OK;
        wsb_err err = h->link->ops->recv(h->link, &m);
        *ret_all = err == WSB_AGAIN;
        if (err == WSB_AGAIN || err == WSB_ERR_NOMEM)
            return err == WSB_AGAIN ? WSB_REASON_OK : WSB_REASON_NOMEM;
        *ret_any = true;
        if (err)
            h->malformed++;
        else
            file(h, m);
    }
    return WSB_REASON_OK;
}

/* ------------------------------------------------------------------ the gate */

static void follow_link(struct wsb_handle *h)
{
    enum wsb_link_change change;
    while ((change = h->link->ops->change(h->link)) != WSB_LINK_SAME) {
        if (h->serving != WSB_SERVING_DOWN)
            lose_gate(h);
        if (change == WSB_LINK_REFUSED && wsb_link_fall_back(h))
            continue; /* the other one is asked before a sleep: until then its descriptors tell nothing */
        h->goes_back = h->goes_back || (change == WSB_LINK_DOWN && h->is_on_other);
        if (h->goes_back && wsb_link_go_back(h))
            return;
        if (change == WSB_LINK_UP) {
            h->heard_ms = wsb_now_ms();
            say_hello(h, WSB_SERVING_ASKED);
        }
    }
    if (h->goes_back && h->serving == WSB_SERVING_DOWN)
        (void)wsb_link_go_back(h);
}

/* When the gate has to be asked (again); never while there is none. */
static uint64_t ask_at(const struct wsb_handle *h)
{
    switch (h->serving) {
    case WSB_SERVING_ASKED:
    case WSB_SERVING_UNSURE:
        return h->hello_ms + HELLO_RETRY_MS;
    case WSB_SERVING_REFUSED:
        return h->hello_ms + RETRY_REFUSED_MS;
    case WSB_SERVING_YES:
        return h->heard_ms + (uint64_t)h->heartbeat_ms * HEARTBEATS_MISSED;
    case WSB_SERVING_DOWN:
        break;
    }
    return WSB_FOREVER;
}

static void ask_again(struct wsb_handle *h)
{
    (void)wsb_outbox_flush(h); /* in front of the HELLO: for whoever the gate takes us for until then */
    say_hello(h, wsb_is_registered(h) ? WSB_SERVING_UNSURE : WSB_SERVING_ASKED);
}

/* ZeroMQ does not say why it cannot connect; a look at the socket does. */
static enum wsb_trouble_kind look_at_socket(const struct wsb_handle *h)
{
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    const char *dir = wsb_trouble_directory(&h->trouble);
    if (!dir || (size_t)snprintf(path, sizeof path, "%s/handlers", dir) >= sizeof path ||
        faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0)
        return WSB_TROUBLE_DEAF;
    return errno == ENOENT || errno == ENOTDIR                   ? WSB_TROUBLE_ABSENT
           : errno == EACCES || errno == EPERM || errno == EROFS ? WSB_TROUBLE_DENIED
                                                                 : WSB_TROUBLE_DEAF;
}

static enum wsb_trouble_kind trouble_of_link(const struct wsb_handle *h)
{
    switch (h->link->ops->trouble(h->link)) {
    case WSB_LINK_ABSENT:
        return WSB_TROUBLE_ABSENT;
    case WSB_LINK_DENIED:
        return WSB_TROUBLE_DENIED;
    case WSB_LINK_DEAF:
        return look_at_socket(h);
    case WSB_LINK_SHAKEN:
        return WSB_TROUBLE_HANDSHAKE;
    case WSB_LINK_UNWELCOME:
        return WSB_TROUBLE_LINK;
    case WSB_LINK_FINE:
        break;
    }
    return WSB_TROUBLE_NONE;
}

/* What is not decided yet, as while HELLO is under way, changes nothing. */
void wsb_note_trouble(struct wsb_handle *h)
{
    enum wsb_trouble_kind kind = WSB_TROUBLE_NONE;
    const char *why = "";
    if (h->serving == WSB_SERVING_DOWN) {
        kind = trouble_of_link(h);
        why = kind == WSB_TROUBLE_LINK ? h->link->ops->why(h->link) : "";
    } else if (h->serving == WSB_SERVING_REFUSED) {
        kind = WSB_TROUBLE_REFUSED;
        why = h->refusal;
    } else if (h->serving != WSB_SERVING_YES && h->hellos > HELLOS_MAX) {
        kind = WSB_TROUBLE_MUTE;
    }
    if (kind || h->serving == WSB_SERVING_YES)
        wsb_trouble_note(&h->trouble, kind, why, h->pumped_ms);
}

enum wsb_reason wsb_pump(struct wsb_handle *h)
{
    bool all;
    bool any;
    enum wsb_reason reason = receive_some(h, &all, &any);
    h->pumped_ms = wsb_now_ms();
    if (any)
        h->heard_ms = h->pumped_ms;
    if (reason || !all)
        return reason; /* the silence of a gate that was not listened to says nothing */
    follow_link(h);
    if (h->pumped_ms >= ask_at(h))
        ask_again(h);
    wsb_note_trouble(h);
    return WSB_REASON_OK;
}

/* A program that only writes, or that is busy with what it has got, still has to hear the gate. And one that was stopped for
 * a while must not go on where it was before it knows what has become of its connections. */
void wsb_look(struct wsb_handle *h)
{
    h->coarse_ms = wsb_coarse_ms();
    if (h->serving != WSB_SERVING_YES || (int64_t)(h->coarse_ms - h->pumped_ms) >= LOOK_EVERY_MS)
        (void)wsb_pump(h);
}

/* ------------------------------------------------------------------- waiting */

static int poll_timeout(uint64_t until_ms)
{
    uint64_t now = wsb_now_ms();
    if (until_ms == WSB_FOREVER)
        return -1;
    return until_ms <= now ? 0 : until_ms - now > 60000 ? 60000 : (int)(until_ms - now);
}

/* The cheap way, for those who hear from the gate often; who does not, or is waited for by others with the descriptor, sleeps
 * on descriptors, where the end of a gate is noticed at once. False: it has to be that. */
static bool nap(struct wsb_handle *h, uint64_t until_ms, enum wsb_reason *ret)
{
    struct wsb_alarm *alarm = wsb_alarm_of(h);
    const struct wsb_client_ops *ops = h->link->ops;
    struct wsb_nap n;
    if (!ops->nap_begin || h->serving != WSB_SERVING_YES || h->epoll_fd >= 0)
        return false;
    uint32_t seen = atomic_load(&alarm->count);
    if (wsb_signal_is_set(h) || wsb_is_interrupted(h) || !ops->nap_begin(h->link, &n))
        return false;
    int timeout = poll_timeout(until_ms);
    h->polling = true;
    h->inside++;
    wsb_unlock(h);
    enum wsb_sleep end =
        wsb_alarm_sleep(alarm, seen, n.word, n.seen, timeout >= 0 && timeout < NAP_MS ? timeout : NAP_MS);
    wsb_lock(h);
    ops->nap_end(&n);
    h->inside--;
    h->polling = false;
    if (wsb_signal_is_set(h))
        wsb_signal_clear(h);
    *ret = end == WSB_SLEEP_SIGNAL ? WSB_REASON_SIGNAL : WSB_REASON_OK;
    return end == WSB_SLEEP_WOKEN || end == WSB_SLEEP_SIGNAL;
}

static enum wsb_reason poll_link(struct wsb_handle *h, uint64_t until_ms)
{
    enum wsb_reason napped;
    if (nap(h, until_ms, &napped))
        return napped;
    int fds[WSB_CLIENT_FDS];
    struct pollfd polled[WSB_CLIENT_FDS + 1] = {{.fd = wsb_signal_fd(h), .events = POLLIN}};
    size_t count = h->link->ops->fds(h->link, fds);
    for (size_t i = 0; i < count; i++)
        polled[i + 1] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    uint64_t ask = ask_at(h);
    if (h->inbox_bytes < h->in_limit && h->link->ops->has_input(h->link))
        until_ms = 0; /* the descriptor may have told it before */

    h->polling = true;
    h->inside++;
    wsb_unlock(h);
    int n = poll(polled, count + 1, poll_timeout(until_ms < ask ? until_ms : ask));
    bool interrupted = n < 0 && errno == EINTR;
    wsb_lock(h);
    h->inside--;
    h->polling = false;
    if (polled[0].revents)
        wsb_signal_clear(h);
    return interrupted ? WSB_REASON_SIGNAL : WSB_REASON_OK;
}

enum wsb_reason wsb_wait(struct wsb_handle *h, uint64_t until_ms)
{
    enum wsb_reason reason = WSB_REASON_OK;
    if (wsb_now_ms() >= until_ms)
        return WSB_REASON_TIMEOUT;
    if (h->trouble.is_pending) { /* of a pump before: nothing may come for hours */
        wsb_tell_trouble(h);
        return h->closing ? WSB_REASON_CLOSED : WSB_REASON_OK; /* the program has had a say: look again */
    }
    if (h->polling) {
        if (h->reading && h->first) /* our pump has filed what the reader waits for */
            wake_waiters(h);
        wsb_tell_pollers(h); /* our pump may have eaten what the one that polls would have been told by */
        h->inside++;
        wsb_cond_wait(h, until_ms);
        h->inside--;
    } else {
        reason = poll_link(h, until_ms);
    }
    if (!reason && !h->closing)
        reason = wsb_pump(h);
    if (h->trouble.is_pending)
        wsb_tell_trouble(h);
    (void)pthread_cond_broadcast(&h->changed); /* one of the others may have what it waits for, or has to poll now */
    return h->closing ? WSB_REASON_CLOSED : reason;
}

static bool is_ready(struct wsb_handle *h)
{
    bool unread = !h->is_stuck && (h->first || (h->current && !h->current_is_spent));
    return unread || h->closing || (h->inbox_bytes < h->in_limit && h->link->ops->has_input(h->link));
}

/* A timer that is armed for earlier is left as it is: to wake once for nothing is cheaper than to set it with each call. */
static void set_timer(struct wsb_handle *h)
{
    uint64_t now = wsb_now_ms();
    uint64_t at = ask_at(h);
    if (h->is_stuck && h->serving == WSB_SERVING_YES && at > now + WSB_SETTLE_RETRY_MS)
        at = now + WSB_SETTLE_RETRY_MS;
    if (at == WSB_FOREVER)
        at = 0;
    if (at == h->timer_ms || (at && h->timer_ms > now && h->timer_ms < at))
        return;
    const struct itimerspec t = {.it_value = {.tv_sec = (time_t)(at / 1000), .tv_nsec = (long)(at % 1000) * 1000000}};
    (void)timerfd_settime(h->timer_fd, TFD_TIMER_ABSTIME, &t, NULL); /* cannot fail: it is a timer and a time */
    h->timer_ms = at;
}

void wsb_tell_pollers(struct wsb_handle *h)
{
    if (!h->polling && h->epoll_fd < 0)
        return; /* nobody asks: whoever polls next looks first */
    if (is_ready(h))
        wsb_signal_set(h);
    else if (wsb_signal_is_set(h))
        wsb_signal_clear(h);
    if (wsb_is_interrupted(h)) /* last: whoever cleared the signal, here or before, may have swallowed the wake */
        wsb_signal_set(h);
    if (h->epoll_fd >= 0)
        set_timer(h);
}

/* -------------------------------------------------------------------- reading */

bool wsb_inbox_next(struct wsb_handle *h)
{
    h->link->ops->release(h->current);
    h->current = h->first;
    h->current_is_spent = false;
    h->rest = wsb_span(NULL, 0);
    if (!h->current)
        return false;
    h->first = h->current->next;
    if (!h->first)
        h->last = NULL;
    h->inbox_bytes -= h->current->size;
    if (h->current->envelope.header.type == WSB_BATCH)
        h->rest = h->current->envelope.payload;
    return true;
}

void wsb_inbox_deinit(struct wsb_handle *h)
{
    while (wsb_inbox_next(h))
        ;
}
