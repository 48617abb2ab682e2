/*
 * Orders: what connections are told to do, and answer. The gate promises one outcome for each target that asks for one,
 * but a slow client's may be long in coming, so each order has a deadline; what comes later is nobody's.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "admin/audit.h"
#include "admin/parts.h"
#include "base/base64.h"

enum { TIMEOUT_DEFAULT_MS = 5000, TIMEOUT_MAX_MS = 600000, FAILURES_SHOWN = 32, OUTCOMES = WSB_OUTCOME_INVALID + 1 };

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

struct failure {
    wsb_conn conn; /* 0: a name that nobody has */
    uint8_t outcome;
    char reason[80];
};

struct wsg_order {
    uint64_t origin;
    struct wsg_admin_client *client; /* borrowed */
    char id[WSG_RPC_ID_MAX];
    enum wsg_order_kind kind;
    wsb_conn conn; /* PING */
    uint64_t timeout_ms;
    size_t targets, answered;
    uint64_t outcomes[OUTCOMES];
    struct failure failures[FAILURES_SHOWN];
    size_t failure_count;
    struct wsg_timer timer;
    UT_hash_handle hh;
};

/* ---------------------------------------------------------------------- ends */

static void order_free(struct wsg_order *o)
{
    struct wsg_admin_client *c = o->client;
    wsg_loop_disarm(c->admin->loop, &o->timer);
    HASH_DEL(c->admin->orders, o);
    c->orders--;
    wsg_client_goes_on(c);
    free(o);
}

static void write_failures(const struct wsg_order *o, struct wsb_json *j)
{
    wsb_json_key(j, "failures");
    wsb_json_array(j);
    for (size_t i = 0; i < o->failure_count; i++) {
        const struct failure *f = &o->failures[i];
        wsb_json_object(j);
        if (f->conn) {
            wsb_json_key(j, "id");
            wsb_json_id(j, f->conn);
        }
        wsb_json_kcstr(j, "outcome", wsb_outcome_name(f->outcome));
        wsb_json_kcstr(j, "reason", f->reason);
        wsb_json_object_end(j);
    }
    wsb_json_array_end(j);
}

static void answer_outcomes(struct wsg_order *o)
{
    struct wsb_json j;
    wsg_answer_begin(o->client->admin, o->id, &j);
    wsb_json_object(&j);
    wsb_json_ku64(&j, "targets", o->targets);
    wsb_json_key(&j, "outcomes");
    wsb_json_object(&j);
    for (int i = 0; i < OUTCOMES; i++) {
        if (o->outcomes[i])
            wsb_json_ku64(&j, wsb_outcome_name((uint8_t)i), o->outcomes[i]);
    }
    wsb_json_object_end(&j);
    wsb_json_ku64(&j, "waiting", o->targets - o->answered);
    write_failures(o, &j);
    wsb_json_object_end(&j);
    wsg_answer_end(o->client, o->id, &j);
    order_free(o);
}

static void on_time_up(struct wsg_timer *t)
{
    struct wsg_order *o = CONTAINER(t, struct wsg_order, timer);
    if (o->kind != WSG_ORDER_PING) {
        answer_outcomes(o);
        return;
    }
    wsg_answer_error(o->client, o->id, WSG_RPC_TIMEOUT, "no pong within %" PRIu64 " ms", o->timeout_ms);
    order_free(o);
}

static struct wsg_order *order_new(struct wsg_admin_client *c, const char *id, enum wsg_order_kind kind,
                                   uint64_t timeout_ms)
{
    struct wsg_admin *a = c->admin;
    struct wsg_order *o = calloc(1, sizeof *o);
    if (o) {
        o->origin = WSG_ORIGIN_ADMIN | ++a->last_origin;
        o->client = c;
        (void)snprintf(o->id, sizeof o->id, "%s", id);
        o->kind = kind;
        o->timeout_ms = timeout_ms;
        o->timer.fn = on_time_up;
        if (wsg_loop_arm(a->loop, &o->timer, wsg_loop_now_ms(a->loop) + timeout_ms) == WSB_OK) {
            HASH_ADD(hh, a->orders, origin, sizeof o->origin, o);
            if (WSG_TABLE_HAS(hh, o)) {
                c->orders++;
                return o;
            }
            wsg_loop_disarm(a->loop, &o->timer);
        }
        free(o);
    }
    wsg_answer_error(c, id, WSG_RPC_INTERNAL, "out of memory");
    return NULL;
}

void wsg_orders_forget(struct wsg_admin_client *c)
{
    struct wsg_order *o, *next;
    HASH_ITER (hh, c->admin->orders, o, next) {
        if (o->client == c)
            order_free(o);
    }
}

/* ------------------------------------------------------------------- replies */

/* Metadata of a reply was written by the gate itself. */
static void text_of(struct wsb_span meta, const char *key, char *to, size_t size)
{
    json_t *root = meta.len ? json_loadb((const char *)meta.ptr, meta.len, 0, NULL) : NULL;
    const char *text = json_string_value(json_object_get(root, key));
    (void)snprintf(to, size, "%s", text ? text : "");
    json_decref(root);
}

static uint64_t number_of(struct wsb_span meta, const char *key)
{
    json_t *root = meta.len ? json_loadb((const char *)meta.ptr, meta.len, 0, NULL) : NULL;
    json_int_t n = json_integer_value(json_object_get(root, key));
    json_decref(root);
    return n > 0 ? (uint64_t)n : 0;
}

static void on_outcome(struct wsg_order *o, const struct wsb_envelope *e)
{
    uint8_t outcome = e->header.code < OUTCOMES ? e->header.code : (uint8_t)WSB_OUTCOME_INVALID;
    o->answered++;
    o->outcomes[outcome]++;
    if (outcome != WSB_OUTCOME_WRITTEN && o->failure_count < FAILURES_SHOWN) {
        struct failure *f = &o->failures[o->failure_count++];
        *f = (struct failure){.conn = e->header.conn, .outcome = outcome};
        text_of(e->meta, "reason", f->reason, sizeof f->reason);
    }
    if (o->answered == o->targets)
        answer_outcomes(o);
}

static void on_ping_reply(struct wsg_order *o, const struct wsb_envelope *e)
{
    struct wsb_json j;
    char reason[80];
    if (e->header.type == WSB_OUTCOME && e->header.code == WSB_OUTCOME_WRITTEN)
        return; /* it has left; the pong is what is waited for */
    if (e->header.type == WSB_PONG_EV) {
        wsg_answer_begin(o->client->admin, o->id, &j);
        wsb_json_object(&j);
        wsb_json_key(&j, "id");
        wsb_json_id(&j, o->conn);
        wsb_json_ku64(&j, "rtt_us", number_of(e->meta, "rtt_us"));
        wsb_json_object_end(&j);
        wsg_answer_end(o->client, o->id, &j);
    } else {
        bool is_missing = e->header.code == WSB_OUTCOME_GONE || e->header.code == WSB_OUTCOME_STALE;
        text_of(e->meta, "reason", reason, sizeof reason);
        wsg_answer_error(o->client, o->id, is_missing ? WSG_RPC_NOT_FOUND : WSG_RPC_REFUSED, "%016" PRIx64 ": %s: %s",
                         o->conn, wsb_outcome_name(e->header.code), reason);
    }
    order_free(o);
}

bool wsg_orders_reply(struct wsg_admin *a, uint64_t origin, const struct wsb_envelope *e)
{
    struct wsg_order *o;
    HASH_FIND(hh, a->orders, &origin, sizeof origin, o);
    if (!o)
        return false;
    if (o->kind == WSG_ORDER_PING)
        on_ping_reply(o, e);
    else if (e->header.type == WSB_OUTCOME)
        on_outcome(o, e);
    return true;
}

/* --------------------------------------------------------------------- close */

static void give(struct wsg_order *o, struct wsg_command *c, const wsb_conn *ids, size_t count)
{
    struct wsg_admin *a = o->client->admin;
    c->flags = WSB_FLAG_WANT_OUTCOME;
    c->by = WSG_BY_ADMIN;
    c->origin = o->origin;
    o->targets = count;
    if (count)
        wsg_gate_command(a->gate, c, ids, count); /* outcomes come in a later step, never from inside */
    else
        answer_outcomes(o);
}

void wsg_order_close(struct wsg_admin_client *c, const char *id, const wsb_conn *ids, size_t count, uint16_t code,
                     const char *reason, uint64_t timeout_ms)
{
    struct wsg_order *o = order_new(c, id, WSG_ORDER_CLOSE, timeout_ms);
    struct wsg_command close = {.type = WSB_CLOSE, .status = code, .reason = wsb_span_str(reason)};
    if (o)
        give(o, &close, ids, count);
}

/* ---------------------------------------------------------------------- send */

enum { AUDIENCES_MAX = 64 };

struct message {
    struct wsg_audience to[AUDIENCES_MAX]; /* names are borrowed from the parameters */
    size_t to_count;
    bool all;
    wsb_conn *ids; /* owned */
    size_t count;
    struct wsg_meta except; /* its `except` is owned */
    uint64_t timeout_ms;
    uint8_t opcode;
    struct wsb_span payload;
    uint8_t *binary; /* owned; behind payload */
};

static wsb_err parse_payload(const json_t *params, struct message *m, struct wsb_fault *fault)
{
    const char *text = NULL;
    const char *base64 = NULL;
    size_t len;
    wsb_err err;
    if ((err = wsg_param_str(params, "text", &text, fault)) || (err = wsg_param_str(params, "base64", &base64, fault)))
        return err;
    if ((text != NULL) == (base64 != NULL))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "say what: either \"text\" or \"base64\"");
    m->opcode = text ? WSB_TEXT : WSB_BINARY;
    if (text) {
        m->payload = wsb_span_str(text);
        return WSB_OK;
    }
    m->binary = malloc(wsb_base64_decoded_max(strlen(base64)) + 1);
    if (!m->binary)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    if (!wsb_base64_decode(wsb_span_str(base64), m->binary, &len))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"base64\" is not base64 (RFC 4648 section 4, with padding)");
    m->payload = wsb_span(m->binary, len);
    return WSB_OK;
}

static const struct audience_key {
    const char *key;
    enum wsg_audience_kind kind;
} audience_keys[] = {{"route", WSG_TO_ROUTE}, {"group", WSG_TO_GROUP}, {"user", WSG_TO_USER}, {"tag", WSG_TO_TAG}};

static wsb_err add_audience(struct message *m, const struct audience_key *k, const json_t *name,
                            struct wsb_fault *fault)
{
    if (!json_is_string(name))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"%s\" must be a string, or an array of strings", k->key);
    if (m->to_count == AUDIENCES_MAX)
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "at most %d routes, groups, users and tags", AUDIENCES_MAX);
    m->to[m->to_count++] =
        (struct wsg_audience){.kind = k->kind, .name = wsb_span(json_string_value(name), json_string_length(name))};
    return WSB_OK;
}

static wsb_err parse_audiences(const json_t *params, struct message *m, struct wsb_fault *fault)
{
    wsb_err err = WSB_OK;
    for (size_t k = 0; k < sizeof audience_keys / sizeof *audience_keys && !err; k++) {
        const json_t *v = json_object_get(params, audience_keys[k].key);
        if (v && !json_is_array(v))
            err = add_audience(m, &audience_keys[k], v, fault);
        for (size_t i = 0; json_is_array(v) && i < json_array_size(v) && !err; i++)
            err = add_audience(m, &audience_keys[k], json_array_get(v, i), fault);
    }
    return err;
}

static wsb_err parse_message(const json_t *params, struct message *m, struct wsb_fault *fault)
{
    wsb_err err;
    m->timeout_ms = TIMEOUT_DEFAULT_MS;
    if ((err = parse_audiences(params, m, fault)) || (err = wsg_param_bool(params, "all", &m->all, fault)) ||
        (err = wsg_param_u64(params, "timeout_ms", 1, TIMEOUT_MAX_MS, &m->timeout_ms, fault)) ||
        (err = wsg_param_conns(params, "ids", &m->ids, &m->count, fault)) ||
        (err = wsg_param_conns(params, "except", &m->except.except, &m->except.except_count, fault)))
        return err;
    wsg_meta_sort_except(&m->except);
    if (m->ids && m->except.except_count)
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"except\" is for many, not for \"ids\"");
    if ((m->ids != NULL) + (m->to_count > 0) + m->all != 1)
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0,
                             "say to whom: \"ids\"; or \"route\", \"group\", \"user\" and \"tag\"; or \"all\"");
    if (m->all)
        m->to[m->to_count++] = (struct wsg_audience){.kind = WSG_TO_ALL};
    return parse_payload(params, m, fault);
}

static const char *audience_name(enum wsg_audience_kind kind)
{
    for (size_t k = 0; k < sizeof audience_keys / sizeof *audience_keys; k++) {
        if (audience_keys[k].kind == kind)
            return audience_keys[k].key;
    }
    return "all";
}

/* A route is there without connections; the others are not. */
static bool is_there(const struct wsg_admin *a, const struct wsg_audience *to)
{
    const struct wsg_hub *hub = wsg_gate_hub(a->gate);
    switch (to->kind) {
    case WSG_TO_ROUTE:
        return wsg_routes_find(wsg_gate_routes(a->gate), to->name) != NULL;
    case WSG_TO_GROUP:
        return wsg_groups_find(&hub->groups, to->name) != NULL;
    case WSG_TO_USER:
        return wsg_groups_find(&hub->users, to->name) != NULL;
    case WSG_TO_TAG:
        return wsg_groups_find(&hub->tags, to->name) != NULL;
    case WSG_TO_ALL:
        break;
    }
    return true;
}

/* None of them is there: nothing is sent. */
static bool names_nothing(const struct wsg_call *call, const struct message *m)
{
    for (size_t i = 0; i < m->to_count; i++) {
        if (is_there(call->admin, &m->to[i]))
            return false;
    }
    if (m->to_count)
        wsg_answer_error(call->client, call->id, WSG_RPC_NOT_FOUND, "no %s \"%.*s\"", audience_name(m->to[0].kind),
                         (int)(m->to[0].name.len < 100 ? m->to[0].name.len : 100), (const char *)m->to[0].name.ptr);
    return m->to_count > 0;
}

/* A name among others that nobody has is a target that is gone. */
static void count_absent(struct wsg_order *o, const struct message *m)
{
    for (size_t i = 0; i < m->to_count; i++) {
        const struct wsg_audience *to = &m->to[i];
        if (is_there(o->client->admin, to))
            continue;
        o->targets++;
        o->answered++;
        o->outcomes[WSB_OUTCOME_GONE]++;
        if (o->failure_count == FAILURES_SHOWN)
            continue;
        struct failure *f = &o->failures[o->failure_count++];
        *f = (struct failure){.outcome = WSB_OUTCOME_GONE};
        (void)snprintf(f->reason, sizeof f->reason, "no %s \"%.*s\"", audience_name(to->kind),
                       (int)(to->name.len < 60 ? to->name.len : 60), (const char *)to->name.ptr);
    }
}

static void send_message(const struct wsg_call *call, const struct message *m)
{
    struct wsg_command c = {.type = WSB_SEND, .code = m->opcode, .payload = m->payload};
    struct wsg_order *o = order_new(call->client, call->id, WSG_ORDER_SEND, m->timeout_ms);
    if (!o)
        return;
    if (m->ids) {
        give(o, &c, m->ids, m->count);
        return;
    }
    c.flags = WSB_FLAG_WANT_OUTCOME;
    c.by = WSG_BY_ADMIN;
    c.origin = o->origin;
    count_absent(o, m);
    o->targets += wsg_hub_broadcast(wsg_gate_hub(call->admin->gate), &c, m->to, m->to_count, &m->except);
    if (o->targets == o->answered)
        answer_outcomes(o);
}

/* Returns whether there are targets of this kind. */
static bool describe_kind(struct wsg_audit_text *t, const struct message *m, const struct audience_key *k,
                          bool is_first)
{
    size_t count = 0;
    for (size_t i = 0; i < m->to_count; i++)
        count += m->to[i].kind == k->kind;
    if (!count)
        return false;
    wsg_audit_add(t, "%s %zu %s%s", is_first ? "" : ",", count, k->key, count == 1 ? "" : "s");
    size_t shown = 0;
    for (size_t i = 0; i < m->to_count && shown < WSG_AUDIT_SHOWN; i++) {
        if (m->to[i].kind != k->kind)
            continue;
        wsg_audit_add(t, " ");
        wsg_audit_add_name(t, m->to[i].name);
        shown++;
    }
    wsg_audit_add_rest(t, count);
    return true;
}

/* For the audit line: `5 bytes to 2 groups "a" "b", 1 user "c", except 1 id 0000000100000001`. */
static void describe(struct wsg_audit_text *t, const struct message *m)
{
    bool is_first = true;
    wsg_audit_add(t, "%zu bytes to", m->payload.len);
    if (m->ids) {
        wsg_audit_add(t, " ");
        wsg_audit_add_ids(t, m->ids, m->count);
    }
    if (m->all)
        wsg_audit_add(t, " all");
    for (size_t k = 0; k < sizeof audience_keys / sizeof *audience_keys; k++)
        is_first = !describe_kind(t, m, &audience_keys[k], is_first) && is_first;
    if (m->except.except_count) {
        wsg_audit_add(t, ", except ");
        wsg_audit_add_ids(t, m->except.except, m->except.except_count);
    }
}

void wsg_on_send(const struct wsg_call *call)
{
    struct message m = {0};
    struct wsb_fault fault = {0};
    struct wsg_audit_text detail = {0};
    wsb_err err = parse_message(call->params, &m, &fault);
    if (wsg_call_failed(call, err, &fault) || names_nothing(call, &m))
        goto out;
    describe(&detail, &m);
    wsg_audit(call, detail.text);
    send_message(call, &m);
out:
    free(m.ids);
    free(m.except.except);
    free(m.binary);
}

/* ---------------------------------------------------------------------- ping */

/* A connection measures one ping at a time: a second one would take the answer of the first. */
static bool is_pinged(const struct wsg_admin *a, wsb_conn conn)
{
    for (const struct wsg_order *o = a->orders; o; o = o->hh.next) {
        if (o->kind == WSG_ORDER_PING && o->conn == conn)
            return true;
    }
    return false;
}

void wsg_on_ping(const struct wsg_call *call)
{
    struct wsb_fault fault = {0};
    wsb_conn conn = 0;
    uint64_t timeout_ms = TIMEOUT_DEFAULT_MS;
    wsb_err err = wsg_param_conn(call->params, "id", &conn, &fault);
    if (!err)
        err = wsg_param_u64(call->params, "timeout_ms", 1, TIMEOUT_MAX_MS, &timeout_ms, &fault);
    if (!err && !conn)
        err = wsb_fault_set(&fault, WSB_ERR_PROTO, 0, "\"id\" is missing: a connection id");
    if (wsg_call_failed(call, err, &fault))
        return;
    if (is_pinged(call->admin, conn)) {
        wsg_answer_error(call->client, call->id, WSG_RPC_BUSY, "a ping to %016" PRIx64 " is under way already", conn);
        return;
    }
    struct wsg_order *o = order_new(call->client, call->id, WSG_ORDER_PING, timeout_ms);
    struct wsg_command ping = {.type = WSB_PING, .payload = wsb_span_str("wsctl")};
    if (!o)
        return;
    o->conn = conn;
    give(o, &ping, &conn, 1);
}
