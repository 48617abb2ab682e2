#ifndef WSG_SESSION_COMPRESS_H
#define WSG_SESSION_COMPRESS_H

/*
 * permessage-deflate for the clients of one worker: what is agreed with each, which messages are packed, and what all who
 * get the same message share of the work. docs/adr/0009 says why it is done this way.
 */

#include "session/session.h"
#include "ws/handshake.h"
#include "ws/message.h"

/* As it goes out: framed already, for several queues, or a payload to be framed. */
struct wsg_outgoing {
    struct wsg_shared *frame; /* borrowed; NULL: there is only the payload */
    struct wsb_span payload;  /* borrowed */
    uint8_t rsv;              /* of the frame's header */
};

/* Agree with a client, as far as it offers and its route allows. False: out of memory. */
bool wsg_compress_agree(struct wsg_session *s, const struct wsb_handshake_request *req);
/* What was agreed with a server of which we are the client. WSB_ERR_FULL: compress_memory is used up. */
WSB_MUST_CHECK wsb_err wsg_compress_begin_client(struct wsg_session *s, const struct wsb_deflate_params *params);
/* "permessage-deflate; …" as it was answered; "" when nothing was agreed. */
const char *wsg_compress_text(const struct wsg_session *s, char text[WSB_DEFLATE_TEXT_SIZE]);
/* No more messages, either way. */
void wsg_compress_end(struct wsg_session *s);

/* A message of the client that came packed. WSB_AGAIN: it is so much work that it is done in steps; what ev had has been copied, and no
 * other may be unpacked before unpack_more() has said something else. */
WSB_MUST_CHECK wsb_err wsg_compress_unpack(struct wsg_session *s, struct wsb_ws_event *ev);
WSB_MUST_CHECK wsb_err wsg_compress_unpack_more(struct wsg_session *s, struct wsb_ws_event *ret_ev);
/* Bytes that a message which is half unpacked keeps; 0: there is none. */
size_t wsg_compress_held(const struct wsg_session *s);

/* Pack a message for the client if that is worth it; what it says is good until the next call. `may_be_dropped`: from the queue. */
void wsg_compress_pack(struct wsg_session *s, const struct wsg_command *c, bool may_be_dropped,
                       struct wsg_outgoing *out);
/* It could not be queued. */
void wsg_compress_undo(struct wsg_session *s);

/* The round is over: what was shared in it is given back. */
void wsg_compress_round_end(struct wsg_env *env);

#endif
