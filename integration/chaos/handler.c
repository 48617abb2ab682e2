/*
 * The C handler of the chaos test: writes down what it processes, then echoes it. A record is in the kernel's hands before the
 * reply is, and so before the acknowledgement: what is killed in between has been written down and comes again.
 *
 * Usage: chaos_handler ADDRESS RECORDS
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "wsbus/handler.h"

/* As integration/chaos/chaos.py reads it. */
struct record {
    uint64_t conn;
    uint64_t time_ns; /* CLOCK_MONOTONIC */
    uint32_t client;
    uint32_t number;
    uint32_t flags; /* 1: redelivered */
    uint32_t zero;
};

static wsb_handler handle;

static void on_signal(int number)
{
    (void)number;
    wsb_wake(handle);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void process(int fd, const struct wsb_event *ev)
{
    char text[64];
    char *end;
    size_t n = ev->len < sizeof text - 1 ? ev->len : sizeof text - 1;
    memcpy(text, ev->data, n);
    text[n] = 0;
    struct record r = {.conn = ev->conn, .flags = ev->redelivered};
    r.client = (uint32_t)strtoul(text, &end, 10);
    r.number = (uint32_t)strtoul(end, NULL, 10);
    r.time_ns = now_ns();
    if (write(fd, &r, sizeof r) != (ssize_t)sizeof r)
        abort();
    if (!wsb_writeguarded(handle, ev->conn, ev->opcode, ev->data, ev->len)) /* for whoever reads how a run failed */
        (void)fprintf(stderr, "%llu pid %d: no reply to client %u message %u: %s\n", (unsigned long long)now_ns(),
                      (int)getpid(), r.client, r.number, wsb_reason_name(wsb_reason(handle)));
}

int main(int argc, char **argv)
{
    static const char *const routes[] = {"chaos"};
    struct wsb_event ev;
    if (argc != 3)
        return 2;
    int fd = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const struct wsb_handler_options options = {.routes = routes, .route_count = 1, .name = "chaos-c"};
    if (fd < 0 || !wsb_handler_open(argv[1], &options, &handle))
        return 1;
    (void)signal(SIGTERM, on_signal);
    (void)signal(SIGINT, on_signal);
    for (;;) {
        if (!wsb_readguarded(handle, &ev, -1)) {
            enum wsb_reason reason = wsb_reason(handle);
            if (reason == WSB_REASON_SIGNAL || reason == WSB_REASON_CLOSED || reason == WSB_REASON_MISUSE)
                break;
        } else if (ev.type == WSB_EV_DATA) {
            process(fd, &ev);
        } else if (ev.type == WSB_EV_DRAIN && !ev.more) {
            break;
        }
    }
    (void)wsb_handler_close(handle);
    return 0;
}
