/* What the clients of the first route say goes to everybody on the second one; what those say goes nowhere. */
#include "start.h"

#include <stdlib.h>
#include <string.h>

/* Who may speak: OPEN tells the route of a connection, DATA does not. */
static wsb_conn *speakers;
static size_t count;

static size_t find(wsb_conn conn)
{
    size_t i = 0;
    while (i < count && speakers[i] != conn)
        i++;
    return i;
}

static void opened(wsb_handler h, const struct wsb_event *ev, const char *route)
{
    const char *of = wsb_event_str(ev, "route");
    if (!of || strcmp(of, route) != 0)
        return;
    wsb_conn *more = realloc(speakers, (count + 1) * sizeof *speakers);
    if (!more) {
        (void)wsb_close(h, ev->conn, 1013, "out of memory");
        return;
    }
    speakers = more;
    speakers[count++] = ev->conn;
}

static void closed(wsb_conn conn)
{
    size_t at = find(conn);
    if (at < count)
        speakers[at] = speakers[--count];
}

int main(int argc, char **argv)
{
    struct example e = {
        "wsbus-fanout",
        "Give every message of the first route's clients to all clients of the second route.",
        {"pub", "sub"},
        WSB_KIND_WEBSOCKET,
    };
    wsb_handler h = example_start(&e, argc, argv);
    const char *from = e.routes[0];
    const struct wsb_audience to = {.route = e.routes[1] ? e.routes[1] : from};
    struct wsb_event ev;

    while (example_next(h, &ev)) {
        if (ev.type == WSB_EV_OPEN)
            opened(h, &ev, from);
        else if (ev.type == WSB_EV_DATA && find(ev.conn) < count)
            (void)wsb_publish(h, &to, ev.opcode, ev.data, ev.len, NULL);
        else if (ev.type == WSB_EV_CLOSED || ev.type == WSB_EV_REVOKED)
            closed(ev.conn);
        else if (ev.type == WSB_EV_WELCOME)
            count = 0; /* everybody comes anew */
        example_log(h, &ev);
    }
    free(speakers);
    return example_end(h);
}
