#ifndef WSB_WS_EXTENSION_H
#define WSB_WS_EXTENSION_H

/*
 * The value of Sec-WebSocket-Extensions, RFC 6455 §9.1: a list of extensions, each with parameters. What the parameters
 * mean is up to the extension.
 *
 *     extension-list = 1#extension
 *     extension      = token *( ";" param )
 *     param          = token [ "=" ( token / quoted-string ) ]     a quoted-string, unescaped, is again a token
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "wsbus/err.h"

struct wsb_extension {
    struct wsb_span name;
    struct wsb_span params; /* what follows the name, checked: for wsb_extension_next_param() */
};

struct wsb_extension_param {
    struct wsb_span name;
    struct wsb_span
        value; /* as written, without the quotes but with backslashes; of at least one byte if it is there */
    bool has_value;
};

/**
 * Take the next extension of a list.
 *
 * @rest   a value of the header at first; what has not been looked at afterwards
 * @ret    the extension; its parameters have been checked against the grammar
 *
 * Returns   WSB_OK; WSB_CLOSED there is none left; WSB_ERR_PROTO it breaks the grammar, rest is not to be used any more
 * Threads   any
 * Lifetime  ret as long as the bytes of rest
 * Source    RFC 6455 §9.1, RFC 9110 §5.6.1.2, §5.6.4
 */
WSB_MUST_CHECK wsb_err wsb_extension_next(struct wsb_span *rest, struct wsb_extension *ret);

/* The next parameter of an extension; *params begins as those of the extension. False at the end. */
bool wsb_extension_next_param(struct wsb_span *params, struct wsb_extension_param *ret);

/* The value as a decimal number from 1 to 99 without leading zeros; 0 when it is none of these, or not there. */
unsigned wsb_extension_param_number(const struct wsb_extension_param *p);

#endif
