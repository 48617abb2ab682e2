/* Tables. */
#include "table.h"

#include <inttypes.h>

#include "text.h"

enum { GAP = 2 };

void wsc_table_init(struct wsc_table *t, const struct wsc_column *columns, size_t count)
{
    *t = (struct wsc_table){.columns = columns, .column_count = count};
    wsb_buf_init(&t->text, 0);
    for (size_t i = 0; i < count; i++)
        wsc_table_add(t, columns[i].name);
}

void wsc_table_deinit(struct wsc_table *t)
{
    wsb_buf_deinit(&t->text);
}

void wsc_table_add(struct wsc_table *t, const char *text)
{
    if (!t->err)
        t->err = wsc_text_escape(&t->text, wsb_span_str(text));
    if (!t->err)
        t->err = wsb_buf_append(&t->text, "", 1);
    t->cells++;
}

void wsc_table_add_u64(struct wsc_table *t, uint64_t n)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, n);
    wsc_table_add(t, text);
}

static void measure(const struct wsc_table *t, size_t widths[WSC_COLUMNS_MAX])
{
    const char *cell = (const char *)t->text.data;
    for (size_t i = 0; i < t->column_count; i++)
        widths[i] = 0;
    for (size_t i = 0; i < t->cells; i++) {
        size_t len = strlen(cell);
        size_t w = wsc_text_width(wsb_span(cell, len));
        if (w > widths[i % t->column_count])
            widths[i % t->column_count] = w;
        cell += len + 1;
    }
}

/* The widest column that may be cut, and has something to give, gives one after the other until all fit. */
static void shrink(const struct wsc_table *t, size_t limit, size_t widths[WSC_COLUMNS_MAX])
{
    for (;;) {
        size_t total = GAP * (t->column_count - 1);
        size_t widest = t->column_count;
        for (size_t i = 0; i < t->column_count; i++) {
            total += widths[i];
            if (t->columns[i].least && widths[i] > t->columns[i].least && (widest == t->column_count || widths[i] > widths[widest]))
                widest = i;
        }
        if (total <= limit || widest == t->column_count)
            return;
        widths[widest]--;
    }
}

static wsb_err put_spaces(struct wsb_buf *out, size_t count)
{
    wsb_err err = WSB_OK;
    for (; count && !err; count--)
        err = wsb_buf_append(out, " ", 1);
    return err;
}

static wsb_err put_cell(struct wsb_buf *out, const char *cell, size_t width, bool is_right, bool is_last, bool is_utf8)
{
    struct wsb_span s = wsb_span_str(cell);
    size_t taken = wsc_text_width(s);
    const char *mark = "";
    wsb_err err = WSB_OK;
    if (taken > width) {
        size_t mark_width = is_utf8 ? 1 : 3;
        mark = is_utf8 ? "\xe2\x80\xa6" : "...";
        s.len = wsc_text_fit(s, width > mark_width ? width - mark_width : 0, &taken);
        taken += mark_width;
    }
    size_t pad = taken < width ? width - taken : 0;
    if (is_right)
        err = put_spaces(out, pad);
    if (!err)
        err = wsb_buf_append(out, s.ptr, s.len);
    if (!err)
        err = wsb_buf_append_str(out, mark);
    if (!err && !is_right && !is_last)
        err = put_spaces(out, pad);
    if (!err && !is_last)
        err = put_spaces(out, GAP);
    return err;
}

wsb_err wsc_table_write(const struct wsc_table *t, const struct wsc_look *look, struct wsb_buf *out)
{
    size_t widths[WSC_COLUMNS_MAX];
    const char *cell = (const char *)t->text.data;
    wsb_err err = t->err;
    if (err)
        return err;
    measure(t, widths);
    if (look->width)
        shrink(t, look->width, widths);
    for (size_t i = 0; i < t->cells && !err; i++) {
        size_t column = i % t->column_count;
        bool is_last = column + 1 == t->column_count;
        if (i == 0 && look->is_bold)
            err = wsb_buf_append_str(out, "\x1b[1m");
        if (!err)
            err = put_cell(out, cell, widths[column], t->columns[column].is_right, is_last, look->is_utf8);
        if (!err && is_last && i + 1 == t->column_count && look->is_bold)
            err = wsb_buf_append_str(out, "\x1b[0m");
        if (!err && is_last)
            err = wsb_buf_append(out, "\n", 1);
        cell += strlen(cell) + 1;
    }
    return err;
}
