/* wsctl show ID */
#include <inttypes.h>

#include "common.h"

static void print_open(const json_t *open)
{
    const char *name;
    json_t *v;
    wsc_print_field("host", "%s", wsc_str(open, "host"));
    if (*wsc_str(open, "origin"))
        wsc_print_field("origin", "%s", wsc_str(open, "origin"));
    json_object_foreach(json_object_get(open, "params"), name, v)
        wsc_print_field("parameter", "%s = %s", name, json_string_value(v) ? json_string_value(v) : "");
    json_object_foreach(json_object_get(open, "headers"), name, v)
        wsc_print_field("header", "%s: %s", name, json_string_value(v) ? json_string_value(v) : "");
}

static void print_tls(const json_t *tls)
{
    if (!tls)
        return;
    wsc_print_field("TLS", "%s, %s%s%s", wsc_str(tls, "version"), wsc_str(tls, "cipher"),
                    *wsc_str(tls, "name") ? ", for " : "", wsc_str(tls, "name"));
    if (json_object_get(tls, "client_fingerprint")) {
        wsc_print_field("certificate of", "%s", wsc_str(tls, "client_subject"));
        wsc_print_field("its fingerprint", "%s", wsc_str(tls, "client_fingerprint"));
    }
}

static void print_connection(const json_t *r)
{
    char text[WSC_SHORT], more[WSC_SHORT];
    size_t i;
    json_t *name;
    wsc_print_text(wsc_str(r, "id"));
    (void)fputs("  ", stdout);
    wsc_print_text(wsc_str(r, "what"));
    (void)putchar('\n');
    wsc_print_field("route", "%s", wsc_str(r, "route"));
    wsc_print_field("peer", "%s", wsc_str(r, "peer"));
    wsc_print_field("target", "%s", wsc_str(r, "target"));
    wsc_print_field("subprotocol", "%s", *wsc_str(r, "subprotocol") ? wsc_str(r, "subprotocol") : "-");
    wsc_print_field("extensions", "%s", *wsc_str(r, "extensions") ? wsc_str(r, "extensions") : "-");
    print_tls(json_object_get(r, "tls"));
    if (wsc_u64(r, "handler"))
        wsc_print_field("handler", "%" PRIu64 " %s", wsc_u64(r, "handler"), wsc_str(r, "handler_name"));
    wsc_print_field("worker", "%" PRIu64, wsc_u64(r, "worker"));
    wsc_duration_format(wsc_u64(r, "age_ms"), text);
    wsc_duration_format(wsc_u64(r, "idle_ms"), more);
    wsc_print_field("age, idle", "%s, %s", text, more);
    wsc_size_format(wsc_u64(r, "bytes_in"), text);
    wsc_print_field("received", "%" PRIu64 " messages, %s bytes", wsc_u64(r, "messages_in"), text);
    wsc_size_format(wsc_u64(r, "bytes_out"), text);
    wsc_print_field("sent", "%" PRIu64 " messages, %s bytes; %" PRIu64 " written, %" PRIu64 " dropped",
                    wsc_u64(r, "messages_out"), text, wsc_u64(r, "written"), wsc_u64(r, "dropped_out"));
    wsc_size_format(wsc_u64(r, "queued"), text);
    wsc_print_field("waiting to leave", "%" PRIu64 " messages, %s bytes", wsc_u64(r, "queued_messages"), text);
    wsc_size_format(wsc_u64(r, "waiting_bytes"), text);
    wsc_print_field("events",
                    "%" PRIu64 ", %" PRIu64 " sent to its handler, %" PRIu64 " acknowledged; %s bytes wait, %" PRIu64
                    " dropped",
                    wsc_u64(r, "seq"), wsc_u64(r, "sent_seq"), wsc_u64(r, "acked_seq"), text, wsc_u64(r, "dropped_in"));
    wsc_rtt_format(wsc_u64(r, "rtt_us"), text);
    wsc_print_field("round trip", "%s", text);
    wsc_print_field("tapped, paused", "%s, %s", wsc_bool(r, "tapped") ? "yes" : "no",
                    wsc_bool(r, "paused") ? "yes" : "no");
    if (*wsc_str(r, "user"))
        wsc_print_field("user", "%s", wsc_str(r, "user"));
    json_array_foreach(json_object_get(r, "groups"), i, name)
        wsc_print_field("group", "%s", json_string_value(name) ? json_string_value(name) : "");
    json_array_foreach(json_object_get(r, "tags"), i, name)
        wsc_print_field("tag", "%s", json_string_value(name) ? json_string_value(name) : "");
    if (json_object_get(r, "open"))
        print_open(json_object_get(r, "open"));
}

int cmd_show(struct wsc_run *run)
{
    char id[17];
    json_t *r;
    int status = wsc_begin(run, NULL, 0);
    if (status == WSC_GO_ON)
        status = wsc_resolve_id(run, run->argv[0], id);
    if (status == WSC_GO_ON)
        status = wsc_ask(run, "show", json_pack("{s:s}", "id", id), run->timeout_ms, &r);
    if (status != WSC_GO_ON)
        return status;
    if (run->json)
        wsc_print_json(r);
    else
        print_connection(r);
    json_decref(r);
    return WSC_OK;
}
