/* Endpoints as text and back. */
#include "base/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define SCHEME "tcp://"

static bool port_parse(const char *text, uint16_t *ret)
{
    unsigned v = 0;
    size_t len = strlen(text);
    if (strcmp(text, "*") == 0) {
        *ret = 0;
        return true;
    }
    if (len == 0 || len > 5 || strspn(text, "0123456789") != len)
        return false;
    for (const char *c = text; *c; c++)
        v = v * 10 + (unsigned)(*c - '0');
    if (v > UINT16_MAX)
        return false;
    *ret = (uint16_t)v;
    return true;
}

static bool host_parse(const char *host, struct wsb_endpoint *ret)
{
    struct in_addr in;
    struct in6_addr in6;
    size_t len = strlen(host);
    if (strcmp(host, "*") == 0)
        host = "0.0.0.0";
    else if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    if (inet_pton(AF_INET, host, &in) == 1) {
        ret->is_loopback = ntohl(in.s_addr) >> 24 == 127;
        return inet_ntop(AF_INET, &in, ret->host, sizeof ret->host) != NULL;
    }
    char inner[WSB_ENDPOINT_HOST];
    if (len < 4 || len - 2 >= sizeof inner || host[0] != '[' || host[len - 1] != ']')
        return false;
    memcpy(inner, host + 1, len - 2);
    inner[len - 2] = 0;
    if (inet_pton(AF_INET6, inner, &in6) != 1)
        return false;
    ret->is_v6 = true;
    ret->is_loopback = IN6_IS_ADDR_LOOPBACK(&in6);
    return inet_ntop(AF_INET6, &in6, ret->host, sizeof ret->host) != NULL;
}

wsb_err wsb_endpoint_parse(const char *text, struct wsb_endpoint *ret, struct wsb_fault *fault)
{
    struct wsb_endpoint e = {0};
    char host[WSB_ENDPOINT_HOST + 2];
    const char *at = text + strlen(SCHEME);
    const char *colon = strncmp(text, SCHEME, strlen(SCHEME)) == 0 ? strrchr(at, ':') : NULL;
    if (!colon || (size_t)(colon - at) >= sizeof host)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "'%.60s' is not an endpoint: write it like tcp://127.0.0.1:5555 or tcp://[::1]:5555",
                             text);
    if (!port_parse(colon + 1, &e.port))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "'%.60s' is not an endpoint: the port is a number up to 65535, or * for any", text);
    memcpy(host, at, (size_t)(colon - at));
    host[colon - at] = 0;
    if (!host_parse(host, &e))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "'%.60s' is not an endpoint: the host is an IPv4 address, an IPv6 address in brackets, "
                             "localhost, or * for every IPv4 address",
                             text);
    *ret = e;
    return WSB_OK;
}

void wsb_endpoint_format(const struct wsb_endpoint *e, char out[WSB_ENDPOINT_TEXT])
{
    char port[8] = "*";
    if (e->port)
        (void)snprintf(port, sizeof port, "%u", e->port);
    (void)snprintf(out, WSB_ENDPOINT_TEXT, e->is_v6 ? SCHEME "[%.46s]:%s" : SCHEME "%.46s:%s", e->host, port);
}
