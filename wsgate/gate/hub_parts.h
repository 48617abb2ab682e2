#ifndef WSG_GATE_HUB_PARTS_H
#define WSG_GATE_HUB_PARTS_H

/*
 * What the files of the hub share, and nobody else uses:
 *
 *     hub.c           rounds: what sessions said in, commands in, heartbeat
 *     hub_link.c      messages to handlers, in batches
 *     hub_express.c   a client's message straight into its handler's memory
 *     hub_deliver.c   each event to its owner: credit, what is kept, back-pressure, acknowledgement
 *     hub_undeliverable.c  what no handler gets done with
 *     hub_owner.c     whose a connection is: picking, moving, draining, death
 *     hub_ages.c      how long the oldest event of each route has been kept
 *     hub_admit.c     clients that wait until a handler accepts them
 *     hub_presence.c  who has joined and left, to the handlers that asked
 *     hub_groups.c    groups, users, tags, who gets what is published
 *     hub_publish.c   copies for subscribers
 *     hub_commands.c  what handlers say to connections
 *     hub_register.c  what handlers say of themselves
 */

#include "base/json.h"
#include "gate/hub.h"

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* ----------------------------------------------------------------------- hub.c */

/* What OPEN said, packed, for the next owner. False without memory: it is as it was. */
bool wsg_hub_keep_meta(struct wsg_hub *h, struct wsg_pin *p, struct wsb_span meta);

/* Run another round without sleeping. */
void wsg_hub_again(struct wsg_hub *h);
/* What such a round is for: one step of all that is done in steps. */
void wsg_hub_step(struct wsg_hub *h);

/* ------------------------------------------------------------------ hub_link.c */

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

/* ------------------------------------------------------------------ hub_ages.c */

/* Once a second: look for the oldest event of each route. It goes on in steps. */
void wsg_hub_ages_begin(struct wsg_hub *h);
void wsg_hub_ages_on(struct wsg_hub *h);

/* --------------------------------------------------------------- hub_publish.c */

void wsg_hub_publish_copy(struct wsg_hub *h, const struct wsg_pin *p, const struct wsb_envelope *e);
/* An event for whoever subscribed to its kind, whatever the route says of copies. */
void wsg_hub_publish(struct wsg_hub *h, const struct wsg_route *r, const struct wsb_envelope *e);
/* OPEN, as it is now, for whoever subscribed to its route. */
void wsg_hub_publish_open(struct wsg_hub *h, const struct wsg_pin *p);

/* --------------------------------------------------------------- hub_deliver.c */

/* It needs nothing but to be sent, and may be: nothing of its connection waits, its owner has room. */
bool wsg_hub_may_send(const struct wsg_pin *p);
/* The message with this header has been given to the owner. */
void wsg_hub_note_sent(struct wsg_hub *h, struct wsg_pin *p, const struct wsb_envelope *e);
void wsg_hub_charge(struct wsg_pin *p, const struct wsg_backlog_sum *added);
/* The next event of a connection: numbered, and sent, kept or dropped as the route says. The pin may be gone afterwards. */
void wsg_hub_deliver(struct wsg_hub *h, struct wsg_pin *p, struct wsb_envelope *e);
/* A new client of a route that has enough: it is let in, and not read. */
void wsg_hub_pause_if_full(struct wsg_hub *h, struct wsg_pin *p);
/* It has a new owner, or may go on: send what waits, as far as there is room. The pin may be gone afterwards. */
void wsg_hub_go_on(struct wsg_hub *h, struct wsg_pin *p);
/* Something changed for all connections of the handler: send on, read on. */
void wsg_hub_pump(struct wsg_hub *h, struct wsg_handler *to);
void wsg_hub_acked(struct wsg_hub *h, struct wsg_handler *from, wsb_conn conn, uint64_t seq);
/* The response has begun: the request is not given to anybody else any more. */
void wsg_hub_answered(struct wsg_hub *h, struct wsg_pin *p);
/* Take out one that was sent and has had its `limit` deliveries: accounted for as undeliverable; the caller's, NULL: none. */
struct wsg_kept *wsg_hub_take_spent(struct wsg_hub *h, struct wsg_pin *p, uint32_t limit);
/* It is about to leave its owner. If that has not acknowledged its OPEN, there is a place for another one. */
void wsg_hub_note_leaving(struct wsg_hub *h, const struct wsg_pin *p);
/* The client is gone and nothing of it is left to be done: the pin is gone. */
bool wsg_hub_end_if_over(struct wsg_hub *h, struct wsg_pin *p);
/* The pin ends; messages that are kept of it are counted as dropped. */
void wsg_hub_end_pin(struct wsg_hub *h, struct wsg_pin *p, enum wsg_in_drop reason);
/* Nobody will serve it: the session tells the client, nothing more of it is delivered. The pin may be gone afterwards. */
void wsg_hub_give_up(struct wsg_hub *h, struct wsg_pin *p, uint16_t status, const char *why, enum wsg_in_drop reason);
/* The same for what never had a pin. */
void wsg_hub_fail(struct wsg_hub *h, wsb_conn conn, uint16_t status, enum wsg_refusal reason, const char *why);
/* What is kept of it is forgotten, and messages among it are counted as dropped. */
void wsg_hub_drop_backlog(struct wsg_hub *h, struct wsg_pin *p, enum wsg_in_drop reason);
/* Go on with pausing all clients of handlers that have too much, for one step. */
void wsg_hub_pause_on(struct wsg_hub *h);
/* Look again soon whether those that are full have room. */
void wsg_hub_watch_room(struct wsg_hub *h);
void wsg_hub_on_room_timer(struct wsg_timer *t);

/* --------------------------------------------------------- hub_undeliverable.c */

/* An event that was delivered so often may be sent to the pin's owner now, and was. */
bool wsg_hub_may_try(struct wsg_hub *h, const struct wsg_pin *p, uint32_t deliveries);
void wsg_hub_note_try(struct wsg_hub *h, const struct wsg_pin *p, uint32_t deliveries);
/* The handler has acknowledged something: what was to be alone may be over, or begin. */
void wsg_hub_alone_on(struct wsg_hub *h, struct wsg_handler *to);
/* Once a second: nobody is waited for any longer than that. */
void wsg_hub_end_alone(struct wsg_hub *h, uint64_t now_ms);
/* The event's metadata says how often it has been delivered; valid until h->text is used again. */
void wsg_hub_say_deliveries(struct wsg_hub *h, struct wsb_envelope *e, uint32_t deliveries);
/* `from` has lost the pin: what it has not acknowledged may have been delivered often enough, and is set aside. False: the
 * pin is given up, or gone. */
bool wsg_hub_spare(struct wsg_hub *h, struct wsg_pin *p, const struct wsg_handler *from);

/* ----------------------------------------------------------------- hub_owner.c */

/* A route that has as much as it may keep. */
static inline bool wsg_hub_is_over_limit(const struct wsg_route *r)
{
    return r->retained.bytes >= r->policy.max_retained;
}

/* The route takes one more with this key: somebody serves it, or may come to. */
bool wsg_hub_has_place(const struct wsg_hub *h, const struct wsg_route *r, uint64_t key);
/* A new connection: into somebody's hands, or those of nobody for a while. False: it was failed, and the pin is gone. */
bool wsg_hub_place(struct wsg_hub *h, struct wsg_pin *p);
/* A handler is there, or serves other routes than before: it takes what waits, and what is better off with it. */
void wsg_hub_welcome_handler(struct wsg_hub *h, struct wsg_handler *to);
/* Connections that a key, or the routes that are served, give to somebody else now begin to move. */
void wsg_hub_rebalance(struct wsg_hub *h);
/* Go on, for one step, with what changes hands: of handlers that left, of nobody's, and of keys that say so. */
void wsg_hub_change_hands(struct wsg_hub *h);
/* The gate ends: a client that is not read any more is closed when everything of it has been dealt with. */
void wsg_hub_end_quiet(struct wsg_hub *h, struct wsg_pin *p);
void wsg_hub_drain_session(struct wsg_hub *h, wsb_conn conn);
/* It is gone, or as good as gone: its connections go to others, in steps, and it is freed. */
void wsg_hub_remove_handler(struct wsg_hub *h, struct wsg_handler *handler, enum wsg_going how, const char *why);
void wsg_hub_remove_dead(struct wsg_hub *h);
/* The owner has acknowledged all of a connection that moves. */
void wsg_hub_finish_move(struct wsg_hub *h, struct wsg_pin *p);
/* The handler answered a PING: whatever was sent before it has been seen. */
void wsg_hub_passed_barrier(struct wsg_hub *h, struct wsg_handler *from, uint64_t ping_seq);
/* Once a second: who hangs, or does not run. */
void wsg_hub_check_life(struct wsg_hub *h);
void wsg_hub_judge_on(struct wsg_hub *h); /* the rest of it */
/* What has waited too long. */
void wsg_hub_sweep(struct wsg_hub *h);
/* Among those that serve its routes, or not any more. Each may be said twice. */
void wsg_hub_count_in(struct wsg_hub *h, struct wsg_handler *handler);
void wsg_hub_count_out(struct wsg_hub *h, struct wsg_handler *handler);
void wsg_hub_ping(struct wsg_hub *h, struct wsg_handler *to);
/* Go on, for one step, with ending the responses that go on of handlers that drain. */
void wsg_hub_streams_on(struct wsg_hub *h);
/* A handler that drains may have nothing left, or something that can go now. */
void wsg_hub_drain_on(struct wsg_hub *h, struct wsg_handler *from);

/* ----------------------------------------------------------------- hub_admit.c */

/* It waits until it is accepted. `wanted`: it goes to this route then (NULL: it stays), and joins these groups, each ended by a NUL.
 * False without memory. */
bool wsg_hub_ask(struct wsg_pin *p, struct wsg_route *wanted, uint64_t key, struct wsb_span names);
/* Who was not there for it, should it fail now. */
enum wsg_refusal wsg_hub_refusal(const struct wsg_pin *p);
/* It is pending. False: there is nobody for it on the route that it wants, and it is to be told so instead. */
bool wsg_hub_can_admit(const struct wsg_hub *h, const struct wsg_pin *p);
/* It is accepted: it leaves its gatekeeper, if one was asked, and joins what it did not join before. */
void wsg_hub_admit(struct wsg_hub *h, struct wsg_pin *p);
/* And with the names that its ACCEPT gave it: into the hands of an owner. The pin may be gone afterwards. */
void wsg_hub_settle_in(struct wsg_hub *h, struct wsg_pin *p);
/* The session has sent the 101: the owner may hear of it. */
void wsg_hub_on_admitted(struct wsg_hub *h, const struct wsg_out *out);

/* -------------------------------------------------------------- hub_presence.c */

void wsg_hub_presence_init(struct wsg_presence *t);
/* The connection has joined the group, or left it; now it has so many members. */
void wsg_hub_tell_presence(struct wsg_hub *h, uint8_t type, const struct wsg_pin *p, struct wsb_span group,
                           size_t count);
/* A round is over: tell more, as far as a round reaches. */
void wsg_hub_presence_on(struct wsg_hub *h);

/* ---------------------------------------------------------------- hub_groups.c */

void wsg_hub_put_user(struct wsb_json *j, const struct wsg_hub *h, const struct wsg_pin *p);

/* The metadata of OPEN as it is now; valid until the next call. */
struct wsb_span wsg_hub_open_meta(struct wsg_hub *h, const struct wsg_pin *p);
/* User and first groups of a connection, as a session told them: its user is set, the groups are left. */
struct wsb_span wsg_hub_take_user(struct wsg_hub *h, struct wsg_pin *p, struct wsb_span list);
void wsg_hub_join_listed(struct wsg_hub *h, struct wsg_pin *p, struct wsb_span list);
bool wsg_hub_join(struct wsg_hub *h, struct wsg_pin *p, struct wsb_span name);
void wsg_hub_leave(struct wsg_hub *h, struct wsg_pin *p, struct wsb_span name);
void wsg_hub_leave_all(struct wsg_hub *h, struct wsg_pin *p);
/* "" for none. False when the name is too long, or memory is out. */
bool wsg_hub_set_user(struct wsg_hub *h, struct wsg_pin *p, struct wsb_span name);
bool wsg_hub_tag(struct wsg_hub *h, struct wsg_pin *p, const struct wsg_meta *m);
/*
 * Members of all that any of the audiences names, once each, into h->targets, without those that `meta` (NULL: none) excepts and those of routes
 * that the user may not command. False without memory.
 */
bool wsg_hub_gather(struct wsg_hub *h, const struct wsg_audience *to, size_t to_count, const struct wsg_meta *meta,
                    struct wsb_span user, size_t *ret_count);
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
void wsg_hub_list(struct wsg_hub *h, struct wsg_handler *to, uint64_t seq, const struct wsg_audience *of,
                  struct wsb_span user, uint32_t limit);

/* -------------------------------------------------------------- hub_commands.c */

/* One command of a handler (from NULL: of the commands endpoint, or of a peer that is not registered). `by` says who brought
 * it, and with which key. */
void wsg_hub_command(struct wsg_hub *h, const struct wsb_inbound *by, struct wsg_handler *from,
                     const struct wsb_envelope *e);

#endif
