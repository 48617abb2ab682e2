/* Both headers become a list of hops, each with an address and a protocol as text; then one search goes over it. */
#include "http/forwarded.h"

enum { VALUE_MAX = 80 }; /* of a quoted string: more is no address */

struct hop {
    char node[VALUE_MAX]; /* "192.0.2.1:80", "[2001:db8::1]"; "": not told, or not readable */
    struct wsb_span proto;
    bool is_broken;
};

/* The last hops that were added. */
struct hops {
    struct hop at[WSG_FORWARDED_HOPS_MAX];
    size_t count; /* of all */
};

static struct hop *hop_add(struct hops *h)
{
    struct hop *hop = &h->at[h->count++ % WSG_FORWARDED_HOPS_MAX];
    *hop = (struct hop){0};
    return hop;
}

static void text_set(char to[VALUE_MAX], struct wsb_span s)
{
    if (s.len >= VALUE_MAX || (s.len && memchr(s.ptr, 0, s.len)))
        s.len = 0;
    if (s.len)
        memcpy(to, s.ptr, s.len);
    to[s.len] = 0;
}

/* ------------------------------------------------------------- X-Forwarded-* */

static void x_read(const struct wsg_http_header *headers, size_t count, struct hops *ret)
{
    for (size_t i = 0; i < count; i++) {
        struct wsb_span rest = headers[i].value;
        struct wsb_span item;
        if (!wsb_span_ieq_str(headers[i].name, "x-forwarded-for"))
            continue;
        while (wsg_http_list_next(&rest, &item))
            text_set(hop_add(ret)->node, item);
    }
}

/* Of the last one who said it: that is ours. */
static struct wsb_span x_proto(const struct wsg_http_header *headers, size_t count)
{
    struct wsb_span proto = {NULL, 0};
    for (size_t i = 0; i < count; i++) {
        struct wsb_span rest = headers[i].value;
        if (!wsb_span_ieq_str(headers[i].name, "x-forwarded-proto"))
            continue;
        while (wsg_http_list_next(&rest, &proto))
            ;
    }
    return proto;
}

/* ------------------------------------------------------- Forwarded, RFC 7239 §4 */

static void skip_spaces(struct wsb_span *s)
{
    while (s->len && (*s->ptr == ' ' || *s->ptr == '\t'))
        *s = wsb_span(s->ptr + 1, s->len - 1);
}

static bool char_take(struct wsb_span *s, uint8_t c)
{
    if (s->len == 0 || *s->ptr != c)
        return false;
    *s = wsb_span(s->ptr + 1, s->len - 1);
    return true;
}

static struct wsb_span token_take(struct wsb_span *s)
{
    size_t len = 0;
    while (len < s->len && wsg_http_is_class(s->ptr[len], WSG_HTTP_TOKEN))
        len++;
    struct wsb_span token = wsb_span(s->ptr, len);
    *s = wsb_span(s->ptr + len, s->len - len);
    return token;
}

/* The inside of a quoted string, as it stands there; false when it does not end. RFC 9110 §5.6.4 */
static bool quoted_take(struct wsb_span *s, struct wsb_span *ret)
{
    size_t at = 1;
    while (at < s->len && s->ptr[at] != '"')
        at += s->ptr[at] == '\\' ? 2 : 1;
    if (at >= s->len)
        return false;
    *ret = wsb_span(s->ptr + 1, at - 1);
    *s = wsb_span(s->ptr + at + 1, s->len - at - 1);
    return true;
}

/* An address has nothing that would have to be escaped: what has a backslash is not looked into. */
static bool pair_take(struct wsb_span *s, struct hop *hop)
{
    struct wsb_span value;
    struct wsb_span name = token_take(s);
    if (name.len == 0 || !char_take(s, '='))
        return false;
    if (s->len && *s->ptr == '"') {
        if (!quoted_take(s, &value))
            return false;
    } else {
        value = token_take(s);
        if (value.len == 0)
            return false;
    }
    if (wsb_span_ieq_str(name, "for"))
        text_set(hop->node, value);
    else if (wsb_span_ieq_str(name, "proto"))
        hop->proto = value;
    return true;
}

/* One element, up to a comma or the end. */
static bool element_take(struct wsb_span *s, struct hop *hop)
{
    for (;;) {
        skip_spaces(s);
        if (s->len == 0 || *s->ptr == ',')
            return true;
        if (char_take(s, ';'))
            continue;
        if (!pair_take(s, hop))
            return false;
        skip_spaces(s);
        if (s->len && *s->ptr != ';' && *s->ptr != ',')
            return false;
    }
}

static void rfc7239_read(const struct wsg_http_header *headers, size_t count, struct hops *ret)
{
    for (size_t i = 0; i < count; i++) {
        struct wsb_span rest = headers[i].value;
        bool is_good = true;
        if (!wsb_span_ieq_str(headers[i].name, "forwarded"))
            continue;
        do
            is_good = element_take(&rest, hop_add(ret));
        while (is_good && char_take(&rest, ','));
        if (!is_good)
            hop_add(ret)->is_broken = true; /* where a quote did not end nothing before it can be told apart */
    }
}

/* ----------------------------------------------------------------- the search */

/* "192.0.2.1", "192.0.2.1:80", "[2001:db8::1]", "[2001:db8::1]:80", and, as some write it, "2001:db8::1" */
static bool node_parse(const char *text, struct wsg_forwarded_client *ret)
{
    static const struct wsb_ip nobody;
    const char *end = text[0] == '[' ? strchr(text, ']') : strchr(text, ':');
    struct wsb_span host = wsb_span_str(text);
    const char *port = NULL;
    ret->port = 0;
    if (text[0] == '[') {
        if (!end || !memchr(text, ':', (size_t)(end - text)))
            return false;
        host = wsb_span(text + 1, (size_t)(end - text - 1));
        port = end[1] ? end + 1 : NULL;
    } else if (end && !strchr(end + 1, ':')) {
        host.len = (size_t)(end - text);
        port = end;
    }
    if (port && (*port != ':' || !wsb_port_parse(wsb_span_str(port + 1), &ret->port)))
        return false;
    return wsb_ip_parse(host, &ret->ip) && memcmp(&ret->ip, &nobody, sizeof nobody) != 0;
}

bool wsg_forwarded_find(enum wsg_forwarded kind, const struct wsg_http_header *headers, size_t count,
                        const struct wsb_ip_nets *trusted, struct wsg_forwarded_client *ret)
{
    struct hops hops;
    struct wsg_forwarded_client next = {0};
    bool found = false;
    hops.count = 0;
    *ret = (struct wsg_forwarded_client){0};
    if (kind == WSG_FORWARDED_X)
        x_read(headers, count, &hops);
    else if (kind == WSG_FORWARDED_RFC7239)
        rfc7239_read(headers, count, &hops);
    size_t known = hops.count < WSG_FORWARDED_HOPS_MAX ? hops.count : WSG_FORWARDED_HOPS_MAX;
    for (size_t i = 1; i <= known; i++) {
        const struct hop *hop = &hops.at[(hops.count - i) % WSG_FORWARDED_HOPS_MAX];
        next.proto = hop->proto;
        found = true;
        if (!node_parse(hop->node, &next)) {
            *ret =
                (struct wsg_forwarded_client){.ip = wsb_ip_unknown(), .proto = hop->proto, .is_broken = hop->is_broken};
            break;
        }
        *ret = next;
        if (!wsb_ip_nets_have(trusted, &next.ip))
            break;
    }
    if (kind == WSG_FORWARDED_X)
        ret->proto = x_proto(headers, count);
    return found;
}
