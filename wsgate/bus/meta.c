/* Metadata in. jansson refuses what is not UTF-8, duplicate keys and NUL; the types and ranges are checked here. */
#include "bus/meta.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "bus/conn_id.h"
#include "bus/id_lists.h"
#include "bus/route.h"

enum { SHORT = 4096 /* bytes */ };

static struct wsb_span text_of(const json_t *v)
{
    return wsb_span(json_string_value(v), json_string_length(v));
}

static wsb_err get_text(const json_t *root, const char *key, struct wsb_span *ret, struct wsb_fault *fault)
{
    const json_t *v = json_object_get(root, key);
    if (!v)
        return WSB_OK;
    if (!json_is_string(v))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"%s\" must be a string", key);
    *ret = text_of(v);
    return WSB_OK;
}

static wsb_err get_int(const json_t *root, const char *key, int64_t low, int64_t high, int64_t *ret,
                       struct wsb_fault *fault)
{
    const json_t *v = json_object_get(root, key);
    if (!v)
        return WSB_OK;
    if (!json_is_integer(v) || json_integer_value(v) < low || json_integer_value(v) > high)
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"%s\" must be an integer from %lld to %lld", key,
                             (long long)low, (long long)high);
    *ret = json_integer_value(v);
    return WSB_OK;
}

static wsb_err get_array(const json_t *root, const char *key, size_t max, const json_t **ret, struct wsb_fault *fault)
{
    const json_t *v = json_object_get(root, key);
    *ret = v;
    if (!v)
        return WSB_OK;
    if (!json_is_array(v) || json_array_size(v) > max)
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"%s\" must be an array of at most %zu", key, max);
    return WSB_OK;
}

static wsb_err get_ids(const json_t *root, const char *key, wsb_conn **ret, size_t *ret_count, bool *ret_has,
                       struct wsb_fault *fault)
{
    const json_t *array;
    wsb_err err = get_array(root, key, WSG_TARGETS_MAX, &array, fault);
    if (err || !array)
        return err;
    size_t count = json_array_size(array);
    *ret = calloc(count ? count : 1, sizeof **ret);
    if (!*ret)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (!text || !wsg_id_parse(text, &(*ret)[i]))
            return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"%s\"[%zu] must be a string of 16 hexadecimal digits", key,
                                 i);
    }
    *ret_count = count;
    *ret_has = true;
    return WSB_OK;
}

static wsb_err get_texts(const json_t *root, const char *key, struct wsb_span **ret, size_t *ret_count,
                         struct wsb_fault *fault)
{
    const json_t *array;
    wsb_err err = get_array(root, key, 1024, &array, fault);
    if (err || !array)
        return err;
    size_t count = json_array_size(array);
    *ret = calloc(count ? count : 1, sizeof **ret);
    if (!*ret)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    for (size_t i = 0; i < count; i++) {
        const json_t *v = json_array_get(array, i);
        if (!json_is_string(v))
            return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"%s\"[%zu] must be a string", key, i);
        (*ret)[i] = text_of(v);
    }
    *ret_count = count;
    return WSB_OK;
}

static wsb_err add_field(struct wsg_meta *m, const char *name, const json_t *value, struct wsb_fault *fault)
{
    if (!json_is_string(value))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "header \"%.60s\" must be a string or an array of strings", name);
    if (m->field_count >= WSG_FIELDS_MAX)
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "more than %d headers", WSG_FIELDS_MAX);
    m->fields[m->field_count++] = (struct wsg_field){wsb_span_str(name), text_of(value)};
    return WSB_OK;
}

static wsb_err get_fields(json_t *root, struct wsg_meta *m, struct wsb_fault *fault)
{
    json_t *headers = json_object_get(root, "headers");
    const char *name;
    json_t *value;
    if (!headers)
        return WSB_OK;
    if (!json_is_object(headers))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"headers\" must be an object");
    m->fields = calloc(WSG_FIELDS_MAX, sizeof *m->fields);
    if (!m->fields)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    json_object_foreach(headers, name, value)
    {
        size_t count = json_is_array(value) ? json_array_size(value) : 1;
        for (size_t i = 0; i < count; i++) {
            wsb_err err = add_field(m, name, json_is_array(value) ? json_array_get(value, i) : value, fault);
            if (err)
                return err;
        }
    }
    return WSB_OK;
}

static int compare_ids(const void *a, const void *b)
{
    wsb_conn x = *(const wsb_conn *)a;
    wsb_conn y = *(const wsb_conn *)b;
    return x < y ? -1 : x > y;
}

enum { RADIX_BITS = 16, RADIX = 1 << RADIX_BITS, RADIX_LEAST = 4096 /* ids for which it is worth it */ };

/* By 16 bits at a time. Without memory: false, and in any order. */
static bool sort_many(wsb_conn *ids, size_t count)
{
    wsb_conn *other = reallocarray(NULL, count, sizeof *other);
    uint32_t *at = calloc(RADIX, sizeof *at);
    wsb_conn *from = ids, *to = other;
    bool has_memory = other && at;
    for (unsigned shift = 0; has_memory && shift < 64; shift += RADIX_BITS) {
        memset(at, 0, RADIX * sizeof *at);
        for (size_t i = 0; i < count; i++)
            at[from[i] >> shift & (RADIX - 1)]++;
        for (uint32_t i = 0, sum = 0; i < RADIX; i++) {
            uint32_t some = at[i];
            at[i] = sum;
            sum += some;
        }
        for (size_t i = 0; i < count; i++)
            to[at[from[i] >> shift & (RADIX - 1)]++] = from[i];
        wsb_conn *swap = from;
        from = to;
        to = swap;
    }
    free(other); /* four passes: what is sorted is where it was */
    free(at);
    return has_memory;
}

/* The hub goes on when very many ids have been sorted: that is linear. */
void wsg_meta_sort_except(struct wsg_meta *m)
{
    if (m->except_count >= RADIX_LEAST && sort_many(m->except, m->except_count))
        return;
    if (m->except_count)
        qsort(m->except, m->except_count, sizeof *m->except, compare_ids);
}

static wsb_err get_flag(const json_t *root, const char *key, bool *ret, struct wsb_fault *fault)
{
    const json_t *v = json_object_get(root, key);
    if (!v)
        return WSB_OK;
    if (!json_is_boolean(v))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"%s\" must be true or false", key);
    *ret = json_is_true(v);
    return WSB_OK;
}

static wsb_err get_level(const json_t *root, int *ret, struct wsb_fault *fault)
{
    static const char *const names[] = {"debug", "info", "wslog", "warn", "error"};
    struct wsb_span text = {NULL, 0};
    wsb_err err = get_text(root, "level", &text, fault);
    if (err || !text.ptr)
        return err;
    for (int i = 0; i < 5; i++) {
        if (wsb_span_eq_str(text, names[i])) {
            *ret = i;
            return WSB_OK;
        }
    }
    return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"level\" must be debug, info, wslog, warn or error");
}

static wsb_err get_amounts(const json_t *root, struct wsg_meta *m, struct wsb_fault *fault)
{
    int64_t messages = 0;
    int64_t bytes = 0;
    const json_t *credit = json_object_get(root, "credit");
    if (credit && !json_is_object(credit))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"credit\" must be an object of \"messages\" and \"bytes\"");
    wsb_err err = get_int(credit ? credit : root, "messages", 0, INT32_MAX, &messages, fault);
    if (!err)
        err = get_int(credit ? credit : root, "bytes", 0, INT64_MAX / 4, &bytes, fault);
    m->has_credit = credit != NULL;
    m->messages = (uint64_t)messages;
    m->bytes = (uint64_t)bytes;
    return err;
}

static wsb_err get_slow(const json_t *root, uint8_t *ret, struct wsb_fault *fault)
{
    static const struct {
        const char *word;
        enum wsg_slow slow;
    } words[] = {{"close", WSG_SLOW_CLOSE},
                 {"drop-new", WSG_SLOW_DROP_NEW},
                 {"drop-old", WSG_SLOW_DROP_OLD},
                 {"conflate", WSG_SLOW_CONFLATE}};
    struct wsb_span text = {NULL, 0};
    wsb_err err = get_text(root, "slow", &text, fault);
    if (err || !text.ptr)
        return err;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (wsb_span_eq_str(text, words[i].word)) {
            *ret = (uint8_t)words[i].slow;
            return WSB_OK;
        }
    }
    return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"slow\" must be close, drop-new, drop-old or conflate");
}

/* What a handler serves: at least one kind. A kind that is not known is refused: its handler would wait for it in vain. */
static wsb_err get_kinds(const json_t *root, uint8_t *ret, struct wsb_fault *fault)
{
    const json_t *array;
    wsb_err err = get_array(root, "kinds", WSG_KINDS, &array, fault);
    if (err || !array)
        return err;
    *ret = 0;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *word = json_string_value(json_array_get(array, i));
        bool is_http = word && strcmp(word, "http") == 0;
        if (!is_http && !(word && strcmp(word, "websocket") == 0))
            return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"kinds\"[%zu] must be \"websocket\" or \"http\"", i);
        *ret |= (uint8_t)(is_http ? WSG_KIND_HTTP : WSG_KIND_WEBSOCKET);
    }
    return *ret ? WSB_OK : wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"kinds\" must name at least one kind");
}

static wsb_err decode_names(const json_t *root, struct wsg_meta *m, struct wsb_fault *fault)
{
    wsb_err err;
    if ((err = get_text(root, "reason", &m->reason, fault)) ||
        (err = get_text(root, "subprotocol", &m->subprotocol, fault)) ||
        (err = get_text(root, "group", &m->group, fault)) || (err = get_text(root, "route", &m->route, fault)) ||
        (err = get_text(root, "user", &m->user, fault)) || (err = get_text(root, "tag", &m->tag, fault)) ||
        (err = get_text(root, "key", &m->key, fault)) || (err = get_text(root, "name", &m->name, fault)) ||
        (err = get_text(root, "language", &m->language, fault)) ||
        (err = get_texts(root, "groups", &m->groups, &m->group_count, fault)) ||
        (err = get_texts(root, "routes", &m->routes, &m->route_count, fault)) ||
        (err = get_texts(root, "tags", &m->tags, &m->tag_count, fault)) ||
        (err = get_texts(root, "set", &m->set, &m->set_count, fault)))
        return err;
    return get_texts(root, "unset", &m->unset, &m->unset_count, fault);
}

/* A list that was read beforehand takes the place of the empty one. */
static void take_list(struct wsg_id_list *l, wsb_conn **ids, size_t *count)
{
    if (!l->is_there)
        return;
    free(*ids);
    *ids = l->ids;
    *count = l->count;
    l->ids = NULL;
}

static wsb_err decode(json_t *root, struct wsg_meta *m, struct wsb_fault *fault)
{
    int64_t code = 1000;
    int64_t status = 0;
    int64_t weight = 1;
    int64_t heartbeat_ms = 0;
    int64_t limit = 1000;
    int64_t at = -1;
    bool has_except = false;
    wsb_err err;
    if ((err = get_ids(root, "to", &m->to, &m->to_count, &m->has_to, fault)) ||
        (err = get_ids(root, "except", &m->except, &m->except_count, &has_except, fault)) ||
        (err = get_int(root, "code", 1000, 4999, &code, fault)) ||
        (err = get_int(root, "status", 100, 599, &status, fault)) ||
        (err = get_int(root, "pid", 0, INT32_MAX, &m->pid, fault)) ||
        (err = get_int(root, "weight", 1, 1000, &weight, fault)) ||
        (err = get_int(root, "heartbeat_ms", 0, 60000, &heartbeat_ms, fault)) ||
        (err = get_int(root, "limit", 0, WSG_LIST_MAX, &limit, fault)) ||
        (err = get_int(root, "at", 0, INT64_MAX, &at, fault)) || (err = decode_names(root, m, fault)) ||
        (err = get_amounts(root, m, fault)) || (err = get_slow(root, &m->slow, fault)) ||
        (err = get_flag(root, "batch", &m->batch, fault)) || (err = get_flag(root, "records", &m->records, fault)) ||
        (err = get_flag(root, "ack", &m->ack, fault)) || (err = get_flag(root, "presence", &m->presence, fault)) ||
        (err = get_flag(root, "all", &m->all, fault)) || (err = get_level(root, &m->level, fault)) ||
        (err = get_kinds(root, &m->kinds, fault)) || (err = get_fields(root, m, fault)))
        return err;
    m->code = (uint16_t)code;
    m->status = (uint16_t)status;
    m->weight = (uint32_t)weight;
    m->heartbeat_ms = (uint32_t)heartbeat_ms;
    m->limit = (uint32_t)limit;
    m->at = at;
    return WSB_OK;
}

static wsb_err parse(struct wsb_span json, struct wsg_meta *ret, struct wsb_fault *fault)
{
    json_error_t error;
    json_t *root = json_loadb((const char *)json.ptr, json.len, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "metadata is not JSON: %s at byte %d", error.text,
                             error.position);
    ret->root = root;
    if (!json_is_object(root))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "metadata must be a JSON object");
    return decode(root, ret, fault);
}

/* What is not short is looked at first: nobody can have the general parser work for longer than a moment. */
static wsb_err parse_long(struct wsb_span json, struct wsg_meta *ret, struct wsb_fault *fault)
{
    struct wsg_id_lists lists;
    wsg_id_lists_init(&lists);
    wsb_err err = wsg_id_lists_cut(&lists, json, fault);
    if (!err)
        err = parse(wsb_buf_span(&lists.rest), ret, fault);
    if (!err) {
        take_list(&lists.to, &ret->to, &ret->to_count);
        take_list(&lists.except, &ret->except, &ret->except_count);
    }
    wsg_id_lists_deinit(&lists);
    return err;
}

wsb_err wsg_meta_parse(struct wsb_span json, struct wsg_meta *ret, struct wsb_fault *fault)
{
    *ret = (struct wsg_meta){.code = 1000, .level = -1, .weight = 1, .limit = 1000, .at = -1, .kinds = WSG_KIND_ALL};
    if (json.len == 0)
        return WSB_OK;
    wsb_err err = json.len > SHORT ? parse_long(json, ret, fault) : parse(json, ret, fault);
    if (!err)
        wsg_meta_sort_except(ret);
    return err;
}

void wsg_meta_deinit(struct wsg_meta *m)
{
    json_decref(m->root);
    free(m->to);
    free(m->except);
    free(m->fields);
    free(m->groups);
    free(m->routes);
    free(m->tags);
    free(m->set);
    free(m->unset);
    *m = (struct wsg_meta){.level = -1};
}

bool wsg_meta_excepts(const struct wsg_meta *m, wsb_conn conn)
{
    return m->except_count && bsearch(&conn, m->except, m->except_count, sizeof conn, compare_ids);
}
