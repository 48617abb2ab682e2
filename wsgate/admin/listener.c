/* Accepting for the control socket and for metrics. */
#include "admin/listener.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "net/socket.h"

enum { ACCEPTS_PER_ROUND = 16, REST_MS = 100 };

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static void on_clients(struct wsg_watch *w, uint32_t events)
{
    struct wsg_listener *l = CONTAINER(w, struct wsg_listener, watch);
    struct wsg_address peer;
    int fd;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_ROUND; i++) {
        wsb_err err = wsg_socket_accept(w->fd, &fd, &peer);
        if (err == WSB_AGAIN)
            return;
        if (err == WSB_ERR_LIMIT) {
            wsg_loop_rewatch(l->loop, w, 0);
            (void)!wsg_loop_arm(l->loop, &l->rest, wsg_loop_now_ms(l->loop) + REST_MS);
            return;
        }
        if (!err)
            l->welcome(l->ctx, fd);
    }
}

static void on_rested(struct wsg_timer *t)
{
    struct wsg_listener *l = CONTAINER(t, struct wsg_listener, rest);
    wsg_loop_rewatch(l->loop, &l->watch, EPOLLIN);
}

void wsg_listener_init(struct wsg_listener *l, struct wsg_loop *loop, void (*welcome)(void *ctx, int fd), void *ctx)
{
    *l = (struct wsg_listener){.watch = {.fd = -1, .fn = on_clients}, .loop = loop, .welcome = welcome, .ctx = ctx};
    l->rest.fn = on_rested;
}

wsb_err wsg_listener_open(struct wsg_listener *l, const struct wsg_address *at, unsigned mode,
                          struct wsg_address *ret_bound, struct wsb_fault *fault)
{
    wsb_err err = wsg_socket_listen(at, mode, &l->watch.fd, ret_bound, fault);
    if (err)
        return err;
    err = wsg_loop_watch(l->loop, &l->watch, EPOLLIN);
    return err ? wsb_fault_set(fault, err, 0, "cannot watch a listener") : WSB_OK;
}

void wsg_listener_close(struct wsg_listener *l)
{
    if (!l->loop)
        return;
    if (l->watch.fd >= 0) {
        wsg_loop_unwatch(l->loop, &l->watch);
        close(l->watch.fd);
        l->watch.fd = -1;
    }
    wsg_loop_disarm(l->loop, &l->rest);
}
