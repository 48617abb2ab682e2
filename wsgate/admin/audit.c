/* The words of an audit line. A text that is full takes nothing more: it must never be written beyond its end. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "admin/audit.h"

void wsg_audit_add(struct wsg_audit_text *t, const char *format, ...)
{
    const size_t room = sizeof t->text - t->len;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->text + t->len, room, format, args);
    va_end(args);
    if (n > 0)
        t->len += (size_t)n < room ? (size_t)n : room - 1;
}

/* Bytes that the log writes for one byte of a name at most, with our quoting: JSON has six for a control character. */
static size_t cost(uint8_t byte)
{
    if (byte < 0x20 || byte == 0x7f)
        return 6;
    if (byte >= 0x80) /* of a character of two bytes or more, which may be escaped as \uXXXX */
        return 3;
    return byte == '"' || byte == '\\' ? 4 : 1;
}

/* The length of the longest start of the name that is cheap enough and does not end inside a character. */
static size_t cut(const uint8_t *name, size_t len)
{
    size_t total = 0;
    for (size_t i = 0; i < len; i++) {
        total += cost(name[i]);
        if (total <= WSG_AUDIT_NAME_COST)
            continue;
        while (i > 0 && (name[i] & 0xc0) == 0x80)
            i--;
        return i;
    }
    return len;
}

void wsg_audit_add_name(struct wsg_audit_text *t, struct wsb_span name)
{
    char quoted[2 * WSG_AUDIT_NAME_COST];
    size_t used = 0;
    const uint8_t *bytes = name.ptr;
    const size_t len = cut(bytes, name.len);
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '"' || bytes[i] == '\\')
            quoted[used++] = '\\';
        quoted[used++] = (char)bytes[i];
    }
    wsg_audit_add(t, "\"%.*s\"%s", (int)used, quoted, len < name.len ? "..." : "");
}

void wsg_audit_add_rest(struct wsg_audit_text *t, size_t count)
{
    if (count > WSG_AUDIT_SHOWN)
        wsg_audit_add(t, " and %zu more", count - WSG_AUDIT_SHOWN);
}

void wsg_audit_add_ids(struct wsg_audit_text *t, const wsb_conn *ids, size_t count)
{
    wsg_audit_add(t, "%zu id%s", count, count == 1 ? "" : "s");
    for (size_t i = 0; i < count && i < WSG_AUDIT_SHOWN; i++)
        wsg_audit_add(t, " %016" PRIx64, ids[i]);
    wsg_audit_add_rest(t, count);
}
