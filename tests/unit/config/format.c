/* By the table of options, so that a new option is written without a change here. */
#include "unit/config/format.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/option.h"

static void put(struct wsb_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct wsb_buf *b, const char *format, ...)
{
    char *text;
    va_list ap;
    va_start(ap, format);
    int n = vasprintf(&text, format, ap);
    va_end(ap);
    if (n < 0 || wsb_buf_append(b, text, (size_t)n))
        abort();
    free(text);
}

static void put_quoted(struct wsb_buf *b, const char *text)
{
    put(b, "\"");
    for (; *text; text++)
        put(b, strchr("\"\\$", *text) ? "\\%c" : "%c", *text);
    put(b, "\"");
}

static void put_texts(struct wsb_buf *b, char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put(b, i ? ", " : "");
        put_quoted(b, texts[i]);
    }
}

static void put_levels(struct wsb_buf *b, const struct wsg_config *c)
{
    const char *gap = "";
    for (int i = 0; i < WSB_LOG_MODULES; i++) {
        if (c->module_levels[i] < 0)
            continue;
        put(b, "%s\"%s=%s\"", gap, wsb_log_module_name((enum wsb_log_module)i),
            wsb_level_name((enum wsb_level)c->module_levels[i]));
        gap = ", ";
    }
}

static void put_list(struct wsb_buf *b, const struct wsg_option *o, const void *target)
{
    const struct wsg_texts *list = (const void *)((const char *)target + o->offset);
    put(b, "%s = {", o->name);
    if (o->kind == WSG_OPTION_LIST)
        put_texts(b, list->at, list->count);
    else
        put_levels(b, target);
    put(b, "}\n");
}

static const char *word_of(const struct wsg_option *o, int value)
{
    for (const struct wsg_word *w = o->words; w->word; w++) {
        if (w->value == value)
            return w->word;
    }
    abort();
}

static void put_option(struct wsb_buf *b, const struct wsg_option *o, const void *target)
{
    const void *field = (const char *)target + o->offset;
    int value;
    memcpy(&value, field, o->kind == WSG_OPTION_WORD ? sizeof value : 0);
    switch (o->kind) {
    case WSG_OPTION_SIZE:
    case WSG_OPTION_COUNT:
        if (o->min && !*(const size_t *)field)
            break; /* not said, here and below */
        put(b, "%s = %zu\n", o->name, *(const size_t *)field);
        break;
    case WSG_OPTION_COUNT32:
        if (o->min && !*(const uint32_t *)field)
            break;
        put(b, "%s = %u\n", o->name, *(const uint32_t *)field);
        break;
    case WSG_OPTION_DURATION:
        if (*(const uint32_t *)field != UINT32_MAX && (*(const uint32_t *)field || !o->min))
            put(b, "%s = %ums\n", o->name, *(const uint32_t *)field);
        break;
    case WSG_OPTION_WORKERS:
        put(b, *(const unsigned *)field ? "%s = %u\n" : "%s = auto\n", o->name, *(const unsigned *)field);
        break;
    case WSG_OPTION_MODE:
        put(b, "%s = %04o\n", o->name, *(const unsigned *)field);
        break;
    case WSG_OPTION_BOOL:
        put(b, "%s = %s\n", o->name, *(const bool *)field ? "yes" : "no");
        break;
    case WSG_OPTION_WORD:
        put(b, "%s = %s\n", o->name, word_of(o, value));
        break;
    case WSG_OPTION_WORD_BOOL:
        put(b, "%s = %s\n", o->name, word_of(o, *(const bool *)field));
        break;
    case WSG_OPTION_TEXT:
        if (*(char *const *)field) {
            put(b, "%s = ", o->name);
            put_quoted(b, *(char *const *)field);
            put(b, "\n");
        }
        break;
    case WSG_OPTION_LIST:
    case WSG_OPTION_LEVELS:
        put_list(b, o, target);
        break;
    }
}

static void put_options(struct wsb_buf *b, enum wsg_section section, const void *target)
{
    for (size_t i = 0; i < wsg_option_count; i++) {
        if (wsg_options[i].section == section)
            put_option(b, &wsg_options[i], target);
    }
}

static void put_section(struct wsb_buf *b, enum wsg_section section, const char *title, const void *target)
{
    put(b, "%s ", wsg_section_name(section));
    if (title)
        put_quoted(b, title);
    put(b, " {\n");
    put_options(b, section, target);
    put(b, "}\n");
}

void config_format(const struct wsg_config *c, struct wsb_buf *ret)
{
    wsb_buf_init(ret, 0);
    put_options(ret, WSG_SECTION_TOP, c);
    for (size_t i = 0; i < c->listener_count; i++) {
        /* only a Unix socket may have a mode */
        const struct wsg_listener_config *l = &c->listeners[i];
        if (strncmp(l->address, "unix:", 5) == 0) {
            put_section(ret, WSG_SECTION_LISTEN, l->address, l);
        } else {
            put(ret, "listen ");
            put_quoted(ret, l->address);
            put(ret, " {}\n");
        }
    }
    for (size_t i = 0; i < c->route_count; i++)
        put_section(ret, WSG_SECTION_ROUTE, c->routes[i].name, &c->routes[i]);
    for (size_t i = 0; i < c->static_count; i++)
        put_section(ret, WSG_SECTION_STATIC, c->statics[i].prefix, &c->statics[i]);
    for (size_t i = 0; i < c->dial_count; i++)
        put_section(ret, WSG_SECTION_DIAL, c->dials[i].name, &c->dials[i]);
    put_section(ret, WSG_SECTION_BUS, NULL, c);
    put_section(ret, WSG_SECTION_LOG, NULL, c);
    put_section(ret, WSG_SECTION_TIMEOUTS, NULL, c);
    put_section(ret, WSG_SECTION_LIMITS, NULL, c);
    if (wsb_buf_append(ret, "", 1))
        abort();
}

static wsb_err first_of(const struct wsg_faults *all, struct wsb_fault *ret)
{
    if (ret && all->count)
        *ret = all->at[0];
    return wsg_faults_err(all);
}

wsb_err first_of_parse(const char *name, const char *text, size_t len, struct wsg_config *c, struct wsb_fault *ret)
{
    struct wsg_faults all = {0};
    (void)!wsg_config_parse(name, text, len, c, &all);
    return first_of(&all, ret);
}

wsb_err first_of_read(const char *path, struct wsg_config *c, struct wsb_fault *ret)
{
    struct wsg_faults all = {0};
    (void)!wsg_config_read(path, c, &all);
    return first_of(&all, ret);
}

wsb_err first_of_check(const struct wsg_config *c, struct wsb_fault *ret)
{
    struct wsg_faults all = {0};
    (void)wsg_config_check(c, &all);
    return first_of(&all, ret);
}

wsb_err first_of_args(int argc, char **argv, struct wsg_config *c, enum wsg_action *action, struct wsb_fault *ret)
{
    struct wsg_faults all = {0};
    (void)!wsg_config_from_args(argc, argv, c, action, &all);
    return first_of(&all, ret);
}
