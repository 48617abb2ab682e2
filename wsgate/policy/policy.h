#ifndef WSG_POLICY_POLICY_H
#define WSG_POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A list of words of the configuration, which owns them; who acts by it borrows the whole. */
struct wsg_texts {
    char **at;
    size_t count;
};

/* Pages of which other origins may read what is answered, and send what; base/origin.h says how origins are written. */
struct wsg_cors {
    struct wsg_texts origins; /* none: the gate says nothing about it */
    struct wsg_texts methods; /* none: those that are served; besides them GET, HEAD and POST where those are */
    struct wsg_texts headers; /* "any" alone: any */
    struct wsg_texts expose;  /* of responses */
    bool credentials;
    uint32_t max_age_ms; /* that a browser may remember the answer */
};

/* What a route does when somebody does not keep up: the words that the configuration and those who act by it share. */

/* When a handler is full: what becomes of the messages for it. */
enum wsg_when_full { WSG_FULL_PAUSE, WSG_FULL_DROP_NEW, WSG_FULL_DROP_OLD, WSG_FULL_CLOSE };

/* When a client is slow: what becomes of the messages to it. The first is for commands only: as the route says. */
enum wsg_slow { WSG_SLOW_AS_ROUTE, WSG_SLOW_CLOSE, WSG_SLOW_DROP_NEW, WSG_SLOW_DROP_OLD, WSG_SLOW_CONFLATE };

/* What proxies in front of the gate write the client's address into. */
enum wsg_forwarded_by { WSG_BY_NO_HEADER, WSG_BY_X_FORWARDED, WSG_BY_FORWARDED };

/* How the access log is written. */
enum wsg_access_format { WSG_ACCESS_COMBINED, WSG_ACCESS_JSON };

/* When a client sends more than its route allows in a second. */
enum wsg_over_rate { WSG_RATE_PAUSE, WSG_RATE_CLOSE };

/* Why somebody was not let in. The first are said of connections, the others of handshakes and requests too. */
enum wsg_refusal {
    WSG_REFUSED_CONNECTIONS, /* as many as may be */
    WSG_REFUSED_MEMORY,
    WSG_REFUSED_ADDRESS,     /* allow and deny */
    WSG_REFUSED_PER_ADDRESS, /* as many of that address as may be */
    WSG_REFUSED_RATE,        /* new ones of that address come too fast */
    WSG_REFUSED_PROXY,       /* no header of the PROXY protocol, or a bad one */
    WSG_REFUSED_ORIGIN,
    WSG_REFUSED_SUBPROTOCOL,
    WSG_REFUSED_TOKEN, /* none, or none that is good */
    WSG_REFUSED_NO_HANDLER,
    WSG_REFUSED_DRAINING,
    WSG_REFUSED_BY_HANDLER, /* REJECT */
    WSG_REFUSED_NO_GATEKEEPER,
    WSG_REFUSED_ACCEPT_TIMEOUT,  /* neither ACCEPT nor REJECT */
    WSG_REFUSED_MALFORMED,       /* a handshake, or a request, that is none */
    WSG_REFUSED_BODY_SIZE,       /* 413 */
    WSG_REFUSED_BODY_TIMEOUT,    /* the body of a request did not come in time */
    WSG_REFUSED_REQUEST_TIMEOUT, /* the handler did not answer in time */
    WSG_REFUSED_METHOD,          /* 405 */
    WSG_REFUSED_PREFLIGHT,       /* of CORS */
    WSG_REFUSED_KIND,            /* WebSocket where only HTTP is served, or the other way round */
    WSG_REFUSED_HANDSHAKE_RATE,  /* WebSocket handshakes come too fast */
    WSG_REFUSED_PENDING,         /* as many as may be wait for a handler */
    WSG_REFUSED_SILENT,          /* it said nothing, and others wanted to come in */
    WSG_REFUSED_OTHER,
    WSG_REFUSALS
};

/* Why the gate ended a response that had begun and was not complete. */
enum wsg_cut {
    WSG_CUT_SILENT,       /* its handler said nothing for stream_timeout */
    WSG_CUT_SLOW,         /* the client took nothing, or its queue was full */
    WSG_CUT_REFUSED_PART, /* its handler went on behind a part that was refused */
    WSG_CUT_BODY_TIMEOUT, /* the rest of the request did not come in time */
    WSG_CUT_BODY,         /* the rest of the request is malformed, or too long */
    WSG_CUT_HANDLER,      /* its handler is gone */
    WSG_CUT_DRAINING,     /* a stream of events, in good order */
    WSG_CUT_MEMORY,
    WSG_CUTS
};

/* Why the gate ended a WebSocket connection that was open. */
enum wsg_ending {
    WSG_ENDED_PING, /* no answer */
    WSG_ENDED_IDLE,
    WSG_ENDED_LIFETIME,
    WSG_ENDED_TOKEN, /* it has expired */
    WSG_ENDED_RATE,
    WSG_ENDED_PROTOCOL, /* 1002 */
    WSG_ENDED_TEXT,     /* 1007 */
    WSG_ENDED_TOO_BIG,  /* 1009 */
    WSG_ENDED_SLOW,     /* the client did not take what was for it */
    WSG_ENDED_HANDLER,  /* none, or a full one */
    WSG_ENDED_DRAINING,
    WSG_ENDED_MEMORY,
    WSG_ENDED_MESSAGE,    /* it took too long to come */
    WSG_ENDED_UNFINISHED, /* messages that had begun took too much memory, and it held the most of it */
    WSG_ENDINGS
};
/* Whether a listener asks its clients for certificates. */
enum wsg_client_certificates { WSG_CLIENTS_NONE, WSG_CLIENTS_OPTIONAL, WSG_CLIENTS_REQUIRED };

enum wsg_no_handler { WSG_NO_HANDLER_REFUSE, WSG_NO_HANDLER_CLOSE, WSG_NO_HANDLER_WAIT };

#endif
