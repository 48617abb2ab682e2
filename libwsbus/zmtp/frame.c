/* Heads of frames. */
#include "zmtp/frame.h"

enum { KNOWN = WSB_ZMTP_MORE | WSB_ZMTP_LONG | WSB_ZMTP_COMMAND };

wsb_err wsb_zmtp_head_parse(const uint8_t *in, size_t in_len, size_t body_max, struct wsb_zmtp_head *ret)
{
    if (in_len == 0)
        return WSB_MORE;
    uint8_t flags = in[0];
    uint8_t len = flags & WSB_ZMTP_LONG ? 9 : 2;
    uint64_t body = 0;
    if (flags & ~KNOWN || (flags & WSB_ZMTP_COMMAND && flags & WSB_ZMTP_MORE))
        return WSB_ERR_PROTO;
    if (in_len >= 2 && len == 9 && in[1] & 0x80) /* a size is below 2^63 */
        return WSB_ERR_PROTO;
    if (in_len < len)
        return WSB_MORE;
    for (uint8_t i = 1; i < len; i++)
        body = body << 8 | in[i];
    if (body > body_max)
        return WSB_ERR_LIMIT;
    *ret = (struct wsb_zmtp_head){.flags = flags, .len = len, .body_len = (size_t)body};
    return WSB_OK;
}

size_t wsb_zmtp_head_write(uint8_t out[WSB_ZMTP_HEAD_MAX], uint8_t flags, size_t body_len)
{
    size_t len = wsb_zmtp_head_len(body_len);
    uint64_t rest = body_len;
    out[0] = (uint8_t)(len == 9 ? flags | WSB_ZMTP_LONG : flags);
    for (size_t i = len; i-- > 1; rest >>= 8)
        out[i] = (uint8_t)rest;
    return len;
}
