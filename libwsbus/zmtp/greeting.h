#ifndef WSB_ZMTP_GREETING_H
#define WSB_ZMTP_GREETING_H

/* The greeting of ZMTP 3: 64 bytes that say the version and the security mechanism. Pure. Source: RFC 37, RFC 23. */

#include "base/span.h"
#include "wsbus/err.h"
#include "zmtp/why.h"

enum {
    WSB_ZMTP_GREETING = 64,
    WSB_ZMTP_GREETING_FRONT =
        12 /* of it: the signature and the version, which a peer has to see before it says the rest */
};

enum wsb_zmtp_mechanism { WSB_ZMTP_NULL, WSB_ZMTP_CURVE };

/* Write our greeting: version 3.1. With CURVE we are the server. */
void wsb_zmtp_greeting_write(uint8_t out[WSB_ZMTP_GREETING], enum wsb_zmtp_mechanism mechanism);

/*
 * Check a peer's greeting. A verdict is reached as early as the bytes allow.
 *
 * Returns   WSB_OK: it is WSB_ZMTP_GREETING bytes long; WSB_MORE; WSB_ERR_PROTO, and why
 */
WSB_MUST_CHECK wsb_err wsb_zmtp_greeting_parse(struct wsb_span in, enum wsb_zmtp_mechanism mechanism,
                                               enum wsb_zmtp_why *ret_why);

#endif
