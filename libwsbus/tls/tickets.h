#ifndef WSB_TLS_TICKETS_H
#define WSB_TLS_TICKETS_H

/*
 * The keys under which a server seals sessions into tickets that its clients keep (RFC 8446 §4.6.1, RFC 5077). Whoever
 * has such a key can read what was said under the sessions of TLS 1.2, so keys live in memory only, and not for long: each rotation
 * makes a new one and forgets the oldest of three.
 *
 * Threads   any
 */

#include "wsbus/err.h"

/* A ticket is good for two hours, so with a rotation each hour nothing is forgotten too early. */
enum { WSB_TLS_TICKET_SECONDS = 7200, WSB_TLS_ROTATE_SECONDS = 3600 };

struct wsb_tls_tickets;

WSB_MUST_CHECK wsb_err wsb_tls_tickets_new(struct wsb_tls_tickets **ret); /* one reference */
struct wsb_tls_tickets *wsb_tls_tickets_ref(struct wsb_tls_tickets *t);
void wsb_tls_tickets_unref(struct wsb_tls_tickets *t);
/* WSB_ERR_INTERNAL: no randomness to be had; the keys stay as they are. */
WSB_MUST_CHECK wsb_err wsb_tls_tickets_rotate(struct wsb_tls_tickets *t);

#endif
