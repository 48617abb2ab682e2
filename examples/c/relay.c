/*
 * Clients of a route hear what a WebSocket server elsewhere says, and it hears them: a handler and a client in one loop. When
 * the server goes, it is tried again.
 */
#include "start.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <wsbus/websocket.h>

enum { RETRY_MS = 1000 };

static const char *server(void)
{
    const char *url = getenv("RELAY_SERVER");
    return url ? url : "ws://127.0.0.1:8080/echo";
}

static bool connect_to_server(wsb_handler h, wsb_websocket *ret)
{
    struct wsb_open_options o = {.timeout_ms = 5000, .ping_interval_ms = 20000};
    struct wsb_open_result r;
    bool ok = wsb_open(server(), &o, ret, &r);
    wsb_log(h, ok ? WSB_LOG_INFO : WSB_LOG_WARN, "%s: %s", server(), ok ? "connected" : r.why);
    wsb_open_result_free(&r);
    return ok;
}

/* What the server says goes to everybody. False: it has gone. */
static bool from_server(wsb_handler h, wsb_websocket w, const char *route)
{
    const struct wsb_audience to = {.route = route};
    struct wsb_message m;
    while (wsb_websocket_read(w, &m, 0))
        (void)wsb_publish(h, &to, m.opcode, m.data, m.len, NULL);
    return wsb_websocket_reason(w) == WSB_REASON_TIMEOUT;
}

/* What a client says goes to the server. False: it is time to go. */
static bool from_clients(wsb_handler h, wsb_websocket w)
{
    struct wsb_event ev;
    while (wsb_readguarded(h, &ev, 0)) {
        if (ev.type == WSB_EV_DATA)
            (void)wsb_websocket_write(w, ev.opcode, ev.data, ev.len, 1000);
        else if (ev.type == WSB_EV_DRAIN && !ev.more)
            wsb_wake(h); /* nothing is left: the next read says that it is time to go */
        else
            example_log(h, &ev);
    }
    enum wsb_reason reason = wsb_reason(h);
    return reason == WSB_REASON_TIMEOUT || reason == WSB_REASON_GATE_GONE;
}

int main(int argc, char **argv)
{
    struct example e = {
        "wsbus-relay",
        "Join the clients of a route with the server that RELAY_SERVER names, both ways.",
        {"relay"},
        WSB_KIND_WEBSOCKET,
    };
    wsb_handler h = example_start(&e, argc, argv);
    wsb_websocket w = {0};
    bool goes_on = true;

    while (goes_on) {
        bool is_open = w.v != 0 || connect_to_server(h, &w);
        struct pollfd fds[] = {{.fd = wsb_handler_fd(h), .events = POLLIN},
                               {.fd = is_open ? wsb_websocket_fd(w) : -1, .events = POLLIN}};
        goes_on = from_clients(h, w);
        if (is_open && !from_server(h, w, e.routes[0])) {
            wsb_log(h, WSB_LOG_WARN, "%s: %s", server(), wsb_websocket_why(w));
            (void)wsb_websocket_close(w, 1000, NULL, 0);
            w = (wsb_websocket){0};
            continue;
        }
        (void)poll(fds, 2, is_open ? -1 : RETRY_MS);
    }
    (void)wsb_websocket_close(w, 1001, "the relay ends", 1000);
    return example_end(h);
}
