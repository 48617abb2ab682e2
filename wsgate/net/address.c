/* Addresses as text and back. */
#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static wsb_err parse_unix(const char *path, struct wsg_address *ret, struct wsb_fault *fault)
{
    struct sockaddr_un *sun = (struct sockaddr_un *)&ret->storage;
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof sun->sun_path)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "unix: wants a path of 1 to %zu bytes",
                             sizeof sun->sun_path - 1);
    sun->sun_family = AF_UNIX;
    memcpy(sun->sun_path, path, len + 1);
    ret->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    return WSB_OK;
}

static bool parse_port(const char *text, uint16_t *ret)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    unsigned long v = strtoul(text, &end, 10);
    if (*end || v > 65535)
        return false;
    *ret = (uint16_t)v;
    return true;
}

static bool parse_host(const char *host, uint16_t port, struct wsg_address *ret)
{
    struct sockaddr_in *sin = (struct sockaddr_in *)&ret->storage;
    struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&ret->storage;
    if (strcmp(host, "*") == 0 || inet_pton(AF_INET, host, &sin->sin_addr) == 1) {
        if (host[0] == '*')
            sin->sin_addr.s_addr = htonl(INADDR_ANY);
        sin->sin_family = AF_INET;
        sin->sin_port = htons(port);
        ret->len = sizeof *sin;
        return true;
    }
    size_t len = strlen(host);
    char inner[INET6_ADDRSTRLEN + 1];
    if (len < 4 || len - 2 >= sizeof inner || host[0] != '[' || host[len - 1] != ']')
        return false;
    memcpy(inner, host + 1, len - 2);
    inner[len - 2] = 0;
    struct in6_addr in6;
    if (inet_pton(AF_INET6, inner, &in6) != 1)
        return false;
    memset(&ret->storage, 0, sizeof ret->storage);
    sin6->sin6_family = AF_INET6;
    sin6->sin6_addr = in6;
    sin6->sin6_port = htons(port);
    ret->len = sizeof *sin6;
    return true;
}

wsb_err wsg_address_parse(const char *text, struct wsg_address *ret, struct wsb_fault *fault)
{
    *ret = (struct wsg_address){0};
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text + 5, ret, fault);
    const char *colon = strrchr(text, ':');
    char host[80];
    uint16_t port;
    if (!colon || (size_t)(colon - text) >= sizeof host || !parse_port(colon + 1, &port))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "'%.60s' is not an address: use 127.0.0.1:8080, [::1]:8080, *:8080 or unix:/path", text);
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = 0;
    if (!parse_host(host, port, ret))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "'%.60s' is not a numeric IPv4 address, an IPv6 address in brackets, or *", host);
    return WSB_OK;
}

void wsg_address_format(const struct wsg_address *a, char out[WSG_ADDRESS_TEXT])
{
    char ip[INET6_ADDRSTRLEN] = "";
    const struct sockaddr_in *sin = (const struct sockaddr_in *)&a->storage;
    const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)&a->storage;
    const struct sockaddr_un *sun = (const struct sockaddr_un *)&a->storage;
    switch (a->storage.ss_family) {
    case AF_INET:
        inet_ntop(AF_INET, &sin->sin_addr, ip, sizeof ip);
        (void)snprintf(out, WSG_ADDRESS_TEXT, "%s:%u", ip, ntohs(sin->sin_port));
        break;
    case AF_INET6:
        inet_ntop(AF_INET6, &sin6->sin6_addr, ip, sizeof ip);
        (void)snprintf(out, WSG_ADDRESS_TEXT, "[%s]:%u", ip, ntohs(sin6->sin6_port));
        break;
    case AF_UNIX:
        (void)snprintf(out, WSG_ADDRESS_TEXT, "unix:%s",
                       a->len > offsetof(struct sockaddr_un, sun_path) ? sun->sun_path : "");
        break;
    default:
        (void)snprintf(out, WSG_ADDRESS_TEXT, "unknown");
    }
}

const char *wsg_address_passed_name(const char *text)
{
    return strncmp(text, "fd:", 3) == 0 ? text + 3 : NULL;
}

bool wsg_address_is_unix(const struct wsg_address *a)
{
    return a->storage.ss_family == AF_UNIX;
}
