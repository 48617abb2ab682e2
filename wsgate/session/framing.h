#ifndef WSG_SESSION_FRAMING_H
#define WSG_SESSION_FRAMING_H

/*
 * Frames of ours, as their peer has to see them: plain where we are the server, masked where we are the client (RFC 6455
 * §5.1). Whoever queues a frame for one session writes it with these two; what many get is framed once, and never masked.
 */

#include "session/session.h"
#include "ws/frame.h"
#include "ws/mask.h"

/* Keys that nobody can tell in advance (RFC 6455 §5.3, §10.3), some in stock. */
struct wsg_masks {
    uint8_t bytes[256];
    size_t left;
};

/* framing.c. False: the kernel gives no random numbers. */
bool wsg_mask_next(struct wsg_env *env, uint8_t ret[4]);

/* The header of a whole message or control frame; 0: it cannot be masked. */
static inline size_t wsg_frame_head(struct wsg_session *s, uint8_t header[WSB_FRAME_HDR_MAX], uint8_t opcode,
                                    uint8_t rsv, size_t len)
{
    struct wsb_frame_hdr h = {.opcode = opcode, .fin = true, .rsv = rsv, .payload_len = len};
    if (s->is_dialed) {
        h.masked = true;
        if (!wsg_mask_next(s->env, h.mask))
            return 0;
    }
    return wsb_frame_hdr_write(header, &h);
}

/* Header and payload to where there is room for both. */
static inline void wsg_frame_fill(uint8_t *to, const uint8_t *header, size_t header_len, struct wsb_span payload)
{
    memcpy(to, header, header_len);
    if (payload.len == 0)
        return;
    if (header[1] & 0x80) /* the header says itself whether there is a key at its end */
        wsb_mask_copy(to + header_len, payload.ptr, payload.len, header + header_len - 4, 0);
    else
        memcpy(to + header_len, payload.ptr, payload.len);
}

#endif
