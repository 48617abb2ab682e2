/* Lines that fit. */
#include "base/wrap.h"

#include <string.h>

/* Where text that belongs to the line begins. */
static size_t hang_of(const char *line, size_t len)
{
    size_t indent = strspn(line, " ");
    for (size_t i = indent; i + 1 < len; i++) {
        if (line[i] == ' ' && line[i + 1] == ' ')
            return i + strspn(line + i, " ");
    }
    return indent;
}

static wsb_err put_spaces(struct wsb_buf *out, size_t count)
{
    return wsb_buf_printf(out, "%*s", (int)count, "");
}

static wsb_err wrap_line(struct wsb_buf *out, const char *line, size_t len, size_t width)
{
    size_t hang = hang_of(line, len);
    size_t at = 0;
    wsb_err err = WSB_OK;
    for (size_t i = 0; i < len && !err;) {
        size_t gap = strspn(line + i, " ");
        size_t word = strcspn(line + i + gap, " \n");
        if (at > hang && at + gap + word > width) {
            err = wsb_buf_append(out, "\n", 1);
            gap = hang;
            at = 0;
            i += strspn(line + i, " ");
        } else {
            i += gap;
        }
        if (!err && word)
            err = put_spaces(out, gap);
        if (!err)
            err = wsb_buf_append(out, line + i, word);
        at += gap + word;
        i += word;
    }
    return err;
}

wsb_err wsb_wrap_lines(struct wsb_buf *out, const char *text, size_t width)
{
    wsb_err err = WSB_OK;
    while (*text && !err) {
        size_t len = strcspn(text, "\n");
        err = wrap_line(out, text, len, width);
        if (!err && text[len])
            err = wsb_buf_append(out, "\n", 1);
        text += len + (text[len] == '\n');
    }
    return err;
}
