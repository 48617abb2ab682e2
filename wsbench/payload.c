/* Stamps are hexadecimal, so that a message is text whatever it says. The pattern costs one pass over memory. */
#include "payload.h"

#include <stdlib.h>
#include <string.h>

#include "ws/mask.h"

enum { STAMP = 32, NUMBER = 8, PERIOD = 64 };

static const char digits[] = "0123456789abcdef";

wsb_err wsl_payload_init(struct wsl_payload *p, size_t size, bool binary)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    *p = (struct wsl_payload){.size = size, .pattern = malloc(size + PERIOD)};
    if (!p->pattern)
        return WSB_ERR_NOMEM;
    uint64_t x = 0x243f6a8885a308d3; /* xorshift: the same in every run, and no piece like another */
    for (size_t i = 0; i < size + PERIOD; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        p->pattern[i] = binary ? (uint8_t)(x >> 32) : (uint8_t)letters[(x >> 32) & 63];
    }
    return WSB_OK;
}

void wsl_payload_deinit(struct wsl_payload *p)
{
    free(p->pattern);
    p->pattern = NULL;
}

static void put_hex(uint8_t *out, uint64_t value, int count)
{
    for (int i = count - 1; i >= 0; i--, value >>= 4)
        out[i] = (uint8_t)digits[value & 15];
}

static bool get_hex(const uint8_t *in, int count, uint64_t *ret)
{
    uint64_t value = 0;
    for (int i = 0; i < count; i++) {
        const char *digit = in[i] ? strchr(digits, in[i]) : NULL;
        if (!digit)
            return false;
        value = value << 4 | (uint64_t)(digit - digits);
    }
    *ret = value;
    return true;
}

/* As much of the stamp as the size has room for; returns its length. */
static size_t put_stamp(const struct wsl_payload *p, const struct wsl_stamp *stamp, uint8_t out[STAMP])
{
    if (p->size >= STAMP) {
        put_hex(out, stamp->time_ns, 16);
        put_hex(out + 16, stamp->sender, 8);
        put_hex(out + 24, stamp->number, 8);
        return STAMP;
    }
    if (p->size < NUMBER)
        return 0;
    put_hex(out, stamp->number, 8);
    return NUMBER;
}

static const uint8_t *pattern_of(const struct wsl_payload *p, const struct wsl_stamp *stamp)
{
    return p->pattern + (stamp->sender * 7 + stamp->number * 31) % PERIOD;
}

void wsl_payload_write_masked(const struct wsl_payload *p, const struct wsl_stamp *stamp, size_t offset, size_t len,
                              const uint8_t mask[4], uint8_t *out)
{
    uint8_t head[STAMP];
    size_t head_len = put_stamp(p, stamp, head), of_head = 0;
    if (offset < head_len) {
        of_head = len < head_len - offset ? len : head_len - offset;
        wsb_mask_copy(out, head + offset, of_head, mask, 0);
    }
    wsb_mask_copy(out + of_head, pattern_of(p, stamp) + offset + of_head, len - of_head, mask, of_head);
}

bool wsl_payload_is(const struct wsl_payload *p, const struct wsl_stamp *stamp, struct wsb_span message)
{
    uint8_t head[STAMP];
    size_t len = put_stamp(p, stamp, head);
    return message.len == p->size && memcmp(message.ptr, head, len) == 0 &&
           memcmp(message.ptr + len, pattern_of(p, stamp) + len, message.len - len) == 0;
}

bool wsl_stamp_read(struct wsb_span message, struct wsl_stamp *ret)
{
    uint64_t time_ns, sender, number;
    if (message.len < STAMP || !get_hex(message.ptr, 16, &time_ns) || !get_hex(message.ptr + 16, 8, &sender) ||
        !get_hex(message.ptr + 24, 8, &number))
        return false;
    *ret = (struct wsl_stamp){.time_ns = time_ns, .sender = (uint32_t)sender, .number = (uint32_t)number};
    return true;
}
