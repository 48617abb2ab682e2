/* One walk from the left; what is not allowed in a request line never gets that far. */
#include "ws/url.h"

#include <stdio.h>
#include <string.h>

#include "base/ip.h"
#include "ws/field.h"

static wsb_err refuse(struct wsb_fault *fault, const char *text, const char *why)
{
    return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "'%.80s': %s", text, why);
}

static bool starts_with(const char *text, const char *scheme)
{
    return strncasecmp(text, scheme, strlen(scheme)) == 0; /* RFC 3986 §3.1: in any case */
}

/* A name of letters, digits, '-', '.' and '_', or what stands between the brackets of an IPv6 address. */
static bool is_host(struct wsb_span host, bool is_ip6)
{
    if (host.len == 0 || host.len >= WSB_URL_HOST)
        return false;
    for (size_t i = 0; i < host.len; i++) {
        uint8_t c = host.ptr[i];
        if (!wsb_field_is_alnum(c) && !(is_ip6 ? c == ':' || c == '.' : c == '-' || c == '.' || c == '_'))
            return false;
    }
    return true;
}

static bool authority_split(struct wsb_span text, struct wsb_span *ret_host, struct wsb_span *ret_port,
                            bool *ret_is_ip6)
{
    const uint8_t *end = text.ptr + text.len;
    const uint8_t *bracket = text.len && text.ptr[0] == '[' ? memchr(text.ptr, ']', text.len) : NULL;
    const uint8_t *after = bracket ? bracket + 1 : text.len ? memchr(text.ptr, ':', text.len) : NULL;
    if (text.len && text.ptr[0] == '[' && !bracket)
        return false;
    if (!after)
        after = end;
    *ret_is_ip6 = bracket != NULL;
    *ret_host = bracket ? wsb_span(text.ptr + 1, (size_t)(bracket - text.ptr) - 1)
                        : wsb_span(text.ptr, (size_t)(after - text.ptr));
    *ret_port = after < end ? wsb_span(after + 1, (size_t)(end - after) - 1) : wsb_span(NULL, 0);
    return is_host(*ret_host, *ret_is_ip6) && (after == end || *after == ':');
}

static bool is_path(const char *text)
{
    for (; *text; text++) {
        if (*text <= ' ' || *text > '~' || *text == '#')
            return false;
    }
    return true;
}

wsb_err wsb_url_parse(const char *text, struct wsb_url *ret, struct wsb_fault *fault)
{
    bool is_tls = starts_with(text, "wss://");
    struct wsb_span host, port;
    bool is_ip6;
    if (!is_tls && !starts_with(text, "ws://"))
        return refuse(fault, text, "it does not begin with ws:// or wss://");
    const char *authority = text + (is_tls ? 6 : 5);
    size_t len = strcspn(authority, "/?#");
    const char *path = authority + len;
    uint16_t number = is_tls ? 443 : 80;
    if (!authority_split(wsb_span(authority, len), &host, &port, &is_ip6))
        return refuse(fault, text, "the host is a name, an IPv4 address, or an IPv6 address in brackets");
    if (port.ptr && !(wsb_port_parse(port, &number) && number > 0))
        return refuse(fault, text, "the port is a number from 1 to 65535");
    if (strchr(path, '#'))
        return refuse(fault, text, "a WebSocket URL has no fragment: write %23 for '#'");
    if (!is_path(path) || strlen(path) > WSB_URL_PATH - 2)
        return refuse(fault, text, "what is behind the host is too long, or has to be percent-encoded");
    ret->is_tls = is_tls;
    ret->is_ip6 = is_ip6;
    ret->port = number;
    memcpy(ret->host, host.ptr, host.len);
    ret->host[host.len] = 0;
    (void)snprintf(ret->authority, sizeof ret->authority, is_ip6 ? "[%s]" : "%s", ret->host);
    if (number != (is_tls ? 443 : 80))
        (void)snprintf(ret->authority + strlen(ret->authority), 8, ":%u", (unsigned)number);
    (void)snprintf(ret->path, sizeof ret->path, "%s%s", *path == '/' ? "" : "/", path);
    return WSB_OK;
}
