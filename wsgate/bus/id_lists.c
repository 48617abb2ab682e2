/* One pass over the text of a JSON object: strings are skipped, brackets counted, and at the top "to" and "except" read. */
#include "bus/id_lists.h"

#include <stdlib.h>
#include <string.h>

#include "bus/conn_id.h"
#include "bus/meta.h"

enum { DIGITS = 16, FIRST = 256 };

void wsg_id_lists_init(struct wsg_id_lists *l)
{
    *l = (struct wsg_id_lists){0};
    wsb_buf_init(&l->rest, WSG_META_TEXT_MAX);
}

void wsg_id_lists_deinit(struct wsg_id_lists *l)
{
    free(l->to.ids);
    free(l->except.ids);
    wsb_buf_deinit(&l->rest);
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const uint8_t *skip_space(const uint8_t *at, const uint8_t *end)
{
    while (at < end && is_space(*at))
        at++;
    return at;
}

/* Behind the quote that ends the string whose first quote is at `at`; NULL: it does not end. */
static const uint8_t *skip_string(const uint8_t *at, const uint8_t *end)
{
    for (at++; at < end && *at != '"'; at++)
        at += *at == '\\';
    return at < end ? at + 1 : NULL;
}

static wsb_err add(struct wsg_id_list *l, wsb_conn id)
{
    if (l->count == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : FIRST;
        wsb_conn *ids = reallocarray(l->ids, cap, sizeof *ids);
        if (!ids)
            return WSB_ERR_NOMEM;
        l->ids = ids;
        l->cap = cap;
    }
    l->ids[l->count++] = id;
    return WSB_OK;
}

/* "0123456789abcdef" */
static bool read_id(const uint8_t *at, const uint8_t *end, wsb_conn *ret)
{
    char text[DIGITS + 1];
    if (end - at < DIGITS + 2 || at[0] != '"' || at[DIGITS + 1] != '"')
        return false;
    memcpy(text, at + 1, DIGITS);
    text[DIGITS] = 0;
    return wsg_id_parse(text, ret);
}

/* A list from its bracket on. *ret_end: behind it; NULL: it is not plainly one, and is left to the other parser. */
static wsb_err read_list(struct wsg_id_list *l, const uint8_t *at, const uint8_t *end, const uint8_t **ret_end)
{
    wsb_err err = WSB_OK;
    *ret_end = NULL;
    l->count = 0;
    at = skip_space(at + 1, end);
    if (at < end && *at == ']') {
        *ret_end = at + 1;
        return WSB_OK;
    }
    while (!err) {
        wsb_conn id;
        if (!read_id(at, end, &id))
            return WSB_OK;
        err = l->count < WSG_TARGETS_MAX ? add(l, id) : WSB_ERR_REFUSED;
        at = skip_space(at + DIGITS + 2, end);
        if (at == end || (*at != ',' && *at != ']'))
            return err;
        if (*at == ']') {
            *ret_end = at + 1;
            return err;
        }
        at = skip_space(at + 1, end);
    }
    return err;
}

/* The list that belongs to this key; NULL: none does, or it has one already (and the other parser sees the key twice). */
static struct wsg_id_list *list_of(struct wsg_id_lists *l, const uint8_t *key, size_t len)
{
    if (len == 4 && memcmp(key, "\"to\"", 4) == 0)
        return &l->to;
    return len == 8 && memcmp(key, "\"except\"", 8) == 0 ? &l->except : NULL;
}

struct scan {
    const uint8_t *at, *end;
    const uint8_t *kept; /* up to here it is in the rest already */
    size_t depth, values;
};

static wsb_err keep(struct wsg_id_lists *l, struct scan *s)
{
    wsb_err err = wsb_buf_append(&l->rest, s->kept, (size_t)(s->at - s->kept));
    s->kept = s->at;
    return err;
}

/* A string at the top is a key when a colon follows. */
static wsb_err pass_string(struct wsg_id_lists *l, struct scan *s)
{
    const uint8_t *key = s->at;
    const uint8_t *end = skip_string(s->at, s->end);
    s->at = end ? end : s->end;
    struct wsg_id_list *list = end && s->depth == 1 ? list_of(l, key, (size_t)(end - key)) : NULL;
    if (!list || list->is_there)
        return WSB_OK;
    const uint8_t *at = skip_space(end, s->end);
    if (at == s->end || *at != ':')
        return WSB_OK;
    at = skip_space(at + 1, s->end);
    if (at == s->end || *at != '[')
        return WSB_OK;
    wsb_err err = read_list(list, at, s->end, &end);
    if (err || !end)
        return err;
    list->is_there = true;
    s->at = at;
    err = keep(l, s);
    s->at = s->kept = end;
    return err ? err : wsb_buf_append(&l->rest, "[]", 2);
}

static wsb_err pass(struct wsg_id_lists *l, struct scan *s)
{
    uint8_t c = *s->at;
    if (c == '"')
        return pass_string(l, s);
    s->at++;
    if (c == '{' || c == '[')
        s->depth++;
    else if ((c == '}' || c == ']') && s->depth)
        s->depth--;
    s->values += c == ',' || c == '{' || c == '[';
    return s->depth > WSG_META_DEPTH_MAX || s->values > WSG_META_VALUES_MAX ? WSB_ERR_LIMIT : WSB_OK;
}

wsb_err wsg_id_lists_cut(struct wsg_id_lists *l, struct wsb_span json, struct wsb_fault *fault)
{
    struct scan s = {.at = json.ptr, .end = json.ptr + json.len, .kept = json.ptr};
    wsb_err err = WSB_OK;
    while (!err && s.at < s.end)
        err = pass(l, &s);
    if (!err)
        err = keep(l, &s);
    if (err == WSB_ERR_NOMEM)
        return wsb_fault_set(fault, err, 0, "out of memory");
    if (err == WSB_ERR_REFUSED)
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"to\" and \"except\" have at most %d ids each",
                             WSG_TARGETS_MAX);
    if (err)
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0,
                             "metadata, without \"to\" and \"except\", has at most %d bytes, %d values and %d levels",
                             WSG_META_TEXT_MAX, WSG_META_VALUES_MAX, WSG_META_DEPTH_MAX);
    return WSB_OK;
}
