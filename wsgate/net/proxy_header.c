/* The two versions: a line of text, and a binary header with addresses and extensions. */
#include "net/proxy_header.h"

enum {
    V1_MAX = 107, /* §2.1: the longest line, with its CR LF */
    V2_SIGNATURE = 12,
    V2_FIXED = 16,
    V2_TCP4 = 0x11,
    V2_TCP6 = 0x21,
    V2_TYPE_CRC32C = 0x03,
    V2_TLV = 3, /* type and length */
};

static const uint8_t v2_signature[V2_SIGNATURE] = {0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ------------------------------------------------------------------ version 1 */

/* Up to the next single space, or the end. */
static struct wsb_span word_next(struct wsb_span *rest)
{
    const uint8_t *space = rest->len ? memchr(rest->ptr, ' ', rest->len) : NULL;
    struct wsb_span word = wsb_span(rest->ptr, space ? (size_t)(space - rest->ptr) : rest->len);
    size_t gone = word.len + (space ? 1 : 0);
    *rest = wsb_span(rest->ptr + gone, rest->len - gone);
    return word;
}

/* As version 1 writes it: no zero in front. */
static bool port_parse(struct wsb_span text, uint16_t *ret)
{
    return (text.len < 2 || text.ptr[0] != '0') && wsb_port_parse(text, ret);
}

static bool ip_parse(struct wsb_span text, bool is_v6, struct wsb_ip *ret)
{
    bool has_colon = text.len && memchr(text.ptr, ':', text.len);
    return has_colon == is_v6 && wsb_ip_parse(text, ret);
}

/* `line` is without "PROXY " and CR LF. */
static wsb_err v1_line_parse(struct wsb_span line, struct wsg_proxy_header *ret)
{
    struct wsg_proxy_header h = {.has_client = true};
    struct wsb_ip to;
    uint16_t to_port;
    struct wsb_span family = word_next(&line);
    if (wsb_span_eq_str(family, "UNKNOWN")) { /* §2.1: whatever follows is to be ignored */
        *ret = (struct wsg_proxy_header){0};
        return WSB_OK;
    }
    bool is_v6 = wsb_span_eq_str(family, "TCP6");
    if (!is_v6 && !wsb_span_eq_str(family, "TCP4"))
        return WSB_ERR_PROTO;
    struct wsb_span from = word_next(&line);
    struct wsb_span destination = word_next(&line);
    struct wsb_span from_port = word_next(&line);
    if (!ip_parse(from, is_v6, &h.ip) || !ip_parse(destination, is_v6, &to) || !port_parse(from_port, &h.port) ||
        !port_parse(line, &to_port))
        return WSB_ERR_PROTO;
    *ret = h;
    return WSB_OK;
}

static wsb_err v1_parse(const uint8_t *in, size_t len, struct wsg_proxy_header *ret, size_t *ret_used)
{
    static const char prefix[] = "PROXY ";
    size_t known = least(len, sizeof prefix - 1);
    if (memcmp(in, prefix, known) != 0)
        return WSB_ERR_PROTO;
    const uint8_t *lf = memchr(in, '\n', least(len, V1_MAX));
    if (!lf)
        return len < V1_MAX ? WSB_MORE : WSB_ERR_PROTO;
    size_t used = (size_t)(lf - in) + 1;
    if (used < sizeof prefix + 1 || in[used - 2] != '\r')
        return WSB_ERR_PROTO;
    wsb_err err = v1_line_parse(wsb_span(in + sizeof prefix - 1, used - sizeof prefix - 1), ret);
    if (!err)
        *ret_used = used;
    return err;
}

/* ------------------------------------------------------------------ version 2 */

static size_t u16_at(const uint8_t *at)
{
    return (size_t)at[0] << 8 | at[1];
}

static uint32_t crc32c_step(uint32_t crc, uint8_t byte)
{
    crc ^= byte;
    for (int i = 0; i < 8; i++)
        crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    return crc;
}

/* Of the whole header, with the checksum's own four bytes taken as zeros (§2.2.3). */
static uint32_t crc32c(const uint8_t *in, size_t len, const uint8_t *sum)
{
    uint32_t crc = UINT32_MAX;
    for (const uint8_t *at = in; at < in + len; at++)
        crc = crc32c_step(crc, at >= sum && at < sum + 4 ? 0 : *at);
    return ~crc;
}

/* Extensions are well-formed, and a checksum among them is right. */
static bool v2_extensions_are_good(const uint8_t *in, size_t at, size_t end)
{
    while (at < end) {
        if (end - at < V2_TLV || end - at - V2_TLV < u16_at(in + at + 1))
            return false;
        const uint8_t *value = in + at + V2_TLV;
        size_t len = u16_at(in + at + 1);
        if (in[at] == V2_TYPE_CRC32C) {
            if (len != 4)
                return false;
            uint32_t sum = (uint32_t)u16_at(value) << 16 | (uint32_t)u16_at(value + 2);
            if (sum != crc32c(in, end, value))
                return false;
        }
        at += V2_TLV + len;
    }
    return true;
}

/* How many bytes of addresses a family has; 0: none that we look at. */
static size_t v2_addresses(uint8_t family)
{
    return family == V2_TCP4 ? 12 : family == V2_TCP6 ? 36 : 0;
}

static wsb_err v2_parse(const uint8_t *in, size_t len, struct wsg_proxy_header *ret, size_t *ret_used)
{
    struct wsg_proxy_header h = {0};
    if (len > V2_SIGNATURE && in[V2_SIGNATURE] != 0x20 && in[V2_SIGNATURE] != 0x21)
        return WSB_ERR_PROTO; /* §2.2: version 2, LOCAL or PROXY */
    if (len < V2_FIXED)
        return WSB_MORE;
    bool is_local = in[V2_SIGNATURE] == 0x20;
    uint8_t family = in[V2_SIGNATURE + 1];
    size_t total = V2_FIXED + u16_at(in + V2_SIGNATURE + 2);
    size_t addresses = v2_addresses(family);
    if (total > WSG_PROXY_HEADER_MAX || (!is_local && total - V2_FIXED < addresses))
        return WSB_ERR_PROTO;
    if (len < total)
        return WSB_MORE;
    if (!is_local && addresses) {
        bool is_v6 = family == V2_TCP6;
        size_t size = is_v6 ? 16 : 4;
        if (is_v6) {
            memcpy(h.ip.at, in + V2_FIXED, size);
        } else {
            h.ip.at[10] = h.ip.at[11] = 0xff;
            memcpy(h.ip.at + 12, in + V2_FIXED, size);
        }
        h.port = (uint16_t)u16_at(in + V2_FIXED + 2 * size);
        h.has_client = true;
        if (!v2_extensions_are_good(in, V2_FIXED + addresses, total))
            return WSB_ERR_PROTO;
    }
    *ret = h;
    *ret_used = total;
    return WSB_OK;
}

wsb_err wsg_proxy_header_parse(const uint8_t *in, size_t len, struct wsg_proxy_header *ret, size_t *ret_used)
{
    static const struct wsb_ip nobody;
    struct wsg_proxy_header h = {0};
    size_t used = 0;
    if (len == 0)
        return WSB_MORE;
    bool is_v2 = memcmp(in, v2_signature, least(len, V2_SIGNATURE)) == 0;
    wsb_err err = is_v2 ? v2_parse(in, len, &h, &used) : v1_parse(in, len, &h, &used);
    if (!err && h.has_client && memcmp(&h.ip, &nobody, sizeof nobody) == 0)
        err = WSB_ERR_PROTO; /* "::" is no client on a network */
    if (err)
        return err;
    *ret = h;
    *ret_used = used;
    return WSB_OK;
}
