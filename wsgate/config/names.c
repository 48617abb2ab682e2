/* A walk over statements: NAME = VALUE, NAME = {LIST}, NAME {...}, NAME "TITLE" {...}. Strings are closed and braces paired: scan.c. */
#include "config/names.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "config/option.h"
#include "config/value.h"

enum { NAME_MAX_BYTES = 128, TITLE_MAX_BYTES = 65 };

struct walk {
    const char *file; /* borrowed */
    char *at;         /* borrowed */
    int line;
    struct wsg_faults *all;
    struct wsb_buf *bad;
    bool is_lost; /* no statement: libconfuse says what is wrong */
};

/* The section that a statement stands in. */
struct within {
    enum wsg_section section;
    char title[TITLE_MAX_BYTES]; /* "": none */
    bool is_bad;
};

static void step(struct walk *w)
{
    w->line += *w->at == '\n';
    w->at++;
}

static void skip_blank(struct walk *w)
{
    while (*w->at && strchr(" \t\r\n,", *w->at))
        step(w);
}

static void skip_string(struct walk *w)
{
    const char quote = *w->at;
    step(w);
    while (*w->at && *w->at != quote) {
        if (*w->at == '\\' && w->at[1])
            step(w);
        step(w);
    }
    if (*w->at)
        step(w);
}

static void skip_word(struct walk *w)
{
    while (*w->at && !strchr(" \t\r\n\"'={},", *w->at))
        step(w);
}

static bool is_quote(char c)
{
    return c == '"' || c == '\'';
}

/* From the opening brace to behind the closing one. */
static void skip_braces(struct walk *w)
{
    int depth = 0;
    do {
        if (is_quote(*w->at)) {
            skip_string(w);
            continue;
        }
        depth += *w->at == '{';
        depth -= *w->at == '}';
        step(w);
    } while (depth && *w->at);
}

/* Behind the name of an option: "= value". False: that is something else. */
static bool skip_value(struct walk *w)
{
    skip_blank(w);
    if (*w->at != '=')
        return false;
    step(w);
    skip_blank(w);
    if (*w->at == '{')
        skip_braces(w);
    else if (is_quote(*w->at))
        skip_string(w);
    else
        skip_word(w);
    return true;
}

static void take_word(struct walk *w, char ret[NAME_MAX_BYTES])
{
    const char *begin = w->at;
    skip_word(w);
    size_t len = (size_t)(w->at - begin);
    len -= len > 1 && begin[len - 1] == '+'; /* "+=" */
    if (len >= NAME_MAX_BYTES)
        len = NAME_MAX_BYTES - 1;
    memcpy(ret, begin, len);
    ret[len] = 0;
}

static void blank(char *from, const char *to)
{
    for (; from < to; from++) {
        if (*from != '\n')
            *from = ' ';
    }
}

static void tell(struct walk *w, const struct within *in, const char *name, int line)
{
    struct wsb_fault fault = {0};
    const char *section = wsg_section_name(in->section);
    char hint[WSG_OPTION_HINT];
    wsg_option_hint(in->section, name, hint);
    (void)wsb_fault_set(&fault, WSB_ERR_CONFIG, 0, "unknown option '%.40s'; %s", name, hint);
    if (*in->title)
        (void)wsg_fault_prefix(&fault, "%s:%d: %s '%.64s'", w->file, line, section, in->title);
    else if (*section)
        (void)wsg_fault_prefix(&fault, "%s:%d: %s", w->file, line, section);
    else
        (void)wsg_fault_prefix(&fault, "%s:%d", w->file, line);
    fault.line = line;
    (void)wsg_faults_add(w->all, &fault);
}

static bool is_section(const char *name, enum wsg_section *ret)
{
    for (enum wsg_section s = WSG_SECTION_LISTEN; s < WSG_SECTIONS; s++) {
        if (strcmp(name, wsg_section_name(s)) == 0) {
            *ret = s;
            return true;
        }
    }
    return false;
}

/* NAME = VALUE of the section. */
static void option(struct walk *w, struct within *in)
{
    char name[NAME_MAX_BYTES];
    char *begin = w->at;
    int line = w->line;
    take_word(w, name);
    bool is_option = *name && skip_value(w);
    w->is_lost = !is_option;
    if (!is_option || wsg_option_find(in->section, name))
        return;
    tell(w, in, name, line);
    blank(begin, w->at);
    in->is_bad = true;
}

static void take_title(struct walk *w, char ret[TITLE_MAX_BYTES])
{
    bool is_quoted = is_quote(*w->at);
    const char *begin = w->at + is_quoted;
    if (is_quoted)
        skip_string(w);
    else
        skip_word(w);
    size_t len = (size_t)(w->at - is_quoted - begin);
    if (len >= TITLE_MAX_BYTES)
        len = TITLE_MAX_BYTES - 1;
    memcpy(ret, begin, len);
    ret[len] = 0;
}

/* What stands behind the name of a section. */
static void body(struct walk *w, enum wsg_section section)
{
    struct within in = {.section = section};
    bool has_title = *w->at != '{';
    if (has_title)
        take_title(w, in.title);
    skip_blank(w);
    w->is_lost = *w->at != '{';
    if (w->is_lost)
        return;
    step(w);
    for (skip_blank(w); !w->is_lost && *w->at && *w->at != '}'; skip_blank(w))
        option(w, &in);
    if (*w->at == '}')
        step(w);
    if (has_title)
        (void)!wsb_buf_append(w->bad, &(uint8_t){in.is_bad}, 1);
}

/* A name at the top that nothing stands for, with all that is behind it. */
static void unknown(struct walk *w, char *begin, const char *name, int line)
{
    const struct within top = {.section = WSG_SECTION_TOP};
    if (is_quote(*w->at))
        skip_string(w);
    else if (*w->at != '=' && *w->at != '{')
        skip_word(w);
    skip_blank(w);
    if (*w->at == '{')
        skip_braces(w);
    else
        w->is_lost = !skip_value(w);
    if (w->is_lost)
        return;
    tell(w, &top, name, line);
    blank(begin, w->at);
}

static void statement(struct walk *w)
{
    char name[NAME_MAX_BYTES];
    char *begin = w->at;
    int line = w->line;
    enum wsg_section section;
    take_word(w, name);
    skip_blank(w);
    bool names_section = is_section(name, &section);
    if (!*name || (names_section && *w->at == '=')) /* a section is no option */
        w->is_lost = true;
    else if (names_section)
        body(w, section);
    else if (wsg_option_find(WSG_SECTION_TOP, name))
        w->is_lost = !skip_value(w);
    else
        unknown(w, begin, name, line);
}

void wsg_config_names(const char *name, char *text, struct wsb_buf *ret_bad, struct wsg_faults *all)
{
    struct walk w = {.file = name, .at = text, .line = 1, .all = all, .bad = ret_bad};
    for (skip_blank(&w); !w.is_lost && *w.at; skip_blank(&w))
        statement(&w);
}
