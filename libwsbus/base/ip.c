/* Addresses and networks as text and back, and who is in what. */
#include "base/ip.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const struct wsb_ip unspecified;
static const struct wsb_ip unknown = {
    {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

enum { V4_BITS = 8 * sizeof v4_prefix };

bool wsb_ip_is_v4(const struct wsb_ip *ip)
{
    return memcmp(ip->at, v4_prefix, sizeof v4_prefix) == 0;
}

struct wsb_ip wsb_ip_unknown(void)
{
    return unknown;
}

bool wsb_ip_is_unknown(const struct wsb_ip *ip)
{
    return memcmp(ip, &unknown, sizeof unknown) == 0;
}

bool wsb_ip_parse(struct wsb_span text, struct wsb_ip *ret)
{
    char copy[INET6_ADDRSTRLEN];
    struct wsb_ip ip;
    if (text.len == 0 || text.len >= sizeof copy || memchr(text.ptr, 0, text.len))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    if (inet_pton(AF_INET, copy, ip.at + sizeof v4_prefix) == 1)
        memcpy(ip.at, v4_prefix, sizeof v4_prefix);
    else if (inet_pton(AF_INET6, copy, ip.at) != 1)
        return false;
    *ret = ip;
    return true;
}

bool wsb_port_parse(struct wsb_span text, uint16_t *ret)
{
    unsigned port = 0;
    if (text.len == 0 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        port = port * 10 + (unsigned)(text.ptr[i] - '0');
    }
    *ret = (uint16_t)port;
    return port <= UINT16_MAX;
}

void wsb_ip_format(const struct wsb_ip *ip, char out[WSB_IP_TEXT])
{
    bool is_v4 = wsb_ip_is_v4(ip);
    if (memcmp(ip, &unspecified, sizeof unspecified) == 0)
        (void)snprintf(out, WSB_IP_TEXT, "unix");
    else if (wsb_ip_is_unknown(ip))
        (void)snprintf(out, WSB_IP_TEXT, "unknown");
    else if (!inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? ip->at + sizeof v4_prefix : ip->at, out, WSB_IP_TEXT))
        out[0] = 0; /* the buffer is large enough, so it does not happen */
}

struct wsb_ip wsb_ip_mask(const struct wsb_ip *ip, unsigned bits)
{
    struct wsb_ip masked = {{0}};
    memcpy(masked.at, ip->at, bits / 8);
    if (bits % 8)
        masked.at[bits / 8] = (uint8_t)(ip->at[bits / 8] & (0xff00u >> bits % 8));
    return masked;
}

struct wsb_ip wsb_ip_household(const struct wsb_ip *ip)
{
    return wsb_ip_is_v4(ip) ? *ip : wsb_ip_mask(ip, 64);
}

/* What follows the slash; `max` is how many bits an address of the kind has. */
static bool bits_parse(const char *text, unsigned max, unsigned *ret)
{
    size_t len = strlen(text);
    unsigned bits = 0;
    if (len == 0 || len > 3 || strspn(text, "0123456789") != len)
        return false;
    for (const char *c = text; *c; c++)
        bits = bits * 10 + (unsigned)(*c - '0');
    *ret = bits;
    return bits <= max;
}

wsb_err wsb_ip_net_parse(const char *text, struct wsb_ip_net *ret, struct wsb_fault *fault)
{
    const char *slash = strchr(text, '/');
    struct wsb_ip_net net = {.bits = 128};
    char start[WSB_IP_TEXT];
    if (strcmp(text, "unix") == 0) {
        *ret = net;
        return WSB_OK;
    }
    if (strcmp(text, "unknown") == 0) {
        *ret = (struct wsb_ip_net){.ip = unknown, .bits = 128};
        return WSB_OK;
    }
    if (!wsb_ip_parse(wsb_span(text, slash ? (size_t)(slash - text) : strlen(text)), &net.ip))
        return wsb_fault_set(
            fault, WSB_ERR_CONFIG, 0,
            "'%.60s' is not an address, or a network like 10.0.0.0/8 or 2001:db8::/32, or unix, or unknown", text);
    unsigned before = wsb_ip_is_v4(&net.ip) && !strchr(text, ':') ? V4_BITS : 0;
    unsigned bits = 128 - before;
    if (slash && !bits_parse(slash + 1, 128 - before, &bits))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "'%.60s': a network has 0 to %u bits", text, 128 - before);
    net.bits = (uint8_t)(before + bits);
    struct wsb_ip first = wsb_ip_mask(&net.ip, net.bits);
    if (memcmp(&first, &net.ip, sizeof first) != 0) { /* who writes 10.1.0.0/8 may have meant another one */
        wsb_ip_format(&first, start);
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "'%.60s' has bits behind its %u: write %s/%u, or fewer addresses", text, bits, start,
                             bits);
    }
    *ret = net;
    return WSB_OK;
}

wsb_err wsb_ip_net_check(const char *text, struct wsb_fault *fault)
{
    struct wsb_ip_net ignored;
    return wsb_ip_net_parse(text, &ignored, fault);
}

wsb_err wsb_ip_proxy_check(const char *text, struct wsb_fault *fault)
{
    struct wsb_ip_net net;
    wsb_err err = wsb_ip_net_parse(text, &net, fault);
    if (!err && wsb_ip_is_unknown(&net.ip))
        err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                            "'%.60s': a proxy has an address; whoever has none is not believed", text);
    return err;
}

wsb_err wsb_ip_nets_init(struct wsb_ip_nets *n, char *const *texts, size_t count, struct wsb_fault *fault)
{
    *n = (struct wsb_ip_nets){0};
    if (count == 0)
        return WSB_OK;
    n->at = calloc(count, sizeof *n->at);
    if (!n->at)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    for (; n->count < count; n->count++) {
        wsb_err err = wsb_ip_net_parse(texts[n->count], &n->at[n->count], fault);
        if (err) {
            wsb_ip_nets_deinit(n);
            return err;
        }
    }
    return WSB_OK;
}

void wsb_ip_nets_deinit(struct wsb_ip_nets *n)
{
    free(n->at);
    *n = (struct wsb_ip_nets){0};
}

/* It stands for whoever has no address that could lie in a network. */
static bool is_word(const struct wsb_ip *ip)
{
    return memcmp(ip, &unspecified, sizeof *ip) == 0 || wsb_ip_is_unknown(ip);
}

static bool net_has(const struct wsb_ip_net *net, const struct wsb_ip *ip)
{
    struct wsb_ip masked = wsb_ip_mask(ip, net->bits);
    bool wants_word = net->bits == 128 && is_word(&net->ip);
    return is_word(ip) == wants_word && memcmp(&masked, &net->ip, sizeof masked) == 0;
}

bool wsb_ip_nets_have(const struct wsb_ip_nets *n, const struct wsb_ip *ip)
{
    for (size_t i = 0; i < n->count; i++) {
        if (net_has(&n->at[i], ip))
            return true;
    }
    return false;
}

wsb_err wsb_ip_rules_init(struct wsb_ip_rules *r, char *const *allow, size_t allow_count, char *const *deny,
                          size_t deny_count, struct wsb_fault *fault)
{
    *r = (struct wsb_ip_rules){0};
    wsb_err err = wsb_ip_nets_init(&r->allow, allow, allow_count, fault);
    if (!err)
        err = wsb_ip_nets_init(&r->deny, deny, deny_count, fault);
    if (err)
        wsb_ip_rules_deinit(r);
    return err;
}

bool wsb_ip_rules_admit(const struct wsb_ip_rules *r, const struct wsb_ip *ip)
{
    if (wsb_ip_nets_have(&r->deny, ip))
        return false;
    if (r->allow.count == 0)
        return r->deny.count == 0 || !wsb_ip_is_unknown(ip);
    return wsb_ip_nets_have(&r->allow, ip);
}

void wsb_ip_rules_deinit(struct wsb_ip_rules *r)
{
    wsb_ip_nets_deinit(&r->allow);
    wsb_ip_nets_deinit(&r->deny);
}
