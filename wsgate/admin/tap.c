/*
 * Taps: live copies of messages. A session copies while it is marked, or while its route's counter is above zero; the
 * marks and counters of a client's taps are taken back when it goes, however it goes. A tap whose client does not read
 * loses lines and says how many, once there is room again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "admin/parts.h"
#include "base/base64.h"
#include "base/utf8.h"

enum { BYTES_DEFAULT = 4096, BYTES_MAX = 16 << 10 };

struct wsg_tap {
    struct wsg_tap *prev, *next;
    uint64_t sub;
    struct wsg_admin_client *client; /* borrowed */
    wsb_conn conn;                   /* 0: of a route */
    struct wsg_route *route;         /* borrowed; NULL: of a connection */
    size_t max_bytes;
    uint64_t lost; /* not told yet */
    bool is_over;  /* its connection closed */
};

/* How many taps a connection has. */
struct wsg_tapped {
    wsb_conn conn;
    unsigned count;
    UT_hash_handle hh;
};

/* -------------------------------------------------------------------- marking */

static void tell_session(struct wsg_admin *a, wsb_conn conn, bool on, uint64_t sub)
{
    struct wsg_command c = {.type = WSG_CMD_TAP, .code = on, .by = WSG_BY_ADMIN};
    if (on) { /* a session does not answer; that there is none is answered, and ends the tap */
        c.flags = WSB_FLAG_WANT_OUTCOME;
        c.origin = WSG_ORIGIN_ADMIN | sub;
    }
    wsg_gate_command(a->gate, &c, &conn, 1);
}

static wsb_err mark(struct wsg_admin *a, const struct wsg_tap *t)
{
    struct wsg_tapped *m;
    if (t->route) {
        atomic_fetch_add_explicit(&t->route->taps, 1, memory_order_relaxed);
        return WSB_OK;
    }
    HASH_FIND(hh, a->tapped, &t->conn, sizeof t->conn, m);
    if (!m) {
        m = calloc(1, sizeof *m);
        if (!m)
            return WSB_ERR_NOMEM;
        m->conn = t->conn;
        HASH_ADD(hh, a->tapped, conn, sizeof m->conn, m);
        if (!WSG_TABLE_HAS(hh, m)) {
            free(m);
            return WSB_ERR_NOMEM;
        }
    }
    m->count++;
    tell_session(a, t->conn, /*on=*/true, t->sub);
    return WSB_OK;
}

static void unmark(struct wsg_admin *a, const struct wsg_tap *t)
{
    struct wsg_tapped *m;
    if (t->route) {
        atomic_fetch_sub_explicit(&t->route->taps, 1, memory_order_relaxed);
        return;
    }
    HASH_FIND(hh, a->tapped, &t->conn, sizeof t->conn, m);
    if (!m || --m->count)
        return;
    HASH_DEL(a->tapped, m);
    free(m);
    tell_session(a, t->conn, /*on=*/false, 0);
}

static void tap_free(struct wsg_tap *t)
{
    struct wsg_admin *a = t->client->admin;
    unmark(a, t);
    DL_DELETE(a->taps, t);
    a->tap_count--;
    t->client->taps--;
    free(t);
}

void wsg_taps_forget(struct wsg_admin_client *c)
{
    struct wsg_tap *t, *next;
    DL_FOREACH_SAFE (c->admin->taps, t, next) {
        if (t->client == c)
            tap_free(t);
    }
}

/* -------------------------------------------------------------------- showing */

static bool is_for(const struct wsg_tap *t, const struct wsg_out *out)
{
    return t->route ? t->route->index == out->route : t->conn == out->envelope.header.conn;
}

/* Text that was cut may end in the middle of a character. */
static struct wsb_span whole_characters(struct wsb_span s)
{
    size_t n = s.len;
    for (int back = 0; back < 4 && n && !wsb_utf8_is_valid(s.ptr, n); back++)
        n--;
    return wsb_utf8_is_valid(s.ptr, n) ? wsb_span(s.ptr, n) : s;
}

static void write_payload(struct wsb_json *j, bool is_text, struct wsb_span payload)
{
    if (is_text) {
        wsb_json_kstr(j, "text", payload);
        return;
    }
    char *text = malloc(wsb_base64_encoded_size(payload.len) + 1);
    if (!text) {
        j->err = WSB_ERR_NOMEM;
        return;
    }
    size_t n = wsb_base64_encode(payload, text);
    wsb_json_kstr(j, "base64", wsb_span(text, n));
    free(text);
}

static void write_tap(const struct wsg_tap *t, const struct wsg_out *out, struct wsb_buf *line, struct wsb_json *j)
{
    const struct wsb_envelope *e = &out->envelope;
    bool is_note = out->kind == WSG_OUT_TAP_NOTE;
    bool is_text = is_note || e->header.code == WSB_TEXT;
    struct wsb_span payload = e->payload;
    bool is_cut = payload.len < e->header.seq || payload.len > t->max_bytes; /* seq is how long it really was */
    if (payload.len > t->max_bytes)
        payload.len = t->max_bytes;
    if (is_text && is_cut)
        payload = whole_characters(payload);
    wsb_buf_clear(line);
    wsg_rpc_notify_begin(j, line, "tap");
    wsb_json_object(j);
    wsb_json_ku64(j, "sub", t->sub);
    wsb_json_kcstr(j, "dir", is_note ? "note" : out->kind == WSG_OUT_TAP_IN ? "in" : "out");
    wsb_json_key(j, "id");
    wsb_json_id(j, e->header.conn);
    wsb_json_ku64(j, "time_ns", e->header.time_ns);
    wsb_json_kcstr(j, "opcode", is_note ? "" : is_text ? "text" : "binary");
    wsb_json_ku64(j, "len", e->header.seq);
    wsb_json_kbool(j, "cut", is_cut);
    write_payload(j, is_text, payload);
    wsb_json_object_end(j);
}

/* False: no room, and it is still to be told. */
static bool tell_lost(struct wsg_tap *t)
{
    struct wsg_admin *a = t->client->admin;
    struct wsb_json j;
    wsb_buf_clear(&a->scratch);
    wsg_rpc_notify_begin(&j, &a->scratch, "lost");
    wsb_json_object(&j);
    wsb_json_ku64(&j, "sub", t->sub);
    wsb_json_ku64(&j, "lost", t->lost);
    wsb_json_object_end(&j);
    if (wsg_rpc_end(&j) != WSB_OK || !wsg_client_offer(t->client, wsb_buf_span(&a->scratch)))
        return false;
    t->lost = 0;
    return true;
}

void wsg_taps_tell_losses(struct wsg_admin_client *c)
{
    struct wsg_tap *t;
    if (!c->taps ||
        wsg_client_waiting(c) > WSG_ADMIN_OUT_MAX / 2) /* not before there is room for more than this line */
        return;
    DL_FOREACH (c->admin->taps, t) {
        if (t->client == c && t->lost)
            (void)tell_lost(t);
    }
}

static void end(struct wsg_tap *t, const char *why)
{
    struct wsg_admin *a = t->client->admin;
    struct wsb_json j;
    if (t->lost)
        (void)tell_lost(t);
    wsb_buf_clear(&a->scratch);
    wsg_rpc_notify_begin(&j, &a->scratch, "end");
    wsb_json_object(&j);
    wsb_json_ku64(&j, "sub", t->sub);
    wsb_json_kcstr(&j, "reason", why);
    wsb_json_object_end(&j);
    if (wsg_rpc_end(&j) == WSB_OK)
        wsg_client_put(t->client, wsb_buf_span(&a->scratch));
    wsg_client_goes_on(t->client); /* it may have waited for nothing else */
    tap_free(t);
}

static void show(struct wsg_tap *t, const struct wsg_out *out)
{
    struct wsg_admin *a = t->client->admin;
    struct wsb_json j;
    if (wsg_client_waiting(t->client) < WSG_ADMIN_OUT_MAX / 2 ||
        !t->lost) { /* once it loses, it loses until half of it is read */
        if (!t->lost || tell_lost(t)) {
            write_tap(t, out, &a->scratch, &j);
            if (wsg_rpc_end(&j) == WSB_OK && wsg_client_offer(t->client, wsb_buf_span(&a->scratch))) {
                a->stats.tap_lines++;
                return;
            }
        }
    }
    t->lost++;
    a->stats.tap_lost++;
}

void wsg_taps_show(struct wsg_admin *a, const struct wsg_out *out)
{
    struct wsg_tap *t, *next;
    bool is_end = out->kind == WSG_OUT_TAP_NOTE && wsb_span_eq_str(out->envelope.payload, "closed");
    DL_FOREACH_SAFE (a->taps, t, next) {
        if (!is_for(t, out))
            continue;
        show(t, out);
        if (is_end && t->conn)
            end(t, "the connection closed");
    }
}

/* No session was there to be marked. */
void wsg_taps_reply(struct wsg_admin *a, uint64_t origin)
{
    struct wsg_tap *t, *next;
    DL_FOREACH_SAFE (a->taps, t, next) {
        if ((WSG_ORIGIN_ADMIN | t->sub) == origin) {
            end(t, "the connection closed");
            return;
        }
    }
}

/* ------------------------------------------------------------------- methods */

static wsb_err parse_tap(const json_t *params, wsb_conn *conn, const char **route, uint64_t *max_bytes,
                         struct wsb_fault *fault)
{
    wsb_err err;
    if ((err = wsg_param_conn(params, "id", conn, fault)) || (err = wsg_param_str(params, "route", route, fault)) ||
        (err = wsg_param_u64(params, "max_bytes", 0, BYTES_MAX, max_bytes, fault)))
        return err;
    if ((*conn != 0) == (*route != NULL))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "say what to watch: either \"id\" or \"route\"");
    return WSB_OK;
}

static bool is_websocket(const struct wsg_call *call, wsb_conn conn)
{
    const struct wsg_pin *p = wsg_pins_find(&wsg_gate_hub(call->admin->gate)->pins, conn);
    if (!p)
        wsg_answer_error(call->client, call->id, WSG_RPC_NOT_FOUND, "no WebSocket connection %016" PRIx64, conn);
    else if (p->is_request)
        wsg_answer_error(call->client, call->id, WSG_RPC_REFUSED, "%016" PRIx64 " is an HTTP exchange", conn);
    return p && !p->is_request;
}

static void answer_sub(const struct wsg_call *call, uint64_t sub)
{
    struct wsb_json j;
    wsg_answer_begin(call->admin, call->id, &j);
    wsb_json_object(&j);
    wsb_json_ku64(&j, "sub", sub);
    wsb_json_object_end(&j);
    wsg_answer_end(call->client, call->id, &j);
}

void wsg_on_tap(const struct wsg_call *call)
{
    struct wsg_admin *a = call->admin;
    struct wsb_fault fault = {0};
    struct wsg_route *route = NULL;
    wsb_conn conn = 0;
    const char *name = NULL;
    uint64_t max_bytes = BYTES_DEFAULT;
    char detail[100];
    if (wsg_call_failed(call, parse_tap(call->params, &conn, &name, &max_bytes, &fault), &fault) ||
        (conn && !is_websocket(call, conn)))
        return;
    if (name && !(route = wsg_routes_find(wsg_gate_routes(a->gate), wsb_span_str(name)))) {
        wsg_answer_error(call->client, call->id, WSG_RPC_NOT_FOUND, "no route \"%.64s\"", name);
        return;
    }
    if (call->client->taps >= WSG_ADMIN_TAPS_MAX) {
        wsg_answer_error(call->client, call->id, WSG_RPC_BUSY, "a client has at most %d taps", WSG_ADMIN_TAPS_MAX);
        return;
    }
    struct wsg_tap *t = calloc(1, sizeof *t);
    if (t) {
        *t = (struct wsg_tap){
            .sub = ++a->last_origin, .client = call->client, .conn = conn, .route = route, .max_bytes = max_bytes};
        if (mark(a, t) != WSB_OK) {
            free(t);
            t = NULL;
        }
    }
    if (!t) {
        wsg_answer_error(call->client, call->id, WSG_RPC_INTERNAL, "out of memory");
        return;
    }
    DL_APPEND(a->taps, t);
    a->tap_count++;
    call->client->taps++;
    (void)snprintf(detail, sizeof detail, route ? "route %s" : "%s%016" PRIx64, route ? route->name : "", conn);
    wsg_audit(call, detail);
    answer_sub(call, t->sub);
}

void wsg_on_untap(const struct wsg_call *call)
{
    struct wsb_fault fault = {0};
    struct wsg_tap *t;
    uint64_t sub = 0;
    if (wsg_call_failed(call, wsg_param_u64(call->params, "sub", 1, UINT64_MAX, &sub, &fault), &fault))
        return;
    DL_FOREACH (call->admin->taps, t) {
        if (t->sub == sub && t->client == call->client) {
            tap_free(t);
            wsg_answer_ok(call);
            return;
        }
    }
    wsg_answer_error(call->client, call->id, WSG_RPC_NOT_FOUND, "no tap %" PRIu64 " of this connection", sub);
}
