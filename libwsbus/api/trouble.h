#ifndef WSB_API_TROUBLE_H
#define WSB_API_TROUBLE_H

/*
 * What keeps a handler from being registered, in one line for a human, and when that line is due. The helpers in Python and
 * Node have the same lines at the same times; tests/vectors/trouble.json is what all of them are tested with.
 *
 * Pure: no clock, no descriptor. A line is made when it is due and waits for whoever can tell it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "wsbus/err.h"
#include "wsbus/msg.h"

enum {
    WSB_TROUBLE_LINE = 1024, /* bytes of a line, with its end */
    WSB_TROUBLE_WHY = 160,   /* bytes of the gate's own words in it */
    WSB_TROUBLE_ROUTES = 8,  /* routes that are named in it */
    WSB_TROUBLE_FIRST_MS = 10000,
    WSB_TROUBLE_LAST_MS = 300000,
    WSB_TROUBLE_LEAST_MS = 1000
};

/* What is wrong. */
enum wsb_trouble_kind {
    WSB_TROUBLE_NONE,      /* registered */
    WSB_TROUBLE_ABSENT,    /* no socket in the directory */
    WSB_TROUBLE_DENIED,    /* a socket, or a directory, that we may not use */
    WSB_TROUBLE_DEAF,      /* nobody listens */
    WSB_TROUBLE_HANDSHAKE, /* the connection ends before ZeroMQ's handshake is over: keys, as a rule */
    WSB_TROUBLE_LINK,      /* shared memory was asked for and nothing else, and the gate refuses it */
    WSB_TROUBLE_REFUSED,   /* the gate answers HELLO with ERROR */
    WSB_TROUBLE_MUTE,      /* the gate does not answer HELLO */
    WSB_TROUBLE_KINDS
};

struct wsb_trouble {
    char *who;           /* owned: "handler 'a' (route 'b')" */
    char *where;         /* owned: the runtime directory, or the endpoint */
    char public_key[41]; /* ours; "" without keys */
    enum wsb_trouble_kind kind;
    char why[WSB_TROUBLE_WHY];
    uint64_t told_ms;     /* when the last line was due */
    uint64_t again_ms;    /* when the next one is, if nothing changes */
    uint64_t interval_ms; /* 0: no line of the present trouble was due */
    bool is_told;         /* a line was due since the last registration */
    bool is_pending;      /* line waits to be told */
    enum wsb_level level; /* of line */
    char line[WSB_TROUBLE_LINE];
};

/*
 * Begin without trouble.
 *
 * @endpoint  "ipc://DIR/handlers" or "tcp://HOST:PORT"
 *
 * Returns   WSB_OK, WSB_ERR_NOMEM
 */
WSB_MUST_CHECK wsb_err wsb_trouble_init(struct wsb_trouble *t, const char *name, const char *const *routes,
                                        size_t route_count, const char *endpoint);
/* The connection is made with keys, and this is our public one. */
void wsb_trouble_set_key(struct wsb_trouble *t, const char *public_key);
void wsb_trouble_deinit(struct wsb_trouble *t); /* accepts one that was never begun */

/*
 * Note what is wrong now, as often as it is looked at. The line becomes pending at once when the trouble is another one than
 * before, then after 10 s, 20 s, 40 s, …, 5 minutes; never twice within a second. A registration that ends a trouble that was
 * told makes one line.
 *
 * @why   the words of the gate or of the link; "" without. Bytes that do not belong on a terminal become '?'
 */
void wsb_trouble_note(struct wsb_trouble *t, enum wsb_trouble_kind kind, const char *why, uint64_t now_ms);

/* The path of a local gate's socket; NULL: it is not a local one. */
const char *wsb_trouble_directory(const struct wsb_trouble *t);

#endif
