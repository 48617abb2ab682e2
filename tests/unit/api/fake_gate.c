#include "fake_gate.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { COMMANDS_MAX = 1 << 16, PATIENCE_S = 5 };

struct fake_gate {
    struct fake_options o;
    char dir[64];
    struct wsb_server *server; /* the lock's */
    struct wsb_account *account;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t came;
    atomic_bool stop;
    uint8_t peer[255];
    size_t peer_len;
    unsigned messages;
    unsigned hellos;
    struct fake_command *commands;
    size_t first, end;
    size_t counts[128];
};

static _Noreturn void die(const char *what)
{
    (void)fprintf(stderr, "fake gate: %s\n", what);
    abort();
}

static void must(bool truth, const char *what)
{
    if (!truth)
        die(what);
}

static void send_locked(struct fake_gate *g, struct wsb_header h, const void *payload, size_t len, const char *meta)
{
    struct wsb_block *b = wsb_block_new(g->account, len);
    if (!b)
        die("memory");
    if (len)
        memcpy(b->data, payload, len);
    b->len = len;
    h.payload_len = (uint32_t)len;
    if (meta)
        h.flags |= WSB_FLAG_META;
    wsb_err err = g->server->ops->send(g->server, wsb_span(g->peer, g->peer_len), &h, b, wsb_span_str(meta));
    (void)err; /* a handler that is gone gets nothing */
}

static void answer_hello(struct fake_gate *g, const struct wsb_header *hello)
{
    char meta[256];
    char max[64] = "";
    uint64_t epoch = g->o.epoch ? g->o.epoch : 1;
    if (g->o.is_silent)
        return;
    if (g->o.refuse_hello) {
        send_locked(g, (struct wsb_header){.type = WSB_ERROR, .code = g->o.refuse_hello, .seq = hello->seq}, "no", 2,
                    NULL);
        return;
    }
    if (g->o.max_message)
        (void)snprintf(max, sizeof max, ",\"max_message\":%zu", g->o.max_message);
    (void)snprintf(meta, sizeof meta, "{\"epoch\":\"%016lx\",\"id\":7,\"gate\":\"fake\",\"heartbeat_ms\":%u%s}",
                   (unsigned long)epoch, g->o.heartbeat_ms ? g->o.heartbeat_ms : 1000, max);
    send_locked(g, (struct wsb_header){.type = WSB_WELCOME, .seq = hello->seq}, NULL, 0, meta);
}

static char *copy(struct wsb_span s)
{
    char *p = calloc(1, s.len + 1);
    must(p != NULL, "memory");
    if (s.len)
        memcpy(p, s.ptr, s.len);
    return p;
}

static void keep(struct fake_gate *g, const struct wsb_envelope *e)
{
    must(g->end < COMMANDS_MAX, "too many commands");
    g->commands[g->end++] = (struct fake_command){e->header, copy(e->payload), copy(e->meta), g->messages};
    g->counts[e->header.type & 127]++;
    if (e->header.type == WSB_HELLO)
        answer_hello(g, &e->header);
}

static void take_all(struct fake_gate *g)
{
    for (;;) {
        struct wsb_inbound in;
        wsb_err err = g->server->ops->recv(g->server, WSB_CHANNEL_HANDLERS, &in);
        if (err == WSB_AGAIN)
            return;
        if (err == WSB_CLOSED) {
            g->server->ops->release(&in);
            continue;
        }
        must(err == WSB_OK, "a handler sent a malformed message");
        g->messages++;
        g->peer_len = in.peer.len;
        memcpy(g->peer, in.peer.ptr, in.peer.len);
        struct wsb_span batch = in.envelope.payload;
        struct wsb_envelope e;
        if (in.envelope.header.type != WSB_BATCH)
            keep(g, &in.envelope);
        else
            while ((err = wsb_record_next(&batch, &e)) == WSB_OK)
                keep(g, &e);
        must(err == WSB_OK || err == WSB_CLOSED, "a handler sent a malformed batch");
        g->server->ops->release(&in);
    }
}

static void *run(void *arg)
{
    struct fake_gate *g = arg;
    while (!atomic_load(&g->stop)) {
        struct pollfd p = {.fd = g->server->ops->fd(g->server, WSB_CHANNEL_HANDLERS), .events = POLLIN};
        (void)poll(&p, 1, 10); /* the test may have looked already */
        (void)pthread_mutex_lock(&g->lock);
        g->server->ops->on_readable(g->server, WSB_CHANNEL_HANDLERS);
        take_all(g);
        g->server->ops->flush(g->server);
        (void)pthread_cond_broadcast(&g->came);
        (void)pthread_mutex_unlock(&g->lock);
    }
    return NULL;
}

struct fake_gate *fake_gate_open(struct fake_options o)
{
    struct fake_gate *g = calloc(1, sizeof *g);
    must(g != NULL, "memory");
    g->o = o;
    (void)snprintf(g->dir, sizeof g->dir, "%s", o.dir ? o.dir : "/tmp/wsb-test-XXXXXX");
    must(o.dir || mkdtemp(g->dir), "mkdtemp");
    g->commands = calloc(COMMANDS_MAX, sizeof *g->commands);
    g->account = wsb_account_new();
    must(g->commands && g->account, "memory");
    struct wsb_fault fault = {0};
    const struct wsb_server_options so = {.dir = g->dir,
                                          .mode = 0600,
                                          .tcp = {[WSB_CHANNEL_HANDLERS] = o.curve ? "tcp://127.0.0.1:*" : NULL},
                                          .curve = o.curve,
                                          .max_message = 256 << 20};
    must(wsb_zmtp_server_open(&so, &g->server, &fault) == WSB_OK, fault.text);
    (void)pthread_mutex_init(&g->lock, NULL);
    (void)pthread_cond_init(&g->came, NULL);
    must(pthread_create(&g->thread, NULL, run, g) == 0, "thread");
    return g;
}

void fake_gate_close(struct fake_gate *g)
{
    atomic_store(&g->stop, true);
    (void)pthread_join(g->thread, NULL);
    g->server->ops->close(g->server);
    for (size_t i = g->first; i < g->end; i++)
        fake_command_free(&g->commands[i]);
    free(g->commands);
    wsb_account_unref(g->account);
    (void)pthread_mutex_destroy(&g->lock);
    (void)pthread_cond_destroy(&g->came);
    free(g);
}

const char *fake_gate_dir(const struct fake_gate *g)
{
    return g->dir;
}

const char *fake_gate_tcp(const struct fake_gate *g)
{
    return wsb_server_endpoint(g->server, WSB_CHANNEL_HANDLERS);
}

void fake_gate_remove_dir(const char *dir)
{
    (void)rmdir(dir);
}

bool fake_gate_take(struct fake_gate *g, uint8_t type, struct fake_command *ret)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    bool found = false;
    (void)pthread_mutex_lock(&g->lock);
    for (int late = 0; !found && !late;) {
        while (g->first < g->end && !found) {
            struct fake_command *c = &g->commands[g->first++];
            found = c->header.type == type;
            if (found)
                *ret = *c;
            else
                fake_command_free(c);
        }
        if (!found)
            late = pthread_cond_timedwait(&g->came, &g->lock, &until);
    }
    (void)pthread_mutex_unlock(&g->lock);
    return found;
}

void fake_command_free(struct fake_command *c)
{
    free(c->payload);
    free(c->meta);
    c->payload = c->meta = NULL;
}

size_t fake_gate_count(struct fake_gate *g, uint8_t type)
{
    (void)pthread_mutex_lock(&g->lock);
    size_t n = g->counts[type & 127];
    (void)pthread_mutex_unlock(&g->lock);
    return n;
}

void fake_gate_set_silent(struct fake_gate *g, bool is_silent)
{
    (void)pthread_mutex_lock(&g->lock);
    g->o.is_silent = is_silent;
    (void)pthread_mutex_unlock(&g->lock);
}

void fake_gate_send_raw(struct fake_gate *g, struct wsb_header h, const void *payload, size_t len, const char *meta)
{
    (void)pthread_mutex_lock(&g->lock);
    send_locked(g, h, payload, len, meta);
    g->server->ops->flush(g->server);
    (void)pthread_mutex_unlock(&g->lock);
}

void fake_gate_send(struct fake_gate *g, struct wsb_header h, const char *payload, const char *meta)
{
    fake_gate_send_raw(g, h, payload, payload ? strlen(payload) : 0, meta);
}

void fake_batch_add(struct wsb_buf *b, struct wsb_header h, const char *payload, const char *meta)
{
    const struct wsb_envelope e = {h, wsb_span_str(payload), wsb_span_str(meta)};
    must(wsb_record_append(b, &e) == WSB_OK, "memory");
}
