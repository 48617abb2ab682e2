/* The table of counters. Workers write theirs while they are read: each is right, their sums may be a message apart. */
#include "admin/counters.h"

#include <stdlib.h>

#include "base/log.h"

/* A row's getter: what it returns, in terms of `s` and `reason`. */
#define GET(name, expression)                                                                                          \
    static uint64_t name(const struct wsg_counter_source *s, int reason)                                               \
    {                                                                                                                  \
        (void)s;                                                                                                       \
        (void)reason;                                                                                                  \
        return (uint64_t)(expression);                                                                                 \
    }
#define TALLY(field)   GET(route_##field, atomic_load_explicit(&s->route->tally.field, memory_order_relaxed))
#define BUS(field)     GET(bus_##field, s->hub->stats.field)
#define HANDLER(field) GET(handler_##field, s->handler->field)

GET(gate_connections, s->stats.connections)
GET(gate_accepted, s->stats.accepted)
GET(gate_refused, s->stats.refused)
GET(gate_refused_by, s->stats.refused_by[reason])
GET(gate_log_lines_lost, wsb_log_lost())
GET(gate_access_lines, s->stats.access.lines)
GET(gate_access_lines_lost, s->stats.access.lost)
GET(gate_uptime_ms, s->now_ms - wsg_gate_started_ms(s->gate))
GET(gate_workers, wsg_gate_worker_count(s->gate))
GET(gate_max_connections, wsg_gate_config(s->gate)->max_connections)
GET(gate_draining, wsg_gate_is_draining(s->gate))

GET(gate_compress_memory, s->stats.compress_memory)
GET(gate_compress_refused, s->stats.compress_refused)

#define TLS(field, expression)                                                                                         \
    GET(tls_##field, atomic_load_explicit(&wsg_gate_tls_tally(s->gate)->expression, memory_order_relaxed))
TLS(handshakes, done[reason])
TLS(resumed, resumed)
TLS(failed, failed[reason])
TLS(held, held)
TLS(truncated, truncated)

GET(gate_dials, wsg_gate_dials(s->gate)->count)
GET(gate_dials_open, wsg_dials_open_count(wsg_gate_dials(s->gate)))
GET(gate_dial_attempts, wsg_gate_dials(s->gate)->stats.attempts)
GET(gate_dial_opened, wsg_gate_dials(s->gate)->stats.opened)
GET(gate_dial_failed, wsg_gate_dials(s->gate)->stats.failed[reason])

static uint64_t tls_not_after(const struct wsg_counter_source *s, int reason)
{
    int64_t end_s = wsg_tls_listeners_end_s(wsg_gate_tls(s->gate));
    (void)reason;
    return end_s > 0 ? (uint64_t)end_s * 1000 : 0;
}

BUS(events)
BUS(commands)
BUS(outcomes)
BUS(published)
BUS(publish_drops)
BUS(malformed)
BUS(presence_drops)
BUS(command_errors)
BUS(handlers_gone)
BUS(hellos_refused)
GET(bus_failed, s->hub->stats.failed[reason])
GET(bus_failed_unheard, s->hub->stats.failed_unheard[reason])
BUS(moved)
BUS(forbidden)
BUS(stale)
GET(bus_missed, s->stats.missed + s->hub->stats.missed)
GET(bus_keys_allowed, s->link.keys_allowed)
GET(bus_keys_refused, s->link.keys_refused)
GET(bus_peers, s->link.peers)
GET(bus_peers_unproven, s->link.unproven)
GET(bus_peers_refused, s->link.refused_by[reason])
GET(bus_subscriptions, s->link.subscriptions)
GET(bus_input_bytes, s->link.input_bytes)
GET(bus_shm_attached, s->shm.attached)
GET(bus_shm_refused, s->shm.refused)
GET(bus_shm_ejected, s->shm.ejected)
GET(bus_shm_links, s->shm.links)
GET(bus_shm_memory, s->shm.memory)
GET(bus_shm_wakes, s->shm.wakes)
GET(bus_shm_stalls, s->shm.stalls)
GET(bus_handlers, s->hub->handlers.count)
GET(bus_pinned, s->hub->pins.count)

TALLY(opened)
TALLY(closed)
TALLY(rate_pauses)
GET(route_pending, wsg_places_taken(&s->route->pending))
GET(route_refused_by, atomic_load_explicit(&s->route->tally.refused[reason], memory_order_relaxed))
GET(route_ended, atomic_load_explicit(&s->route->tally.ended[reason], memory_order_relaxed))
TALLY(asked)
GET(route_cut, atomic_load_explicit(&s->route->tally.cut[reason], memory_order_relaxed))
TALLY(requests)
TALLY(continued)
TALLY(body_refused)
TALLY(gzipped)
TALLY(gzip_from_bytes)
TALLY(gzip_bytes)
TALLY(messages_in)
TALLY(bytes_in)
TALLY(messages_out)
TALLY(bytes_out)
TALLY(written)
TALLY(written_bytes)
TALLY(compressed)
TALLY(packed)
TALLY(packed_from_bytes)
TALLY(packed_bytes)
TALLY(unpacked)
TALLY(unpacked_from_bytes)
TALLY(unpacked_bytes)
TALLY(delivered)
TALLY(redelivered)
TALLY(pauses)
TALLY(paused_ms)
GET(route_handlers, atomic_load_explicit(&s->route->handlers, memory_order_relaxed))
GET(route_retained, s->route->retained.messages)
GET(route_retained_bytes, s->route->retained.bytes)
GET(route_requests_failed, atomic_load_explicit(&s->route->tally.requests_failed[reason], memory_order_relaxed))
GET(route_in_dropped, atomic_load_explicit(&s->route->tally.in_dropped[reason], memory_order_relaxed))
GET(route_out_dropped, atomic_load_explicit(&s->route->tally.out_dropped[reason], memory_order_relaxed))

static uint64_t route_dropped(const struct wsg_counter_source *s, int reason)
{
    uint64_t sum = 0;
    (void)reason;
    for (int i = 0; i < WSG_OUT_DROPS; i++)
        sum += route_out_dropped(s, i);
    return sum;
}

HANDLER(events)
HANDLER(event_bytes)
HANDLER(commands)
HANDLER(errors)
HANDLER(dropped)
HANDLER(delivered)
HANDLER(redelivered)
HANDLER(stale)
HANDLER(unacked)
HANDLER(weight)
HANDLER(rtt_us)
GET(handler_pinned, s->handler->lane.count)
GET(handler_waiting, s->handler->lane.waiting_count)
GET(handler_waiting_bytes, s->handler->lane.unsent_bytes)
GET(handler_queued, wsb_account_bytes(s->handler->account))
GET(handler_full_ms, s->handler->full_ms + (s->handler->full_since_ms ? s->now_ms - s->handler->full_since_ms : 0))

static uint64_t route_retained_age_ms(const struct wsg_counter_source *s, int reason)
{
    uint64_t oldest_ns = s->route->retained.bytes ? s->route->oldest_ns : 0;
    (void)reason;
    return oldest_ns && s->wall_ns > oldest_ns ? (s->wall_ns - oldest_ns) / 1000000 : 0;
}

static uint64_t route_refused(const struct wsg_counter_source *s, int reason)
{
    uint64_t sum = 0;
    (void)reason;
    for (int i = 0; i < WSG_REFUSALS; i++)
        sum += route_refused_by(s, i);
    return sum;
}

static const char *refusal(int reason)
{
    return wsg_refusal_name((enum wsg_refusal)reason);
}

static const char *peer_refusal(int reason)
{
    return wsb_zmtp_why_name((enum wsb_zmtp_why)reason);
}

static const char *failing(int reason)
{
    return wsg_failing_name((enum wsg_failing)reason);
}

static const char *ending(int reason)
{
    return wsg_ending_name((enum wsg_ending)reason);
}

static const char *cut_reason(int reason)
{
    return wsg_cut_name((enum wsg_cut)reason);
}

static const char *in_reason(int reason)
{
    return wsg_in_drop_name((enum wsg_in_drop)reason);
}

static const char *out_reason(int reason)
{
    return wsg_out_drop_name((enum wsg_out_drop)reason);
}

static const char *tls_version(int version)
{
    return version == WSB_TLS_1_2 ? "1.2" : "1.3";
}

/* Those of the stream begin with "none", which never happens. */
static const char *tls_failure(int failure)
{
    return wsg_secure_failure_name(failure);
}

static const char *dial_failure(int failure)
{
    return wsg_dial_failure_name((enum wsg_dial_failure)failure);
}

#define GATE_ROW(key, metric)  WSG_OF_GATE, key, "wsbus_gate_" metric
#define BUS_ROW(key, metric)   WSG_OF_BUS, key, "wsbus_bus_" metric
#define ROUTE_ROW(key, metric) WSG_OF_ROUTE, key, "wsbus_route_" metric
#define HANDLER_ROW(metric)    WSG_OF_HANDLER, NULL, "wsbus_handler_" metric
#define PLAIN                  "", 1
#define BYTES                  "bytes", 1
#define MS                     "seconds", 1000
#define US                     "seconds", 1000000
#define ONE                    0, NULL

/* clang-format off */
const struct wsg_counter wsg_counters[] = {
    {GATE_ROW("connections",    "connections"),          WSG_GAUGE,   PLAIN, "Connections open now.", gate_connections, ONE},
    {GATE_ROW("max_connections", "max_connections"),     WSG_GAUGE,   PLAIN, "Connections that may be open.", gate_max_connections, ONE},
    {GATE_ROW("accepted",       "accepted_connections"), WSG_COUNTER, PLAIN, "Connections accepted.", gate_accepted, ONE},
    {WSG_OF_GATE, "refused", NULL,                        WSG_COUNTER, PLAIN, "", gate_refused, ONE},
    {GATE_ROW("refused_by",     "refused_connections"),  WSG_COUNTER, PLAIN, "Connections, and requests of no route, that were refused.", gate_refused_by, WSG_REFUSALS, refusal},
    {GATE_ROW("uptime_ms",      "uptime_seconds"),       WSG_GAUGE,   MS,    "Time since the gate started.", gate_uptime_ms, ONE},
    {GATE_ROW("workers",        "workers"),              WSG_GAUGE,   PLAIN, "Threads that serve clients.", gate_workers, ONE},
    {GATE_ROW(NULL,             "draining"),             WSG_GAUGE,   PLAIN, "1 while the gate ends.", gate_draining, ONE},
    {GATE_ROW("log_lines_lost", "lost_log_lines"),       WSG_COUNTER, PLAIN, "Log lines that were not written.", gate_log_lines_lost, ONE},
    {GATE_ROW("access_lines",   "access_log_lines"),     WSG_COUNTER, PLAIN, "Lines for the access log.", gate_access_lines, ONE},
    {GATE_ROW("access_lines_lost", "lost_access_log_lines"), WSG_COUNTER, PLAIN, "Those that were not written.", gate_access_lines_lost, ONE},
    {GATE_ROW("tls_handshakes", "tls_handshakes"),       WSG_COUNTER, PLAIN, "TLS handshakes, by version.", tls_handshakes, WSG_SECURE_VERSIONS, tls_version},
    {GATE_ROW("tls_resumed",    "tls_resumed_sessions"), WSG_COUNTER, PLAIN, "Those that resumed a session.", tls_resumed, ONE},
    {GATE_ROW("tls_failed",     "tls_failed_handshakes"), WSG_COUNTER, PLAIN, "TLS handshakes that came to nothing.", tls_failed, WSG_SECURE_FAILURES, tls_failure},
    {GATE_ROW("tls_held",       "tls_holds"),            WSG_COUNTER, PLAIN, "Times that nobody was accepted for too many TLS handshakes.", tls_held, ONE},
    {GATE_ROW("tls_truncated",  "tls_truncated_connections"), WSG_COUNTER, PLAIN, "Connections that ended without close_notify.", tls_truncated, ONE},
    {GATE_ROW("tls_not_after_ms", "tls_not_after_seconds"), WSG_GAUGE, MS, "When the first certificate ends, Unix time; 0: there is none.", tls_not_after, ONE},

    {GATE_ROW("dials",          "dials"),                WSG_GAUGE,   PLAIN, "Servers that are to be dialed.", gate_dials, ONE},
    {GATE_ROW("dials_open",     "open_dials"),           WSG_GAUGE,   PLAIN, "Those that have a connection now.", gate_dials_open, ONE},
    {GATE_ROW("dial_attempts",  "dial_attempts"),        WSG_COUNTER, PLAIN, "Attempts to connect to them.", gate_dial_attempts, ONE},
    {GATE_ROW("dial_opened",    "dial_opened_connections"), WSG_COUNTER, PLAIN, "Attempts that brought a connection.", gate_dial_opened, ONE},
    {GATE_ROW("dial_failed",    "dial_failed_attempts"), WSG_COUNTER, PLAIN, "Attempts that came to nothing.", gate_dial_failed, WSG_DIAL_FAILURES, dial_failure},

    {GATE_ROW("compress_memory", "compress_bytes"),      WSG_GAUGE,   BYTES, "Memory for contexts that compressors keep.", gate_compress_memory, ONE},
    {GATE_ROW("compress_refused", "compress_refusals"),  WSG_COUNTER, PLAIN, "Connections that keep no context, and responses that are not compressed, for want of compress_memory.", gate_compress_refused, ONE},

    {BUS_ROW("events",         "events"),             WSG_COUNTER, PLAIN, "Events to handlers.", bus_events, ONE},
    {BUS_ROW("commands",       "commands"),           WSG_COUNTER, PLAIN, "Commands of handlers and of others.", bus_commands, ONE},
    {BUS_ROW("outcomes",       "outcomes"),           WSG_COUNTER, PLAIN, "Outcomes of commands that were told.", bus_outcomes, ONE},
    {BUS_ROW("published",      "published_events"),   WSG_COUNTER, PLAIN, "Events that were sent to subscribers.", bus_published, ONE},
    {BUS_ROW("publish_drops",  "dropped_copies"),     WSG_COUNTER, PLAIN, "Copies that a subscriber missed.", bus_publish_drops, ONE},
    {BUS_ROW("presence_drops", "dropped_presence"),   WSG_COUNTER, PLAIN, "JOINED and LEFT events that no handler was told.", bus_presence_drops, ONE},
    {BUS_ROW("malformed",      "malformed_messages"), WSG_COUNTER, PLAIN, "Messages that were no envelopes.", bus_malformed, ONE},
    {BUS_ROW("keys_allowed",   "allowed_keys"),       WSG_COUNTER, PLAIN, "Peers on TCP whose key was listed.", bus_keys_allowed, ONE},
    {BUS_ROW("keys_refused",   "refused_keys"),       WSG_COUNTER, PLAIN, "Peers on TCP whose key was not listed.", bus_keys_refused, ONE},
    {BUS_ROW("peers",          "zmq_peers"),          WSG_GAUGE,   PLAIN, "Peers connected over ZeroMQ.", bus_peers, ONE},
    {BUS_ROW("peers_unproven", "zmq_unproven_peers"), WSG_GAUGE,   PLAIN, "Those whose handshake is under way.", bus_peers_unproven, ONE},
    {BUS_ROW("peers_refused",  "zmq_refused_peers"),  WSG_COUNTER, PLAIN, "Peers that were turned away, or disconnected because they broke a rule.", bus_peers_refused, WSB_ZMTP_WHYS, peer_refusal},
    {BUS_ROW("subscriptions",  "subscriptions"),      WSG_GAUGE,   PLAIN, "Subscriptions to events.", bus_subscriptions, ONE},
    {BUS_ROW("input_bytes",    "zmq_input_bytes"),    WSG_GAUGE,   BYTES, "Memory for what ZeroMQ peers are saying.", bus_input_bytes, ONE},
    {BUS_ROW("shm_attached",   "shm_attachments"),    WSG_COUNTER, PLAIN, "Handlers that came over shared memory.", bus_shm_attached, ONE},
    {BUS_ROW("shm_refused",    "shm_refusals"),       WSG_COUNTER, PLAIN, "Attempts at shared memory that were refused.", bus_shm_refused, ONE},
    {BUS_ROW("shm_ejected",    "shm_ejections"),      WSG_COUNTER, PLAIN, "Handlers that were put out: they broke the rules.", bus_shm_ejected, ONE},
    {BUS_ROW("shm_links",      "shm_links"),          WSG_GAUGE,   PLAIN, "Handlers over shared memory.", bus_shm_links, ONE},
    {BUS_ROW("shm_memory",     "shm_bytes"),          WSG_GAUGE,   BYTES, "Memory that is shared with handlers.", bus_shm_memory, ONE},
    {BUS_ROW("shm_wakes",      "shm_wakes"),          WSG_COUNTER, PLAIN, "System calls to wake the other end.", bus_shm_wakes, ONE},
    {BUS_ROW("shm_stalls",     "shm_stalls"),         WSG_COUNTER, PLAIN, "How often a ring had no room.", bus_shm_stalls, ONE},
    {BUS_ROW("command_errors", "command_errors"),     WSG_COUNTER, PLAIN, "Commands that were refused.", bus_command_errors, ONE},
    {BUS_ROW("commands_refused_by", "refused_commands"), WSG_COUNTER, PLAIN, "Commands, and targets of commands, that were not carried out.", bus_failed, WSG_FAILINGS, failing},
    {BUS_ROW("commands_unheard", "unheard_commands"), WSG_COUNTER, PLAIN, "Those of the endpoint commands, whose senders are not told.", bus_failed_unheard, WSG_FAILINGS, failing},
    {BUS_ROW("hellos_refused", "refused_handlers"),   WSG_COUNTER, PLAIN, "Registrations of handlers that were refused.", bus_hellos_refused, ONE},
    {BUS_ROW("handlers_gone",  "lost_handlers"),      WSG_COUNTER, PLAIN, "Handlers that went without a word.", bus_handlers_gone, ONE},
    {BUS_ROW("moved",          "moved_connections"),  WSG_COUNTER, PLAIN, "Connections that changed hands.", bus_moved, ONE},
    {BUS_ROW("forbidden",      "forbidden_commands"), WSG_COUNTER, PLAIN, "Commands of a key that is not for the route.", bus_forbidden, ONE},
    {BUS_ROW("stale",          "stale_commands"),     WSG_COUNTER, PLAIN, "Commands and acknowledgements for what is somebody else's.", bus_stale, ONE},
    {BUS_ROW("missed",         "missed_commands"),    WSG_COUNTER, PLAIN, "Commands for connections that are closed, or never were.", bus_missed, ONE},
    {BUS_ROW("handlers",       "handlers"),           WSG_GAUGE,   PLAIN, "Handlers registered now.", bus_handlers, ONE},
    {BUS_ROW("pinned",         "pinned_connections"), WSG_GAUGE,   PLAIN, "Connections that the bus knows.", bus_pinned, ONE},

    {ROUTE_ROW("opened",         "opened_connections"),      WSG_COUNTER, PLAIN, "WebSocket connections let in.", route_opened, ONE},
    {ROUTE_ROW("closed",         "closed_connections"),      WSG_COUNTER, PLAIN, "WebSocket connections ended.", route_closed, ONE},
    {ROUTE_ROW("pending",        "pending_connections"),     WSG_GAUGE,   PLAIN, "WebSocket clients of which no handler has heard, or which wait for ACCEPT.", route_pending, ONE},
    {WSG_OF_ROUTE, "refused", NULL,                          WSG_COUNTER, PLAIN, "", route_refused, ONE},
    {ROUTE_ROW("refused_by",     "refused"),                 WSG_COUNTER, PLAIN, "Handshakes and requests refused.", route_refused_by, WSG_REFUSALS, refusal},
    {ROUTE_ROW("asked",          "asked_handshakes"),        WSG_COUNTER, PLAIN, "Handshakes that a handler was asked about.", route_asked, ONE},
    {ROUTE_ROW("ended",          "ended_connections"),       WSG_COUNTER, PLAIN, "WebSocket connections that the gate ended.", route_ended, WSG_ENDINGS, ending},
    {ROUTE_ROW("rate_pauses",    "rate_pauses"),             WSG_COUNTER, PLAIN, "Times that a client was not read because it sent too much in a second.", route_rate_pauses, ONE},
    {ROUTE_ROW("requests",       "requests"),                WSG_COUNTER, PLAIN, "HTTP requests.", route_requests, ONE},
    {ROUTE_ROW("continued",      "continued_requests"),      WSG_COUNTER, PLAIN, "HTTP requests whose body a handler asked for with 100 Continue.", route_continued, ONE},
    {ROUTE_ROW("cut",            "cut_responses"),           WSG_COUNTER, PLAIN, "Responses that had begun, and that the gate ended.", route_cut, WSG_CUTS, cut_reason},
    {ROUTE_ROW("body_refused",   "refused_parts"),           WSG_COUNTER, PLAIN, "Parts of responses that were refused because the client's queue was full.", route_body_refused, ONE},
    {ROUTE_ROW("gzipped",        "gzip_responses"),          WSG_COUNTER, PLAIN, "Responses that were compressed.", route_gzipped, ONE},
    {ROUTE_ROW("gzip_from_bytes", "gzip_from_bytes"),        WSG_COUNTER, BYTES, "Their bytes before.", route_gzip_from_bytes, ONE},
    {ROUTE_ROW("gzip_bytes",     "gzip_bytes"),              WSG_COUNTER, BYTES, "Their bytes on the wire.", route_gzip_bytes, ONE},
    {ROUTE_ROW("messages_in",    "in_messages"),             WSG_COUNTER, PLAIN, "Messages of clients.", route_messages_in, ONE},
    {ROUTE_ROW("bytes_in",       "in_bytes"),                WSG_COUNTER, BYTES, "Bytes of messages of clients.", route_bytes_in, ONE},
    {ROUTE_ROW("delivered",      "delivered_messages"),      WSG_COUNTER, PLAIN, "Messages of clients that a handler has done with.", route_delivered, ONE},
    {ROUTE_ROW("redelivered",    "redelivered_messages"),    WSG_COUNTER, PLAIN, "Messages that went to another handler again.", route_redelivered, ONE},
    {ROUTE_ROW("requests_failed", "failed_requests"),        WSG_COUNTER, PLAIN, "HTTP requests that no handler answered.", route_requests_failed, WSG_IN_DROPS, in_reason},
    {ROUTE_ROW("in_dropped",     "in_dropped_messages"),     WSG_COUNTER, PLAIN, "Messages of clients that reached no handler.", route_in_dropped, WSG_IN_DROPS, in_reason},
    {ROUTE_ROW("retained_messages", "retained_messages"),    WSG_GAUGE,   PLAIN, "Messages that are not acknowledged, or not sent yet.", route_retained, ONE},
    {ROUTE_ROW("retained_bytes", "retained_bytes"),          WSG_GAUGE,   BYTES, "Memory of what is not acknowledged, or not sent yet.", route_retained_bytes, ONE},
    {ROUTE_ROW("retained_age_ms", "retained_age_seconds"),   WSG_GAUGE,   MS,    "Age of the oldest of them, looked for once a second.", route_retained_age_ms, ONE},
    {ROUTE_ROW("messages_out",   "out_messages"),            WSG_COUNTER, PLAIN, "Messages for clients.", route_messages_out, ONE},
    {ROUTE_ROW("bytes_out",      "out_bytes"),               WSG_COUNTER, BYTES, "Bytes of messages for clients.", route_bytes_out, ONE},
    {ROUTE_ROW("written",        "written_messages"),        WSG_COUNTER, PLAIN, "Messages for clients that the kernel took.", route_written, ONE},
    {ROUTE_ROW("written_bytes",  "written_bytes"),           WSG_COUNTER, BYTES, "Their bytes.", route_written_bytes, ONE},
    {WSG_OF_ROUTE, "dropped", NULL,                          WSG_COUNTER, PLAIN, "", route_dropped, ONE},
    {ROUTE_ROW("out_dropped",    "out_dropped_messages"),    WSG_COUNTER, PLAIN, "Messages for clients that did not reach them.", route_out_dropped, WSG_OUT_DROPS, out_reason},
    {ROUTE_ROW("compressed",     "compressed_connections"),  WSG_COUNTER, PLAIN, "WebSocket connections that agreed on compression.", route_compressed, ONE},
    {ROUTE_ROW("packed",         "packed_messages"),         WSG_COUNTER, PLAIN, "Messages for clients that were compressed.", route_packed, ONE},
    {ROUTE_ROW("packed_from_bytes", "packed_from_bytes"),    WSG_COUNTER, BYTES, "Their bytes before.", route_packed_from_bytes, ONE},
    {ROUTE_ROW("packed_bytes",   "packed_bytes"),            WSG_COUNTER, BYTES, "Their bytes on the wire.", route_packed_bytes, ONE},
    {ROUTE_ROW("unpacked",       "unpacked_messages"),       WSG_COUNTER, PLAIN, "Messages of clients that came compressed.", route_unpacked, ONE},
    {ROUTE_ROW("unpacked_from_bytes", "unpacked_from_bytes"), WSG_COUNTER, BYTES, "Their bytes on the wire.", route_unpacked_from_bytes, ONE},
    {ROUTE_ROW("unpacked_bytes", "unpacked_bytes"),          WSG_COUNTER, BYTES, "Their bytes as messages.", route_unpacked_bytes, ONE},
    {ROUTE_ROW("pauses",         "pauses"),                  WSG_COUNTER, PLAIN, "Times that a client was not read for a full handler.", route_pauses, ONE},
    {ROUTE_ROW("paused_ms",      "paused_seconds"),          WSG_COUNTER, MS,    "How long clients were not read, in sum.", route_paused_ms, ONE},
    {ROUTE_ROW("handlers",       "handlers"),                WSG_GAUGE,   PLAIN, "Handlers that serve it now.", route_handlers, ONE},

    {HANDLER_ROW("connections"),          WSG_GAUGE,   PLAIN, "Connections pinned to it.", handler_pinned, ONE},
    {HANDLER_ROW("weight"),               WSG_GAUGE,   PLAIN, "Its share of connections.", handler_weight, ONE},
    {HANDLER_ROW("events"),               WSG_COUNTER, PLAIN, "Events sent to it.", handler_events, ONE},
    {HANDLER_ROW("event_bytes"),          WSG_COUNTER, BYTES, "Their bytes.", handler_event_bytes, ONE},
    {HANDLER_ROW("commands"),             WSG_COUNTER, PLAIN, "Its commands.", handler_commands, ONE},
    {HANDLER_ROW("errors"),               WSG_COUNTER, PLAIN, "What it said that was refused.", handler_errors, ONE},
    {HANDLER_ROW("dropped_events"),       WSG_COUNTER, PLAIN, "Events that it did not get.", handler_dropped, ONE},
    {HANDLER_ROW("delivered_messages"),   WSG_COUNTER, PLAIN, "Messages that it has done with.", handler_delivered, ONE},
    {HANDLER_ROW("redelivered_messages"), WSG_COUNTER, PLAIN, "Messages that another one had before.", handler_redelivered, ONE},
    {HANDLER_ROW("stale_commands"),       WSG_COUNTER, PLAIN, "Its commands for what is not its own any more.", handler_stale, ONE},
    {HANDLER_ROW("unacknowledged"),       WSG_GAUGE,   PLAIN, "Events that it has not acknowledged.", handler_unacked, ONE},
    {HANDLER_ROW("waiting_connections"),  WSG_GAUGE,   PLAIN, "Connections with events that wait for it.", handler_waiting, ONE},
    {HANDLER_ROW("waiting_bytes"),        WSG_GAUGE,   BYTES, "Bytes of events that wait for it.", handler_waiting_bytes, ONE},
    {HANDLER_ROW("queued_bytes"),         WSG_GAUGE,   BYTES, "Bytes under way to it.", handler_queued, ONE},
    {HANDLER_ROW("full_seconds"),         WSG_COUNTER, MS,    "How long it had no room.", handler_full_ms, ONE},
    {HANDLER_ROW("rtt_seconds"),          WSG_GAUGE,   US,    "Round trip of the last ping.", handler_rtt_us, ONE},
};
/* clang-format on */
const size_t wsg_counter_count = sizeof wsg_counters / sizeof *wsg_counters;

void wsg_counter_source_init(struct wsg_counter_source *s, struct wsg_gate *gate)
{
    *s = (struct wsg_counter_source){
        .gate = gate,
        .hub = wsg_gate_hub(gate),
        .now_ms = wsg_loop_now_ms(wsg_gate_loop(gate)),
        .wall_ns = wsg_loop_wall_ns(wsg_gate_loop(gate)),
    };
    wsg_gate_stats(gate, &s->stats);
    wsb_server_stats(s->hub->server, &s->link);
    if (s->hub->shm)
        wsb_server_stats(s->hub->shm, &s->shm);
}

void wsg_counters_write(const struct wsg_counter_source *s, enum wsg_counter_of of, struct wsb_json *j)
{
    for (const struct wsg_counter *c = wsg_counters; c < wsg_counters + wsg_counter_count; c++) {
        if (c->of != of || !c->key)
            continue;
        wsb_json_key(j, c->key);
        if (c->reasons == 0) {
            wsb_json_u64(j, c->get(s, 0));
            continue;
        }
        wsb_json_object(j);
        for (int i = 0; i < c->reasons; i++)
            wsb_json_ku64(j, c->reason_name(i), c->get(s, i));
        wsb_json_object_end(j);
    }
}
