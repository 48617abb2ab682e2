#ifndef WSG_HUB_LINK_H
#define WSG_HUB_LINK_H

/* Messages to handlers, in batches, and to peers that may not be registered. */

#include "hub/hub.h"

/* The link by which a peer comes. */
static inline struct wsb_server *wsg_hub_server_of(const struct wsg_hub *h, struct wsb_span peer)
{
    return h->shm && peer.len && peer.ptr[0] == WSB_DOOR_SHM ? h->shm : h->server;
}

static inline struct wsb_server *wsg_hub_server_for(const struct wsg_hub *h, const struct wsg_handler *to)
{
    return wsg_hub_server_of(h, wsb_span(to->peer, to->peer_len));
}

/* Send one message to a handler; with a batch it leaves at the end of the round. False: it is dead, or memory is out. */
bool wsg_hub_send(struct wsg_hub *h, struct wsg_handler *to, const struct wsb_envelope *e);
/* An event without payload, of no connection (0) or of one, with a reason (NULL: without metadata; words of ours). */
void wsg_hub_tell(struct wsg_hub *h, struct wsg_handler *to, uint8_t type, uint8_t flags, wsb_conn conn,
                  const char *reason);
void wsg_hub_ping(struct wsg_hub *h, struct wsg_handler *to);
/* Count a command, or one target of it, that is not carried out. An empty peer: it came by `commands`. */
void wsg_hub_failed(struct wsg_hub *h, struct wsb_span peer, enum wsg_failing why);
void wsg_hub_error(struct wsg_hub *h, struct wsb_span peer, enum wsb_error_code code, uint64_t seq, const char *text);
/* Straight to a peer that may not be registered. */
void wsg_hub_send_peer(struct wsg_hub *h, struct wsb_span peer, const struct wsb_envelope *e);
void wsg_hub_mark_dead(struct wsg_hub *h, struct wsg_handler *to);
void wsg_hub_flush_batches(struct wsg_hub *h);
void wsg_hub_send_batch(struct wsg_hub *h, struct wsg_handler *to); /* now, if it has one */
/* A message for a handler that does not acknowledge is in its batch, or on its way. */
void wsg_hub_count_handed(struct wsg_handler *to, struct wsg_route *route);
/* A block with a copy of the payload; NULL without memory, or when too much is under way already. */
struct wsb_block *wsg_hub_copy_block(struct wsb_account *account, size_t limit, struct wsb_span payload);

/* A peer with a key that is limited to routes may serve and command only those. */
static inline bool wsg_hub_allows(const struct wsg_hub *h, struct wsb_span user, const struct wsg_route *r)
{
    return user.len == 0 || wsb_server_allows(h->server, user, r->name);
}

/* It may use only its own names of groups, users and tags, and those that it was granted. */
static inline bool wsg_hub_allows_name(const struct wsg_hub *h, struct wsb_span user, struct wsb_span name)
{
    return user.len == 0 || wsb_server_allows_name(h->server, user, name);
}

#endif
