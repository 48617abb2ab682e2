#ifndef WSB_LINK_ZAP_H
#define WSB_LINK_ZAP_H

/*
 * The doorkeeper of a ZeroMQ context: sockets with keys ask it whom to let in (ZeroMQ RFC 27). Those who are let in have
 * their public key as the User-Id of all they send.
 *
 * Threads   one at a time
 */

#include <stdint.h>

#include "link/curve.h"

enum { WSB_PEER_ADDRESS = 64 };

/* Events are not kept apart by route: who is limited to routes has no business there. */
#define WSB_ZAP_ALL_ROUTES "all-routes"
#define WSB_ZAP_ANY_KEY    "any-key"

struct wsb_zap {
    void *socket;                  /* owned */
    const struct wsb_curve *curve; /* borrowed */
    uint64_t allowed, refused;
    char last_key[WSB_KEY_TEXT];         /* that was refused */
    char last_address[WSB_PEER_ADDRESS]; /* where from */
};

/* Before the sockets that ask. */
WSB_MUST_CHECK wsb_err wsb_zap_open(struct wsb_zap *z, void *context, const struct wsb_curve *curve);
void wsb_zap_close(struct wsb_zap *z);
/* Answer what was asked; bounded. */
void wsb_zap_serve(struct wsb_zap *z);

#endif
