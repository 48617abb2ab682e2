/* Close codes: their names, which of them may be sent, and the frame that carries one. */
#include "ws/close.h"

#include <string.h>

#include "base/utf8.h"
#include "ws/frame.h"

static const char *const names[] = {
    "Normal",           "Going Away",      "Protocol Error",    "Unsupported Data",
    "Reserved",         "No Status Recvd", "Abnormal Closure",  "Invalid frame payload data",
    "Policy Violation", "Message too big", "Missing Extension", "Internal Error",
    "Service Restart",  "Try Again Later", "Bad Gateway",       "TLS Handshake",
};

enum { FIRST_NAMED = WSB_CLOSE_NORMAL, LAST_NAMED = WSB_CLOSE_TLS_HANDSHAKE };

_Static_assert(sizeof names / sizeof names[0] == LAST_NAMED - FIRST_NAMED + 1, "one name for each code");

const char *wsb_close_code_name(uint16_t code)
{
    if (code >= FIRST_NAMED && code <= LAST_NAMED)
        return names[code - FIRST_NAMED];
    if (code >= 3000 && code <= 3999)
        return "Registered";
    if (code >= 4000 && code <= 4999)
        return "Private";
    return "Unknown";
}

bool wsb_close_code_is_sendable(uint16_t code)
{
    switch (code) {
    case 1004: /* RFC 6455 §7.4.1: reserved, no meaning yet */
    case WSB_CLOSE_NO_STATUS:
    case WSB_CLOSE_ABNORMAL:
    case WSB_CLOSE_TLS_HANDSHAKE:
        return false;
    default:
        return (code >= FIRST_NAMED && code < LAST_NAMED) || (code >= 3000 && code <= 4999); /* §7.4.2 */
    }
}

/* The longest beginning of at most max bytes that is whole, valid UTF-8. */
static size_t utf8_prefix(struct wsb_span text, size_t max)
{
    struct wsb_utf8 u;
    wsb_utf8_init(&u);
    size_t good = 0;
    for (size_t i = 0; i < text.len && i < max && wsb_utf8_feed(&u, text.ptr + i, 1); i++) {
        if (wsb_utf8_is_complete(&u))
            good = i + 1;
    }
    return good;
}

size_t wsb_close_frame_write(uint8_t out[WSB_CLOSE_FRAME_MAX], uint16_t code, struct wsb_span reason)
{
    bool has_code = code != WSB_CLOSE_NO_STATUS;
    if (has_code && !wsb_close_code_is_sendable(code))
        return 0;

    size_t reason_len = has_code ? utf8_prefix(reason, WSB_CLOSE_TEXT_MAX) : 0;
    struct wsb_frame_hdr hdr = {.opcode = WSB_OP_CLOSE, .fin = true, .payload_len = has_code ? 2 + reason_len : 0};
    size_t used = wsb_frame_hdr_write(out, &hdr); /* 2: a control frame's length is always short */
    if (has_code) {
        out[used++] = (uint8_t)(code >> 8);
        out[used++] = (uint8_t)(code & 0xff);
    }
    if (reason_len)
        memcpy(out + used, reason.ptr, reason_len);
    return used + reason_len;
}
