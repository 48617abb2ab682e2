/* ws-URI, RFC 6455 §3: no user, no fragment; what is not printable ASCII has to be encoded by whoever writes it. */
#include "target.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

bool wsl_path_is_valid(const char *path)
{
    if (*path != '/' || strlen(path) >= sizeof((struct wsl_target *)0)->path)
        return false;
    for (; *path; path++) {
        if (*path <= ' ' || *path > '~' || *path == '#')
            return false;
    }
    return true;
}

static bool port_is_valid(const char *port)
{
    size_t len = strlen(port);
    unsigned long number = len <= 5 && !port[strspn(port, "0123456789")] ? strtoul(port, NULL, 10) : 0;
    return number >= 1 && number <= 65535;
}

/* HOST, HOST:PORT, [IPv6] or [IPv6]:PORT into host and port. False: it is none of them. */
static bool split_authority(char *authority, struct wsl_target *ret)
{
    char *host = authority, *rest;
    if (*host == '[') {
        host++;
        rest = strchr(host, ']');
        if (!rest)
            return false;
        *rest++ = 0;
    } else {
        rest = host + strcspn(host, ":");
    }
    const char *port = ret->is_tls ? "443" : "80";
    if (*rest == ':') {
        *rest = 0;
        port = rest + 1;
    } else if (*rest) {
        return false;
    }
    if (!*host || host[strcspn(host, " \t\r\n@\\\"<>")] || !port_is_valid(port))
        return false;
    (void)snprintf(ret->host, sizeof ret->host, "%s", host);
    (void)snprintf(ret->port, sizeof ret->port, "%s", port);
    return true;
}

wsb_err wsl_target_parse(const char *url, struct wsl_target *ret, struct wsb_fault *fault)
{
    struct wsl_target t = {.is_tls = strncmp(url, "wss://", 6) == 0};
    if (!t.is_tls && strncmp(url, "ws://", 5) != 0)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "'%.80s' does not begin with ws:// or wss://", url);
    const char *authority = strstr(url, "//") + 2;
    size_t len = strcspn(authority, "/?#");
    const char *path = authority + len;
    char text[sizeof t.host];
    if (len >= sizeof text)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "'%.80s': the host is too long", url);
    memcpy(text, authority, len);
    text[len] = 0;
    (void)snprintf(t.authority, sizeof t.authority, "%s", text);
    if (!split_authority(text, &t))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "'%.80s': no host and port in it", url);
    (void)snprintf(t.path, sizeof t.path, "%s%.2046s", *path == '/' ? "" : "/", path);
    if (!wsl_path_is_valid(t.path) || strlen(path) > sizeof t.path - 2)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "'%.80s': a path has no fragment, no spaces, and %zu bytes at most", url,
                             sizeof t.path - 2);
    *ret = t;
    return WSB_OK;
}

wsb_err wsl_target_resolve(struct wsl_target *t, const char *unix_path, struct wsb_fault *fault)
{
    if (unix_path) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        if (strlen(unix_path) >= sizeof address.sun_path)
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--unix: a socket's path has %zu bytes at most",
                                 sizeof address.sun_path - 1);
        (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", unix_path);
        memcpy(&t->address, &address, sizeof address);
        t->address_len = sizeof address;
        return WSB_OK;
    }
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found;
    int status = getaddrinfo(t->host, t->port, &hints, &found);
    if (status)
        return wsb_fault_set(fault, WSB_ERR_NOT_FOUND, 0, "%.120s: %s", t->host, gai_strerror(status));
    memcpy(&t->address, found->ai_addr, found->ai_addrlen);
    t->address_len = found->ai_addrlen;
    freeaddrinfo(found);
    return WSB_OK;
}
