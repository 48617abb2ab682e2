/* Tables. */
#include "table.h"

#include <assert.h>
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
    assert(t->column_count > 0);
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

/* What the columns take when all are cut as far as they can be. */
static size_t least_of(const struct wsc_table *t, const size_t widths[WSC_COLUMNS_MAX],
                       const bool is_hidden[WSC_COLUMNS_MAX])
{
    size_t total = 0;
    for (size_t i = 0; i < t->column_count; i++) {
        size_t least = t->columns[i].least && t->columns[i].least < widths[i] ? t->columns[i].least : widths[i];
        if (!is_hidden[i])
            total += least + (total ? GAP : 0);
    }
    return total;
}

static void hide(const struct wsc_table *t, size_t limit, const size_t widths[WSC_COLUMNS_MAX],
                 bool is_hidden[WSC_COLUMNS_MAX])
{
    while (least_of(t, widths, is_hidden) > limit) {
        size_t next = t->column_count;
        for (size_t i = 0; i < t->column_count; i++) {
            if (!is_hidden[i] && t->columns[i].spare &&
                (next == t->column_count || t->columns[i].spare > t->columns[next].spare))
                next = i;
        }
        if (next == t->column_count)
            return;
        is_hidden[next] = true;
    }
}

/* When that is not enough: columns from the right, and at last the first one as far as it does not fit. */
static void hide_at_any_price(const struct wsc_table *t, size_t limit, size_t widths[WSC_COLUMNS_MAX],
                              bool is_hidden[WSC_COLUMNS_MAX])
{
    for (size_t i = t->column_count - 1; i > 0 && least_of(t, widths, is_hidden) > limit; i--)
        is_hidden[i] = true;
    if (least_of(t, widths, is_hidden) > limit && !is_hidden[0])
        widths[0] = limit;
}

/* The widest column that may be cut, and has something to give, gives one after the other until all fit. */
static void shrink(const struct wsc_table *t, size_t limit, size_t widths[WSC_COLUMNS_MAX],
                   const bool is_hidden[WSC_COLUMNS_MAX])
{
    for (;;) {
        size_t total = 0;
        size_t widest = t->column_count;
        for (size_t i = 0; i < t->column_count; i++) {
            if (is_hidden[i])
                continue;
            total += widths[i] + (total ? GAP : 0);
            if (t->columns[i].least && widths[i] > t->columns[i].least &&
                (widest == t->column_count || widths[i] > widths[widest]))
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

static wsb_err put_cell(struct wsb_buf *out, const char *cell, size_t width, bool is_right, bool is_utf8)
{
    struct wsb_span s = wsb_span_str(cell);
    size_t taken = wsc_text_width(s);
    const char *mark = "";
    wsb_err err = WSB_OK;
    if (taken > width) {
        size_t mark_width = is_utf8 ? 1 : 3;
        if (width > mark_width)
            mark = is_utf8 ? "\xe2\x80\xa6" : "...";
        else
            mark_width = 0;
        s.len = wsc_text_fit(s, width - mark_width, &taken);
        taken += mark_width;
    }
    size_t pad = taken < width ? width - taken : 0;
    if (is_right)
        err = put_spaces(out, pad);
    if (!err)
        err = wsb_buf_append(out, s.ptr, s.len);
    if (!err)
        err = wsb_buf_append_str(out, mark);
    if (!err && !is_right)
        err = put_spaces(out, pad);
    return err;
}

/* One row's cells; *cell moves behind them. */
static wsb_err put_row(const struct wsc_table *t, const struct wsc_look *look, const size_t widths[WSC_COLUMNS_MAX],
                       const bool is_hidden[WSC_COLUMNS_MAX], const char **cell, struct wsb_buf *out)
{
    size_t begin = out->len;
    wsb_err err = WSB_OK;
    for (size_t i = 0; i < t->column_count && !err; i++) {
        if (!is_hidden[i]) {
            err = out->len > begin ? put_spaces(out, GAP) : WSB_OK;
            if (!err)
                err = put_cell(out, *cell, widths[i], t->columns[i].is_right, look->is_utf8);
        }
        *cell += strlen(*cell) + 1;
    }
    while (out->len > begin && out->data[out->len - 1] == ' ')
        out->len--;
    return err;
}

wsb_err wsc_table_write(const struct wsc_table *t, const struct wsc_look *look, struct wsb_buf *out)
{
    size_t widths[WSC_COLUMNS_MAX];
    bool is_hidden[WSC_COLUMNS_MAX] = {false};
    const char *cell = (const char *)t->text.data;
    wsb_err err = t->err;
    if (err)
        return err;
    measure(t, widths);
    if (look->width) {
        hide(t, look->width, widths, is_hidden);
        hide_at_any_price(t, look->width, widths, is_hidden);
        shrink(t, look->width, widths, is_hidden);
    }
    for (size_t row = 0; row * t->column_count < t->cells && !err; row++) {
        bool is_bold = row == 0 && look->is_bold;
        if (is_bold)
            err = wsb_buf_append_str(out, "\x1b[1m");
        if (!err)
            err = put_row(t, look, widths, is_hidden, &cell, out);
        if (!err)
            err = wsb_buf_append_str(out, is_bold ? "\x1b[0m\n" : "\n");
    }
    return err;
}
