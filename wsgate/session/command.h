#ifndef WSG_SESSION_COMMAND_H
#define WSG_SESSION_COMMAND_H

/* What a session is told to do: a command of a handler, of `wsctl`, or of the gate itself, decoded and checked. */

#include "bus/meta.h"
#include "net/outq.h"
#include "wire/envelope.h"

/* Beyond the bus's own command types: told by the gate. */
enum wsg_internal_command {
    WSG_CMD_PAUSE = 200, /* do not read this client: its handler has too much */
    WSG_CMD_RESUME = 201,
    WSG_CMD_TAP = 202,   /* code: 1 watch, 0 no longer */
    WSG_CMD_DRAIN = 203, /* finish what is under way, begin nothing new */
    WSG_CMD_QUIET =
        205, /* of a WebSocket: read no more and say so; DRAIN follows when all that it sent has been dealt with */
    WSG_CMD_FAIL =
        204 /* no handler will answer: status is the HTTP status, reason why, and code the refusal of one that waits */
};

/* Who gave it, so that an outcome finds the way back: a handler's id, or a number of the control socket's with this bit
 * set. 0: nobody. */
#define WSG_ORIGIN_ADMIN ((uint64_t)1 << 63)

struct wsg_command {
    uint8_t type; /* enum wsb_type or enum wsg_internal_command */
    uint8_t code;
    uint8_t flags;
    uint8_t by;          /* enum wsg_by: whose wish a CLOSE is */
    unsigned only_route; /* index + 1 of the one route whose connections it may reach; 0: any */
    uint16_t status;     /* CLOSE: close code; RESPOND, REJECT: HTTP status */
    bool has_at;
    uint64_t at; /* BODY: where in the response it belongs; without it: behind what came before */
    uint64_t origin;
    uint64_t seq;
    uint8_t slow;                   /* enum wsg_slow; SEND, PUBLISH: when the client is slow */
    struct wsb_span payload;        /* borrowed */
    struct wsg_shared *frame;       /* borrowed; the message, framed already; NULL: it is not */
    bool is_for_many;               /* with frame: others get the same */
    struct wsb_span key;            /* borrowed; SEND, PUBLISH: replaces a message of the same key; ptr NULL: none */
    struct wsb_span reason;         /* borrowed */
    struct wsb_span subprotocol;    /* borrowed; ptr NULL: not said */
    const struct wsg_field *fields; /* borrowed */
    size_t field_count;
};

enum wsg_by { WSG_BY_CLIENT, WSG_BY_HANDLER, WSG_BY_GATE, WSG_BY_NETWORK, WSG_BY_ADMIN };

const char *wsg_by_name(enum wsg_by by);

#endif
