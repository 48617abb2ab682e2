#ifndef TESTS_SUPPORT_ZMTP_WIRE_H
#define TESTS_SUPPORT_ZMTP_WIRE_H

/* What a ZeroMQ peer writes, byte by byte, for tests that play one. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes to be written, gathered. */
struct wire {
    uint8_t *bytes; /* as much as the test needs */
    size_t len;
};

static inline void wire_put(struct wire *w, const void *bytes, size_t len)
{
    memcpy(w->bytes + w->len, bytes, len);
    w->len += len;
}

/* minor: 1 for ZMTP 3.1, 0 for 3.0 */
static inline void wire_greeting(struct wire *w, uint8_t minor, const char *mechanism)
{
    uint8_t greeting[64] = {0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, minor};
    memcpy(greeting + 12, mechanism, strlen(mechanism));
    wire_put(w, greeting, sizeof greeting);
}

/* flags: 1 more, 4 command */
static inline void wire_frame(struct wire *w, uint8_t flags, const void *body, size_t len)
{
    uint8_t head[9] = {(uint8_t)(len > 255 ? flags | 2 : flags), (uint8_t)len};
    size_t n = len > 255 ? 9 : 2;
    for (size_t i = 0; n == 9 && i < 8; i++)
        head[8 - i] = (uint8_t)((uint64_t)len >> (8 * i));
    wire_put(w, head, n);
    if (len)
        wire_put(w, body, len);
}

static inline size_t wire_property(uint8_t *out, const char *name, const char *value, size_t value_len)
{
    size_t n = strlen(name);
    out[0] = (uint8_t)n;
    memcpy(out + 1, name, n);
    out[1 + n] = out[2 + n] = out[3 + n] = 0;
    out[4 + n] = (uint8_t)value_len;
    memcpy(out + 5 + n, value, value_len);
    return 5 + n + value_len;
}

static inline size_t wire_metadata(uint8_t *out, const char *socket_type, const char *identity)
{
    size_t len = wire_property(out, "Socket-Type", socket_type, strlen(socket_type));
    if (identity)
        len += wire_property(out + len, "Identity", identity, strlen(identity));
    return len;
}

static inline void wire_ready(struct wire *w, const char *socket_type, const char *identity)
{
    uint8_t body[400] = "\x05READY";
    wire_frame(w, 4, body, 6 + wire_metadata(body + 6, socket_type, identity));
}

static inline void wire_ping(struct wire *w, uint16_t ttl, const char *context)
{
    uint8_t body[64] = "\x04PING";
    body[5] = (uint8_t)(ttl >> 8);
    body[6] = (uint8_t)ttl;
    memcpy(body + 7, context, strlen(context));
    wire_frame(w, 4, body, 7 + strlen(context));
}

#endif
