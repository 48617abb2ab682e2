#ifndef WSB_WS_MESSAGE_H
#define WSB_WS_MESSAGE_H

/*
 * From the bytes of one connection to its messages: frames are checked, fragments joined, control frames between them
 * handed out, text checked. Pull: the caller shows the bytes it has and asks for the next event.
 *
 *     struct wsb_ws_event ev;
 *     size_t used;
 *     while ((err = wsb_ws_in_next(&in, data, len, &used, &ev)) == WSB_OK) {
 *         ... handle ev ...
 *         data += used, len -= used;
 *     }
 *     if (err == WSB_MORE) ... keep the len - used bytes behind used for the next time ...
 *
 * The usual message, one frame that is there whole, is not touched: the event points at its masked bytes, and
 * wsb_ws_event_take() unmasks them straight to where they are needed and checks text on the way. Everything else is
 * put together in a buffer that exists only as long as a message is in flight and grows with the bytes that arrive,
 * never with what a header claims.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "wsbus/err.h"
#include "ws/frame.h"

/* The most one peer may make us hold. 0 means the most there is: UINT32_MAX. */
struct wsb_ws_limits {
    uint32_t max_message;   /* payload bytes of one message, over all its frames */
    uint32_t max_frame;     /* payload bytes of one data frame. What an extension has packed may be a little longer than
                               both: there are messages that packing makes longer */
    uint32_t max_fragments; /* frames of one message */
};

enum { WSB_WS_DEFAULT_MAX_FRAGMENTS = 65536 };

/*
 *          header of a data frame            whole frame
 *   HEAD ────────────────────────▶ PAYLOAD ─────────────▶ HEAD
 *   HEAD ──part of a control frame─▶ CONTROL ──its rest──▶ HEAD, or CLOSED behind a Close frame
 *   any  ──broken rule──▶ FAILED
 */
enum wsb_ws_in_state {
    WSB_WS_IN_HEAD,
    WSB_WS_IN_PAYLOAD,
    WSB_WS_IN_CONTROL,
    WSB_WS_IN_CLOSED,
    WSB_WS_IN_FAILED,
};

/* One connection's reader. Embedded in the session: 64 bytes are what an idle connection pays for it. Only message.c
 * touches the fields. */
struct wsb_ws_in {
    struct wsb_buf buf; /* owned; the message so far, and behind it the control frame so far */
    uint32_t max_message;
    uint32_t max_frame;
    uint32_t max_fragments;
    uint32_t left;      /* payload bytes of the current frame that have not arrived */
    uint32_t fragments; /* frames of the current message, this one included */
    uint8_t mask[4];    /* of the current frame, turned to its next payload byte */
    struct wsb_utf8 utf8;
    uint8_t state;          /* enum wsb_ws_in_state */
    uint8_t message_opcode; /* of the message in flight; 0 when there is none */
    union {
        uint8_t control_len; /* bytes of the control frame at the end of buf */
        uint8_t failure;     /* wsb_err, in state FAILED */
    };
    uint8_t control_opcode : 4;
    uint8_t message_rsv : 3;
    bool fin : 1;     /* the current frame ends its message */
    uint8_t role : 1; /* enum wsb_role */
    uint8_t allowed_rsv : 3;
};

enum wsb_ws_event_type {
    WSB_WS_MESSAGE,
    WSB_WS_PING,
    WSB_WS_PONG,
    WSB_WS_CLOSE,
};

struct wsb_ws_event {
    enum wsb_ws_event_type type;
    uint8_t opcode; /* enum wsb_frame_opcode of the frame, or of the first one of a message */
    uint8_t rsv;  /* MESSAGE: reserved bits of its first frame. With any of them set the payload is an extension's, and
                       text is not checked here */
    bool masked;  /* MESSAGE: payload is as it came, to be unmasked with mask */
    bool checked; /* MESSAGE: nothing remains to be checked; false for text that lies in the caller's data */
    uint8_t mask[4];
    bool has_code; /* CLOSE: without a code there is no reason either */
    uint16_t code;
    size_t len;             /* of payload or of control */
    const uint8_t *payload; /* MESSAGE: borrowed, from the caller's data or from the reader, until the next call on it;
                               may be NULL when len is 0 */
    uint8_t control[WSB_FRAME_CONTROL_MAX]; /* PING, PONG: the payload; CLOSE: the reason */
};

/* allowed_rsv: reserved bits of a negotiated extension, else 0. */
void wsb_ws_in_init(struct wsb_ws_in *in, enum wsb_role role, uint8_t allowed_rsv, const struct wsb_ws_limits *limits);
void wsb_ws_in_deinit(struct wsb_ws_in *in);

/**
 * Take the next event from the bytes of the connection.
 *
 * @in         reader
 * @data, len  what has arrived and was not used by an earlier call
 * @ret_used   bytes of data that are done with; all of them, or (WSB_MORE) all but the beginning of a header, at most 13
 * @ret_ev     the event, only with WSB_OK
 *
 * Returns   WSB_OK an event; WSB_MORE all that is there is used; WSB_CLOSED the peer has sent its Close frame, whatever
 *           follows it is used unread; WSB_ERR_PROTO, WSB_ERR_UTF8, WSB_ERR_LIMIT at the first byte that breaks a rule,
 *           WSB_ERR_NOMEM; after a failure every further call returns the same
 * Threads   one at a time
 * Lifetime  ret_ev->payload until the next call on this reader, and no longer than data
 * Source    RFC 6455 §5, §6.2, §7.4, §8.1
 */
WSB_MUST_CHECK wsb_err wsb_ws_in_next(struct wsb_ws_in *in, const uint8_t *data, size_t len, size_t *ret_used,
                                      struct wsb_ws_event *ret_ev);

/**
 * Put the payload of a MESSAGE event where it is needed: unmasked, and text checked.
 *
 * @ev   a MESSAGE event, its payload still valid
 * @dst  room for ev->len bytes; no overlap with the payload. May be NULL when ev->len is 0
 *
 * Returns   WSB_OK; WSB_ERR_UTF8 the text is not UTF-8 (dst holds rubbish): the connection is to be failed
 * Threads   any
 */
WSB_MUST_CHECK wsb_err wsb_ws_event_take(const struct wsb_ws_event *ev, uint8_t *dst);

/* Give back the memory of a message that was handed out and is done with. A message in flight is not touched. Not needed
 * after WSB_MORE: an idle reader holds nothing. Ends the lifetime of the last event's payload. */
void wsb_ws_in_release(struct wsb_ws_in *in);

/* Bytes of memory that the reader holds beyond itself, for the accounts. */
size_t wsb_ws_in_held(const struct wsb_ws_in *in);
/* Payload bytes of the message in flight that have arrived and are kept; 0: none is in flight, or nothing of it is kept. */
size_t wsb_ws_in_arrived(const struct wsb_ws_in *in);

/* The close code that tells the peer why: 1002, 1007, 1009, and 1011 for what is not its fault. */
uint16_t wsb_ws_in_close_code(wsb_err err);

#endif
