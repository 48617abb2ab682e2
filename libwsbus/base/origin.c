/* Rules and origins are taken apart the same way, and compared part by part. */
#include "base/origin.h"

#include <ctype.h>

#include "base/ip.h"

enum { HOST_MAX = 255 };

/* "https://app.example.org:8443" */
struct parts {
    struct wsb_span scheme, host;
    uint16_t port;
};

static const struct {
    const char *scheme;
    uint16_t port;
} schemes[] = {{"http", 80}, {"https", 443}, {"ws", 80}, {"wss", 443}};

static uint16_t default_port(struct wsb_span scheme)
{
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        if (wsb_span_ieq_str(scheme, schemes[i].scheme))
            return schemes[i].port;
    }
    return 0;
}

/* "host", "host:port", "[v6]:port" */
static bool authority_split(struct wsb_span text, struct parts *ret)
{
    size_t end = text.len;
    if (text.len && text.ptr[0] == '[') {
        const uint8_t *bracket = memchr(text.ptr, ']', text.len);
        if (!bracket)
            return false;
        end = (size_t)(bracket - text.ptr) + 1;
    } else {
        const uint8_t *colon = text.len ? memchr(text.ptr, ':', text.len) : NULL;
        end = colon ? (size_t)(colon - text.ptr) : text.len;
    }
    ret->host = wsb_span(text.ptr, end);
    if (end == 0 || end > HOST_MAX)
        return false;
    if (end == text.len)
        return true;
    return text.ptr[end] == ':' && wsb_port_parse(wsb_span(text.ptr + end + 1, text.len - end - 1), &ret->port) &&
           ret->port > 0;
}

static bool origin_split(struct wsb_span text, struct parts *ret)
{
    size_t at = 0;
    while (at < text.len && (isalnum(text.ptr[at]) || (at && memchr("+-.", text.ptr[at], 3))))
        at++;
    if (at == 0 || text.len - at < 3 || memcmp(text.ptr + at, "://", 3) != 0)
        return false;
    ret->scheme = wsb_span(text.ptr, at);
    ret->port = default_port(ret->scheme);
    return authority_split(wsb_span(text.ptr + at + 3, text.len - at - 3), ret);
}

static bool equals(struct wsb_span a, struct wsb_span b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp((const char *)a.ptr, (const char *)b.ptr, a.len) == 0);
}

static bool is_host(struct wsb_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!isalnum(s.ptr[i]) && !memchr("-._[]:~%", s.ptr[i], 8))
            return false;
    }
    return true;
}

static bool is_wildcard(struct wsb_span host)
{
    return host.len > 2 && host.ptr[0] == '*' && host.ptr[1] == '.';
}

static bool is_word(const char *rule)
{
    return strcmp(rule, "any") == 0 || strcmp(rule, "none") == 0 || strcmp(rule, "same") == 0 ||
           strcmp(rule, "null") == 0;
}

wsb_err wsb_origin_check(const char *rule, struct wsb_fault *fault)
{
    struct parts p;
    if (is_word(rule))
        return WSB_OK;
    if (!origin_split(wsb_span_str(rule), &p))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "'%.60s' is no origin: write any, none, same, null, https://app.example.org or "
                             "https://*.example.org, without a path",
                             rule);
    size_t skip = is_wildcard(p.host) ? 2 : 0;
    if (!is_host(wsb_span(p.host.ptr + skip, p.host.len - skip)))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "'%.60s' is no origin: a host has letters, digits, '-' and '.', and a '*' stands only in "
                             "front, for everything below",
                             rule);
    return WSB_OK;
}

static bool host_matches(struct wsb_span rule, struct wsb_span host)
{
    if (!is_wildcard(rule))
        return equals(rule, host);
    struct wsb_span below = wsb_span(rule.ptr + 1, rule.len - 1); /* with its dot */
    return host.len > below.len && equals(below, wsb_span(host.ptr + host.len - below.len, below.len));
}

/* Of the page's scheme the port is known also where the request does not say it. */
static bool is_same(const struct parts *origin, struct wsb_span host)
{
    struct parts own = {.port = origin->port};
    if (!authority_split(host, &own))
        return false;
    bool says_port = own.host.len != host.len;
    return equals(own.host, origin->host) && (!says_port || own.port == origin->port) &&
           (says_port || origin->port == default_port(origin->scheme));
}

static bool rule_allows(const char *rule, struct wsb_span origin, struct wsb_span host)
{
    struct parts r;
    struct parts o;
    if (strcmp(rule, "any") == 0)
        return true;
    if (!origin.ptr)
        return strcmp(rule, "none") == 0;
    if (strcmp(rule, "null") == 0)
        return wsb_span_eq_str(origin, "null");
    if (strcmp(rule, "none") == 0 || !origin_split(origin, &o) || !is_host(o.host))
        return false;
    if (strcmp(rule, "same") == 0)
        return is_same(&o, host);
    return origin_split(wsb_span_str(rule), &r) && equals(r.scheme, o.scheme) && r.port == o.port &&
           host_matches(r.host, o.host);
}

bool wsb_origin_is_allowed(char *const *rules, size_t count, struct wsb_span origin, struct wsb_span host)
{
    for (size_t i = 0; i < count; i++) {
        if (rule_allows(rules[i], origin, host))
            return true;
    }
    return count == 0;
}
