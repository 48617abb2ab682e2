/* A host is split from its port, then its name is brought into its canonical form, or refused. */
#include "base/host.h"

#include <stdbool.h>
#include <stdio.h>

#include "base/ip.h"

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static bool is_name_char(uint8_t c)
{
    return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') || c == '-' || c == '.' || c == '_' || c == '~';
}

/* The last label of a name, which is lower case: all digits, or hexadecimal after "0x". */
static bool is_number(struct wsb_span label)
{
    bool is_hex = label.len >= 2 && label.ptr[0] == '0' && label.ptr[1] == 'x';
    for (size_t i = is_hex ? 2 : 0; i < label.len; i++) {
        if (!is_digit(label.ptr[i]) && !(is_hex && label.ptr[i] >= 'a' && label.ptr[i] <= 'f'))
            return false;
    }
    return label.len > 0;
}

/* Every label has something in it, and a name that ends with a number is an IPv4 address. */
static bool is_name(struct wsb_span name)
{
    struct wsb_ip ip;
    size_t begin = 0;
    for (size_t i = 0; i <= name.len; i++) {
        if (i < name.len && name.ptr[i] != '.')
            continue;
        if (i == begin)
            return false;
        if (i < name.len)
            begin = i + 1;
    }
    if (!is_number(wsb_span(name.ptr + begin, name.len - begin)))
        return true;
    return wsb_ip_parse(name, &ip);
}

static bool name_write(struct wsb_span name, struct wsb_host *ret)
{
    if (name.len && name.ptr[name.len - 1] == '.')
        name.len--; /* the root of all names */
    if (name.len == 0 || name.len > WSB_HOST_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++)
        ret->text[i] = (char)lower(name.ptr[i]);
    ret->name_len = (uint16_t)name.len;
    return is_name(wsb_host_name(ret));
}

/* Between the brackets. */
static bool ipv6_write(struct wsb_span text, struct wsb_host *ret)
{
    char address[WSB_IP_TEXT];
    struct wsb_ip ip;
    static const struct wsb_ip unspecified;
    if (!text.len || !memchr(text.ptr, ':', text.len) || !wsb_ip_parse(text, &ip))
        return false;
    wsb_ip_format(&ip, address);
    if (memcmp(&ip, &unspecified, sizeof ip) == 0 || wsb_ip_is_unknown(&ip))
        return false; /* nobody's */
    int n = snprintf(ret->text, sizeof ret->text, wsb_ip_is_v4(&ip) ? "%s" : "[%s]", address);
    ret->name_len = (uint16_t)n;
    return true;
}

/* Behind the colon; it may be empty (RFC 3986 §3.2.3), and then there is none. */
static bool port_read(struct wsb_span text, struct wsb_host *ret)
{
    ret->has_port = text.len > 0;
    return text.len == 0 || wsb_port_parse(text, &ret->port);
}

wsb_err wsb_host_parse(struct wsb_span text, struct wsb_host *ret)
{
    struct wsb_host h = {.name_len = 0};
    size_t end = 0;
    bool ok;
    if (text.len && text.ptr[0] == '[') {
        const uint8_t *bracket = memchr(text.ptr, ']', text.len);
        end = bracket ? (size_t)(bracket - text.ptr) + 1 : 0;
        ok = end && ipv6_write(wsb_span(text.ptr + 1, end - 2), &h);
    } else {
        while (end < text.len && is_name_char(text.ptr[end]))
            end++;
        ok = name_write(wsb_span(text.ptr, end), &h);
    }
    if (ok && end < text.len)
        ok = text.ptr[end] == ':' && port_read(wsb_span(text.ptr + end + 1, text.len - end - 1), &h);
    if (!ok)
        return WSB_ERR_PROTO;
    int n = h.has_port ? snprintf(h.text + h.name_len, sizeof h.text - h.name_len, ":%u", (unsigned)h.port) : 0;
    h.text_len = (uint16_t)(h.name_len + n);
    h.text[h.text_len] = 0;
    *ret = h;
    return WSB_OK;
}
