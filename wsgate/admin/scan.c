/*
 * What needs to see every connection: list, show, and close by a filter. The gate shows them some at a time, so that fifty
 * thousand stall nobody, and of those that fit a list keeps as many as it will show. One listing is worked on at a time; the others
 * wait their turn, and each client has at most one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "admin/audit.h"
#include "admin/parts.h"
#include "admin/top.h"
#include "ws/close.h"

enum {
    ROWS_PER_ROUND = 256,
    PLACED_PER_ROUND = 2048,
    LIST_DEFAULT = 1000,
    TIMEOUT_DEFAULT_MS = 5000,
    TIMEOUT_MAX_MS = 600000
};

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

enum scan_kind { SCAN_LIST, SCAN_SHOW, SCAN_CLOSE };

struct wsg_scan {
    struct wsg_scan *prev, *next;
    struct wsg_admin *admin;         /* borrowed */
    struct wsg_admin_client *client; /* borrowed; NULL: it went away */
    char id[WSG_RPC_ID_MAX];
    enum scan_kind kind;
    struct wsg_filter filter;
    wsb_conn conn;      /* SHOW */
    struct wsg_top top; /* LIST: those that are to be shown */
    size_t at;          /* LIST: how many of them are written */
    bool dry_run;
    uint16_t code;
    char reason[WSB_CLOSE_TEXT_MAX + 1];
    uint64_t timeout_ms;
    bool is_started;
    bool is_out_of_memory;
    uint64_t matched, total;
    struct wsb_buf line; /* LIST, SHOW: the answer so far */
    struct wsb_json json;
    wsb_conn *ids; /* owned; CLOSE: those meant */
    size_t ids_cap;
};

/* --------------------------------------------------------------------- rows */

static const struct wsg_pin *pin_of(const struct wsg_scan *s, wsb_conn id)
{
    return wsg_pins_find(&wsg_gate_hub(s->admin->gate)->pins, id);
}

static void write_tls(struct wsb_json *j, const struct wsg_conn_info *r)
{
    if (!*r->tls_version)
        return;
    wsb_json_key(j, "tls");
    wsb_json_object(j);
    wsb_json_kcstr(j, "version", r->tls_version);
    wsb_json_kcstr(j, "cipher", r->tls_cipher);
    wsb_json_kcstr(j, "name", r->tls_name);
    if (*r->client_fingerprint) {
        wsb_json_kcstr(j, "client_subject", r->client_subject);
        wsb_json_kcstr(j, "client_fingerprint", r->client_fingerprint);
    }
    wsb_json_object_end(j);
}

static void write_row(struct wsb_json *j, const struct wsg_conn_info *r, const struct wsg_pin *p)
{
    char extensions[WSB_DEFLATE_TEXT_SIZE] = "";
    if (r->is_compressed)
        wsb_deflate_params_format(&r->deflate, extensions);
    wsb_json_key(j, "id");
    wsb_json_id(j, r->id);
    wsb_json_kcstr(j, "what", r->what);
    wsb_json_kcstr(j, "route", r->route);
    wsb_json_kcstr(j, "peer", r->peer);
    wsb_json_kcstr(j, "target", r->target);
    wsb_json_kcstr(j, "subprotocol", r->subprotocol);
    wsb_json_kcstr(j, "extensions", extensions);
    write_tls(j, r);
    wsb_json_ku64(j, "handler", p && p->handler ? p->handler->id : 0);
    wsb_json_kcstr(j, "handler_name", p && p->handler ? p->handler->name : "");
    wsb_json_ku64(j, "worker", r->worker);
    wsb_json_ku64(j, "age_ms", r->age_ms);
    wsb_json_ku64(j, "idle_ms", r->idle_ms);
    wsb_json_ku64(j, "messages_in", r->messages_in);
    wsb_json_ku64(j, "bytes_in", r->bytes_in);
    wsb_json_ku64(j, "messages_out", r->messages_out);
    wsb_json_ku64(j, "bytes_out", r->bytes_out);
    wsb_json_ku64(j, "queued", r->queued);
    wsb_json_ku64(j, "queued_messages", r->queued_messages);
    wsb_json_ku64(j, "written", r->written);
    wsb_json_ku64(j, "dropped_out", r->dropped_out);
    wsb_json_ku64(j, "rtt_us", r->rtt_us);
    wsb_json_kbool(j, "tapped", r->is_tapped);
    wsb_json_kbool(j, "paused", r->is_paused);
}

/* What OPEN told the handler is JSON already, written by us: it is repeated as it is. */
static void write_names(struct wsb_json *j, const char *key, const struct wsg_groups *t, const struct wsg_pin *p)
{
    wsb_json_key(j, key);
    wsb_json_array(j);
    for (const struct wsg_member *m = wsg_groups_next_of(t, p, NULL); m; m = wsg_groups_next_of(t, p, m))
        wsb_json_str(j, wsb_span(m->group->name, m->group->name_len));
    wsb_json_array_end(j);
}

static void write_details(struct wsb_json *j, const struct wsg_pin *p, const struct wsg_hub *hub)
{
    const struct wsg_member *user = wsg_groups_next_of(&hub->users, p, NULL);
    wsb_json_ku64(j, "seq", p->seq);
    wsb_json_ku64(j, "sent_seq", p->sent_seq);
    wsb_json_ku64(j, "acked_seq", p->acked_seq);
    wsb_json_ku64(j, "waiting_bytes", p->backlog.unsent_bytes);
    wsb_json_ku64(j, "dropped_in", p->dropped);
    wsb_json_kbool(j, "moving", p->is_moving);
    if (user)
        wsb_json_kstr(j, "user", wsb_span(user->group->name, user->group->name_len));
    write_names(j, "groups", &hub->groups, p);
    write_names(j, "tags", &hub->tags, p);
    if (p->meta && p->meta_len) {
        wsb_json_key(j, "open");
        if (!j->err)
            j->err = wsg_words_unpack(wsb_span(p->meta, p->meta_len), j->out);
        j->comma = true;
    }
}

static bool is_in(const struct wsg_groups *t, const char *name, const struct wsg_pin *p)
{
    const struct wsg_group *g = *name ? wsg_groups_find(t, wsb_span_str(name)) : NULL;
    return !*name || (g && p && wsg_groups_has(g, p));
}

static bool is_meant(const struct wsg_scan *s, const struct wsg_conn_info *r, const struct wsg_pin *p)
{
    const struct wsg_hub *hub = wsg_gate_hub(s->admin->gate);
    const struct wsg_filter *f = &s->filter;
    if (s->kind == SCAN_SHOW)
        return r->id == s->conn;
    return wsg_filter_matches(f, r, p && p->handler ? p->handler->id : 0) && is_in(&hub->groups, f->group, p) &&
           is_in(&hub->users, f->user, p) && is_in(&hub->tags, f->tag, p);
}

static wsb_err add_id(struct wsg_scan *s, wsb_conn id)
{
    if (s->matched == s->ids_cap) {
        size_t cap = s->ids_cap ? s->ids_cap * 2 : 64;
        wsb_conn *ids = reallocarray(s->ids, cap, sizeof *ids);
        if (!ids)
            return WSB_ERR_NOMEM;
        s->ids = ids;
        s->ids_cap = cap;
    }
    s->ids[s->matched] = id;
    return WSB_OK;
}

static wsb_err take(struct wsg_scan *s, const struct wsg_conn_info *r, const struct wsg_pin *p)
{
    switch (s->kind) {
    case SCAN_CLOSE:
        return add_id(s, r->id);
    case SCAN_LIST:
        return wsg_top_add(&s->top, r, p && p->handler ? p->handler->id : 0);
    case SCAN_SHOW:
        write_row(&s->json, r, p);
        if (p)
            write_details(&s->json, p, wsg_gate_hub(s->admin->gate));
        return WSB_OK;
    }
    return WSB_ERR_INTERNAL;
}

/* ---------------------------------------------------------------------- end */

static void end_list(struct wsg_scan *s)
{
    wsb_json_array_end(&s->json);
    wsb_json_ku64(&s->json, "matched", s->matched);
    wsb_json_ku64(&s->json, "total", s->total);
    wsb_json_object_end(&s->json);
    wsg_answer_end(s->client, s->id, &s->json);
}

static void end_show(struct wsg_scan *s)
{
    wsb_json_object_end(&s->json);
    if (s->matched)
        wsg_answer_end(s->client, s->id, &s->json);
    else
        wsg_answer_error(s->client, s->id, WSG_RPC_NOT_FOUND, "no connection %016" PRIx64, s->conn);
}

static void end_close(struct wsg_scan *s)
{
    struct wsb_json j;
    if (!s->dry_run) {
        wsg_order_close(s->client, s->id, s->ids, s->matched, s->code, s->reason, s->timeout_ms);
        return;
    }
    wsg_answer_begin(s->admin, s->id, &j);
    wsb_json_object(&j);
    wsb_json_ku64(&j, "matched", s->matched);
    wsb_json_object_end(&j);
    wsg_answer_end(s->client, s->id, &j);
}

static void scan_free(struct wsg_scan *s)
{
    wsg_top_deinit(&s->top);
    free(s->ids);
    wsb_buf_deinit(&s->line);
    free(s);
}

static void start_next(struct wsg_admin *a);

static void end(struct wsg_scan *s)
{
    struct wsg_admin *a = s->admin;
    if (s->client) {
        s->client->wait_for_all = false;
        if (s->is_out_of_memory)
            wsg_answer_error(s->client, s->id, WSG_RPC_INTERNAL, "out of memory");
        else if (s->kind == SCAN_LIST)
            end_list(s);
        else if (s->kind == SCAN_SHOW)
            end_show(s);
        else
            end_close(s);
        wsg_client_goes_on(s->client);
    }
    DL_DELETE(a->scans, s);
    scan_free(s);
    start_next(a);
}

/* --------------------------------------------------------------------- work */

/* Of a list, when all have been seen: those that are to be shown are placed, and then written. */
void wsg_on_scan_task(struct wsg_task *t)
{
    struct wsg_admin *a = CONTAINER(t, struct wsg_admin, scan_task);
    struct wsg_scan *s = a->scans;
    bool is_placed = !s->client || wsg_top_sort(&s->top, PLACED_PER_ROUND);
    size_t until = s->top.count - s->at < ROWS_PER_ROUND ? s->top.count : s->at + ROWS_PER_ROUND;
    for (; s->client && is_placed && s->at < until; s->at++) {
        const struct wsg_conn_info *r = &wsg_top_at(&s->top, s->at)->info;
        wsb_json_object(&s->json);
        write_row(&s->json, r, pin_of(s, r->id));
        wsb_json_object_end(&s->json);
    }
    if (s->client && s->at < s->top.count)
        wsg_loop_post(a->loop, t); /* the next round's */
    else
        end(s);
}

static bool on_rows(void *ctx, const struct wsg_conn_info *rows, size_t count)
{
    struct wsg_admin *a = ctx;
    struct wsg_scan *s = a->scans;
    for (size_t i = 0; s->client && !s->is_out_of_memory && i < count; i++) {
        const struct wsg_pin *p = pin_of(s, rows[i].id);
        s->total++;
        if (!is_meant(s, &rows[i], p))
            continue;
        s->is_out_of_memory = take(s, &rows[i], p) != WSB_OK;
        s->matched++;
    }
    return s->client && !s->is_out_of_memory && !(s->kind == SCAN_SHOW && s->matched);
}

static void on_all_rows(void *ctx)
{
    struct wsg_admin *a = ctx;
    struct wsg_scan *s = a->scans;
    if (s->kind == SCAN_LIST && !s->is_out_of_memory)
        wsg_loop_post(a->loop, &a->scan_task);
    else
        end(s);
}

static void begin_answer(struct wsg_scan *s)
{
    if (s->kind == SCAN_CLOSE)
        return;
    wsg_rpc_result_begin(&s->json, &s->line, s->id);
    wsb_json_object(&s->json);
    if (s->kind == SCAN_LIST) {
        wsb_json_key(&s->json, "connections");
        wsb_json_array(&s->json);
    }
}

static void start_next(struct wsg_admin *a)
{
    static const struct wsg_list_reader reader = {.part = on_rows, .done = on_all_rows};
    while (a->scans && !a->scans->is_started) {
        struct wsg_scan *s = a->scans;
        if (s->client && wsg_gate_list(a->gate, &reader, a) == WSB_OK) {
            begin_answer(s);
            s->is_started = true;
            return;
        }
        if (s->client) {
            s->client->wait_for_all = false;
            wsg_answer_error(s->client, s->id, WSG_RPC_INTERNAL, "out of memory");
            wsg_client_goes_on(s->client);
        }
        DL_DELETE(a->scans, s);
        scan_free(s);
    }
}

static void begin(const struct wsg_call *call, const struct wsg_scan *wanted)
{
    struct wsg_admin *a = call->admin;
    struct wsg_scan *s = malloc(sizeof *s);
    if (!s) {
        wsg_answer_error(call->client, call->id, WSG_RPC_INTERNAL, "out of memory");
        return;
    }
    *s = *wanted;
    s->admin = a;
    s->client = call->client;
    (void)snprintf(s->id, sizeof s->id, "%s", call->id);
    wsb_buf_init(&s->line, 0);
    call->client->wait_for_all = true;
    DL_APPEND(a->scans, s);
    start_next(a);
}

void wsg_scans_forget(struct wsg_admin_client *c)
{
    struct wsg_scan *s;
    DL_FOREACH (c->admin->scans, s) {
        if (s->client == c)
            s->client = NULL; /* the gate may be showing it connections: it goes when that has ended */
    }
}

void wsg_scans_deinit(struct wsg_admin *a)
{
    struct wsg_scan *s, *next;
    DL_FOREACH_SAFE (a->scans, s, next)
        scan_free(s);
    a->scans = NULL;
}

/* ------------------------------------------------------------------ methods */

/* Routes are those of the configuration. Handlers, groups, users and tags come and go: a filter for one may wait for it. */
static bool names_no_route(const struct wsg_call *call, const struct wsg_filter *f)
{
    if (!*f->route || wsg_routes_find(wsg_gate_routes(call->admin->gate), wsb_span_str(f->route)))
        return false;
    wsg_answer_error(call->client, call->id, WSG_RPC_NOT_FOUND, "no route \"%.64s\"", f->route);
    return true;
}

void wsg_on_list(const struct wsg_call *call)
{
    struct wsb_fault fault = {0};
    struct wsg_scan s = {.kind = SCAN_LIST};
    uint64_t limit = LIST_DEFAULT;
    const char *sort = NULL;
    wsb_err err = wsg_filter_parse(call->params, &s.filter, &fault);
    if (!err)
        err = wsg_param_u64(call->params, "limit", 0, UINT32_MAX, &limit, &fault);
    if (!err)
        err = wsg_param_str(call->params, "sort", &sort, &fault);
    if (!err && sort)
        err = wsg_sort_parse(sort, &s.top.by, &fault);
    if (!err)
        err = wsg_param_bool(call->params, "reverse", &s.top.reverse, &fault);
    s.top.limit = (size_t)limit;
    if (!wsg_call_failed(call, err, &fault) && !names_no_route(call, &s.filter))
        begin(call, &s);
}

void wsg_on_show(const struct wsg_call *call)
{
    struct wsb_fault fault = {0};
    struct wsg_scan s = {.kind = SCAN_SHOW};
    wsb_err err = wsg_param_conn(call->params, "id", &s.conn, &fault);
    if (!err && !s.conn)
        err = wsb_fault_set(&fault, WSB_ERR_PROTO, 0, "\"id\" is missing: a connection id");
    if (!wsg_call_failed(call, err, &fault))
        begin(call, &s);
}

static wsb_err parse_close(const json_t *params, struct wsg_scan *s, bool *all, wsb_conn **ids, size_t *count,
                           struct wsb_fault *fault)
{
    const char *reason = "";
    uint64_t code = WSB_CLOSE_NORMAL;
    wsb_err err;
    s->timeout_ms = TIMEOUT_DEFAULT_MS;
    if ((err = wsg_filter_parse(params, &s->filter, fault)) || (err = wsg_param_bool(params, "all", all, fault)) ||
        (err = wsg_param_bool(params, "dry_run", &s->dry_run, fault)) ||
        (err = wsg_param_u64(params, "code", 0, 65535, &code, fault)) ||
        (err = wsg_param_str(params, "reason", &reason, fault)) ||
        (err = wsg_param_u64(params, "timeout_ms", 1, TIMEOUT_MAX_MS, &s->timeout_ms, fault)))
        return err;
    if (!wsb_close_code_is_sendable((uint16_t)code))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0,
                             "\"code\" must be a close code that may be sent: 1000-1003, 1007-1014 or 3000-4999");
    if (strlen(reason) > WSB_CLOSE_TEXT_MAX)
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"reason\" must have at most %d bytes", WSB_CLOSE_TEXT_MAX);
    s->code = (uint16_t)code;
    (void)snprintf(s->reason, sizeof s->reason, "%s", reason);
    return wsg_param_conns(params, "ids", ids, count, fault);
}

static void describe_filter(struct wsg_audit_text *t, const struct wsg_filter *f)
{
    const struct {
        const char *key, *value;
    } texts[] = {{"id", f->id_suffix}, {"route", f->route}, {"peer", f->peer}, {"subprotocol", f->subprotocol},
                 {"state", f->state},  {"kind", f->kind},   {"user", f->user}, {"group", f->group},
                 {"tag", f->tag}};
    const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {{"handler", f->handler}, {"older_than_ms", f->older_than_ms}, {"idle_ms", f->idle_ms}};
    wsg_audit_add(t, "filter");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!*texts[i].value)
            continue;
        wsg_audit_add(t, " %s ", texts[i].key);
        wsg_audit_add_name(t, wsb_span_str(texts[i].value));
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (numbers[i].value)
            wsg_audit_add(t, " %s %" PRIu64, numbers[i].key, numbers[i].value);
    }
}

/* Exactly one way to say which: ids, a filter, or all, so that a forgotten filter closes nobody. */
void wsg_on_close(const struct wsg_call *call)
{
    struct wsb_fault fault = {0};
    struct wsg_scan s = {.kind = SCAN_CLOSE};
    wsb_conn *ids = NULL;
    size_t count = 0;
    bool all = false;
    struct wsg_audit_text detail = {0};
    wsb_err err = parse_close(call->params, &s, &all, &ids, &count, &fault);
    bool has_filter = !wsg_filter_is_empty(&s.filter);
    if (!err && (ids != NULL) + has_filter + all != 1)
        err = wsb_fault_set(&fault, WSB_ERR_PROTO, 0, "say which: either \"ids\", or filters, or \"all\"");
    if (wsg_call_failed(call, err, &fault) || names_no_route(call, &s.filter))
        goto out;
    if (all)
        wsg_audit_add(&detail, "all");
    else if (ids)
        wsg_audit_add_ids(&detail, ids, count);
    else
        describe_filter(&detail, &s.filter);
    wsg_audit_add(&detail, ", code %u", s.code);
    if (!s.dry_run)
        wsg_audit(call, detail.text);
    if (!ids)
        begin(call, &s);
    else if (s.dry_run)
        wsg_answer_error(call->client, call->id, WSG_RPC_PARAMS, "\"dry_run\" is for filters");
    else
        wsg_order_close(call->client, call->id, ids, count, s.code, s.reason, s.timeout_ms);
out:
    free(ids);
}
