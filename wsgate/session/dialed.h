#ifndef WSG_SESSION_DIALED_H
#define WSG_SESSION_DIALED_H

/*
 * A WebSocket that the gate has opened itself, as a client. Somebody else has done what takes its time: the name, the
 * connection, TLS, the handshake. From here on it is a session like the others, of a route, and handlers are told of it in
 * OPEN; only that its frames are masked, and those of its peer are not (RFC 6455 §5.1).
 *
 * Threads   the worker's
 */

#include "session/session.h"

struct wsg_dialed {
    /* What is handed over. Owned things are taken, also on failure; the rest is borrowed for the call. */
    int fd;
    struct wsb_tls_stream *tls; /* owned; NULL: plain */
    struct wsb_buf unread;      /* owned; plain bytes that came with the answer */
    struct wsg_route *route;
    const char *name;   /* of the dial */
    const char *url;    /* as it was dialed */
    const char *target; /* the same for people to see: without its query */
    const char *path;   /* with the query */
    const char *host;
    const char *subprotocol; /* "": none */
    const char *user;        /* NULL: none */
    const struct wsg_texts *groups;
    const char *fields; /* header lines of the answer, each with CR LF */
    bool is_compressed;
    struct wsb_deflate_params deflate;

    /* Called once when the connection is gone, if it ever was. */
    void (*ended)(struct wsg_dialed *d);

    /* Filled in meanwhile. */
    struct wsg_session *session; /* borrowed; NULL: there is none, or no more */
    wsb_conn id;
    uint64_t opened_ms;
    uint64_t ended_ms;
    uint16_t close_code; /* 0: not closed yet */
    uint8_t close_by;    /* enum wsg_by */
    char close_reason[128];
    struct wsg_dialed *next; /* of the worker's */
};

/*
 * Returns   WSB_OK: it is open, or already on its way out, and d->ended will be called; WSB_ERR_FULL nothing is left for compressors
 *           that keep their context, WSB_ERR_NOMEM, WSB_ERR_LIMIT, WSB_ERR_IO: it is not, and will not
 * Lifetime  d until d->ended, which must not free it
 */
WSB_MUST_CHECK wsb_err wsg_session_adopt(struct wsg_env *env, struct wsg_dialed *d);

#endif
