#ifndef WSB_WS_HANDSHAKE_H
#define WSB_WS_HANDSHAKE_H

/*
 * The server's side of the opening handshake, RFC 6455 §4.2, as a function of a request that HTTP has already parsed.
 * All spans are borrowed from whoever holds the request.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "ws/deflate_params.h"
#include "wsbus/err.h"

struct wsb_handshake_header {
    struct wsb_span name; /* any case */
    struct wsb_span value;
};

struct wsb_handshake_request {
    struct wsb_span method;
    unsigned http_minor;  /* of HTTP/1.x */
    struct wsb_span host; /* value of Host; len 0 when there is none */
    const struct wsb_handshake_header *headers;
    size_t header_count;
    const char
        *token_mark; /* borrowed; the name behind which a secret stands among the subprotocols: neither is offered
                               then. NULL: every name is a subprotocol */
};

enum {
    WSB_ACCEPT_KEY_SIZE = 29, /* 28 characters and a final 0 */
    WSB_MAX_SUBPROTOCOLS = 64 /* that one request may offer: finding duplicates takes quadratic time */
};

struct wsb_handshake {
    int status;          /* 101, or the HTTP status to refuse with */
    const char *reason;  /* why, for the log and the body; static, never NULL */
    const char *headers; /* lines that a refusal must carry, each with its CRLF; static, "" when there are none */
    char accept[WSB_ACCEPT_KEY_SIZE]; /* Sec-WebSocket-Accept; "" unless status is 101 */
    struct wsb_span origin;           /* Origin; ptr NULL when there is none, as from all that is not a browser */
};

/* Does this request ask for a WebSocket, well or badly? Otherwise it is for the HTTP side. It goes by Upgrade alone, so
 * that half a handshake is refused with a reason and not answered with a page. */
bool wsb_handshake_is_upgrade(const struct wsb_handshake_request *req);

/**
 * Decide about a handshake.
 *
 * @req   the request, whether or not it is an upgrade
 * @ret   the verdict
 *
 *   405  not GET; 426 no "Upgrade: websocket", or another Sec-WebSocket-Version than 13; 400 any other broken rule,
 *   a missing Sec-WebSocket-Version among them; 500 the hash is not to be had
 *
 * Threads   any
 * Lifetime  ret->origin as long as the request
 * Source    RFC 6455 §4.2.1, §4.2.2, §4.4; RFC 9110 §7.8, §15.5.22
 */
void wsb_handshake_check(const struct wsb_handshake_request *req, struct wsb_handshake *ret);

/* The accept key that belongs to a Sec-WebSocket-Key, RFC 6455 §4.2.2 item 5.4; a client compares it. */
WSB_MUST_CHECK wsb_err wsb_handshake_accept_key(struct wsb_span key, char ret_accept[WSB_ACCEPT_KEY_SIZE]);

/* The subprotocols that a client offers, in its order of preference, without a secret and its mark. Zero-initialise but for
 * req. */
struct wsb_subprotocol_iter {
    const struct wsb_handshake_request *req; /* borrowed */
    size_t header;                           /* next one to look at */
    struct wsb_span rest;                    /* of the value in hand */
};

bool wsb_handshake_next_subprotocol(struct wsb_subprotocol_iter *it, struct wsb_span *ret_name);

/* The first of the client's subprotocols that is in the allowed list (compared byte by byte). False when there is none:
 * the response then names none, and it is for the client to go or stay. ret_name points into the allowed list. */
bool wsb_handshake_choose_subprotocol(const struct wsb_handshake_request *req, const struct wsb_span *allowed,
                                      size_t allowed_count, struct wsb_span *ret_name);

/* May this be a subprotocol's name? Also for what comes from the configuration and from handlers. Its length is bounded by that
 * of a head, and by nothing else: clients put tokens there. */
bool wsb_subprotocol_is_valid(struct wsb_span name);

/**
 * Take the first of the client's offers of permessage-deflate that can be taken.
 *
 * Returns   false: there is none, the connection is not compressed
 * Threads   any
 * Source    RFC 7692 §5: offers are in the order of the client's preference
 */
bool wsb_handshake_choose_deflate(const struct wsb_handshake_request *req, const struct wsb_deflate_policy *policy,
                                  struct wsb_deflate_params *ret);

/**
 * Write the 101 response.
 *
 * @out          the response is appended
 * @accept       from the verdict
 * @subprotocol  the chosen one; len 0 for none
 * @deflate      what was agreed about compression; NULL: there is none
 * @extra        more header lines, each with its CRLF; checked here, because handlers write them
 *
 * Returns   WSB_OK; WSB_ERR_REFUSED a bad subprotocol, or extra is not made of whole, clean header lines, or has one that
 *           is not its business (Connection, Upgrade, Sec-WebSocket-*, Content-Length, Transfer-Encoding);
 *           WSB_ERR_LIMIT, WSB_ERR_NOMEM from the buffer. out is as before on failure
 * Threads   any
 * Source    RFC 6455 §4.2.2 item 5
 */
WSB_MUST_CHECK wsb_err wsb_handshake_response_write(struct wsb_buf *out, const char accept[WSB_ACCEPT_KEY_SIZE],
                                                    struct wsb_span subprotocol,
                                                    const struct wsb_deflate_params *deflate, struct wsb_span extra);

#endif
