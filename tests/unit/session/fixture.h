#ifndef UNIT_SESSION_FIXTURE_H
#define UNIT_SESSION_FIXTURE_H

/*
 * A client and its session over a socket pair, without a gate; what the bus would hear is noted. Compiled with FIXTURE_TLS
 * they speak TLS with each other, and everything else must be the same.
 */

#include "support/test.h"

#include "session/session.h"
#include "tls/stream.h"

struct fixture {
    struct wsg_env env;
    struct wsg_routes routes;
    struct wsg_gatekeeping gatekeeping;
    struct wsg_entrance entrance;
    int client;
    struct wsb_tls_stream *tls; /* owned; the client's end; NULL: plain */
    struct wsb_span wire;       /* of wire_bytes: records that it has not looked at */
    uint8_t wire_bytes[4096];
    char events[4096]; /* "open data:hello closed", with the words that matter */
    char replies[1024];
    wsb_conn conn;   /* of the latest event */
    char meta[2048]; /* of the latest event that had one */
    uint32_t places; /* that came with OPEN; nobody gives them back */
    uint64_t key;    /* of the latest OPEN or REQUEST, with the next two */
    bool is_idempotent;
    char who[256]; /* NULs as commas */
    uint8_t got[1 << 20];
    size_t got_len;
    bool reads_nothing;     /* the client */
    uint8_t outcomes[8192]; /* by seq of the command, where it has one, plus 1; 0: none yet */
    unsigned writables;
};

static const char handshake[] = "GET /ws/a%20b?q=1 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                                "Sec-WebSocket-Protocol: nope, two\r\nOrigin: http://o\r\n\r\n";

struct wsg_route_policy policy_of(bool by_handler, bool close_without);
/* As if one handler were there that serves these; 0: none ever was. */
void serve_route(struct wsg_route *r, unsigned kinds);
void add_policy(struct fixture *f, const char *name, const char *path, const struct wsg_route_policy *p);
void add_route(struct fixture *f, const char *name, const char *path, bool by_handler, bool close_without);
void connect_client(struct fixture *f);
int setup(void **state);
/* One round, as the worker does it; what the bus hears is noted, what the client gets is kept. */
void hear_round(struct fixture *f);
void turn(struct fixture *f); /* a few of them */
/* The client's plain bytes; reading is not ended by the end of a record. */
void client_write(struct fixture *f, const void *data, size_t len);
size_t client_read(struct fixture *f, uint8_t *to, size_t cap);
void say(struct fixture *f, const void *data, size_t len);
void say_text(struct fixture *f, const char *text);
void say_frame(struct fixture *f, uint8_t first, const char *payload);
void forget(struct fixture *f);
void order(struct fixture *f, struct wsg_command c); /* and what follows from it is for the next round */
void tell(struct fixture *f, struct wsg_command c);
void fire_timer(struct fixture *f); /* of the session, as if its time had come */
void hang_up(struct fixture *f);
int teardown(void **state);
void open_websocket(struct fixture *f);

#define HAS(text, part)                                                                                                \
    do {                                                                                                               \
        if (!strstr((const char *)(text), part))                                                                       \
            fail_msg("'%s' is not in '%s'", part, (const char *)(text));                                               \
    } while (0)

#endif
