#ifndef WSG_SESSION_SECURE_H
#define WSG_SESSION_SECURE_H

/*
 * TLS of a session: between its socket and everything else. A session without TLS has a pointer that is NULL, and nothing
 * more. What waits for the client waits as plain bytes in the session's queue, and is sealed when the socket has room:
 * limits, positions and outcomes mean the same with TLS as without.
 *
 * Threads   the tally any; the rest the worker's
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "tls/context.h"
#include "tls/stream.h"

/* Why a handshake came to nothing: a reason of the stream's, or one of ours. */
enum {
    WSG_SECURE_TIMEOUT = WSB_TLS_REASONS, /* it took too long */
    WSG_SECURE_LEFT,                      /* the client went away in the middle */
    WSG_SECURE_PLAIN,                     /* it spoke plain HTTP */
    WSG_SECURE_FAILURES
};
const char *wsg_secure_failure_name(int failure);

enum { WSG_SECURE_VERSIONS = 2 }; /* enum wsb_tls_version */

/* Of the whole gate. */
struct wsg_secure_tally {
    _Atomic uint64_t done[WSG_SECURE_VERSIONS]; /* handshakes */
    _Atomic uint64_t resumed;                   /* of them */
    _Atomic uint64_t failed[WSG_SECURE_FAILURES];
    _Atomic uint64_t held;      /* times that no client was accepted because too many handshakes were under way */
    _Atomic uint64_t truncated; /* connections that ended without close_notify */
};

/* What the sessions of a worker share. */
struct wsg_secure_env {
    struct wsg_secure_tally *tally; /* borrowed */
    uint32_t handshakes_max;
    uint32_t handshakes; /* under way */
    uint8_t *scratch;    /* owned; NULL until there is a session with TLS */
    uint64_t round_us;   /* the round that the next one is about */
    uint64_t spent_us;   /* on handshakes in it */
};

void wsg_secure_env_deinit(struct wsg_secure_env *e);

/* Of one session, for those who show it; the strings are the session's. */
struct wsg_secure_info {
    const char *version; /* "TLSv1.3" */
    const char *cipher;
    const char *name;        /* that it asked for; NULL: none */
    const char *subject;     /* of its certificate; NULL: it showed none; "": too long */
    const char *fingerprint; /* of its certificate; NULL: it showed none */
    bool is_resumed;
};

struct wsg_session;

/* The first byte of its ClientHello has come; without TLS none ever has. */
/* The client has said by TLS that this was all: nothing more comes but what was read. */
bool wsg_secure_has_ended(const struct wsg_session *s);
bool wsg_secure_has_begun(const struct wsg_session *s);
/* False: there is no TLS, or no handshake yet. */
bool wsg_secure_info(const struct wsg_session *s, struct wsg_secure_info *ret);

#endif
