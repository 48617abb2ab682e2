/*
 * Request targets. What two readers of a target could understand differently (a dot segment, an encoded slash, user
 * information, a second host) is refused and not repaired: the gate decides about access by path and by host.
 */
#include "http/target.h"

#include <arpa/inet.h>

#include "base/utf8.h"
#include "http/header.h"

wsb_err wsg_http_percent_decode(struct wsb_span in, uint8_t *out, size_t *ret_len)
{
    size_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.ptr[i];
        if (c == '%') {
            if (in.len - i < 3 || !wsg_http_is_class(in.ptr[i + 1], WSG_HTTP_HEX) ||
                !wsg_http_is_class(in.ptr[i + 2], WSG_HTTP_HEX))
                return WSB_ERR_PROTO;
            c = (uint8_t)(wsg_http_hex_value(in.ptr[i + 1]) << 4 | wsg_http_hex_value(in.ptr[i + 2]));
            i += 2;
        }
        out[n++] = c;
    }
    *ret_len = n;
    return WSB_OK;
}

bool wsg_http_query_find(struct wsb_span query, const char *name, struct wsb_span *ret_value)
{
    const uint8_t *p = query.ptr;
    const uint8_t *end = p ? p + query.len : NULL;
    size_t name_len = strlen(name);
    while (p && p < end) {
        const uint8_t *amp = memchr(p, '&', (size_t)(end - p));
        size_t pair_len = (size_t)((amp ? amp : end) - p);
        if (pair_len >= name_len && memcmp(p, name, name_len) == 0 && (pair_len == name_len || p[name_len] == '=')) {
            size_t skip = pair_len == name_len ? name_len : name_len + 1;
            *ret_value = wsb_span(p + skip, pair_len - skip);
            return true;
        }
        p = amp ? amp + 1 : NULL;
    }
    return false;
}

static bool is_port(struct wsb_span s)
{
    unsigned long port = 0;
    if (s.len > 5)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        port = port * 10 + (s.ptr[i] - (unsigned)'0');
    }
    return port <= 65535; /* RFC 3986 §3.2.3: it may be empty */
}

static bool is_ipv6(struct wsb_span s)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (s.len == 0 || s.len >= sizeof text || memchr(s.ptr, 0, s.len))
        return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = 0;
    return inet_pton(AF_INET6, text, &address) == 1;
}

static bool is_name_char(uint8_t c)
{
    return c == '-' || c == '.' || c == '_' || c == '~' || (c >= '0' && c <= '9') ||
           ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

bool wsg_http_is_host(struct wsb_span s)
{
    size_t host_len = 0;
    if (s.len && s.ptr[0] == '[') {
        const uint8_t *close = memchr(s.ptr, ']', s.len);
        if (!close || !is_ipv6(wsb_span(s.ptr + 1, (size_t)(close - s.ptr) - 1)))
            return false;
        host_len = (size_t)(close - s.ptr) + 1;
    } else {
        while (host_len < s.len && is_name_char(s.ptr[host_len]))
            host_len++;
    }
    if (host_len == 0)
        return false;
    if (host_len == s.len)
        return true;
    return s.ptr[host_len] == ':' && is_port(wsb_span(s.ptr + host_len + 1, s.len - host_len - 1));
}

/* "." and ".." as a whole segment of a decoded path */
static bool has_dot_segment(struct wsb_span path)
{
    size_t begin = 1;
    for (size_t i = 1; i <= path.len; i++) {
        if (i < path.len && path.ptr[i] != '/')
            continue;
        size_t len = i - begin;
        if ((len == 1 && path.ptr[begin] == '.') || (len == 2 && memcmp(path.ptr + begin, "..", 2) == 0))
            return true;
        begin = i + 1;
    }
    return false;
}

static bool has_control(struct wsb_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return true;
    }
    return false;
}

static bool has_encoded_slash(struct wsb_span raw)
{
    for (size_t i = 0; i + 2 < raw.len; i++) {
        if (raw.ptr[i] == '%' && raw.ptr[i + 1] == '2' && (raw.ptr[i + 2] | 0x20) == 'f')
            return true;
    }
    return false;
}

static wsb_err path_parse(struct wsb_span raw, uint8_t *scratch, struct wsb_span *ret_path, const char **ret_reason)
{
    struct wsb_span path = raw;
    if (memchr(raw.ptr, '\\', raw.len)) {
        *ret_reason = "backslash in the path"; /* browsers take it for a slash, we would not */
        return WSB_ERR_PROTO;
    }
    if (memchr(raw.ptr, '%', raw.len)) {
        if (has_encoded_slash(raw)) {
            *ret_reason = "encoded slash in the path";
            return WSB_ERR_PROTO;
        }
        if (wsg_http_percent_decode(raw, scratch, &path.len)) {
            *ret_reason = "invalid percent-encoding in the path";
            return WSB_ERR_PROTO;
        }
        path.ptr = scratch;
        if (has_control(path)) {
            *ret_reason = "encoded control character in the path";
            return WSB_ERR_PROTO;
        }
        if (!wsb_utf8_is_valid(path.ptr, path.len)) {
            *ret_reason = "path is not UTF-8";
            return WSB_ERR_PROTO;
        }
    }
    if (has_dot_segment(path)) {
        *ret_reason = "dot segment in the path";
        return WSB_ERR_PROTO;
    }
    *ret_path = path;
    return WSB_OK;
}

static bool skip_prefix(struct wsb_span *s, const char *prefix)
{
    size_t n = strlen(prefix);
    if (s->len < n || strncasecmp((const char *)s->ptr, prefix, n) != 0)
        return false;
    *s = wsb_span(s->ptr + n, s->len - n);
    return true;
}

static struct wsb_span take_until(struct wsb_span *s, const char *stops)
{
    size_t n = 0;
    while (n < s->len && !strchr(stops, s->ptr[n]))
        n++;
    struct wsb_span taken = wsb_span(s->ptr, n);
    *s = wsb_span(s->ptr + n, s->len - n);
    return taken;
}

wsb_err wsg_http_target_parse(struct wsb_span target, bool is_options, uint8_t *scratch,
                              struct wsg_http_target *ret_target, const char **ret_reason)
{
    struct wsg_http_target t = {.path = wsb_span_str("/")};
    struct wsb_span rest = target;
    if (wsb_span_eq_str(target, "*")) {
        if (!is_options) {
            *ret_reason = "asterisk form with a method other than OPTIONS";
            return WSB_ERR_PROTO;
        }
        t.path = target;
        *ret_target = t;
        return WSB_OK;
    }
    if (skip_prefix(&rest, "http://") || skip_prefix(&rest, "https://")) {
        t.authority = take_until(&rest, "/?");
        if (!wsg_http_is_host(t.authority)) {
            *ret_reason = "invalid authority in the request target"; /* user information among them */
            return WSB_ERR_PROTO;
        }
    } else if (rest.len == 0 || rest.ptr[0] != '/') {
        *ret_reason = "request target is neither a path nor an http URI";
        return WSB_ERR_PROTO;
    }
    struct wsb_span raw = take_until(&rest, "?");
    if (rest.len)
        t.query = wsb_span(rest.ptr + 1, rest.len - 1);
    if (raw.len) {
        wsb_err err = path_parse(raw, scratch, &t.path, ret_reason);
        if (err)
            return err;
    }
    *ret_target = t;
    return WSB_OK;
}
