/*
 * Values from text. Everything is checked before it is narrowed: a size that does not fit in 64 bits is refused like one
 * that is above its option's maximum, and never wraps around.
 */
#include "config/value.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/endpoint.h"
#include "base/host.h"
#include "base/origin.h"
#include "base/pattern.h"

#define SHOWN "'%.60s'"

enum {
    UNIX_PATH_MAX_BYTES = 107, /* sun_path without its NUL, unix(7) */
    PASSED_NAME_MAX = 255      /* systemd.socket(5), FileDescriptorName */
};

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit size_units[] = {
    {"GiB", (uint64_t)1024 * 1024 * 1024}, {"MiB", (uint64_t)1024 * 1024}, {"KiB", 1024}, {"B", 1}, {"", 1}, {NULL, 0}};
static const struct unit duration_units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0}};

/* Digits at the start of text. False when there are none; *ret_fits says whether 64 bits were enough. */
static bool digits_parse(const char *text, uint64_t *ret, const char **ret_end, bool *ret_fits)
{
    uint64_t v = 0;
    bool fits = true;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++)
        fits = fits && !__builtin_mul_overflow(v, 10, &v) && !__builtin_add_overflow(v, (uint64_t)(*at - '0'), &v);
    *ret = v;
    *ret_end = at;
    *ret_fits = fits;
    return at != text;
}

/* The largest unit that divides v, so that a limit is shown as people write it. */
static void unit_format(char *buf, size_t buf_len, uint64_t v, const struct unit *units)
{
    const struct unit *u = units;
    while (u[1].name && (v == 0 || v % u->factor))
        u++;
    (void)snprintf(buf, buf_len, "%" PRIu64 "%s", v / u->factor, v ? u->name : "");
}

static wsb_err range_refuse(const char *text, uint64_t min, uint64_t max, const struct unit *units,
                            struct wsb_fault *fault)
{
    char low[32];
    char high[32];
    unit_format(low, sizeof low, min, units);
    unit_format(high, sizeof high, max, units);
    return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, SHOWN " is out of range: from %s to %s", text, low, high);
}

static const struct unit *unit_find(const struct unit *units, const char *name)
{
    while (units->name && strcmp(units->name, name) != 0)
        units++;
    return units->name ? units : NULL;
}

static wsb_err united_parse(const char *text, uint64_t min, uint64_t max, const struct unit *units, const char *wanted,
                            uint64_t *ret, struct wsb_fault *fault)
{
    uint64_t v;
    const char *end;
    bool fits;
    const struct unit *u = NULL;
    if (digits_parse(text, &v, &end, &fits))
        u = *end == 0 && fits && v == 0 ? &units[0] : unit_find(units, end);
    if (!u)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, SHOWN " is not %s", text, wanted);
    if (!fits || __builtin_mul_overflow(v, u->factor, &v) || v < min || v > max)
        return range_refuse(text, min, max, units, fault);
    *ret = v;
    return WSB_OK;
}

wsb_err wsg_value_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret, struct wsb_fault *fault)
{
    static const struct unit none[] = {{"", 1}, {NULL, 0}};
    return united_parse(text, min, max, none, "a whole number", ret, fault);
}

wsb_err wsg_value_size(const char *text, uint64_t min, uint64_t max, uint64_t *ret, struct wsb_fault *fault)
{
    return united_parse(text, min, max, size_units, "a size: write bytes, or a number with KiB, MiB or GiB, like 64KiB",
                        ret, fault);
}

wsb_err wsg_value_duration(const char *text, uint64_t min, uint64_t max, uint64_t *ret, struct wsb_fault *fault)
{
    return united_parse(text, min, max, duration_units, "a duration: write a number with ms, s, m or h, like 10s", ret,
                        fault);
}

wsb_err wsg_value_mode(const char *text, unsigned *ret, struct wsb_fault *fault)
{
    size_t digits = strspn(text, "01234567");
    if (digits == 0 || digits > 4 || text[digits])
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, SHOWN " is not a file mode: write it in octal, like 0660", text);
    unsigned mode = (unsigned)strtoul(text, NULL, 8);
    if (mode > 0777 || (mode & 0600) != 0600)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             SHOWN " is out of range: from 0600 to 0777, and its owner may always read and write",
                             text);
    *ret = mode;
    return WSB_OK;
}

wsb_err wsg_value_bool(const char *text, bool *ret, struct wsb_fault *fault)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *ret = i % 2;
            return WSB_OK;
        }
    }
    return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, SHOWN " is not yes or no", text);
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Is text 1 to max bytes, each a letter, a digit or one of `others`? */
static bool is_made_of(const char *text, const char *others, size_t max)
{
    size_t len = strlen(text);
    if (len == 0 || len > max)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!is_alnum(text[i]) && !strchr(others, text[i]))
            return false;
    }
    return true;
}

wsb_err wsg_value_check_name(const char *text, struct wsb_fault *fault)
{
    if (is_made_of(text, "_.-", 64))
        return WSB_OK;
    return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                         SHOWN " is not a route's name: 1 to 64 letters, digits, '_', '.' and '-'", text);
}

wsb_err wsg_value_check_host(const char *text, struct wsb_fault *fault)
{
    struct wsb_host host;
    if (wsb_host_parse(wsb_span_str(text), &host) == WSB_OK && !host.has_port)
        return WSB_OK;
    return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                         SHOWN " is not a host: write it as clients do, without a port, like example.org", text);
}

/* RFC 6455 §4.1: a subprotocol is a token of RFC 2616 §2.2. With '/' as well, as in the handshake: names like
 * "my.server/json" are in use. */
wsb_err wsg_value_check_token(const char *text, struct wsb_fault *fault)
{
    if (is_made_of(text, "!#$%&'*+-./^_`|~", 128))
        return WSB_OK;
    return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                         SHOWN " is not a subprotocol: 1 to 128 letters, digits and !#$%%&'*+-./^_`|~", text);
}

wsb_err wsg_value_check_method(const char *text, struct wsb_fault *fault)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (strcmp(text, methods[i]) == 0)
            return WSB_OK;
    }
    return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                         SHOWN " is not one of GET, HEAD, POST, PUT, DELETE, PATCH or OPTIONS", text);
}

wsb_err wsg_value_check_field(const char *text, struct wsb_fault *fault)
{
    if (is_made_of(text, "!#$%&'*+-.^_`|~", 128) && strcmp(text, "*") != 0)
        return WSB_OK;
    return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, SHOWN " is not the name of a header: write it like X-Total", text);
}

wsb_err wsg_value_check_page(const char *text, struct wsb_fault *fault)
{
    if (strcmp(text, "none") == 0 || strcmp(text, "same") == 0)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             SHOWN " is no origin of other pages: write any, null, https://app.example.org or "
                                   "https://*.example.org",
                             text);
    return wsb_origin_check(text, fault);
}

wsb_err wsg_value_check_prefix(const char *text, struct wsb_fault *fault)
{
    size_t len = strlen(text);
    if (len == 0 || text[0] != '/' || text[len - 1] != '/')
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             SHOWN " is not a prefix: it begins and ends with '/', like /app/", text);
    /* A prefix is a pattern without parameters: what no pattern may say, no path can have. */
    struct wsb_pattern *p = NULL;
    wsb_err err = wsb_pattern_new(&p, text, fault);
    if (err)
        return err;
    bool is_literal = wsb_pattern_param_count(p) == 0;
    wsb_pattern_free(p);
    if (is_literal)
        return WSB_OK;
    return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, SHOWN " is not a prefix: it cannot have parameters", text);
}

static bool is_ip(const char *host)
{
    struct in_addr in;
    struct in6_addr in6;
    char inner[INET6_ADDRSTRLEN + 1];
    size_t len = strlen(host);
    if (strcmp(host, "*") == 0 || inet_pton(AF_INET, host, &in) == 1)
        return true;
    if (len < 4 || len - 2 >= sizeof inner || host[0] != '[' || host[len - 1] != ']')
        return false;
    memcpy(inner, host + 1, len - 2);
    inner[len - 2] = 0;
    return inet_pton(AF_INET6, inner, &in6) == 1;
}

wsb_err wsg_value_check_text(const char *text, struct wsb_fault *fault)
{
    if (*text == 0)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "'' is empty");
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, SHOWN " has a control character in it", text);
    }
    return WSB_OK;
}

wsb_err wsg_value_check_address(const char *text, struct wsb_fault *fault)
{
    if (strncmp(text, "unix:", 5) == 0) {
        size_t len = strlen(text + 5);
        if (len > 0 && len <= UNIX_PATH_MAX_BYTES)
            return wsg_value_check_text(text, fault);
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, SHOWN " is not an address: a socket's path has 1 to %d bytes",
                             text, (int)UNIX_PATH_MAX_BYTES);
    }
    char host[80];
    const char *colon = strrchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof host)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             SHOWN " is not an address: use 127.0.0.1:8080, [::1]:8080, *:8080 or unix:/path", text);
    uint64_t port;
    if (wsg_value_number(colon + 1, 0, UINT16_MAX, &port, NULL))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, SHOWN " is not an address: the port is a number up to 65535",
                             text);
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = 0;
    if (is_ip(host))
        return WSB_OK;
    return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                         SHOWN " is not an address: the host is an IPv4 address, an IPv6 address in brackets, or *",
                         text);
}

wsb_err wsg_value_check_listen(const char *text, struct wsb_fault *fault)
{
    if (strncmp(text, "fd:", 3) != 0)
        return wsg_value_check_address(text, fault);
    const char *name = text + 3;
    size_t len = 0;
    while (name[len] > ' ' && name[len] < 0x7f && name[len] != ':')
        len++;
    if (len > 0 && len <= PASSED_NAME_MAX && !name[len])
        return WSB_OK;
    return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                         SHOWN " is not a socket's name: fd: and FileDescriptorName= of the socket unit, 1 to %d "
                               "characters without blanks and colons",
                         text, (int)PASSED_NAME_MAX);
}

bool wsg_value_is_near(const char *text)
{
    struct wsb_endpoint e;
    char endpoint[120]; /* what is an address is shorter */
    if (strncmp(text, "unix:", 5) == 0)
        return true;
    (void)snprintf(endpoint, sizeof endpoint, "tcp://%s", text);
    return wsb_endpoint_parse(endpoint, &e, NULL) == WSB_OK && e.is_loopback;
}

wsb_err wsg_fault_prefix(struct wsb_fault *fault, const char *format, ...)
{
    char text[sizeof fault->text];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    size_t used = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    if (snprintf(text + used, sizeof text - used, ": %s", fault->text) >= (int)(sizeof text - used))
        memcpy(text + sizeof text - sizeof "...", "...", sizeof "..."); /* cut, and it shows */
    for (char *c = text; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    }
    memcpy(fault->text, text, sizeof text);
    return fault->err;
}
