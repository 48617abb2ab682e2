/* Rules and origins are taken apart the same way, and compared part by part. */
#include "base/origin.h"

#include <ctype.h>

#include "base/host.h"

/* "https://app.example.org:8443" */
struct parts {
    struct wsb_span scheme;
    bool is_wildcard; /* of a rule: "*." stood in front of the host */
    struct wsb_host host;
    uint16_t port; /* the scheme's own where none is said; 0: the scheme has none */
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

static bool origin_split(struct wsb_span text, struct parts *ret)
{
    size_t at = 0;
    while (at < text.len && (isalnum(text.ptr[at]) || (at && memchr("+-.", text.ptr[at], 3))))
        at++;
    if (at == 0 || text.len - at < 3 || memcmp(text.ptr + at, "://", 3) != 0)
        return false;
    struct wsb_span host = wsb_span(text.ptr + at + 3, text.len - at - 3);
    *ret = (struct parts){.scheme = wsb_span(text.ptr, at)};
    ret->is_wildcard = host.len > 2 && host.ptr[0] == '*' && host.ptr[1] == '.';
    if (ret->is_wildcard)
        host = wsb_span(host.ptr + 2, host.len - 2);
    bool ends_with_colon = host.len && host.ptr[host.len - 1] == ':'; /* an origin says a port, or has no colon */
    if (ends_with_colon || wsb_host_parse(host, &ret->host) != WSB_OK || (ret->host.has_port && !ret->host.port))
        return false;
    ret->port = ret->host.has_port ? ret->host.port : default_port(ret->scheme);
    return true;
}

static bool equals(struct wsb_span a, struct wsb_span b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp((const char *)a.ptr, (const char *)b.ptr, a.len) == 0);
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
    return WSB_OK;
}

static bool host_matches(const struct parts *rule, const struct parts *origin)
{
    struct wsb_span own = wsb_host_name(&rule->host);
    struct wsb_span host = wsb_host_name(&origin->host);
    if (!rule->is_wildcard)
        return wsb_span_eq(own, host);
    return host.len > own.len + 1 && host.ptr[host.len - own.len - 1] == '.' &&
           wsb_span_eq(own, wsb_span(host.ptr + host.len - own.len, own.len));
}

/* Of the page's scheme the port is known also where the request does not say it. */
static bool is_same(const struct parts *origin, struct wsb_span host)
{
    struct wsb_host own;
    if (wsb_host_parse(host, &own) != WSB_OK || !wsb_span_eq(wsb_host_name(&own), wsb_host_name(&origin->host)))
        return false;
    return origin->port == (own.has_port ? own.port : default_port(origin->scheme));
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
    if (strcmp(rule, "none") == 0 || !origin_split(origin, &o) || o.is_wildcard)
        return false;
    if (strcmp(rule, "same") == 0)
        return is_same(&o, host);
    return origin_split(wsb_span_str(rule), &r) && equals(r.scheme, o.scheme) && r.port == o.port &&
           host_matches(&r, &o);
}

bool wsb_origin_is_allowed(char *const *rules, size_t count, struct wsb_span origin, struct wsb_span host)
{
    for (size_t i = 0; i < count; i++) {
        if (rule_allows(rules[i], origin, host))
            return true;
    }
    return count == 0;
}
