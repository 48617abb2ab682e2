/*
 * Route patterns. A pattern is compiled into its segments; matching compares them one after the other and never goes
 * back, because a segment either fits or does not and only the last one may take more than one.
 */
#include "base/pattern.h"

#include <assert.h>
#include <stdlib.h>

enum segment_kind { SEGMENT_LITERAL, SEGMENT_PARAM, SEGMENT_REST }; /* in the order of specificity */

struct segment {
    enum segment_kind kind;
    struct wsb_span text; /* literal: what it has to be. Borrowed from the pattern's text. */
};

struct wsb_pattern {
    size_t segment_count;
    size_t param_count;
    struct segment segments[WSB_PATTERN_SEGMENTS_MAX];
    char *names[WSB_PATTERN_PARAMS_MAX]; /* owned, in the order of the pattern */
    char text[];
};

static wsb_err refuse(struct wsb_fault *fault, const struct wsb_pattern *p, const uint8_t *at, const char *what)
{
    size_t column = (size_t)(at - (const uint8_t *)p->text) + 1;
    (void)wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "pattern \"%.120s\", column %zu: %s", p->text, column, what);
    if (fault)
        fault->column = (int)column;
    return WSB_ERR_CONFIG;
}

static bool is_name_char(uint8_t c, bool is_first)
{
    bool is_letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
    return is_letter || c == '_' || (!is_first && c >= '0' && c <= '9');
}

static bool is_name(struct wsb_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_name_char(s.ptr[i], i == 0))
            return false;
    }
    return s.len > 0;
}

static wsb_err name_add(struct wsb_pattern *p, struct wsb_span name, struct wsb_fault *fault)
{
    for (size_t i = 0; i < p->param_count; i++) {
        if (wsb_span_eq_str(name, p->names[i]))
            return refuse(fault, p, name.ptr, "two parameters have the same name");
    }
    if (p->param_count == WSB_PATTERN_PARAMS_MAX)
        return refuse(fault, p, name.ptr, "more than 8 parameters");
    char *copy = strndup((const char *)name.ptr, name.len);
    if (!copy)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    p->names[p->param_count++] = copy;
    return WSB_OK;
}

/* text is "{name}" or "{name*}" or something that tries to be */
static wsb_err param_compile(struct wsb_pattern *p, struct segment *s, bool is_last, struct wsb_fault *fault)
{
    struct wsb_span text = s->text;
    if (text.ptr[0] != '{' || text.ptr[text.len - 1] != '}')
        return refuse(fault, p, text.ptr, "a parameter has to be a whole segment, such as /{room}/");
    struct wsb_span name = wsb_span(text.ptr + 1, text.len - 2);
    s->kind = SEGMENT_PARAM;
    if (name.len && name.ptr[name.len - 1] == '*') {
        s->kind = SEGMENT_REST;
        name.len--;
        if (!is_last)
            return refuse(fault, p, text.ptr, "a parameter with '*' takes the rest and has to be the last segment");
    }
    if (!is_name(name))
        return refuse(fault, p, text.ptr, "a parameter's name is letters, digits and '_', not a digit first");
    return name_add(p, name, fault);
}

static wsb_err literal_check(const struct wsb_pattern *p, struct wsb_span text, bool is_last, struct wsb_fault *fault)
{
    if (text.len == 0 && !is_last)
        return refuse(fault, p, text.ptr, "empty segment");
    if (wsb_span_eq_str(text, ".") || wsb_span_eq_str(text, ".."))
        return refuse(fault, p, text.ptr, "no path has a segment \".\" or \"..\"");
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c <= 0x20 || c == 0x7f)
            return refuse(fault, p, text.ptr + i, "white space or control character");
        if (c == '?' || c == '#')
            return refuse(fault, p, text.ptr + i, "a pattern is for the path only, without '?' and '#'");
        if (c == '*')
            return refuse(fault, p, text.ptr + i, "'*' belongs into a parameter, such as /{path*}");
        if (c == '%')
            return refuse(fault, p, text.ptr + i,
                          "paths are decoded before they are matched: write the character itself");
    }
    return WSB_OK;
}

static wsb_err segment_add(struct wsb_pattern *p, struct wsb_span text, bool is_last, struct wsb_fault *fault)
{
    if (p->segment_count == WSB_PATTERN_SEGMENTS_MAX)
        return refuse(fault, p, text.ptr, "more than 32 segments");
    struct segment *s = &p->segments[p->segment_count++];
    *s = (struct segment){.kind = SEGMENT_LITERAL, .text = text};
    if (text.len && (memchr(text.ptr, '{', text.len) || memchr(text.ptr, '}', text.len)))
        return param_compile(p, s, is_last, fault);
    return literal_check(p, text, is_last, fault);
}

static wsb_err compile(struct wsb_pattern *p, struct wsb_fault *fault)
{
    const uint8_t *at = (const uint8_t *)p->text;
    if (*at != '/')
        return refuse(fault, p, at, "a pattern begins with '/'");
    while (*at) {
        at++; /* the slash */
        size_t len = strcspn((const char *)at, "/");
        wsb_err err = segment_add(p, wsb_span(at, len), /*is_last=*/at[len] == 0, fault);
        if (err)
            return err;
        at += len;
    }
    return WSB_OK;
}

wsb_err wsb_pattern_new(struct wsb_pattern **ret, const char *text, struct wsb_fault *fault)
{
    wsb_err err;
    size_t len = strlen(text);
    if (len > WSB_PATTERN_TEXT_MAX)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "pattern longer than %d bytes", (int)WSB_PATTERN_TEXT_MAX);
    struct wsb_pattern *p = calloc(1, sizeof *p + len + 1);
    if (!p) {
        err = wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
        goto out;
    }
    memcpy(p->text, text, len + 1);
    err = compile(p, fault);
    if (err)
        goto out;
    *ret = p; /* the caller's */
    p = NULL;
out:
    wsb_pattern_free(p);
    return err;
}

void wsb_pattern_free(struct wsb_pattern *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->param_count; i++)
        free(p->names[i]);
    free(p);
}

const char *wsb_pattern_text(const struct wsb_pattern *p)
{
    return p->text;
}

size_t wsb_pattern_param_count(const struct wsb_pattern *p)
{
    return p->param_count;
}

const char *wsb_pattern_param_name(const struct wsb_pattern *p, size_t index)
{
    assert(index < p->param_count);
    return p->names[index];
}

bool wsb_pattern_match(const struct wsb_pattern *p, struct wsb_span path,
                       struct wsb_span ret_params[WSB_PATTERN_PARAMS_MAX])
{
    struct wsb_span params[WSB_PATTERN_PARAMS_MAX];
    size_t param_count = 0;
    const uint8_t *at = path.ptr;
    size_t left = path.len;
    for (size_t i = 0; i < p->segment_count; i++) {
        const struct segment *s = &p->segments[i];
        if (left == 0 || *at != '/')
            return false;
        at++;
        left--;
        const uint8_t *slash = left ? memchr(at, '/', left) : NULL;
        size_t len = slash ? (size_t)(slash - at) : left;
        if (s->kind == SEGMENT_REST)
            len = left;
        struct wsb_span segment = wsb_span(at, len);
        if (s->kind == SEGMENT_LITERAL ? !wsb_span_eq(segment, s->text) : s->kind == SEGMENT_PARAM && len == 0)
            return false;
        if (s->kind != SEGMENT_LITERAL)
            params[param_count++] = segment;
        at += len;
        left -= len;
    }
    if (left)
        return false;
    if (param_count)
        memcpy(ret_params, params, param_count * sizeof params[0]);
    return true;
}

static int compare_text(struct wsb_span a, struct wsb_span b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.ptr, b.ptr, n) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

int wsb_pattern_compare(const struct wsb_pattern *a, const struct wsb_pattern *b)
{
    for (size_t i = 0; i < a->segment_count && i < b->segment_count; i++) {
        const struct segment *sa = &a->segments[i];
        const struct segment *sb = &b->segments[i];
        if (sa->kind != sb->kind)
            return (int)sa->kind - (int)sb->kind;
        int order = sa->kind == SEGMENT_LITERAL ? compare_text(sa->text, sb->text) : 0;
        if (order)
            return order;
    }
    return (a->segment_count > b->segment_count) - (a->segment_count < b->segment_count);
}
