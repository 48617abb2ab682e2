/* OpenMetrics text. What is written is decided by tables of ours, except for the values of labels. */
#include "admin/exposition.h"

#include <assert.h>
#include <inttypes.h>

#include "base/utf8.h"

static void put(struct wsg_exposition *x, const char *text)
{
    if (!x->err)
        x->err = wsb_buf_append_str(x->out, text);
}

static void put_bytes(struct wsg_exposition *x, const void *data, size_t len)
{
    if (!x->err)
        x->err = wsb_buf_append(x->out, data, len);
}

void wsg_exposition_begin(struct wsg_exposition *x, struct wsb_buf *out)
{
    *x = (struct wsg_exposition){.out = out};
}

void wsg_exposition_family(struct wsg_exposition *x, const char *name, enum wsg_metric_type type, const char *unit,
                           const char *help)
{
    static const char *const types[] = {"gauge", "counter", "info"};
    put(x, "# TYPE ");
    put(x, name);
    put(x, " ");
    put(x, types[type]);
    if (*unit) {
        put(x, "\n# UNIT ");
        put(x, name);
        put(x, " ");
        put(x, unit);
    }
    put(x, "\n# HELP ");
    put(x, name);
    put(x, " ");
    put(x, help);
    put(x, "\n");
}

/* One byte of a label's value that means something to the format, or to whoever shows it. */
static void put_special(struct wsg_exposition *x, uint8_t c)
{
    if (c == '\n')
        put(x, "\\n");
    else if (c == '"')
        put(x, "\\\"");
    else if (c == '\\')
        put(x, "\\\\");
    else
        put(x, "?");
}

static bool is_special(uint8_t c)
{
    return c < 0x20 || c == 0x7f || c == '"' || c == '\\';
}

static void put_value(struct wsg_exposition *x, const char *value)
{
    size_t len = strlen(value);
    bool is_text = wsb_utf8_is_valid((const uint8_t *)value,
                                     len); /* as a whole: a name that was cut in a character loses what is not ASCII */
    for (size_t at = 0; at < len;) {
        size_t run = at;
        while (run < len && !is_special((uint8_t)value[run]) && (is_text || (uint8_t)value[run] < 0x80))
            run++;
        put_bytes(x, value + at, run - at);
        if (run < len)
            put_special(x, (uint8_t)value[run++]);
        at = run;
    }
}

static void put_number(struct wsg_exposition *x, uint64_t value, uint32_t scale)
{
    int digits = 0;
    for (uint32_t s = scale; s > 1; s /= 10)
        digits++;
    if (x->err)
        return;
    if (digits)
        x->err = wsb_buf_printf(x->out, " %" PRIu64 ".%0*" PRIu64 "\n", value / scale, digits, value % scale);
    else
        x->err = wsb_buf_printf(x->out, " %" PRIu64 "\n", value);
}

void wsg_exposition_sample(struct wsg_exposition *x, const char *name, enum wsg_metric_type type,
                           const struct wsg_label *labels, size_t label_count, uint64_t value, uint32_t scale)
{
    static const char *const suffixes[] = {"", "_total", "_info"};
    assert(scale > 0);
    put(x, name);
    put(x, suffixes[type]);
    for (size_t i = 0; i < label_count; i++) {
        put(x, i ? "," : "{");
        put(x, labels[i].name);
        put(x, "=\"");
        put_value(x, labels[i].value);
        put(x, "\"");
    }
    if (label_count)
        put(x, "}");
    put_number(x, value, scale);
}

wsb_err wsg_exposition_end(struct wsg_exposition *x)
{
    put(x, "# EOF\n");
    return x->err;
}
