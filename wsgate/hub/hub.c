/* The hub as a whole: its timers, its links, its beginning and its end. What is done in a round is in take.c, receive.c and step.c. */
#include "hub/hub.h"

#include <stdlib.h>
#include <sys/epoll.h>

#include "hub/ages.h"
#include "hub/hands.h"
#include "hub/life.h"
#include "hub/link.h"
#include "hub/pause.h"
#include "hub/presence.h"

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static void sweep(struct wsg_hub *h)
{
    wsg_hub_sweep(h);
    wsg_hub_flush(h);
}

static void on_heartbeat(struct wsg_timer *t)
{
    struct wsg_hub *h = CONTAINER(t, struct wsg_hub, heartbeat);
    for (struct wsg_handler *to = h->handlers.by_id; to; to = to->by_id.next) {
        if (wsb_account_bytes(to->account) <=
            WSG_BATCH_BYTES) /* otherwise it has enough to read; is it reachable at all? */
            wsg_hub_ping(h, to);
    }
    wsg_hub_check_life(h);
    sweep(h);
    wsg_hub_ages_begin(h);
    wsg_handlers_settle(&h->handlers);
    (void)!wsg_loop_arm(h->loop, t, wsg_loop_now_ms(h->loop) + WSG_HEARTBEAT_MS);
}

static void on_room(struct wsg_timer *t)
{
    struct wsg_hub *h = CONTAINER(t, struct wsg_hub, room);
    bool any = false;
    for (struct wsg_handler *to = h->handlers.by_id; to; to = to->by_id.next) {
        if (to->paused && wsb_account_bytes(to->account) <= WSG_HANDLER_LOW) {
            to->paused = false;
            to->is_pump_due = true;
        }
        h->pump_due = h->pump_due || to->is_pump_due;
    }
    wsg_hub_flush(h);
    for (const struct wsg_handler *to = h->handlers.by_id; to; to = to->by_id.next)
        any = any || to->paused || to->is_pump_due;
    if (any)
        wsg_hub_watch_room(h);
}

static void on_sweep(struct wsg_timer *t)
{
    sweep(CONTAINER(t, struct wsg_hub, sweep));
}

void wsg_hub_set_level(struct wsg_hub *h, struct wsg_handler *handler, enum wsb_level level)
{
    struct wsb_envelope e = {
        .header = {.type = WSB_LEVEL, .code = (uint8_t)level, .time_ns = wsg_loop_wall_ns(h->loop)}};
    handler->level = (uint8_t)level;
    (void)wsg_hub_send(h, handler, &e);
}

static void on_retry(struct wsg_timer *t)
{
    (void)t; /* waking up is all */
}

static void on_again(struct wsg_task *t)
{
    struct wsg_hub *h = CONTAINER(t, struct wsg_hub, again);
    h->again_posted = false; /* the round that runs this receives */
    wsg_hub_step(h);
}

static void on_input(struct wsg_watch *w, uint32_t events)
{
    struct wsg_reading *r = CONTAINER(w, struct wsg_reading, watch);
    (void)events; /* waking up is most of it: the round's hook receives */
    r->is_quiet = false;
    r->server->ops->on_readable(r->server, r->channel);
}

static wsb_err watch_channel(struct wsg_hub *h, struct wsg_reading *r, struct wsb_server *server, enum wsb_channel c)
{
    r->server = server;
    r->channel = c;
    r->watch = (struct wsg_watch){.fd = server->ops->fd(server, c), .fn = on_input};
    return wsg_loop_watch(h->loop, &r->watch, EPOLLIN | EPOLLET);
}

wsb_err wsg_hub_add_shm(struct wsg_hub *h, struct wsb_server *shm)
{
    h->shm = shm;
    return watch_channel(h, &h->readings[WSB_CHANNELS], shm, WSB_CHANNEL_HANDLERS);
}

wsb_err wsg_hub_open(struct wsg_hub *h, struct wsg_loop *loop, struct wsg_routes *routes, struct wsb_server *server,
                     const struct wsg_hub_host *host, uint64_t epoch, size_t max_message)
{
    *h = (struct wsg_hub){
        .loop = loop, .server = server, .routes = routes, .host = *host, .epoch = epoch, .max_message = max_message};
    h->heartbeat.fn = on_heartbeat;
    h->room.fn = on_room;
    h->sweep.fn = on_sweep;
    h->tags.per_connection = WSG_TAGS_PER_CONNECTION;
    h->users.per_connection = 1;
    wsb_buf_init(&h->text, (size_t)2 * WSB_META_MAX);
    wsb_buf_init(&h->said, WSB_META_MAX);
    wsg_hub_presence_init(&h->presence);
    wsg_words_init(&h->words);
    (void)!wsg_meta_parse(wsb_span(NULL, 0), &h->no_meta, NULL); /* cannot fail: there is nothing in it */
    for (size_t i = 0; i < routes->count; i++)
        h->checks_text = h->checks_text || !routes->routes[i].policy.unchecked_text;
    h->strangers = wsb_account_new();
    h->copies = wsb_account_new();
    h->again.fn = on_again;
    h->retry.fn = on_retry;
    if (!h->strangers || !h->copies) {
        wsg_hub_close(h);
        return WSB_ERR_NOMEM;
    }
    for (int c = 0; c < WSB_CHANNELS; c++) {
        wsb_err err = watch_channel(h, &h->readings[c], server, (enum wsb_channel)c);
        if (err) {
            wsg_hub_close(h);
            return err;
        }
    }
    return wsg_loop_arm(loop, &h->heartbeat, wsg_loop_now_ms(loop) + WSG_HEARTBEAT_MS);
}

void wsg_hub_close(struct wsg_hub *h)
{
    if (!h->server)
        return;
    for (int i = 0; i < WSG_READINGS; i++) {
        if (h->readings[i].watch.events)
            wsg_loop_unwatch(h->loop, &h->readings[i].watch);
    }
    wsg_loop_disarm(h->loop, &h->heartbeat);
    wsg_loop_disarm(h->loop, &h->room);
    wsg_loop_disarm(h->loop, &h->sweep);
    wsg_loop_disarm(h->loop, &h->retry);
    wsg_pins_deinit(&h->pins);
    wsg_groups_deinit(&h->groups);
    wsg_groups_deinit(&h->users);
    wsg_groups_deinit(&h->tags);
    wsg_groups_deinit(&h->members);
    wsg_handlers_deinit(&h->handlers);
    free(h->round);
    free(h->targets);
    wsb_buf_deinit(&h->text);
    wsb_buf_deinit(&h->said);
    wsb_buf_deinit(&h->presence.queue);
    if (h->shm) /* first: the next gate binds ZeroMQ's endpoints before it makes this one's socket */
        h->shm->ops->close(h->shm);
    h->shm = NULL;
    h->server->ops->close(h->server);
    h->server = NULL;
    wsg_kept_pool_deinit(&h->kept);
    wsg_dead_letters_deinit(&h->dead_letters);
    wsb_account_unref(h->strangers);
    wsb_account_unref(h->copies);
}
