/* The two versions: a line of text, and a binary header with addresses and extensions. */
#include "net/proxy_header.h"

enum {
    V1_MAX = 107, /* §2.1: the longest line, with its CR LF */
    V2_SIGNATURE = 12,
    V2_FIXED = 16,
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
    if (wsb_span_eq_str(family, "UNKNOWN")) { /* §2.1: whatever follows is to be ignored. It is not the proxy's own */
        *ret = (struct wsg_proxy_header){.has_client = true, .ip = wsb_ip_unknown()};
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

/* What the bytes of a family and a transport mean. A datagram's client has an address like a stream's: HTTP/3 arrives so. */
static const struct v2_family {
    uint8_t byte;
    uint8_t ip_len;    /* of one address; 0: it is on no network */
    uint8_t addresses; /* bytes of both, with their ports */
} v2_families[] = {
    {0x00, 0, 0},                   /* unspecified */
    {0x11, 4, 12},  {0x12, 4, 12},  /* IPv4: stream, datagram */
    {0x21, 16, 36}, {0x22, 16, 36}, /* IPv6 */
    {0x31, 0, 216}, {0x32, 0, 216}, /* Unix */
};

/* §2.2: other values are invalid, and to be rejected. NULL then. */
static const struct v2_family *v2_family_of(uint8_t byte)
{
    for (size_t i = 0; i < sizeof v2_families / sizeof *v2_families; i++) {
        if (v2_families[i].byte == byte)
            return &v2_families[i];
    }
    return NULL;
}

/* Where the addresses of an unspecified family end, and whether extensions follow, is not known. */
static wsb_err v2_client_parse(const struct v2_family *family, const uint8_t *in, size_t total,
                               struct wsg_proxy_header *ret)
{
    struct wsg_proxy_header h = {.has_client = true, .ip = wsb_ip_unknown()};
    if (family->byte && !v2_extensions_are_good(in, V2_FIXED + (size_t)family->addresses, total))
        return WSB_ERR_PROTO;
    if (family->ip_len) {
        bool is_v4 = family->ip_len == 4;
        h.ip = (struct wsb_ip){{0}};
        if (is_v4)
            h.ip.at[10] = h.ip.at[11] = 0xff;
        memcpy(h.ip.at + sizeof h.ip.at - family->ip_len, in + V2_FIXED, family->ip_len);
        h.port = (uint16_t)u16_at(in + V2_FIXED + 2 * (size_t)family->ip_len);
    }
    *ret = h;
    return WSB_OK;
}

static wsb_err v2_parse(const uint8_t *in, size_t len, struct wsg_proxy_header *ret, size_t *ret_used)
{
    if (len > V2_SIGNATURE && in[V2_SIGNATURE] != 0x20 && in[V2_SIGNATURE] != 0x21)
        return WSB_ERR_PROTO; /* §2.2: version 2, LOCAL or PROXY */
    if (len < V2_FIXED)
        return WSB_MORE;
    bool is_local = in[V2_SIGNATURE] == 0x20; /* §2.2: what it says of addresses is to be ignored */
    const struct v2_family *family = is_local ? &v2_families[0] : v2_family_of(in[V2_SIGNATURE + 1]);
    size_t total = V2_FIXED + u16_at(in + V2_SIGNATURE + 2);
    if (!family || total > WSG_PROXY_HEADER_MAX || total - V2_FIXED < family->addresses)
        return WSB_ERR_PROTO;
    if (len < total)
        return WSB_MORE;
    struct wsg_proxy_header h = {0};
    wsb_err err = is_local ? WSB_OK : v2_client_parse(family, in, total, &h);
    if (err)
        return err;
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
