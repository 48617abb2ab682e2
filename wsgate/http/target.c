/*
 * Request targets. The gate decides about access by path and by host, so each has one form, made here. What two readers of
 * a target could understand differently (a dot segment, an encoded slash, user information) is refused and not repaired.
 */
#include "http/target.h"

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

bool wsg_http_query_next(struct wsb_span *rest, struct wsg_http_param *ret)
{
    if (!rest->ptr)
        return false;
    const uint8_t *amp = rest->len ? memchr(rest->ptr, '&', rest->len) : NULL;
    size_t len = amp ? (size_t)(amp - rest->ptr) : rest->len;
    const uint8_t *equals = len ? memchr(rest->ptr, '=', len) : NULL;
    size_t name_len = equals ? (size_t)(equals - rest->ptr) : len;
    size_t skip = equals ? name_len + 1 : name_len;
    ret->name = wsb_span(rest->ptr, name_len);
    ret->value = wsb_span(rest->ptr + skip, len - skip);
    *rest = amp ? wsb_span(amp + 1, rest->len - len - 1) : wsb_span(NULL, 0);
    return true;
}

bool wsg_http_param_is(const struct wsg_http_param *p, const char *name)
{
    struct wsb_span raw = p->name;
    size_t i = 0;
    for (; i < raw.len && *name; name++) {
        uint8_t c = raw.ptr[i++];
        if (c == '+') {
            c = ' ';
        } else if (c == '%' && raw.len - i >= 2 && wsg_http_is_class(raw.ptr[i], WSG_HTTP_HEX) &&
                   wsg_http_is_class(raw.ptr[i + 1], WSG_HTTP_HEX)) {
            c = (uint8_t)(wsg_http_hex_value(raw.ptr[i]) << 4 | wsg_http_hex_value(raw.ptr[i + 1]));
            i += 2;
        }
        if (c != (uint8_t)*name)
            return false;
    }
    return i == raw.len && *name == 0;
}

size_t wsg_http_query_find(struct wsb_span query, const char *name, struct wsb_span *ret_value)
{
    struct wsg_http_param p;
    size_t found = 0;
    while (wsg_http_query_next(&query, &p)) {
        if (wsg_http_param_is(&p, name) && found++ == 0)
            *ret_value = p.value;
    }
    return found;
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

/* Some readers take "//" for "/": the path has the shorter form. Into scratch, where it may be already. */
static struct wsb_span merge_slashes(struct wsb_span path, uint8_t *scratch)
{
    size_t n = 0;
    if (!memmem(path.ptr, path.len, "//", 2))
        return path;
    for (size_t i = 0; i < path.len; i++) {
        if (n == 0 || path.ptr[i] != '/' || scratch[n - 1] != '/')
            scratch[n++] = path.ptr[i];
    }
    return wsb_span(scratch, n);
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
    *ret_path = merge_slashes(path, scratch);
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
        t.has_authority = true;
        if (wsb_host_parse(take_until(&rest, "/?"), &t.authority) != WSB_OK) {
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
