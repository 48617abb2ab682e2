#ifndef WSB_WS_CLOSE_H
#define WSB_WS_CLOSE_H

/* Close codes and close frames, RFC 6455 §5.5.1 and §7.4, with the codes that IANA registered since. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum wsb_close_code {
    WSB_CLOSE_NORMAL = 1000,
    WSB_CLOSE_GOING_AWAY = 1001,
    WSB_CLOSE_PROTOCOL_ERROR = 1002,
    WSB_CLOSE_UNSUPPORTED_DATA = 1003,
    WSB_CLOSE_NO_STATUS = 1005, /* never on the wire: the close frame had no code */
    WSB_CLOSE_ABNORMAL = 1006,  /* never on the wire: there was no close frame */
    WSB_CLOSE_INVALID_DATA = 1007,
    WSB_CLOSE_POLICY = 1008,
    WSB_CLOSE_TOO_BIG = 1009,
    WSB_CLOSE_MISSING_EXTENSION = 1010,
    WSB_CLOSE_INTERNAL_ERROR = 1011,
    WSB_CLOSE_SERVICE_RESTART = 1012,
    WSB_CLOSE_TRY_AGAIN_LATER = 1013,
    WSB_CLOSE_BAD_GATEWAY = 1014,
    WSB_CLOSE_TLS_HANDSHAKE = 1015, /* never on the wire */
};

enum {
    WSB_CLOSE_TEXT_MAX = 123, /* a control payload less the code */
    WSB_CLOSE_FRAME_MAX = 127,
};

/* "Normal", "Going Away", …; "Registered" for 3000–3999, "Private" for 4000–4999, else "Unknown". Never NULL. */
const char *wsb_close_code_name(uint16_t code);

/* May this code stand in a close frame, in either direction? */
bool wsb_close_code_is_sendable(uint16_t code);

/**
 * Write a whole close frame as a server sends it: unmasked.
 *
 * @out     room for the longest close frame
 * @code    a sendable code, or WSB_CLOSE_NO_STATUS for a frame without code and reason
 * @reason  UTF-8; cut at a character so that it fits, and in front of the first byte that is not UTF-8
 *
 * Returns   the length of the frame; 0 when the code must not be sent: nothing is written
 * Threads   any
 */
size_t wsb_close_frame_write(uint8_t out[WSB_CLOSE_FRAME_MAX], uint16_t code, struct wsb_span reason);

#endif
