/* JSON-RPC 2.0. jansson refuses what is not UTF-8, duplicate keys and NUL; the rest is checked here. */
#include "admin/rpc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json_shape.h"
#include "bus/conn_id.h"

enum { DEPTH_MAX = 16, VALUES_MAX = 1 << 17 /* more ids than a line has room for */ };

static wsb_err fail(struct wsg_rpc_error *error, enum wsg_rpc_code code, const char *text)
{
    error->code = code;
    return wsb_fault_set(&error->fault, WSB_ERR_PROTO, 0, "%s", text);
}

/* The id as it will be repeated in the answer. */
static bool take_id(const json_t *id, char out[WSG_RPC_ID_MAX])
{
    if (!id) {
        out[0] = 0;
        return true;
    }
    if (!json_is_string(id) && !json_is_integer(id) && !json_is_null(id))
        return false;
    size_t n = json_dumpb(id, out, WSG_RPC_ID_MAX - 1, JSON_ENCODE_ANY | JSON_COMPACT);
    if (n == 0 || n > WSG_RPC_ID_MAX - 1)
        return false;
    out[n] = 0;
    return true;
}

wsb_err wsg_rpc_parse(struct wsb_span line, struct wsg_rpc_request *ret, struct wsg_rpc_error *error)
{
    json_error_t why;
    char text[200];
    static const struct wsb_json_shape most = {DEPTH_MAX, VALUES_MAX};
    *ret = (struct wsg_rpc_request){.id = "null"};
    if (wsb_json_shape_check(line, &most) != WSB_OK) {
        (void)snprintf(text, sizeof text, "deeper than %d levels, or more than %d values", DEPTH_MAX, VALUES_MAX);
        return fail(error, WSG_RPC_PARSE, text);
    }
    ret->root = json_loadb((const char *)line.ptr, line.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (!ret->root) {
        (void)snprintf(text, sizeof text, "not JSON: %.150s at byte %d", why.text, why.position);
        return fail(error, WSG_RPC_PARSE, text);
    }
    if (json_is_array(ret->root))
        return fail(error, WSG_RPC_REQUEST, "batches are not supported: send one request a line");
    if (!json_is_object(ret->root))
        return fail(error, WSG_RPC_REQUEST, "a request is an object");
    if (!take_id(json_object_get(ret->root, "id"), ret->id)) {
        (void)snprintf(ret->id, sizeof ret->id, "null");
        return fail(error, WSG_RPC_REQUEST, "\"id\" must be a number without fraction, a short string or null");
    }
    const char *version = json_string_value(json_object_get(ret->root, "jsonrpc"));
    const char *method = json_string_value(json_object_get(ret->root, "method"));
    if (!version || strcmp(version, "2.0") != 0 || !method) {
        if (!ret->id[0]) /* not a valid request, so not a notification either: it is answered */
            (void)snprintf(ret->id, sizeof ret->id, "null");
        return fail(error, WSG_RPC_REQUEST, method ? "\"jsonrpc\" must be \"2.0\"" : "\"method\" must be a string");
    }
    (void)snprintf(ret->method, sizeof ret->method, "%s", strlen(method) < sizeof ret->method ? method : "");
    ret->params = json_object_get(ret->root, "params");
    if (ret->params && !json_is_object(ret->params))
        return fail(error, WSG_RPC_PARAMS, "\"params\" must be an object: parameters have names");
    return WSB_OK;
}

void wsg_rpc_request_deinit(struct wsg_rpc_request *r)
{
    json_decref(r->root);
    r->root = r->params = NULL;
}

/* --------------------------------------------------------------- parameters */

wsb_err wsg_param_str(const json_t *params, const char *name, const char **ret, struct wsb_fault *fault)
{
    const json_t *v = json_object_get(params, name);
    if (!v)
        return WSB_OK;
    if (!json_is_string(v))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"%s\" must be a string", name);
    *ret = json_string_value(v);
    return WSB_OK;
}

wsb_err wsg_param_u64(const json_t *params, const char *name, uint64_t min, uint64_t max, uint64_t *ret,
                      struct wsb_fault *fault)
{
    const json_t *v = json_object_get(params, name);
    if (!v)
        return WSB_OK;
    json_int_t n = json_integer_value(v);
    if (!json_is_integer(v) || n < 0 || (uint64_t)n < min || (uint64_t)n > max)
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"%s\" must be a whole number from %" PRIu64 " to %" PRIu64,
                             name, min, max);
    *ret = (uint64_t)n;
    return WSB_OK;
}

wsb_err wsg_param_bool(const json_t *params, const char *name, bool *ret, struct wsb_fault *fault)
{
    const json_t *v = json_object_get(params, name);
    if (!v)
        return WSB_OK;
    if (!json_is_boolean(v))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"%s\" must be true or false", name);
    *ret = json_is_true(v);
    return WSB_OK;
}

static bool conn_of(const json_t *v, wsb_conn *ret)
{
    return json_is_string(v) && wsg_id_parse(json_string_value(v), ret) && *ret;
}

wsb_err wsg_param_conn(const json_t *params, const char *name, wsb_conn *ret, struct wsb_fault *fault)
{
    const json_t *v = json_object_get(params, name);
    wsb_conn id;
    if (!v)
        return WSB_OK;
    if (!conn_of(v, &id))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0,
                             "\"%s\" must be a connection id: a string of 16 lower-case hexadecimal digits", name);
    *ret = id;
    return WSB_OK;
}

static int by_value(const void *a, const void *b)
{
    wsb_conn x = *(const wsb_conn *)a;
    wsb_conn y = *(const wsb_conn *)b;
    return x < y ? -1 : x > y ? 1 : 0;
}

wsb_err wsg_param_conns(const json_t *params, const char *name, wsb_conn **ret, size_t *ret_count,
                        struct wsb_fault *fault)
{
    const json_t *v = json_object_get(params, name);
    size_t n = json_array_size(v);
    size_t count = 0;
    if (!v)
        return WSB_OK;
    if (!json_is_array(v))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"%s\" must be an array of connection ids", name);
    wsb_conn *ids = calloc(n ? n : 1, sizeof *ids);
    if (!ids)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    for (size_t i = 0; i < n; i++) {
        if (!conn_of(json_array_get(v, i), &ids[i])) {
            free(ids);
            return wsb_fault_set(fault, WSB_ERR_PROTO, 0,
                                 "\"%s\"[%zu] is not a connection id: a string of 16 lower-case hexadecimal digits",
                                 name, i);
        }
    }
    qsort(ids, n, sizeof *ids, by_value); /* doubles would be carried out, and counted, twice */
    for (size_t i = 0; i < n; i++) {
        if (!count || ids[count - 1] != ids[i])
            ids[count++] = ids[i];
    }
    *ret = ids;
    *ret_count = count;
    return WSB_OK;
}

static bool is_known(const char *known, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = known; *at; at += strspn(at, " ")) {
        size_t word = strcspn(at, " ");
        if (word == len && memcmp(at, name, len) == 0)
            return true;
        at += word;
    }
    return false;
}

wsb_err wsg_params_check(const json_t *params, const char *known, struct wsb_fault *fault)
{
    /* jansson's iterators take a pointer that is not const, and do not write through it */
    for (void *i = json_object_iter((json_t *)params); i; i = json_object_iter_next((json_t *)params, i)) {
        if (!is_known(known, json_object_iter_key(i)))
            return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "unknown parameter \"%.60s\"; there %s%.130s",
                                 json_object_iter_key(i), *known ? "are: " : "are none", known);
    }
    return WSB_OK;
}

/* ------------------------------------------------------------------ answers */

void wsg_rpc_result_begin(struct wsb_json *j, struct wsb_buf *out, const char *id)
{
    wsb_json_begin(j, out);
    j->err = wsb_buf_printf(out, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":", id);
}

void wsg_rpc_notify_begin(struct wsb_json *j, struct wsb_buf *out, const char *method)
{
    wsb_json_begin(j, out);
    j->err = wsb_buf_printf(out, "{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"params\":", method);
}

wsb_err wsg_rpc_end(struct wsb_json *j)
{
    if (!j->err)
        j->err = wsb_buf_append_str(j->out, "}\n");
    return wsb_json_end(j);
}

wsb_err wsg_rpc_error_write(struct wsb_buf *out, const char *id, enum wsg_rpc_code code, const char *message)
{
    struct wsb_json j;
    wsb_json_begin(&j, out);
    wsb_json_object(&j);
    wsb_json_kcstr(&j, "jsonrpc", "2.0");
    wsb_json_key(&j, "id");
    if (!j.err)
        j.err = wsb_buf_append_str(out, id);
    j.comma = true;
    wsb_json_key(&j, "error");
    wsb_json_object(&j);
    wsb_json_key(&j, "code");
    wsb_json_i64(&j, code);
    wsb_json_kcstr(&j, "message", message);
    wsb_json_object_end(&j);
    return wsg_rpc_end(&j);
}
