#ifndef WSC_TABLE_H
#define WSC_TABLE_H

/* A table in plain text: columns as wide as they need, cut to fit the terminal however narrow it is, never in the middle of a character. Cells
 * are escaped when they are added, so that nothing a peer wrote reaches the terminal as it is. */

#include <stdio.h>

#include "base/buf.h"

enum { WSC_COLUMNS_MAX = 16 };

struct wsc_column {
    const char *name;
    bool is_right;  /* numbers */
    uint16_t least; /* columns it keeps when there is not room for all; 0: it is never cut */
    uint16_t spare; /* when cutting is not enough, columns are left out, highest first; 0: never */
};

struct wsc_table {
    const struct wsc_column *columns; /* borrowed */
    size_t column_count;
    struct wsb_buf text; /* cells, each ended by a NUL */
    size_t cells;
    wsb_err err;
};

void wsc_table_init(struct wsc_table *t, const struct wsc_column *columns, size_t count);
void wsc_table_deinit(struct wsc_table *t);

/* The next cell; rows fill from left to right. */
void wsc_table_add(struct wsc_table *t, const char *text);
void wsc_table_add_u64(struct wsc_table *t, uint64_t n);

struct wsc_look {
    size_t width; /* columns of the terminal; 0: no limit, as where there is none */
    bool is_bold; /* the head may be highlighted */
    bool is_utf8; /* "…" or "..." for what is cut */
};

/* Write the table, head first, into `out`. */
WSB_MUST_CHECK wsb_err wsc_table_write(const struct wsc_table *t, const struct wsc_look *look, struct wsb_buf *out);

#endif
