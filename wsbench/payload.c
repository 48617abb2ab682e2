/* Stamps are hexadecimal, so that a message is text whatever it says. The pattern costs one pass over memory. */
#include "payload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ws/mask.h"

enum { STAMP = 32, NUMBER = 8, PERIOD = 64 };

static const uint64_t SEED = 0x243f6a8885a308d3;
static const char digits[] = "0123456789abcdef";

/* xorshift: the same in every run, and no piece like another */
static uint64_t next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

static void fill_noise(uint8_t *out, size_t len, bool letters_only)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint64_t x = SEED;
    for (size_t i = 0; i < len; i++) {
        uint64_t v = next(&x) >> 32;
        out[i] = letters_only ? (uint8_t)letters[v & 63] : (uint8_t)v;
    }
}

static void fill_records(uint8_t *out, size_t len)
{
    static const char *const words[] = {"temperature", "pressure", "speed",   "position",
                                        "status",      "message",  "kitchen", "ok"};
    uint64_t x = SEED;
    for (size_t at = 0; at < len;) {
        char record[128];
        uint64_t v = next(&x);
        int n =
            snprintf(record, sizeof record, "{\"id\":%u,\"%s\":%u.%02u,\"where\":\"%s\"},", (unsigned)(v & 0xfffff),
                     words[v >> 20 & 7], (unsigned)(v >> 24 & 0x3ff), (unsigned)(v >> 36) % 100, words[v >> 56 & 7]);
        size_t take = len - at < (size_t)n ? len - at : (size_t)n;
        memcpy(out + at, record, take);
        at += take;
    }
}

wsb_err wsl_payload_init(struct wsl_payload *p, size_t size, enum wsl_pattern pattern)
{
    *p = (struct wsl_payload){.size = size, .pattern = malloc(size + PERIOD)};
    if (!p->pattern)
        return WSB_ERR_NOMEM;
    if (pattern == WSL_RECORDS)
        fill_records(p->pattern, size + PERIOD);
    else
        fill_noise(p->pattern, size + PERIOD, pattern == WSL_LETTERS);
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
