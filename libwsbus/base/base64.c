/* Base64. */
#include "base/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t wsb_base64_encode(struct wsb_span in, char *out)
{
    char *at = out;
    for (size_t i = 0; i < in.len; i += 3) {
        size_t left = in.len - i;
        uint32_t bits =
            (uint32_t)in.ptr[i] << 16 | (left > 1 ? (uint32_t)in.ptr[i + 1] << 8 : 0) | (left > 2 ? in.ptr[i + 2] : 0);
        *at++ = digits[bits >> 18];
        *at++ = digits[bits >> 12 & 63];
        *at++ = left > 1 ? digits[bits >> 6 & 63] : '=';
        *at++ = left > 2 ? digits[bits & 63] : '=';
    }
    return (size_t)(at - out);
}

static int value_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool wsb_base64_decode(struct wsb_span in, uint8_t *out, size_t *ret_len)
{
    size_t pad = 0;
    uint8_t *at = out;
    if (in.len % 4)
        return false;
    if (in.len && in.ptr[in.len - 1] == '=')
        pad = in.ptr[in.len - 2] == '=' ? 2 : 1;
    for (size_t i = 0; i < in.len; i += 4) {
        size_t chars = i + 4 == in.len ? 4 - pad : 4;
        uint32_t bits = 0;
        for (size_t k = 0; k < 4; k++) {
            int v = k < chars ? value_of(in.ptr[i + k]) : 0;
            if (v < 0)
                return false;
            bits = bits << 6 | (uint32_t)v;
        }
        if ((chars == 3 && (bits & 0xff)) || (chars == 2 && (bits & 0xffff)))
            return false; /* bits that belong to no byte: another spelling of the same */
        *at++ = (uint8_t)(bits >> 16);
        if (chars > 2)
            *at++ = (uint8_t)(bits >> 8);
        if (chars > 3)
            *at++ = (uint8_t)bits;
    }
    *ret_len = (size_t)(at - out);
    return true;
}
