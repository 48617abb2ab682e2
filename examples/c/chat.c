/*
 * Rooms. A client of /chat/{room} is in the group "room:<room>" of its room; what it says goes to all of the group, itself
 * included, as it is: a JSON object {"from": …, "text": …}, which only the clients look into. "*" tells who comes and goes.
 * Several of these, and examples/python/chat.py, serve one route together, because groups belong to the gate.
 */
#include "start.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 4096, ROOM_MAX = 128, PEER_MAX = 128 };

/* Who is here, to say goodbye to them: CLOSED tells the connection and nothing else. */
struct member {
    wsb_conn conn;
    char group[sizeof "room:" + ROOM_MAX];
    char peer[PEER_MAX];
};

static struct member *members;
static size_t count;

static struct member *find(wsb_conn conn)
{
    for (size_t i = 0; i < count; i++) {
        if (members[i].conn == conn)
            return &members[i];
    }
    return NULL;
}

static struct member *add(const struct wsb_event *ev)
{
    const char *room = wsb_event_str(ev, "params.room");
    const char *peer = wsb_event_str(ev, "peer");
    if (!room || !*room || strlen(room) > ROOM_MAX || !peer || strlen(peer) >= PEER_MAX || strpbrk(peer, "\"\\"))
        return NULL;
    struct member *more = realloc(members, (count + 1) * sizeof *members);
    if (!more)
        return NULL;
    members = more;
    struct member *m = &members[count++];
    m->conn = ev->conn;
    (void)snprintf(m->group, sizeof m->group, "room:%s", room);
    (void)snprintf(m->peer, sizeof m->peer, "%s", peer);
    return m;
}

static void announce(wsb_handler h, const struct member *m, const char *what)
{
    char text[PEER_MAX + 64];
    int len = snprintf(text, sizeof text, "{\"from\":\"*\",\"text\":\"%s %s\"}", m->peer, what);
    (void)wsb_publish(h, &(struct wsb_audience){.group = m->group}, WSB_TEXT, text, (size_t)len, NULL);
}

static void opened(wsb_handler h, const struct wsb_event *ev)
{
    struct member *m = add(ev);
    if (!m || !wsb_join(h, ev->conn, m->group))
        (void)wsb_close(h, ev->conn, 1008, "no such room");
    else if (!ev->redelivered)
        announce(h, m, "joined");
}

static void said(wsb_handler h, const struct wsb_event *ev)
{
    const struct member *m = find(ev->conn);
    if (ev->opcode != WSB_TEXT || ev->len > TEXT_MAX)
        (void)wsb_close(h, ev->conn, ev->opcode == WSB_TEXT ? 1009 : 1003, "text of at most 4 KiB, please");
    else if (m)
        (void)wsb_publish(h, &(struct wsb_audience){.group = m->group}, WSB_TEXT, ev->data, ev->len, NULL);
}

static void left(wsb_handler h, const struct wsb_event *ev)
{
    struct member *m = find(ev->conn);
    if (!m)
        return;
    if (ev->type == WSB_EV_CLOSED) /* otherwise another handler has the connection now */
        announce(h, m, "left");
    *m = members[--count];
}

int main(int argc, char **argv)
{
    struct example e = {
        "wsbus-chat", "Chat in rooms: the path of the route has a parameter {room}.", {"chat"}, WSB_KIND_WEBSOCKET};
    wsb_handler h = example_start(&e, argc, argv);
    struct wsb_event ev;

    while (example_next(h, &ev)) {
        if (ev.type == WSB_EV_OPEN)
            opened(h, &ev);
        else if (ev.type == WSB_EV_DATA)
            said(h, &ev);
        else if (ev.type == WSB_EV_CLOSED || ev.type == WSB_EV_REVOKED)
            left(h, &ev);
        else if (ev.type == WSB_EV_WELCOME)
            count = 0; /* another gate, or another start of it: everybody comes anew */
        example_log(h, &ev);
    }
    free(members);
    return example_end(h);
}
