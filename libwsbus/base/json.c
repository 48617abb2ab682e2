/* The JSON writer. Every byte that goes between quotes passes through put_text(). */
#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>

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

static void put_escaped(struct wsb_json *j, uint8_t c)
{
    char text[8];
    const char *known = c == '"'    ? "\\\""
                        : c == '\\' ? "\\\\"
                        : c == '\n' ? "\\n"
                        : c == '\r' ? "\\r"
                        : c == '\t' ? "\\t"
                                    : NULL;
    if (!known) {
        (void)snprintf(text, sizeof text, "\\u%04x", c);
        known = text;
    }
    put(j, known, strlen(known));
}

static void put_text(struct wsb_json *j, struct wsb_span s, bool latin1)
{
    put(j, "\"", 1);
    size_t start = 0; /* of the run of bytes that need no change */
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        bool wide = latin1 && c >= 0x80;
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f && !wide)
            continue;
        put(j, s.ptr + start, i - start);
        start = i + 1;
        if (wide) {
            uint8_t two[2] = {(uint8_t)(0xc0 | c >> 6), (uint8_t)(0x80 | (c & 0x3f))};
            put(j, two, 2);
        } else {
            put_escaped(j, c);
        }
    }
    if (start < s.len) /* an empty text may be at no address at all */
        put(j, s.ptr + start, s.len - start);
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
