#ifndef WSB_ZMTP_PEER_H
#define WSB_ZMTP_PEER_H

/*
 * What one ZeroMQ peer says, from its greeting to its messages, by ZMTP 3.0 and 3.1 with NULL or CURVE. Pull: the caller shows
 * the bytes that it has and asks for the next event.
 *
 *     while ((err = wsb_zmtp_next(&peer, in, len, random, &event, &used)) == WSB_OK) {
 *         ... handle event: its spans lie in `in` ...
 *         in += used, len -= used;
 *     }
 *     if (err == WSB_MORE) ... show these bytes again, with more behind them: wsb_zmtp_wanted() says how many there will be ...
 *
 * The parts of a message stay where they arrived, one behind the other. With CURVE they are decrypted in place as they come, so
 * the bytes that are shown again must be those that the last call left, in whatever place.
 *
 *                    64 bytes                 CURVE: HELLO             INITIATE
 *     GREETING ──────────────────▶ HELLO ────────────────▶ INITIATE ─────────────▶ TRAFFIC
 *         └───────NULL───────────▶ READY ─────────────────READY──────────────────────▲
 *     any ──broken rule──▶ FAILED
 *
 * Pure. Source: RFC 37, RFC 23 (3.0, whose peers subscribe with messages), RFC 25.
 */

#include "zmtp/command.h"
#include "zmtp/curvezmq.h"
#include "zmtp/frame.h"
#include "zmtp/greeting.h"

enum {
    WSB_ZMTP_PARTS = 3,       /* that are handed out */
    WSB_ZMTP_PARTS_MAX = 64,  /* a message of more ends its peer */
    WSB_ZMTP_SHAKE_MAX = 2048 /* bytes of a command of the handshake */
};

/* What we are to the peer. */
enum wsb_zmtp_role { WSB_ZMTP_ROUTER, WSB_ZMTP_XPUB, WSB_ZMTP_PULL };

/* What holds for all peers of an endpoint. */
struct wsb_zmtp_rules {
    enum wsb_zmtp_role role;
    const struct wsb_curvezmq_server *curve; /* borrowed; NULL: without keys */
    size_t max_frame;                        /* bytes of one part */
    size_t max_message;                      /* of all parts of a message, with their heads */
};

enum wsb_zmtp_state {
    WSB_ZMTP_GREETS,
    WSB_ZMTP_HELLO,
    WSB_ZMTP_INITIATE,
    WSB_ZMTP_READY,
    WSB_ZMTP_TRAFFIC,
    WSB_ZMTP_FAILED
};

struct wsb_zmtp_peer {
    const struct wsb_zmtp_rules *rules; /* borrowed */
    uint64_t connection;                /* its number, never used twice */
    enum wsb_zmtp_state state;
    enum wsb_zmtp_why why;     /* FAILED */
    struct wsb_zmtp_head head; /* of the frame at `at`; len 0: not read yet */
    size_t at;                 /* that frame, counted from where the message begins */
    size_t wanted;             /* bytes, counted likewise, until something can be done */
    size_t opened;             /* bytes of its box */
    size_t part_count;         /* also of those that are not handed out */
    size_t frames;             /* that were read since the caller has set it to 0; also when no event came of them */
    struct {
        size_t at, len;
    } parts[WSB_ZMTP_PARTS];
    /* CURVE */
    uint64_t hello_nonce;
    uint8_t client[WSB_CURVEZMQ_KEY]; /* its public key */
    struct wsb_curvezmq_session session;
    struct wsb_box box; /* of the frame at `at` */
};

enum wsb_zmtp_event_kind {
    WSB_ZMTP_EV_GREETING,  /* its mechanism is ours: send what is behind the front of our greeting */
    WSB_ZMTP_EV_WELCOME,   /* send wsb_zmtp_event.welcome */
    WSB_ZMTP_EV_READY,     /* it is proven; send what wsb_zmtp_ready_write() says, or end it */
    WSB_ZMTP_EV_MESSAGE,   /* of ROUTER and PULL */
    WSB_ZMTP_EV_SUBSCRIBE, /* of XPUB, like the next */
    WSB_ZMTP_EV_CANCEL,
    WSB_ZMTP_EV_PING,   /* to be answered */
    WSB_ZMTP_EV_NOTHING /* something was taken that means nothing to us */
};

enum { WSB_ZMTP_WELCOME_FRAME = 2 + WSB_CURVEZMQ_WELCOME };

struct wsb_zmtp_event {
    enum wsb_zmtp_event_kind kind;
    struct wsb_span parts[WSB_ZMTP_PARTS]; /* MESSAGE */
    size_t part_count;                     /* MESSAGE: may be more than are in `parts` */
    struct wsb_span identity;              /* READY; empty: none */
    struct wsb_span topic;                 /* SUBSCRIBE, CANCEL */
    struct wsb_zmtp_ping ping;             /* PING */
    uint8_t welcome[WSB_ZMTP_WELCOME_FRAME];
};

/* connection: a number that no other peer of these rules has had. */
void wsb_zmtp_peer_init(struct wsb_zmtp_peer *p, const struct wsb_zmtp_rules *rules, uint64_t connection);
void wsb_zmtp_peer_deinit(struct wsb_zmtp_peer *p); /* wipes its keys */

/*
 * The next event.
 *
 * @in        from the first byte that was not used; with CURVE it is written to
 * @random    WSB_CURVEZMQ_RANDOM bytes that were used for nothing else, while wsb_zmtp_is_costly(); else NULL
 * @ret_used  0 while a message has begun and is not whole
 *
 * Returns    WSB_OK; WSB_MORE; WSB_ERR_PROTO: the peer is to be ended, p->why says why
 */
WSB_MUST_CHECK wsb_err wsb_zmtp_next(struct wsb_zmtp_peer *p, uint8_t *in, size_t in_len, const uint8_t *random,
                                     struct wsb_zmtp_event *ret, size_t *ret_used);

/* After WSB_MORE: the bytes that the next event needs, as far as it is known. */
static inline size_t wsb_zmtp_wanted(const struct wsb_zmtp_peer *p)
{
    return p->wanted;
}

/* The next event takes some elliptic curves: a tenth of a millisecond or more. */
static inline bool wsb_zmtp_is_costly(const struct wsb_zmtp_peer *p)
{
    return p->state == WSB_ZMTP_HELLO || p->state == WSB_ZMTP_INITIATE;
}

/* Our READY, as a frame; once, after EV_READY. Returns its length. */
enum { WSB_ZMTP_READY_FRAME = 2 + 6 + WSB_ZMTP_METADATA_MAX + WSB_CURVEZMQ_READY_OVERHEAD };
size_t wsb_zmtp_ready_write(struct wsb_zmtp_peer *p, uint8_t out[WSB_ZMTP_READY_FRAME]);

#endif
