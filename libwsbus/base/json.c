/* The JSON writer. Every byte that goes between quotes passes through put_text(). */
#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/printable.h"
#include "base/utf8.h"

static void put(struct wsb_json *j, const void *data, size_t len)
{
    if (!j->err)
        j->err = wsb_buf_append(j->out, data, len);
}

static void separate(struct wsb_json *j)
{
    if (j->comma)
        put(j, ",", 1);
    j->comma = true;
}

static void put_escaped(struct wsb_json *j, uint32_t c)
{
    char text[16];
    const char *known = c == '"'    ? "\\\""
                        : c == '\\' ? "\\\\"
                        : c == '\n' ? "\\n"
                        : c == '\r' ? "\\r"
                        : c == '\t' ? "\\t"
                                    : NULL;
    if (!known) {
        if (c > 0xffff) /* a surrogate pair (RFC 8259 §7) */
            (void)snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xd7c0 + (c >> 10), 0xdc00 | (c & 0x3ff));
        else
            (void)snprintf(text, sizeof text, "\\u%04x", c);
        known = text;
    }
    put(j, known, strlen(known));
}

/* The character at the beginning of s, which is not ASCII; returns its bytes. Whoever reads JSON reads the same, escaped or not; whoever
 * reads its text on a terminal is not led astray. */
static size_t put_wide(struct wsb_json *j, struct wsb_span s, bool latin1)
{
    size_t len = 1;
    uint32_t c = latin1 ? s.ptr[0] : wsb_character(s, &len);
    const uint8_t two[2] = {(uint8_t)(0xc0 | c >> 6), (uint8_t)(0x80 | (c & 0x3f))};
    if (wsb_is_unprintable(c))
        put_escaped(j, c);
    else
        put(j, latin1 ? two : s.ptr, latin1 ? sizeof two : len);
    return len;
}

static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Without latin1 it is UTF-8. */
static void put_text(struct wsb_json *j, struct wsb_span s, bool latin1)
{
    put(j, "\"", 1);
    for (size_t i = 0; i < s.len;) {
        size_t start = i;
        while (i < s.len && is_plain(s.ptr[i]))
            i++;
        if (i > start)
            put(j, s.ptr + start, i - start);
        if (i == s.len)
            break;
        if (s.ptr[i] < 0x80)
            put_escaped(j, s.ptr[i++]);
        else
            i += put_wide(j, wsb_span(s.ptr + i, s.len - i), latin1);
    }
    put(j, "\"", 1);
}

void wsb_json_begin(struct wsb_json *j, struct wsb_buf *out)
{
    *j = (struct wsb_json){.out = out};
}

wsb_err wsb_json_end(const struct wsb_json *j)
{
    return j->err;
}

static void open_with(struct wsb_json *j, const char *bracket)
{
    separate(j);
    put(j, bracket, 1);
    j->comma = false;
}

static void close_with(struct wsb_json *j, const char *bracket)
{
    put(j, bracket, 1);
    j->comma = true;
}

void wsb_json_object(struct wsb_json *j)
{
    open_with(j, "{");
}

void wsb_json_object_end(struct wsb_json *j)
{
    close_with(j, "}");
}

void wsb_json_array(struct wsb_json *j)
{
    open_with(j, "[");
}

void wsb_json_array_end(struct wsb_json *j)
{
    close_with(j, "]");
}

void wsb_json_key_span(struct wsb_json *j, struct wsb_span key)
{
    wsb_json_str(j, key);
    put(j, ":", 1);
    j->comma = false;
}

void wsb_json_key(struct wsb_json *j, const char *key)
{
    wsb_json_key_span(j, wsb_span_str(key));
}

void wsb_json_str(struct wsb_json *j, struct wsb_span s)
{
    separate(j);
    put_text(j, s, !wsb_utf8_is_valid(s.ptr, s.len));
}

void wsb_json_cstr(struct wsb_json *j, const char *s)
{
    wsb_json_str(j, wsb_span_str(s ? s : ""));
}

void wsb_json_latin1(struct wsb_json *j, struct wsb_span s)
{
    separate(j);
    put_text(j, s, true);
}

void wsb_json_u64(struct wsb_json *j, uint64_t v)
{
    char text[24];
    separate(j);
    put(j, text, (size_t)snprintf(text, sizeof text, "%" PRIu64, v));
}

void wsb_json_i64(struct wsb_json *j, int64_t v)
{
    char text[24];
    separate(j);
    put(j, text, (size_t)snprintf(text, sizeof text, "%" PRId64, v));
}

void wsb_json_bool(struct wsb_json *j, bool v)
{
    separate(j);
    put(j, v ? "true" : "false", v ? 4 : 5);
}

void wsb_json_raw(struct wsb_json *j, struct wsb_span value)
{
    separate(j);
    put(j, (const char *)value.ptr, value.len);
}

void wsb_json_id(struct wsb_json *j, uint64_t id)
{
    char text[24];
    separate(j);
    put(j, text, (size_t)snprintf(text, sizeof text, "\"%016" PRIx64 "\"", id));
}
