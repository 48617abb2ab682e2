#ifndef WSG_HUB_INCOMING_H
#define WSG_HUB_INCOMING_H

/* A command on its way through the hub: commands.c carries out what is for connections, register.c what a handler says
 * of itself. */

#include "hub/link.h"

struct wsg_incoming {
    struct wsg_hub *hub;
    struct wsb_span peer; /* empty on the commands endpoint */
    struct wsb_span user; /* the key it came with; empty: a local peer */
    const struct wsb_inbound *by;
    struct wsg_handler *from; /* NULL: not registered, or the commands endpoint */
    const struct wsb_envelope *e;
    struct wsg_meta *meta; /* of the command; an empty one that nobody writes to when it has none */
};

static inline void wsg_refuse(const struct wsg_incoming *in, enum wsb_error_code code, const char *text)
{
    wsg_hub_error(in->hub, in->peer, code, in->e->header.seq, text);
}

/* register.c: a handler is not registered. The log says so, for whoever reads that and not the handler's stderr. */
void wsg_refuse_hello(const struct wsg_incoming *in, enum wsb_error_code code, const char *text);

/* register.c; all but HELLO and LOG come from a registered handler */
void wsg_on_hello(const struct wsg_incoming *in);
void wsg_on_credit(const struct wsg_incoming *in);
void wsg_on_ack(const struct wsg_incoming *in);
void wsg_on_working(const struct wsg_incoming *in);
void wsg_on_log(const struct wsg_incoming *in);
void wsg_on_pong(const struct wsg_incoming *in);

#endif
