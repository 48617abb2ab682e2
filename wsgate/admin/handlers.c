/* The methods about handlers: who they are, and how connections leave them. */
#include <inttypes.h>
#include <stdio.h>

#include "admin/parts.h"
#include "base/json.h"

enum { PINS_SHOWN = 1000 };

static const char *state_of(const struct wsg_handler *h)
{
    static const char *const names[] = {"serving", "draining", "drained"};
    return names[h->drain];
}

/* Nothing is said of a handler that is sent what its link has room for. */
static void write_credit(const struct wsg_handler *h, struct wsb_json *j)
{
    if (!h->has_credit)
        return;
    wsb_json_key(j, "credit_messages");
    wsb_json_i64(j, h->credit_messages);
    wsb_json_key(j, "credit_bytes");
    wsb_json_i64(j, h->credit_bytes);
}

/* Which link it comes by and, over shared memory, how that does. */
static void write_link(struct wsg_hub *hub, const struct wsg_handler *h, struct wsb_json *j)
{
    struct wsb_span peer = wsb_span(h->peer, h->peer_len);
    struct wsb_link_stats s;
    bool is_shm = hub->shm && hub->shm->ops->link_stats(hub->shm, peer, &s);
    wsb_json_kcstr(j, "link", is_shm ? s.name : "zmq");
    if (!is_shm)
        return;
    wsb_json_key(j, "shm");
    wsb_json_object(j);
    wsb_json_ku64(j, "ring_down", s.ring_down);
    wsb_json_ku64(j, "used_down", s.used_down);
    wsb_json_ku64(j, "ring_up", s.ring_up);
    wsb_json_ku64(j, "used_up", s.used_up);
    wsb_json_ku64(j, "lent", s.lent);
    wsb_json_ku64(j, "records_in", s.records_in);
    wsb_json_ku64(j, "records_out", s.records_out);
    wsb_json_ku64(j, "wakes_in", s.wakes_in);
    wsb_json_ku64(j, "wakes_out", s.wakes_out);
    wsb_json_ku64(j, "stalls", s.stalls);
    wsb_json_object_end(j);
}

static void write_handler(struct wsg_admin *a, const struct wsg_handler *h, struct wsb_json *j)
{
    const struct wsg_routes *routes = wsg_gate_routes(a->gate);
    uint64_t now_ms = wsg_loop_now_ms(a->loop);
    wsb_json_ku64(j, "id", h->id);
    wsb_json_kcstr(j, "name", h->name);
    wsb_json_kcstr(j, "language", h->language);
    wsb_json_key(j, "pid");
    wsb_json_i64(j, h->pid);
    wsb_json_kcstr(j, "level", wsb_level_name((enum wsb_level)h->level));
    write_link(wsg_gate_hub(a->gate), h, j);
    wsb_json_kbool(j, "batch", h->batch);
    wsb_json_kbool(j, "records", h->records);
    wsb_json_key(j, "routes");
    wsb_json_array(j);
    for (size_t i = 0; i < h->route_count; i++)
        wsb_json_cstr(j, routes->routes[h->routes[i]].name);
    wsb_json_array_end(j);
    wsb_json_key(j, "kinds");
    wsb_json_array(j);
    if (h->kinds & WSG_KIND_WEBSOCKET)
        wsb_json_cstr(j, "websocket");
    if (h->kinds & WSG_KIND_HTTP)
        wsb_json_cstr(j, "http");
    wsb_json_array_end(j);
    wsb_json_ku64(j, "connections", h->lane.count);
    wsb_json_kcstr(j, "state", state_of(h));
    wsb_json_kbool(j, "ack", h->acks);
    wsb_json_ku64(j, "weight", h->weight);
    wsb_json_kbool(j, "paused", !wsg_handler_has_room(h));
    write_credit(h, j);
    wsb_json_ku64(j, "unacknowledged", h->unacked);
    wsb_json_ku64(j, "waiting", h->lane.waiting_count);
    wsb_json_ku64(j, "waiting_bytes", h->lane.unsent_bytes);
    wsb_json_ku64(j, "queued", wsb_account_bytes(h->account));
    wsb_json_ku64(j, "age_ms", now_ms - h->since_ms);
    wsb_json_ku64(j, "silent_ms", now_ms - h->seen_ms);
    wsb_json_ku64(j, "rtt_us", h->rtt_us);
    wsb_json_ku64(j, "events", h->events);
    wsb_json_ku64(j, "event_bytes", h->event_bytes);
    wsb_json_ku64(j, "commands", h->commands);
    wsb_json_ku64(j, "errors", h->errors);
    wsb_json_ku64(j, "dropped", h->dropped);
    wsb_json_ku64(j, "delivered", h->delivered);
    wsb_json_ku64(j, "redelivered", h->redelivered);
    wsb_json_ku64(j, "stale", h->stale);
    wsb_json_ku64(j, "full_ms", h->full_ms + (h->full_since_ms ? now_ms - h->full_since_ms : 0));
}

void wsg_on_handlers(const struct wsg_call *call)
{
    const struct wsg_handlers *handlers = &wsg_gate_hub(call->admin->gate)->handlers;
    struct wsb_json j;
    wsg_answer_begin(call->admin, call->id, &j);
    wsb_json_object(&j);
    wsb_json_key(&j, "handlers");
    wsb_json_array(&j);
    for (const struct wsg_handler *h = handlers->by_id; h; h = h->by_id.next) {
        wsb_json_object(&j);
        write_handler(call->admin, h, &j);
        wsb_json_object_end(&j);
    }
    wsb_json_array_end(&j);
    wsb_json_object_end(&j);
    wsg_answer_end(call->client, call->id, &j);
}

void wsg_on_handler_show(const struct wsg_call *call)
{
    const struct wsg_handler *h = wsg_call_handler(call);
    size_t shown = 0;
    struct wsb_json j;
    if (!h)
        return;
    wsg_answer_begin(call->admin, call->id, &j);
    wsb_json_object(&j);
    write_handler(call->admin, h, &j);
    wsb_json_key(&j, "pinned");
    wsb_json_array(&j);
    for (const struct wsg_pin *p = NULL; shown < PINS_SHOWN && (p = wsg_lane_next(&h->lane, p)) != NULL; shown++)
        wsb_json_id(&j, p->conn);
    wsb_json_array_end(&j);
    wsb_json_object_end(&j);
    wsg_answer_end(call->client, call->id, &j);
}

/* Its connections move now; a process that lives will hear "say HELLO" at its next word, and come back as a new one. */
void wsg_on_handler_drop(const struct wsg_call *call)
{
    struct wsg_handler *h = wsg_call_handler(call);
    char detail[120];
    struct wsb_json j;
    if (!h)
        return;
    uint32_t moved = h->lane.count;
    (void)snprintf(detail, sizeof detail, "handler %" PRIu32 " %s", h->id, h->name);
    wsg_audit(call, detail);
    wsg_hub_drop_handler(wsg_gate_hub(call->admin->gate), h, WSG_GOES_IN_ORDER, "dropped through the control socket");
    wsg_answer_begin(call->admin, call->id, &j);
    wsb_json_object(&j);
    wsb_json_ku64(&j, "connections", moved);
    wsb_json_object_end(&j);
    wsg_answer_end(call->client, call->id, &j);
}

static void answer_handler(const struct wsg_call *call, const struct wsg_handler *h)
{
    struct wsb_json j;
    wsg_answer_begin(call->admin, call->id, &j);
    wsb_json_object(&j);
    write_handler(call->admin, h, &j);
    wsb_json_object_end(&j);
    wsg_answer_end(call->client, call->id, &j);
}

void wsg_on_handler_drain(const struct wsg_call *call)
{
    struct wsg_handler *h = wsg_call_handler(call);
    char detail[120];
    if (!h)
        return;
    (void)snprintf(detail, sizeof detail, "handler %" PRIu32 " %s", h->id, h->name);
    wsg_audit(call, detail);
    answer_handler(call, h); /* as it is before: connections may move at once */
    wsg_hub_drain_handler(wsg_gate_hub(call->admin->gate), h);
}

void wsg_on_handler_undrain(const struct wsg_call *call)
{
    struct wsg_handler *h = wsg_call_handler(call);
    char detail[120];
    if (!h)
        return;
    if (h->drain == WSG_DRAIN_DONE) {
        wsg_answer_error(call->client, call->id, WSG_RPC_REFUSED,
                         "handler %" PRIu32 " is drained: it has been told to leave", h->id);
        return;
    }
    (void)snprintf(detail, sizeof detail, "handler %" PRIu32 " %s", h->id, h->name);
    wsg_audit(call, detail);
    wsg_hub_undrain_handler(wsg_gate_hub(call->admin->gate), h);
    answer_handler(call, h);
}

void wsg_on_handler_weight(const struct wsg_call *call)
{
    struct wsb_fault fault = {0};
    uint64_t weight = 0;
    char detail[120];
    struct wsg_handler *h = wsg_call_handler(call);
    if (!h)
        return;
    wsb_err err = wsg_param_u64(call->params, "weight", 1, 1000, &weight, &fault);
    if (!err && !weight)
        err = wsb_fault_set(&fault, WSB_ERR_PROTO, 0, "\"weight\" is missing: 1 to 1000");
    if (wsg_call_failed(call, err, &fault))
        return;
    (void)snprintf(detail, sizeof detail, "handler %" PRIu32 " %s: %" PRIu64, h->id, h->name, weight);
    wsg_audit(call, detail);
    wsg_hub_weigh(wsg_gate_hub(call->admin->gate), h, (uint32_t)weight);
    answer_handler(call, h);
}

void wsg_on_move(const struct wsg_call *call)
{
    struct wsb_fault fault = {0};
    wsb_conn conn = 0;
    char detail[120];
    struct wsg_hub *hub = wsg_gate_hub(call->admin->gate);
    wsb_err err = wsg_param_conn(call->params, "id", &conn, &fault);
    if (!err && !conn)
        err = wsb_fault_set(&fault, WSB_ERR_PROTO, 0, "\"id\" is missing: a connection id");
    if (wsg_call_failed(call, err, &fault))
        return;
    struct wsg_handler *to = wsg_call_handler(call);
    struct wsg_pin *p = to ? wsg_pins_find(&hub->pins, conn) : NULL;
    if (!to)
        return;
    if (!p) {
        wsg_answer_error(call->client, call->id, WSG_RPC_NOT_FOUND, "no connection %016" PRIx64, conn);
        return;
    }
    (void)snprintf(detail, sizeof detail, "%016" PRIx64 " to handler %" PRIu32 " %s", conn, to->id, to->name);
    wsg_audit(call, detail);
    if (wsg_hub_move(hub, p, to) == WSB_OK)
        wsg_answer_ok(call);
    else
        wsg_answer_error(
            call->client, call->id, WSG_RPC_REFUSED,
            "it cannot move there: not an open WebSocket with an owner, or the handler does not serve route "
            "%.64s, drains, or has it already",
            p->route->name);
}
