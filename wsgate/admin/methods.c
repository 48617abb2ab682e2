/* The methods, and those of them that the first worker answers by itself. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "admin/counters.h"
#include "admin/parts.h"
#include "base/log.h"

#define DIAL_PARAMS                                                                                                    \
    "name once url route headers subprotocols origin user groups ca certificate key insecure timeout retry_min "       \
    "retry_max "

enum { DELAY_MAX_MS = 24 * 60 * 60 * 1000 };

/* ------------------------------------------------------------------ helpers */

bool wsg_call_failed(const struct wsg_call *call, wsb_err err, const struct wsb_fault *fault)
{
    if (err)
        wsg_answer_error(call->client, call->id, err == WSB_ERR_NOMEM ? WSG_RPC_INTERNAL : WSG_RPC_PARAMS, "%s",
                         fault->text);
    return err != WSB_OK;
}

/* Whoever changes something leaves a trace. */
void wsg_audit(const struct wsg_call *call, const char *detail)
{
    WSB_LOG(WSB_LOG_ADMIN, WSB_LOG_INFO, call->method, WSB_KU("uid", call->client->uid),
            WSB_KI("pid", call->client->pid), WSB_KS("what", detail));
}

struct wsg_handler *wsg_call_handler(const struct wsg_call *call)
{
    struct wsb_fault fault = {0};
    uint64_t id = 0;
    if (wsg_call_failed(call, wsg_param_u64(call->params, "handler", 1, UINT32_MAX, &id, &fault), &fault))
        return NULL;
    if (!id) {
        wsg_answer_error(call->client, call->id, WSG_RPC_PARAMS, "\"handler\" is missing: the id of a handler");
        return NULL;
    }
    struct wsg_handler *h = wsg_handlers_by_id(&wsg_gate_hub(call->admin->gate)->handlers, (uint32_t)id);
    if (!h)
        wsg_answer_error(call->client, call->id, WSG_RPC_NOT_FOUND, "no handler %" PRIu64, id);
    return h;
}

static uint64_t counted(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static uint64_t refused_in_all(const struct wsg_route *r)
{
    uint64_t sum = 0;
    for (int i = 0; i < WSG_REFUSALS; i++)
        sum += counted(&r->tally.refused[i]);
    return sum;
}

static uint64_t dropped_out(const struct wsg_route *r)
{
    uint64_t sum = 0;
    for (int i = 0; i < WSG_OUT_DROPS; i++)
        sum += counted(&r->tally.out_dropped[i]);
    return sum;
}

/* ------------------------------------------------------------------- status */

/* Endpoints on TCP, as they are really bound. */
static void write_bus(const struct wsg_gate *gate, const struct wsb_server *server, struct wsb_json *j)
{
    wsb_json_array(j);
    for (int c = 0; c < WSB_CHANNELS; c++) {
        const char *endpoint = wsb_server_endpoint(server, (enum wsb_channel)c);
        if (!endpoint)
            continue;
        wsb_json_object(j);
        wsb_json_kcstr(j, "channel", wsb_channel_name((enum wsb_channel)c));
        wsb_json_kcstr(j, "endpoint", endpoint);
        if (wsg_gate_bus_key(gate))
            wsb_json_kcstr(j, "server_key", wsg_gate_bus_key(gate));
        wsb_json_object_end(j);
    }
    wsb_json_array_end(j);
}

static void on_status(const struct wsg_call *call)
{
    struct wsg_admin *a = call->admin;
    const struct wsg_hub *hub = wsg_gate_hub(a->gate);
    struct wsg_gate_stats stats;
    struct wsb_json j;
    wsg_gate_stats(a->gate, &stats);
    wsg_answer_begin(a, call->id, &j);
    wsb_json_object(&j);
    wsb_json_kcstr(&j, "version", WSBUS_VERSION);
    wsb_json_ku64(&j, "pid", (uint64_t)getpid());
    wsb_json_key(&j, "epoch");
    wsb_json_id(&j, hub->epoch);
    wsb_json_kcstr(&j, "state", wsg_gate_is_draining(a->gate) ? "draining" : "running");
    wsb_json_ku64(&j, "uptime_ms", wsg_loop_now_ms(a->loop) - wsg_gate_started_ms(a->gate));
    wsb_json_kcstr(&j, "runtime_dir", wsg_gate_dir(a->gate));
    wsb_json_ku64(&j, "workers", wsg_gate_worker_count(a->gate));
    wsb_json_key(&j, "listeners");
    wsb_json_array(&j);
    for (size_t i = 0; i < wsg_gate_listener_count(a->gate); i++)
        wsb_json_cstr(&j, wsg_gate_listener(a->gate, i));
    wsb_json_array_end(&j);
    wsb_json_key(&j, "bus");
    write_bus(a->gate, hub->server, &j);
    wsb_json_ku64(&j, "connections", stats.connections);
    wsb_json_ku64(&j, "max_connections", wsg_gate_config(a->gate)->max_connections);
    wsb_json_ku64(&j, "accepted", stats.accepted);
    wsb_json_ku64(&j, "refused", stats.refused);
    wsb_json_ku64(&j, "routes", wsg_gate_routes(a->gate)->count);
    wsb_json_ku64(&j, "handlers", hub->handlers.count);
    wsb_json_ku64(&j, "groups", hub->groups.count);
    wsb_json_ku64(&j, "taps", a->tap_count);
    wsb_json_ku64(&j, "log_lines_lost", wsb_log_lost());
    wsb_json_ku64(&j, "access_lines_lost", stats.access.lost);
    wsb_json_key(&j, "log");
    wsg_levels_write(a, &j);
    wsb_json_object_end(&j);
    wsg_answer_end(call->client, call->id, &j);
}

static void on_stats(const struct wsg_call *call)
{
    struct wsg_admin *a = call->admin;
    const struct wsg_routes *routes = wsg_gate_routes(a->gate);
    struct wsg_counter_source source;
    struct wsb_json j;
    wsg_counter_source_init(&source, a->gate);
    wsg_answer_begin(a, call->id, &j);
    wsb_json_object(&j);
    wsb_json_key(&j, "gate");
    wsb_json_object(&j);
    wsg_counters_write(&source, WSG_OF_GATE, &j);
    wsb_json_object_end(&j);
    wsb_json_key(&j, "bus");
    wsb_json_object(&j);
    wsg_counters_write(&source, WSG_OF_BUS, &j);
    wsb_json_kcstr(&j, "last_command_error", source.hub->stats.last_command_error);
    wsb_json_object_end(&j);
    wsb_json_key(&j, "control");
    wsb_json_object(&j);
    wsb_json_ku64(&j, "clients", a->client_count);
    wsb_json_ku64(&j, "accepted", a->stats.clients);
    wsb_json_ku64(&j, "refused", a->stats.refused_clients);
    wsb_json_ku64(&j, "requests", a->stats.requests);
    wsb_json_ku64(&j, "errors", a->stats.bad_requests);
    wsb_json_ku64(&j, "taps", a->tap_count);
    wsb_json_ku64(&j, "tap_lines", a->stats.tap_lines);
    wsb_json_ku64(&j, "tap_lines_lost", a->stats.tap_lost);
    wsb_json_object_end(&j);
    wsb_json_key(&j, "routes");
    wsb_json_object(&j);
    for (size_t i = 0; i < routes->count; i++) {
        source.route = &routes->routes[i];
        wsb_json_key(&j, source.route->name);
        wsb_json_object(&j);
        wsg_counters_write(&source, WSG_OF_ROUTE, &j);
        wsb_json_object_end(&j);
    }
    wsb_json_object_end(&j);
    wsb_json_object_end(&j);
    wsg_answer_end(call->client, call->id, &j);
}

/* ------------------------------------------------------------------- routes */

static void write_route(struct wsg_admin *a, const struct wsg_route *r, struct wsb_json *j)
{
    const struct wsg_group *members = wsg_groups_find(&wsg_gate_hub(a->gate)->members, wsb_span_str(r->name));
    wsb_json_object(j);
    wsb_json_kcstr(j, "name", r->name);
    wsb_json_kcstr(j, "path", r->pattern ? wsb_pattern_text(r->pattern) : "");
    wsb_json_kcstr(j, "host", r->host ? r->host : "");
    wsb_json_kbool(j, "websocket", (r->policy.kinds & WSG_KIND_WEBSOCKET) != 0);
    wsb_json_kbool(j, "http", (r->policy.kinds & WSG_KIND_HTTP) != 0);
    wsb_json_kcstr(j, "deliver", r->policy.publish ? "publish" : "queue");
    wsb_json_kcstr(j, "accept", r->gatekeeper ? "gatekeeper" : r->policy.accept_by_handler ? "handler" : "gate");
    wsb_json_kcstr(j, "gatekeeper", r->gatekeeper ? r->gatekeeper->name : "");
    static const char *const no_handler[] = {"refuse", "close", "wait"};
    wsb_json_kcstr(j, "no_handler", no_handler[r->policy.no_handler]);
    wsb_json_ku64(j, "handlers", atomic_load_explicit(&r->handlers, memory_order_relaxed));
    wsb_json_ku64(j, "connections", members ? members->count : 0);
    wsb_json_ku64(j, "taps", atomic_load_explicit(&r->taps, memory_order_relaxed));
    wsb_json_ku64(j, "opened", counted(&r->tally.opened));
    wsb_json_ku64(j, "refused", refused_in_all(r));
    wsb_json_ku64(j, "requests", counted(&r->tally.requests));
    wsb_json_ku64(j, "messages_in", counted(&r->tally.messages_in));
    wsb_json_ku64(j, "messages_out", counted(&r->tally.messages_out));
    wsb_json_ku64(j, "dropped", dropped_out(r));
    wsb_json_object_end(j);
}

static void on_routes(const struct wsg_call *call)
{
    const struct wsg_routes *routes = wsg_gate_routes(call->admin->gate);
    struct wsb_json j;
    wsg_answer_begin(call->admin, call->id, &j);
    wsb_json_object(&j);
    wsb_json_key(&j, "routes");
    wsb_json_array(&j);
    for (size_t i = 0; i < routes->count; i++)
        write_route(call->admin, &routes->routes[i], &j);
    wsb_json_array_end(&j);
    wsb_json_object_end(&j);
    wsg_answer_end(call->client, call->id, &j);
}

/* ----------------------------------------------------------------- shutdown */

static void on_shutdown(const struct wsg_call *call)
{
    struct wsb_fault fault = {0};
    bool now = false;
    char detail[64];
    uint64_t delay_ms = wsg_gate_config(call->admin->gate)->drain_delay_ms;
    wsb_err err = wsg_param_bool(call->params, "now", &now, &fault);
    if (!err)
        err = wsg_param_u64(call->params, "delay_ms", 0, DELAY_MAX_MS, &delay_ms, &fault);
    if (wsg_call_failed(call, err, &fault))
        return;
    if (now)
        (void)snprintf(detail, sizeof detail, "now");
    else
        (void)snprintf(detail, sizeof detail, "drain, delay_ms %" PRIu64, delay_ms);
    wsg_audit(call, detail);
    wsg_answer_ok(call); /* before: it may be the last thing that is written */
    if (now)
        wsg_gate_stop(call->admin->gate);
    else if (!wsg_gate_is_draining(call->admin->gate))
        wsg_gate_drain(call->admin->gate, delay_ms);
}

/* -------------------------------------------------------------------- table */

const struct wsg_method *wsg_method_find(const char *name)
{
    static const struct wsg_method methods[] = {
        {"status", on_status, ""},
        {"stats", on_stats, ""},
        {"routes", on_routes, ""},
        {"groups", wsg_on_groups, "name limit of "},
        {"handlers", wsg_on_handlers, ""},
        {"handler_show", wsg_on_handler_show, "handler "},
        {"handler_drop", wsg_on_handler_drop, "handler "},
        {"handler_drain", wsg_on_handler_drain, "handler "},
        {"handler_undrain", wsg_on_handler_undrain, "handler "},
        {"handler_weight", wsg_on_handler_weight, "handler weight "},
        {"move", wsg_on_move, "id handler "},
        {"list", wsg_on_list, WSG_FILTER_PARAMS "limit sort reverse "},
        {"show", wsg_on_show, "id "},
        {"close", wsg_on_close, WSG_FILTER_PARAMS "ids all dry_run code reason timeout_ms "},
        {"send", wsg_on_send, "ids route group user tag all except text base64 timeout_ms "},
        {"ping", wsg_on_ping, "id timeout_ms "},
        {"log_get", wsg_on_log_get, ""},
        {"log_set", wsg_on_log_set, "module handler level for_s "},
        {"log_reopen", wsg_on_log_reopen, ""},
        {"tap", wsg_on_tap, "id route max_bytes "},
        {"untap", wsg_on_untap, "sub "},
        {"tls", wsg_on_tls, ""},
        {"reload", wsg_on_reload, ""},
        {"dead_letters", wsg_on_dead_letters, "limit "},
        {"dials", wsg_on_dials, ""},
        {"dial", wsg_on_dial, DIAL_PARAMS},
        {"dial_stop", wsg_on_dial_stop, "name "},
        {"dial_start", wsg_on_dial_start, "name "},
        {"shutdown", on_shutdown, "now delay_ms "},
    };
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (strcmp(methods[i].name, name) == 0)
            return &methods[i];
    }
    return NULL;
}
