/*
 * The configuration file, by libconfuse. All options are strings to libconfuse, and each is checked and stored by the
 * callback that gets it, while the line it stands on is known; libconfuse is left with the grammar. Nothing of what it
 * allocates is kept. The text went through scan.c before.
 */
#include "config/file.h"

#include <assert.h>
#include <confuse.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/names.h"
#include "config/option.h"
#include "config/scan.h"
#include "config/value.h"

enum { OPTIONS_MAX = WSG_CONFIG_OPTIONS_MAX, NAME_SHOWN = 80 };

struct reader {
    struct wsg_config *config; /* borrowed */
    const char *name;          /* borrowed: the file, for messages */
    struct wsg_faults *all;    /* borrowed */
    struct wsb_fault *fault;   /* borrowed: the one that is being told */
    struct wsb_span bad;       /* borrowed; by titled section: something of it was blanked */
    size_t sections;           /* titled ones that have ended */
    bool is_part_bad;          /* something of the open one was refused */
    bool seen[OPTIONS_MAX];    /* of wsg_options[]: set in this section, or anywhere when there is one such section */
    cfg_t *open;               /* borrowed: the titled section that is being read; NULL: none */
    union {
        struct wsg_listener_config listener;
        struct wsg_route_config route;
        struct wsg_static_config files;
        struct wsg_dial_config dial;
    } part; /* owned while open is set: what that section says */
    enum wsg_section open_section;
};

/* libconfuse gives its callbacks nothing of ours. Set for the time of one parse, on the thread that parses. */
static _Thread_local struct reader *reading;

static bool is_titled(enum wsg_section s)
{
    return s == WSG_SECTION_LISTEN || s == WSG_SECTION_ROUTE || s == WSG_SECTION_STATIC || s == WSG_SECTION_DIAL;
}

static enum wsg_section section_of(const cfg_t *cfg)
{
    for (enum wsg_section s = WSG_SECTION_LISTEN; s < WSG_SECTIONS; s++) {
        if (strcmp(cfg->name, wsg_section_name(s)) == 0)
            return s;
    }
    return WSG_SECTION_TOP;
}

/* The fault has the what; put the where in front of it. */
static wsb_err blame(struct reader *r, const cfg_t *cfg, int line)
{
    const char *section = wsg_section_name(section_of(cfg));
    if (cfg->title)
        (void)wsg_fault_prefix(r->fault, "%s:%d: %s '%.64s'", r->name, line, section, cfg->title);
    else if (*section)
        (void)wsg_fault_prefix(r->fault, "%s:%d: %s", r->name, line, section);
    else
        (void)wsg_fault_prefix(r->fault, "%s:%d", r->name, line);
    r->fault->line = line;
    wsb_err err = wsg_faults_add(r->all, r->fault);
    *r->fault = (struct wsb_fault){0};
    return err;
}

/* What names.c has not come to, behind something that is no statement. */
static void unknown_option(struct reader *r, cfg_t *cfg, const char *name)
{
    char hint[WSG_OPTION_HINT];
    wsg_option_hint(section_of(cfg), name, hint);
    (void)wsb_fault_set(r->fault, WSB_ERR_CONFIG, 0, "unknown option '%.40s'; %s", name, hint);
    (void)blame(r, cfg, cfg->line);
}

/* libconfuse's own complaints: all of them are about the grammar. */
static void on_error(cfg_t *cfg, const char *format, va_list ap)
{
    struct reader *r = reading;
    char text[120];
    if (!r)
        return;
    if (strcmp(format, "no such option '%s'") == 0) {
        unknown_option(r, cfg, va_arg(ap, const char *));
        return;
    }
    (void)vsnprintf(text, sizeof text, format, ap);
    (void)wsb_fault_set(r->fault, WSB_ERR_CONFIG, 0, "%s", text);
    (void)blame(r, cfg, cfg->line);
}

static void part_deinit(struct reader *r)
{
    if (!r->open)
        return;
    if (r->open_section == WSG_SECTION_LISTEN)
        wsg_listener_config_deinit(&r->part.listener);
    else if (r->open_section == WSG_SECTION_ROUTE)
        wsg_route_config_deinit(&r->part.route);
    else if (r->open_section == WSG_SECTION_DIAL)
        wsg_dial_config_deinit(&r->part.dial);
    else
        wsg_static_config_deinit(&r->part.files);
    r->open = NULL;
}

static void forget_seen(struct reader *r, enum wsg_section section)
{
    for (size_t i = 0; i < wsg_option_count; i++) {
        if (wsg_options[i].section == section)
            r->seen[i] = false;
    }
}

/* Begin with a titled section: at its first option, or at its end when it has none. */
static wsb_err part_open(struct reader *r, cfg_t *cfg, enum wsg_section section)
{
    struct wsg_origin *origin;
    char **title;
    if (r->open == cfg)
        return WSB_OK;
    part_deinit(r);
    r->open = cfg;
    r->open_section = section;
    r->is_part_bad = false;
    forget_seen(r, section);
    if (section == WSG_SECTION_LISTEN) {
        wsg_listener_config_init(&r->part.listener);
        origin = &r->part.listener.origin;
        title = &r->part.listener.address;
    } else if (section == WSG_SECTION_ROUTE) {
        wsg_route_config_init(&r->part.route);
        origin = &r->part.route.origin;
        title = &r->part.route.name;
    } else if (section == WSG_SECTION_DIAL) {
        wsg_dial_config_init(&r->part.dial);
        origin = &r->part.dial.origin;
        title = &r->part.dial.name;
    } else {
        wsg_static_config_init(&r->part.files);
        origin = &r->part.files.origin;
        title = &r->part.files.prefix;
    }
    origin->line = cfg->line;
    origin->file = strdup(r->name);
    origin->lines = calloc(WSG_CONFIG_OPTIONS_MAX, sizeof *origin->lines);
    *title = strdup(cfg->title);
    if (!origin->file || !origin->lines || !*title)
        return wsb_fault_set(r->fault, WSB_ERR_NOMEM, 0, "out of memory");
    return WSB_OK;
}

static struct wsg_origin *origin_of(struct reader *r)
{
    switch (r->open_section) {
    case WSG_SECTION_LISTEN:
        return &r->part.listener.origin;
    case WSG_SECTION_ROUTE:
        return &r->part.route.origin;
    case WSG_SECTION_DIAL:
        return &r->part.dial.origin;
    default:
        return &r->part.files.origin;
    }
}

static wsb_err option_take(struct reader *r, cfg_t *cfg, const cfg_opt_t *opt, const struct wsg_option *o,
                           const char *value)
{
    bool *seen = &r->seen[o - wsg_options];
    wsb_err err = is_titled(o->section) ? part_open(r, cfg, o->section) : WSB_OK;
    if (err)
        return err;
    if (*seen && opt->nvalues <= 1) /* a list's later values come with more */
        return wsb_fault_set(r->fault, WSB_ERR_CONFIG, 0, "it is set twice");
    *seen = true;
    int *lines = is_titled(o->section) ? origin_of(r)->lines : r->config->option_lines;
    lines[o - wsg_options] = cfg->line;
    void *target = is_titled(o->section) ? (void *)&r->part : (void *)r->config;
    return wsg_option_set(o, target, value, r->fault);
}

static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    struct reader *r = reading;
    const struct wsg_option *o = wsg_option_find(section_of(cfg), opt->name);
    if (!o) { /* libconfuse also finds "section|option" */
        unknown_option(r, cfg, opt->name);
        return -1;
    }
    if (option_take(r, cfg, opt, o, value)) {
        (void)wsg_fault_prefix(r->fault, "%s", o->name);
        (void)blame(r, cfg, cfg->line);
        r->is_part_bad = true; /* and go on: there may be more */
    }
    *(const char **)result = value;
    return 0;
}

static wsb_err part_add(struct reader *r)
{
    switch (r->open_section) {
    case WSG_SECTION_LISTEN:
        return wsg_config_add_listener(r->config, &r->part.listener, r->fault);
    case WSG_SECTION_ROUTE:
        return wsg_config_add_route(r->config, &r->part.route, r->fault);
    case WSG_SECTION_DIAL:
        return wsg_config_add_dial(r->config, &r->part.dial, r->fault);
    default:
        return wsg_config_add_static(r->config, &r->part.files, r->fault);
    }
}

/* The closing brace of a titled section. One of which something is wrong is not looked at as a whole, but others may name it. */
static int on_section_end(cfg_t *cfg, cfg_opt_t *opt)
{
    struct reader *r = reading;
    struct wsb_fault ignored = {0};
    cfg_t *section = opt->values[opt->nvalues - 1]->section;
    wsb_err err = part_open(r, section, section_of(section));
    size_t number = r->sections++;
    if (err) {
        (void)blame(r, section, cfg->line);
        part_deinit(r);
        return -1;
    }
    origin_of(r)->is_bad = r->is_part_bad || (number < r->bad.len && r->bad.ptr[number]);
    err = part_add(r);
    int line = err ? wsg_origin_line(origin_of(r), r->fault->text, NULL) : 0;
    if (err)
        (void)blame(r, section, line ? line : cfg->line);
    if (err == WSB_ERR_CONFIG && !origin_of(r)->is_bad) {
        struct wsb_fault *kept = r->fault;
        origin_of(r)->is_bad = true;
        r->fault = &ignored;
        (void)!part_add(r);
        r->fault = kept;
    }
    part_deinit(r);
    return 0;
}

static cfg_opt_t option_fill(const char *name, const struct wsg_option *o)
{
    cfg_opt_t one = CFG_STR_CB(name, NULL, CFGF_NODEFAULT, on_value);
    if (wsg_option_is_list(o))
        one.flags |= CFGF_LIST;
    return one;
}

/* The options of a section in libconfuse's form, by all their names; returns how many, with the end mark. */
static size_t options_fill(cfg_opt_t *opts, enum wsg_section section)
{
    const cfg_opt_t end = CFG_END();
    size_t n = 0;
    for (size_t i = 0; i < wsg_option_count; i++) {
        if (wsg_options[i].section == section)
            opts[n++] = option_fill(wsg_options[i].name, &wsg_options[i]);
    }
    for (const struct wsg_synonym *s = wsg_option_synonyms; s->word; s++) {
        if (s->section == section)
            opts[n++] = option_fill(s->word, wsg_option_find(section, s->word));
    }
    opts[n++] = end;
    return n;
}

/* libconfuse copies what it is given. */
static cfg_t *grammar_new(void)
{
    cfg_opt_t opts[OPTIONS_MAX + 2 * WSG_SECTIONS];
    cfg_opt_t top[OPTIONS_MAX + WSG_SECTIONS];
    cfg_opt_t *at = opts;
    assert(wsg_option_count <= OPTIONS_MAX);
    size_t top_count = options_fill(top, WSG_SECTION_TOP) - 1;
    for (enum wsg_section s = WSG_SECTION_LISTEN; s < WSG_SECTIONS; s++) {
        cfg_opt_t section = CFG_SEC(wsg_section_name(s), at, CFGF_NONE);
        if (is_titled(s)) {
            section.flags = CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES;
            section.validcb = on_section_end;
        }
        at += options_fill(at, s);
        top[top_count++] = section;
    }
    const cfg_opt_t end = CFG_END();
    top[top_count] = end;
    return cfg_init(top, CFGF_NONE);
}

static wsb_err text_parse(struct reader *r, const char *text)
{
    cfg_t *cfg = grammar_new();
    if (!cfg)
        return wsg_faults_add(r->all, &(struct wsb_fault){.err = WSB_ERR_NOMEM, .text = "out of memory"});
    (void)cfg_set_error_function(cfg, on_error);
    reading = r;
    int result = cfg_parse_buf(cfg, text);
    reading = NULL;
    part_deinit(r);
    (void)cfg_free(cfg);                               /* resets the lexer too, wherever it stopped */
    if (result != CFG_SUCCESS && r->all->count == 0) { /* the only failure that libconfuse does not tell */
        (void)wsb_fault_set(r->fault, WSB_ERR_NOMEM, 0, "%s: out of memory", r->name);
        return wsg_faults_add(r->all, r->fault);
    }
    return WSB_OK;
}

/* The end of a long path says more than its beginning. */
static const char *name_shown(const char *name)
{
    size_t len = strlen(name);
    return len > NAME_SHOWN ? name + len - NAME_SHOWN : name;
}

/* `text` has a NUL behind its len bytes and is changed. */
static wsb_err scan_and_parse(const char *name, char *text, size_t len, struct wsg_config *c, struct wsg_faults *all)
{
    struct wsb_fault fault = {0};
    struct wsb_buf bad;
    struct reader r = {.config = c, .name = name_shown(name), .all = all, .fault = &fault};
    size_t before = all->count;
    wsb_err err = wsg_config_scan(text, len, &fault);
    if (err) {
        const int line = fault.line;
        const int column = fault.column;
        (void)wsg_fault_prefix(&fault, "%s:%d:%d", r.name, line, column);
        return wsg_faults_add(all, &fault);
    }
    wsb_buf_init(&bad, WSG_CONFIG_FILE_MAX);
    wsg_config_names(r.name, text, &bad, all);
    r.bad = wsb_buf_span(&bad);
    err = text_parse(&r, text);
    wsb_buf_deinit(&bad);
    wsg_faults_sort(all, before);
    return all->count > before ? all->at[before].err : err;
}

static wsb_err nomem(struct wsg_faults *all)
{
    return wsg_faults_add(all, &(struct wsb_fault){.err = WSB_ERR_NOMEM, .text = "out of memory"});
}

/* Editors of other systems put it in front of UTF-8. */
static bool has_byte_order_mark(const char *text, size_t len)
{
    return len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0;
}

wsb_err wsg_config_parse(const char *name, const char *text, size_t len, struct wsg_config *c, struct wsg_faults *all)
{
    struct wsb_fault fault = {0};
    struct wsg_faults own = {0};
    if (len > WSG_CONFIG_FILE_MAX) {
        (void)wsb_fault_set(&fault, WSB_ERR_LIMIT, 0, "%s: larger than 1 MiB", name_shown(name));
        return wsg_faults_add(all, &fault);
    }
    if (has_byte_order_mark(text, len)) {
        text += 3;
        len -= 3;
    }
    char *copy = malloc(len + 1);
    free(c->file);
    c->file = strdup(name_shown(name));
    if (!copy || !c->file) {
        free(copy);
        return nomem(all);
    }
    if (len)
        memcpy(copy, text, len);
    copy[len] = 0;
    wsb_err err = scan_and_parse(name, copy, len, c, all ? all : &own);
    free(copy);
    return err;
}

wsb_err wsg_config_read(const char *path, struct wsg_config *c, struct wsg_faults *all)
{
    struct wsb_fault fault = {0};
    wsb_err err = WSB_OK;
    size_t len = 0;
    FILE *file = NULL;
    char *text = malloc((size_t)WSG_CONFIG_FILE_MAX + 1); /* one byte more than allowed, to see that there is more */
    if (!text) {
        err = nomem(all);
        goto out;
    }
    file = fopen(path, "re");
    if (file)
        len = fread(text, 1, (size_t)WSG_CONFIG_FILE_MAX + 1, file);
    if (!file || ferror(file)) {
        (void)wsb_fault_set(&fault, WSB_ERR_IO, errno, "%s: cannot be read: %s", name_shown(path), strerror(errno));
        err = wsg_faults_add(all, &fault);
        goto out;
    }
    err = wsg_config_parse(path, text, len, c, all);
out:
    if (file)
        (void)fclose(file);
    free(text);
    return err;
}
