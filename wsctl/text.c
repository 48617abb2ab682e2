/* Text for a terminal. */
#include "text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/printable.h"

struct range {
    uint32_t first, last;
};

static bool is_in(const struct range *ranges, size_t count, uint32_t c)
{
    for (size_t i = 0; i < count; i++) {
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    }
    return false;
}

static size_t width_of(uint32_t c)
{
    static const struct range none[] = {{0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x0610, 0x061a},
                                        {0x064b, 0x065f}, {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200b, 0x200f},
                                        {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}};
    static const struct range two[] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},   {0xac00, 0xd7a3},
                                       {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},
                                       {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1faff}, {0x20000, 0x3fffd}};
    if (is_in(none, sizeof none / sizeof *none, c))
        return 0;
    return is_in(two, sizeof two / sizeof *two, c) ? 2 : 1;
}

static wsb_err escape_one(struct wsb_buf *out, uint32_t c, bool is_byte)
{
    if (c == '\\')
        return wsb_buf_append_str(out, "\\\\");
    if (c == '\n' || c == '\r' || c == '\t')
        return wsb_buf_append_str(out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
    return wsb_buf_printf(out, is_byte || c < 0x80 ? "\\x%02" PRIx32 : "\\u{%" PRIx32 "}", c);
}

wsb_err wsc_text_escape(struct wsb_buf *out, struct wsb_span s)
{
    wsb_err err = WSB_OK;
    while (s.len && !err) {
        size_t len;
        uint32_t c = wsb_character(s, &len);
        if (!len)
            err = escape_one(out, s.ptr[0], /*is_byte=*/true);
        else if (c == '\\' || wsb_is_unprintable(c))
            err = escape_one(out, c, /*is_byte=*/false);
        else
            err = wsb_buf_append(out, s.ptr, len);
        len = len ? len : 1;
        s = wsb_span(s.ptr + len, s.len - len);
    }
    return err;
}

size_t wsc_text_fit(struct wsb_span s, size_t columns, size_t *ret_width)
{
    size_t at = 0;
    size_t width = 0;
    while (at < s.len) {
        size_t len;
        uint32_t c = wsb_character(wsb_span(s.ptr + at, s.len - at), &len);
        size_t w = len ? width_of(c) : 1;
        if (width + w > columns)
            break;
        width += w;
        at += len ? len : 1;
    }
    *ret_width = width;
    return at;
}

size_t wsc_text_width(struct wsb_span s)
{
    size_t width;
    (void)wsc_text_fit(s, SIZE_MAX - 2, &width);
    return width;
}

/* ---------------------------------------------------------------- durations */

static const char *unit_of(const char *at, uint64_t *ret_ms)
{
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t len = strlen(units[i].name);
        bool is_end = strncmp(at, units[i].name, len) == 0 && !(at[len] >= 'a' && at[len] <= 'z');
        if (is_end) {
            *ret_ms = units[i].ms;
            return at + len;
        }
    }
    return NULL;
}

bool wsc_duration_parse(const char *text, uint64_t *ret_ms)
{
    static const uint64_t longest_ms = (uint64_t)100 * 365 * 86400000;
    uint64_t total = 0;
    uint64_t last_unit = UINT64_MAX;
    const char *at = text;
    if (!*at)
        return false;
    while (*at) {
        uint64_t n = 0;
        uint64_t unit_ms = 1000;
        const char *begin = at;
        for (; *at >= '0' && *at <= '9'; at++) {
            n = n * 10 + (uint64_t)(*at - '0');
            if (n > longest_ms)
                return false;
        }
        if (at == begin)
            return false;
        if (*at || begin != text) { /* a unit may be left out only when the number stands alone */
            at = unit_of(at, &unit_ms);
            if (!at)
                return false;
        }
        assert(unit_ms > 0);
        if (unit_ms >= last_unit) /* 1h30m, and neither 30m1h nor 1m1m */
            return false;
        last_unit = unit_ms;
        if (n > longest_ms / unit_ms || (total += n * unit_ms) >= longest_ms)
            return false;
    }
    *ret_ms = total;
    return true;
}

void wsc_duration_format(uint64_t ms, char out[WSC_SHORT])
{
    uint64_t s = ms / 1000;
    if (ms < 10000)
        (void)snprintf(out, WSC_SHORT, "%" PRIu64 ".%" PRIu64 "s", s, ms % 1000 / 100);
    else if (s < 60)
        (void)snprintf(out, WSC_SHORT, "%" PRIu64 "s", s);
    else if (s < 3600)
        (void)snprintf(out, WSC_SHORT, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
    else if (s < 86400)
        (void)snprintf(out, WSC_SHORT, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
    else
        (void)snprintf(out, WSC_SHORT, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
}

void wsc_rtt_format(uint64_t us, char out[WSC_SHORT])
{
    if (us == 0)
        (void)snprintf(out, WSC_SHORT, "-");
    else if (us < 1000)
        (void)snprintf(out, WSC_SHORT, "%" PRIu64 "us", us);
    else if (us < 1000000)
        (void)snprintf(out, WSC_SHORT, "%.1fms", (double)us / 1e3);
    else
        (void)snprintf(out, WSC_SHORT, "%.2fs", (double)us / 1e6);
}

void wsc_size_format(uint64_t bytes, char out[WSC_SHORT])
{
    static const char units[] = "KMGTPE";
    double v = (double)bytes;
    int unit = -1;
    if (bytes < 1024) {
        (void)snprintf(out, WSC_SHORT, "%" PRIu64, bytes);
        return;
    }
    while (v >= 1023.95 && unit < 5) { /* so that it never rounds to 1024.0 */
        v /= 1024;
        unit++;
    }
    (void)snprintf(out, WSC_SHORT, "%.1f%c", v, units[unit < 0 ? 0 : unit]);
}
