#ifndef WSB_WS_DEFLATE_H
#define WSB_WS_DEFLATE_H

/*
 * permessage-deflate, RFC 7692 §6 and §7.2: the payload of one message, packed or unpacked. Both ends use it; what is a
 * client's and what a server's in the agreed parameters is settled when the connection is made.
 *
 * Without context takeover a connection needs no compressor of its own: those of its thread serve all. With it the
 * connection has one of its own for each direction that keeps its context, made at first use, and paid for in advance from
 * an account that all threads share.
 *
 *     one thread                        one connection
 *     wsb_deflate_shared ◀───────────── wsb_deflate ──▶ own inflater, own deflater (with takeover)
 *       inflater, deflaters, buffers      parameters
 *       account ──▶ (all threads)
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "ws/deflate_params.h"
#include "ws/frame.h"
#include "ws/message.h"
#include "wsbus/err.h"

/* Memory for contexts of their own, of all connections together. Safe from all threads. */
struct wsb_deflate_account {
    _Atomic size_t used;      /* bytes */
    size_t max;               /* set once */
    _Atomic uint64_t refused; /* those who wanted to keep a context and could not */
};

/* False: there is not so much left, which is counted. */
bool wsb_deflate_account_charge(struct wsb_deflate_account *a, size_t bytes);
void wsb_deflate_account_release(struct wsb_deflate_account *a, size_t bytes);

/* What the connections of one thread share. */
struct wsb_deflate_shared;

/* account: borrowed. Its compressors are made when they are first needed. */
WSB_MUST_CHECK wsb_err wsb_deflate_shared_new(struct wsb_deflate_shared **ret, struct wsb_deflate_account *account);
void wsb_deflate_shared_free(struct wsb_deflate_shared *s);
/* Give back what an unusually large message made the buffers grow to. Ends the lifetime of what was packed and unpacked. */
void wsb_deflate_shared_trim(struct wsb_deflate_shared *s);

/* One connection's side of it. */
struct wsb_deflate;

/**
 * Begin to compress a connection.
 *
 * @ret     the connection's state, to be freed before `shared`
 * @shared  borrowed; of the thread that the connection lives on
 * @role    our end
 * @params  what was agreed
 * @level   of zlib, 1 to 9
 *
 * Returns   WSB_OK; WSB_ERR_FULL the account has nothing left for contexts of its own: agree on none, and try again;
 *           WSB_ERR_NOMEM
 * Threads   that of `shared`
 */
WSB_MUST_CHECK wsb_err wsb_deflate_new(struct wsb_deflate **ret, struct wsb_deflate_shared *shared, enum wsb_role role,
                                       const struct wsb_deflate_params *params, int level);
void wsb_deflate_free(struct wsb_deflate *d);

const struct wsb_deflate_params *wsb_deflate_params_of(const struct wsb_deflate *d);

/**
 * Unpack a message in place of its packed form.
 *
 * @ev           a MESSAGE event with RSV1; afterwards it has the message itself, unmasked, text checked, RSV1 gone
 * @max_message  bytes that it may have; memory is taken only as far as that
 *
 * Returns   WSB_OK; WSB_ERR_PROTO it is not DEFLATE data, or not all of it; WSB_ERR_LIMIT; WSB_ERR_UTF8; WSB_ERR_NOMEM:
 *           after any failure the connection is to be failed
 * Lifetime  ev->payload until the next call for any connection of this thread
 * Source    RFC 7692 §6.2, §7.2.2
 */
WSB_MUST_CHECK wsb_err wsb_deflate_unpack(struct wsb_deflate *d, struct wsb_ws_event *ev, size_t max_message);

/**
 * The same in steps, for what may take long: a few bytes can make very many.
 *
 * @budget   bytes to be made of it, about; afterwards what is left of them. Bytes that are read count as well
 *
 * Returns   as above; and WSB_AGAIN: it is half done, what it needs of ev has been copied, and the next call for this connection is
 *           wsb_deflate_unpack_more() or wsb_deflate_free()
 */
WSB_MUST_CHECK wsb_err wsb_deflate_unpack_some(struct wsb_deflate *d, struct wsb_ws_event *ev, size_t max_message,
                                               size_t *budget);
/* Go on with it; WSB_AGAIN: it is still not done. *ret_ev is set with WSB_OK. */
WSB_MUST_CHECK wsb_err wsb_deflate_unpack_more(struct wsb_deflate *d, struct wsb_ws_event *ret_ev, size_t *budget);
/* Bytes that a message which is half unpacked keeps; 0: there is none. */
size_t wsb_deflate_unpacking_held(const struct wsb_deflate *d);

/* How a packed message depends on others. */
enum wsb_deflate_context {
    WSB_DEFLATE_IN_ORDER, /* it may refer to earlier ones, as agreed: it must be sent, and in this order */
    WSB_DEFLATE_ALONE     /* it refers to none and none to it: it may be dropped, and sent to many */
};

/**
 * Pack a message.
 *
 * @ret   the payload of its one frame, which is to have RSV1
 *
 * Returns   WSB_OK; WSB_AGAIN it would not become smaller: send it as it is; WSB_ERR_NOMEM likewise
 * Lifetime  *ret until the next call for any connection of this thread
 * Source    RFC 7692 §6.1, §7.2.1
 */
WSB_MUST_CHECK wsb_err wsb_deflate_pack(struct wsb_deflate *d, enum wsb_deflate_context context,
                                        struct wsb_span payload, struct wsb_span *ret);

/* What was packed last, in order, is not sent after all: nothing later may refer to it. */
void wsb_deflate_forget(struct wsb_deflate *d);

/* Two connections with the same number here get the same bytes of a message that is packed alone. Never 0. */
unsigned wsb_deflate_alone_kind(const struct wsb_deflate *d, size_t payload_len);

#endif
