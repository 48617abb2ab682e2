/*
 * The handler of the fan-out rows: who connects by route "sub" joins a group, and what comes by route "pub" is published to it. It
 * tells the two apart by what OPEN says, and as subscribers say nothing, all DATA is the publisher's.
 *
 *   bench_fanout_handler RUNTIME_DIR
 */
#include <signal.h>
#include <string.h>

#include <wsbus/handler.h>

#include "bench/common.h"

static wsb_handler handle;

static void on_signal(int number)
{
    (void)number;
    wsb_wake(handle);
}

static void opened(const struct wsb_event *ev)
{
    const char *route = wsb_event_str(ev, "route");
    if (route && strcmp(route, "sub") == 0 && !wsb_join(handle, ev->conn, "all"))
        bench_die("join: %s", wsb_why());
}

int main(int argc, char **argv)
{
    static const char *const routes[] = {"sub", "pub"};
    static const struct wsb_audience all = {.group = "all"};
    const struct wsb_handler_options options = {.routes = routes, .route_count = 2, .name = "bench-fanout"};
    struct wsb_event ev;
    if (argc != 2 || !wsb_handler_open(argv[1], &options, &handle))
        bench_die("usage: bench_fanout_handler RUNTIME_DIR: %s", wsb_why());
    (void)sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_signal}, NULL);
    while (wsb_readguarded(handle, &ev, -1)) {
        if (ev.type == WSB_EV_OPEN)
            opened(&ev);
        else if (ev.type == WSB_EV_DATA && !wsb_publish(handle, &all, ev.opcode, ev.data, ev.len, NULL))
            bench_die("publish: %s", wsb_why());
    }
    (void)wsb_handler_close(handle);
    return 0;
}
