/* A handle from open to close, and what can be asked of it. */
#include "wsbus/handler.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "api/handle.h"
#include "api/sized.h"
#include "base/journal.h"
#include "base/utf8.h"

enum {
    LIMIT = 64 << 20,
    LINGER_MS = 500,
    LINGER_MAX_MS = 60000,
    HEARTBEAT_MS = 1000,
    MESSAGE_MAX = 16 << 20, /* until the gate says otherwise */
    PART_MAX = 256 << 20,   /* bytes: no batch of a gate comes near */
    ROUTES_MAX = 1024,
    WEIGHT_MAX = 1000,
    CREDIT_MESSAGES = 16384,
    ENDPOINT_MAX = 512,
    COMMAND_META_MAX = WSB_META_MAX
};

static _Thread_local struct wsb_fault open_fault;

const char *wsb_why(void)
{
    return open_fault.text;
}

/* ----------------------------------------------------------------------- open */

static wsb_err check_text(const char *what, const char *s, size_t max)
{
    if (!s || !*s)
        return wsb_fault_set(&open_fault, WSB_ERR_MISUSE, 0, "%s must not be empty", what);
    if (strlen(s) > max)
        return wsb_fault_set(&open_fault, WSB_ERR_MISUSE, 0, "%s must have at most %zu bytes", what, max);
    if (!wsb_utf8_is_valid((const uint8_t *)s, strlen(s)))
        return wsb_fault_set(&open_fault, WSB_ERR_MISUSE, 0, "%s must be UTF-8", what);
    return WSB_OK;
}

static wsb_err check_options(const struct wsb_handler_options *o)
{
    wsb_err err = WSB_OK;
    if (o->route_count == 0 || o->route_count > ROUTES_MAX || !o->routes)
        return wsb_fault_set(&open_fault, WSB_ERR_MISUSE, 0, "routes: at least one, at most %d, and not NULL",
                             ROUTES_MAX);
    for (size_t i = 0; i < o->route_count && !err; i++)
        err = check_text("the name of a route", o->routes[i], 256);
    if (!err && o->name)
        err = check_text("name", o->name, WSB_NAME_MAX);
    if (!err && ((unsigned)o->level > WSB_LOG_ERROR || o->linger_ms > LINGER_MAX_MS || o->wait_ms > INT32_MAX))
        err = wsb_fault_set(&open_fault, WSB_ERR_MISUSE, 0, "level, linger_ms or wait_ms is out of range");
    if (!err && (unsigned)o->link > WSB_LINK_KIND_SHM)
        return wsb_fault_set(&open_fault, WSB_ERR_MISUSE, 0, "link is none of enum wsb_link_kind");
    if (!err && o->kinds > (WSB_KIND_WEBSOCKET | WSB_KIND_HTTP))
        err = wsb_fault_set(&open_fault, WSB_ERR_MISUSE, 0, "kinds are not of enum wsb_kind");
    if (!err && (o->weight > WEIGHT_MAX || o->credit_messages > INT32_MAX || o->credit_bytes > INT64_MAX / 4))
        err = wsb_fault_set(&open_fault, WSB_ERR_MISUSE, 0, "weight, credit_messages or credit_bytes is out of range");
    return err;
}

static void handle_free(struct wsb_handle *h)
{
    if (!h)
        return;
    if (h->link) {
        wsb_inbox_deinit(h);
        wsb_outbox_drop(h);
        h->link->ops->close(h->link);
    }
    if (h->epoll_fd >= 0)
        (void)close(h->epoll_fd);
    if (h->timer_fd >= 0)
        (void)close(h->timer_fd);
    json_decref(h->parsed);
    wsb_trouble_deinit(&h->trouble);
    free(h->zmq_endpoint);
    free(h->shm_path);
    wsb_account_unref(h->account);
    wsb_buf_deinit(&h->hello);
    wsb_buf_deinit(&h->scratch);
    wsb_conns_deinit(&h->conns);
    wsb_fence_deinit(&h->fence);
    (void)pthread_cond_destroy(&h->changed);
    free(h);
}

/* Of what may wait here; in what the protocol can say. */
static uint64_t half_of(size_t limit)
{
    uint64_t half = limit > 1 ? limit / 2 : 1;
    return half < INT64_MAX / 4 ? half : INT64_MAX / 4;
}

static struct wsb_handle *handle_new(const struct wsb_handler_options *o)
{
    pthread_condattr_t attr;
    struct wsb_handle *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&h->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    h->epoll_fd = h->timer_fd = -1;
    h->out_limit = o->out_limit ? o->out_limit : LIMIT;
    h->in_limit = o->in_limit ? o->in_limit : LIMIT;
    h->most_messages = o->credit_messages ? o->credit_messages : CREDIT_MESSAGES;
    h->most_bytes = o->credit_bytes ? o->credit_bytes : half_of(h->in_limit);
    h->manual_ack = o->manual_ack;
    h->on_trouble = o->on_trouble;
    h->trouble_of = o->trouble_of;
    h->heartbeat_ms = HEARTBEAT_MS;
    h->max_message = MESSAGE_MAX;
    atomic_init(&h->level, (int)o->level);
    h->is_journal = wsb_is_journal(STDERR_FILENO);
    wsb_buf_init(&h->hello, COMMAND_META_MAX);
    wsb_buf_init(&h->scratch, COMMAND_META_MAX);
    h->account = wsb_account_new();
    if (h->account && wsb_hello_write(&h->hello, o) == WSB_OK)
        return h;
    handle_free(h);
    return NULL;
}

static bool fill_epoll(struct wsb_handle *h)
{
    int fds[WSB_CLIENT_FDS + 2];
    size_t count = h->link->ops->fds(h->link, fds);
    fds[count++] = wsb_signal_fd(h);
    fds[count++] = h->timer_fd;
    for (size_t i = 0; i < count; i++) {
        struct epoll_event e = {.events = EPOLLIN};
        if (epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, fds[i], &e) != 0 && errno != EEXIST)
            return false;
    }
    return true;
}

static wsb_err open_zmq(struct wsb_handle *h, const char *endpoint, const struct wsb_handler_options *o,
                        struct wsb_fault *fault)
{
    struct wsb_keys keys = {0};
    wsb_err err = wsb_keys_read(endpoint, o, &keys, fault);
    const struct wsb_client_options client = {.endpoint = endpoint,
                                              .max_message = PART_MAX,
                                              .heartbeat_ms = HEARTBEAT_MS,
                                              .linger_ms = o->linger_ms ? o->linger_ms : LINGER_MS,
                                              .server_key = keys.server_key,
                                              .keys = keys.server_key ? &keys.own : NULL};
    if (!err)
        err = wsb_zmq_client_open(&client, &h->link, fault);
    if (!err && keys.server_key)
        wsb_trouble_set_key(&h->trouble, keys.own.public_key);
    wsb_key_pair_wipe(&keys.own);
    return err;
}

/* The local endpoint is kept for a gate that does not offer shared memory, unless that was insisted on. */
static wsb_err open_shm(struct wsb_handle *h, const char *endpoint, const struct wsb_handler_options *o,
                        enum wsb_link_kind kind)
{
    struct wsb_buf path;
    struct wsb_keys none;
    wsb_buf_init(&path, ENDPOINT_MAX);
    wsb_err err = wsb_keys_read(endpoint, o, &none, &open_fault); /* there must be none */
    if (!err)
        err = wsb_shm_path(endpoint, &path);
    const struct wsb_client_options client = {.endpoint = (const char *)path.data,
                                              .max_message = PART_MAX,
                                              .linger_ms = o->linger_ms ? o->linger_ms : LINGER_MS,
                                              .ring_size = o->ring_size};
    if (!err)
        err = wsb_shm_client_open(&client, &h->link, &open_fault);
    if (!err && kind == WSB_LINK_KIND_AUTO) {
        h->zmq_endpoint = strdup(endpoint);
        h->shm_path = strdup(client.endpoint);
        h->ring_size = o->ring_size;
        h->other_linger_ms = client.linger_ms;
        err = h->zmq_endpoint && h->shm_path ? WSB_OK : WSB_ERR_NOMEM;
    }
    wsb_buf_deinit(&path);
    return err;
}

/* The link that h has now takes the place of `old`, which was never attached, or everything of it has been given back. */
static void replace_link(struct wsb_handle *h, struct wsb_client *old)
{
    old->ops->close(old);
    if (h->epoll_fd >= 0)
        (void)fill_epoll(h);
}

/* Messages of a gate before this one are in the link's memory; or a sleep is. */
static bool is_link_in_use(const struct wsb_handle *h)
{
    return h->current || h->first || h->inside;
}

bool wsb_link_fall_back(struct wsb_handle *h)
{
    const struct wsb_handler_options o = {.linger_ms = h->other_linger_ms};
    struct wsb_client *refused = h->link;
    struct wsb_fault fault;
    if (!h->zmq_endpoint || h->is_on_other || is_link_in_use(h))
        return false;
    if (open_zmq(h, h->zmq_endpoint, &o, &fault) != WSB_OK) {
        h->link = refused;
        return false; /* it is asked again */
    }
    h->is_on_other = true;
    replace_link(h, refused);
    return true;
}

bool wsb_link_go_back(struct wsb_handle *h)
{
    const struct wsb_client_options client = {
        .endpoint = h->shm_path, .max_message = PART_MAX, .linger_ms = h->other_linger_ms, .ring_size = h->ring_size};
    struct wsb_client *old = h->link;
    struct wsb_fault fault;
    if (is_link_in_use(h))
        return false;
    if (wsb_shm_client_open(&client, &h->link, &fault) != WSB_OK) {
        h->link = old;
        return false;
    }
    h->is_on_other = h->goes_back = false;
    replace_link(h, old);
    return true;
}

static wsb_err open_link(struct wsb_handle *h, const char *address, const struct wsb_handler_options *o)
{
    struct wsb_buf endpoint;
    enum wsb_link_kind kind = WSB_LINK_KIND_AUTO;
    wsb_buf_init(&endpoint, ENDPOINT_MAX);
    wsb_err err = wsb_endpoint(address, &endpoint, &open_fault);
    if (err == WSB_ERR_LIMIT)
        err = wsb_fault_set(&open_fault, WSB_ERR_CONFIG, 0, "the address is too long");
    const char *text = (const char *)endpoint.data;
    if (!err)
        err = wsb_trouble_init(&h->trouble, o->name ? o->name : program_invocation_short_name, o->routes,
                               o->route_count, text);
    if (!err)
        err = wsb_link_kind_of(text, o, &kind, &open_fault);
    if (!err && kind != WSB_LINK_KIND_ZMQ)
        err = open_shm(h, text, o, kind);
    else if (!err)
        err = open_zmq(h, text, o, &open_fault);
    wsb_buf_deinit(&endpoint);
    return err;
}

/* Wait for the gate; its WELCOME stays in the inbox, for the reader. */
static enum wsb_reason wait_for_gate(wsb_handler handler, unsigned wait_ms)
{
    struct wsb_handle *h = wsb_enter(handler);
    if (!h)
        return WSB_REASON_MISUSE;
    uint64_t until = wsb_now_ms() + wait_ms;
    enum wsb_reason reason = wsb_pump(h);
    while (!reason && h->serving != WSB_SERVING_YES)
        reason = wsb_wait(h, until);
    if (reason == WSB_REASON_TIMEOUT)
        reason = WSB_REASON_GATE_GONE;
    (void)wsb_done(h, reason);
    return reason;
}

/* In wsb_why(): what the handle has found out in that time. */
static void say_why_not(wsb_handler handler, enum wsb_reason reason)
{
    struct wsb_handle *h = wsb_peek(handler);
    bool is_known = h && h->trouble.kind;
    (void)wsb_fault_set(&open_fault, WSB_ERR_TIMEOUT, 0, "%s%s",
                        is_known ? "" : "no gate has answered: ", is_known ? h->trouble.line : wsb_reason_name(reason));
    if (h)
        wsb_unlock(h);
}

static enum wsb_reason open_handle(const char *address, const struct wsb_handler_options *o, wsb_handler *ret)
{
    if (check_options(o) != WSB_OK)
        return WSB_REASON_MISUSE;
    struct wsb_handle *h = handle_new(o);
    enum wsb_reason reason = WSB_REASON_NOMEM;
    if (!h)
        goto out;
    reason = wsb_reason_of(open_link(h, address, o));
    if (reason)
        goto out;
    reason = wsb_slots_add(h, ret);
    if (reason) {
        (void)wsb_fault_set(&open_fault, WSB_ERR_LIMIT, 0, "%s", "too many handles, or descriptors");
        goto out;
    }
    h = NULL; /* the slot has it */
    reason = o->wait_ms ? wait_for_gate(*ret, o->wait_ms) : WSB_REASON_OK;
    if (reason) {
        say_why_not(*ret, reason);
        (void)wsb_handler_close(*ret);
    }
out:
    handle_free(h);
    return reason;
}

bool wsb_handler_open(const char *address, const struct wsb_handler_options *options, wsb_handler *ret)
{
    static const struct wsb_handler_options defaults;
    struct wsb_handler_options room;
    enum wsb_reason reason = WSB_REASON_MISUSE;
    wsb_handler h = {0};
    (void)wsb_fault_set(&open_fault, WSB_OK, 0, "%s", "");
    if (!WSB_TAKE(options, &room, kinds)) {
        (void)wsb_fault_set(&open_fault, WSB_ERR_MISUSE, 0,
                            "options: their size cannot be, or they say what libwsbus %s does not know", wsb_version());
        if (ret)
            *ret = h;
    } else if (ret) {
        reason = open_handle(address, options ? options : &defaults, &h);
        *ret = reason ? (wsb_handler){0} : h;
    }
    if (reason && !*open_fault.text)
        (void)wsb_fault_set(&open_fault, WSB_ERR_MISUSE, 0, "%s", wsb_reason_name(reason));
    wsb_note_reason((wsb_handler){0}, reason);
    return reason == WSB_REASON_OK;
}

/* ---------------------------------------------------------------------- close */

bool wsb_handler_close(wsb_handler handler)
{
    struct wsb_handle *h = wsb_enter(handler);
    if (!h)
        return false;
    h->closing = true; /* no call finds it any more, and those inside come out */
    wsb_slots_close(h);
    wsb_signal_set(h);
    (void)pthread_cond_broadcast(&h->changed);
    while (h->inside)
        wsb_cond_wait(h, WSB_FOREVER);
    (void)wsb_settle(h); /* the event that the program still has is not done with: another handler gets it */
    const struct wsb_header bye = {.type = WSB_BYE, .seq = ++h->seq};
    (void)wsb_outbox_flush(h);
    if (h->serving != WSB_SERVING_DOWN)
        (void)wsb_send_control(h, &bye, wsb_span(NULL, 0), wsb_span(NULL, 0));
    wsb_slots_free(h);
    handle_free(h); /* without the lock: it may take linger_ms */
    wsb_note_reason(handler, WSB_REASON_OK);
    return true;
}

/* -------------------------------------------------------------------- getters */

static void open_epoll(struct wsb_handle *h)
{
    if (h->timer_fd < 0)
        h->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    h->epoll_fd = h->timer_fd >= 0 ? epoll_create1(EPOLL_CLOEXEC) : -1;
    if (h->epoll_fd >= 0 && !fill_epoll(h)) {
        (void)close(h->epoll_fd);
        h->epoll_fd = -1;
    }
}

int wsb_handler_fd(wsb_handler handler)
{
    struct wsb_handle *h = wsb_enter(handler);
    if (!h)
        return -1;
    if (h->epoll_fd < 0)
        open_epoll(h);
    int fd = h->epoll_fd;
    (void)wsb_done(h, fd < 0 ? WSB_REASON_IO : WSB_REASON_OK);
    return fd;
}

struct facts {
    bool is_connected;
    uint64_t epoch;
    uint64_t id;
    uint64_t malformed;
    size_t max_message;
};

/* All zero for what is no handle. */
static struct facts facts_of(wsb_handler handler)
{
    struct wsb_handle *h = wsb_peek(handler);
    if (!h)
        return (struct facts){0};
    struct facts f = {h->serving == WSB_SERVING_YES, h->epoch, h->id, h->malformed, h->max_message};
    wsb_unlock(h);
    return f;
}

bool wsb_connected(wsb_handler h)
{
    return facts_of(h).is_connected;
}

uint64_t wsb_epoch(wsb_handler h)
{
    return facts_of(h).epoch;
}

uint64_t wsb_handler_id(wsb_handler h)
{
    return facts_of(h).id;
}

uint64_t wsb_malformed(wsb_handler h)
{
    return facts_of(h).malformed;
}

size_t wsb_max_message(wsb_handler h)
{
    return facts_of(h).max_message;
}

bool wsb_isopen(wsb_handler handler, wsb_conn conn)
{
    struct wsb_handle *h = wsb_peek(handler);
    if (!h)
        return false;
    bool is = wsb_conns_state(&h->conns, conn) == WSB_CONN_OPEN && !wsb_fence_has(&h->fence, conn);
    wsb_unlock(h);
    return is;
}
