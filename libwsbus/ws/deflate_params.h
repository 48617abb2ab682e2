#ifndef WSB_WS_DEFLATE_PARAMS_H
#define WSB_WS_DEFLATE_PARAMS_H

/*
 * What two ends agree on about permessage-deflate, RFC 7692 §5 and §7.1: a client offers, perhaps several times over; a
 * server takes one of the offers and answers; the client checks the answer. "Server" and "client" in the names of fields
 * say who compresses: server_bits is the window of what the server sends.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "ws/extension.h"
#include "wsbus/err.h"

enum {
    WSB_DEFLATE_BITS_MIN = 8, /* of a window: its size is 1 << bits, RFC 7692 §7.1.2 */
    WSB_DEFLATE_BITS_MAX = 15,
    /* zlib writes no raw stream with a window of 256 bytes. It reads them. */
    WSB_DEFLATE_WRITE_BITS_MIN = 9,
    WSB_DEFLATE_TEXT_SIZE = 160 /* the longest offer or answer, with its 0 */
};

struct wsb_deflate_params {
    bool server_no_takeover; /* each message of the server is compressed by itself */
    bool client_no_takeover;
    uint8_t server_bits;
    uint8_t client_bits;
    bool names_server_bits; /* the answer has server_max_window_bits even if it is 15: the offer had it */
};

/* What a server is willing to do. */
struct wsb_deflate_policy {
    bool server_takeover; /* its own compressor may keep its context from message to message */
    bool client_takeover; /* the client's may: costs a decompressor with a window for each connection */
    uint8_t bits;         /* 9 to 15: largest window, both ways, of a direction with takeover */
};

/**
 * Decide about one offer of a client.
 *
 * @offer   an extension of the request, of any name
 * @policy  the server's
 * @ret     what is agreed
 *
 * Returns   true: taken, wsb_deflate_params_format() writes the answer; false: it is another extension, or has a parameter
 *           that is unknown, twice, or of a wrong value, or wants a window that we cannot write: look at the next one
 * Threads   any
 * Source    RFC 7692 §5.1, §7.1
 */
bool wsb_deflate_accept(const struct wsb_extension *offer, const struct wsb_deflate_policy *policy,
                        struct wsb_deflate_params *ret);

/* The answer that says so, "permessage-deflate; server_no_context_takeover": a value of Sec-WebSocket-Extensions. */
void wsb_deflate_params_format(const struct wsb_deflate_params *p, char ret[WSB_DEFLATE_TEXT_SIZE]);

/* What a client asks for; zeros ask for nothing in particular. */
struct wsb_deflate_offer {
    bool server_no_takeover; /* the server must not keep its context */
    bool client_no_takeover; /* a hint: the client will not keep its own */
    uint8_t server_bits;     /* 8 to 15: the server must not use more; 0: not said */
    uint8_t
        client_bits; /* 8 to 15: the server may name a limit, and the client uses no more than this; 0: it may not */
};

/* The value of Sec-WebSocket-Extensions that makes this offer. */
void wsb_deflate_offer_format(const struct wsb_deflate_offer *o, char ret[WSB_DEFLATE_TEXT_SIZE]);

/**
 * Check a server's answer to the one offer that was made.
 *
 * @value       of Sec-WebSocket-Extensions in the response, which may be there once (RFC 6455 §11.3.2); len 0: not there
 * @offer       what was offered; NULL: nothing was
 * @ret_agreed  is the connection to be compressed?
 * @ret         how, when it is
 *
 * Returns   WSB_OK; WSB_ERR_PROTO the answer is not one to this offer: the connection must be failed
 * Threads   any
 * Source    RFC 6455 §4.1, §9.1; RFC 7692 §5.1, §7.1
 */
WSB_MUST_CHECK wsb_err wsb_deflate_answer_check(struct wsb_span value, const struct wsb_deflate_offer *offer,
                                                bool *ret_agreed, struct wsb_deflate_params *ret);

#endif
