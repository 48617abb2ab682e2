/* The table of options, and how a value gets into its field. */
#include "config/option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/endpoint.h"
#include "base/ip.h"
#include "base/near.h"
#include "base/origin.h"
#include "base/pattern.h"
#include "base/size.h"
#include "config/allow.h"
#include "config/config.h"
#include "config/value.h"

enum { DAY_MS = 24 * 60 * 60 * 1000 };
#define KIB ((uint64_t)1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

static wsb_err path_check(const char *text, struct wsb_fault *fault)
{
    struct wsb_pattern *p = NULL;
    wsb_err err = wsb_pattern_new(&p, text, fault);
    wsb_pattern_free(p);
    return err;
}

static wsb_err endpoint_check(const char *text, struct wsb_fault *fault)
{
    struct wsb_endpoint ignored;
    return wsb_endpoint_parse(text, &ignored, fault);
}

static const struct wsg_word kind_words[] = {{"websocket", WSG_ROUTE_WEBSOCKET},
                                             {"http", WSG_ROUTE_HTTP},
                                             {"both", WSG_ROUTE_BOTH},
                                             {"gatekeeper", WSG_ROUTE_GATEKEEPER},
                                             {NULL, 0}};
static const struct wsg_word deliver_words[] = {{"queue", false}, {"publish", true}, {NULL, 0}};
static const struct wsg_word accept_words[] = {{"gate", false}, {"handler", true}, {NULL, 0}};
static const struct wsg_word no_handler_words[] = {
    {"refuse", WSG_NO_HANDLER_REFUSE}, {"close", WSG_NO_HANDLER_CLOSE}, {"wait", WSG_NO_HANDLER_WAIT}, {NULL, 0}};
static const struct wsg_word full_words[] = {{"pause", WSG_FULL_PAUSE},
                                             {"drop-new", WSG_FULL_DROP_NEW},
                                             {"drop-old", WSG_FULL_DROP_OLD},
                                             {"close", WSG_FULL_CLOSE},
                                             {NULL, 0}};
static const struct wsg_word undeliverable_words[] = {{"close", false}, {"skip", true}, {NULL, 0}};
static const struct wsg_word slow_words[] = {{"close", WSG_SLOW_CLOSE},
                                             {"drop-new", WSG_SLOW_DROP_NEW},
                                             {"drop-old", WSG_SLOW_DROP_OLD},
                                             {"conflate", WSG_SLOW_CONFLATE},
                                             {NULL, 0}};
static const struct wsg_word client_words[] = {
    {"none", WSG_CLIENTS_NONE}, {"optional", WSG_CLIENTS_OPTIONAL}, {"required", WSG_CLIENTS_REQUIRED}, {NULL, 0}};
static const struct wsg_word version_words[] = {{"1.2", false}, {"1.3", true}, {NULL, 0}};
static const struct wsg_word pin_words[] = {{"fewest", false}, {"hash", true}, {NULL, 0}};
static const struct wsg_word forwarded_words[] = {
    {"none", WSG_BY_NO_HEADER}, {"x-forwarded-for", WSG_BY_X_FORWARDED}, {"forwarded", WSG_BY_FORWARDED}, {NULL, 0}};
static const struct wsg_word trace_words[] = {{"pass", false}, {"make", true}, {NULL, 0}};
static const struct wsg_word refuse_words[] = {{"drop", false}, {"503", true}, {NULL, 0}};
static const struct wsg_word half_close_words[] = {{"answer", false}, {"abort", true}, {NULL, 0}};
static const struct wsg_word expiry_words[] = {{"keep", false}, {"close", true}, {NULL, 0}};
static const struct wsg_word rate_words[] = {{"pause", WSG_RATE_PAUSE}, {"close", WSG_RATE_CLOSE}, {NULL, 0}};
static const struct wsg_word check_words[] = {{"yes", false}, {"no", true}, {NULL, 0}};
static const struct wsg_word format_words[] = {{"logfmt", WSB_LOG_LOGFMT}, {"json", WSB_LOG_JSON}, {NULL, 0}};
static const struct wsg_word access_words[] = {{"combined", WSG_ACCESS_COMBINED}, {"json", WSG_ACCESS_JSON}, {NULL, 0}};
static const struct wsg_word level_words[] = {{"debug", WSB_LOG_DEBUG}, {"info", WSB_LOG_INFO},
                                              {"wslog", WSB_LOG_WSLOG}, {"warn", WSB_LOG_WARN},
                                              {"error", WSB_LOG_ERROR}, {NULL, 0}};

/* Other spellings of a word, which refusals do not name. */
static const struct word_synonym {
    const struct wsg_word *words; /* of which it is one */
    const char *spelling, *word;
} word_synonyms[] = {
    {deliver_words, "handler", "queue"},
    {deliver_words, "handlers", "queue"},
    {full_words, "drop_new", "drop-new"},
    {full_words, "drop_old", "drop-old"},
    {slow_words, "drop_new", "drop-new"},
    {slow_words, "drop_old", "drop-old"},
    {forwarded_words, "x_forwarded_for", "x-forwarded-for"},
};

#define TOP(field)       offsetof(struct wsg_config, field)
#define LISTEN(field)    offsetof(struct wsg_listener_config, field)
#define ROUTE(field)     offsetof(struct wsg_route_config, field)
#define DIAL(field)      offsetof(struct wsg_dial_config, field)
#define STATIC(field)    offsetof(struct wsg_static_config, field)
#define RANGE(low, high) (low), (high), NULL, NULL
#define WORDS(words)     0, 0, words, NULL
#define CHECK(check)     0, 0, NULL, check
#define PLAIN            0, 0, NULL, NULL
#define LIST(max, check) 0, (max), NULL, check

/* clang-format off */
const struct wsg_option wsg_options[] = {
    {WSG_SECTION_TOP, "runtime_dir", "runtime-dir", WSG_OPTION_TEXT,    TOP(runtime_dir), PLAIN},
    {WSG_SECTION_TOP, "bus_mode",    "bus-mode",    WSG_OPTION_MODE,    TOP(bus_mode),    PLAIN},
    {WSG_SECTION_TOP, "workers",     "workers",     WSG_OPTION_WORKERS, TOP(workers),     RANGE(1, 64)},
    {WSG_SECTION_TOP, "metrics",     "metrics",     WSG_OPTION_TEXT,    TOP(metrics),     CHECK(wsg_value_check_address)},
    {WSG_SECTION_TOP, "metrics_token", "metrics-token", WSG_OPTION_TEXT, TOP(metrics_token), PLAIN},

    {WSG_SECTION_TOP, "trusted_proxies", NULL, WSG_OPTION_LIST, TOP(trusted_proxies), LIST(WSG_CONFIG_NETS_MAX, wsb_ip_proxy_check)},
    {WSG_SECTION_TOP, "forwarded",   NULL,          WSG_OPTION_WORD,    TOP(forwarded),   WORDS(forwarded_words)},
    {WSG_SECTION_TOP, "request_id",  "request-id",  WSG_OPTION_BOOL,    TOP(request_id),  PLAIN},
    {WSG_SECTION_TOP, "trace",       "trace",       WSG_OPTION_WORD_BOOL, TOP(begin_traces), WORDS(trace_words)},

    {WSG_SECTION_LISTEN, "mode",           NULL, WSG_OPTION_MODE, LISTEN(mode),           PLAIN},
    {WSG_SECTION_LISTEN, "allow",          NULL, WSG_OPTION_LIST, LISTEN(allow),          LIST(WSG_CONFIG_NETS_MAX, wsb_ip_net_check)},
    {WSG_SECTION_LISTEN, "deny",           NULL, WSG_OPTION_LIST, LISTEN(deny),           LIST(WSG_CONFIG_NETS_MAX, wsb_ip_net_check)},
    {WSG_SECTION_LISTEN, "proxy_protocol", NULL, WSG_OPTION_BOOL, LISTEN(proxy_protocol), PLAIN},
    {WSG_SECTION_LISTEN, "max_head",       NULL, WSG_OPTION_SIZE,    LISTEN(max_head),    RANGE(KIB, MIB)},
    {WSG_SECTION_LISTEN, "max_headers",    NULL, WSG_OPTION_COUNT32, LISTEN(max_headers), RANGE(1, 10000)},
    {WSG_SECTION_LISTEN, "head_timeout",   NULL, WSG_OPTION_DURATION, LISTEN(head_timeout_ms), RANGE(1, DAY_MS)},
    {WSG_SECTION_LISTEN, "tls_handshake_timeout", NULL, WSG_OPTION_DURATION, LISTEN(handshake_timeout_ms), RANGE(1, DAY_MS)},
    {WSG_SECTION_LISTEN, "certificates",        NULL, WSG_OPTION_LIST,      LISTEN(certificates),        LIST(WSG_CONFIG_CERTIFICATES_MAX, wsg_value_check_text)},
    {WSG_SECTION_LISTEN, "keys",                NULL, WSG_OPTION_LIST,      LISTEN(keys),                LIST(WSG_CONFIG_CERTIFICATES_MAX, wsg_value_check_text)},
    {WSG_SECTION_LISTEN, "client_certificates", NULL, WSG_OPTION_WORD,      LISTEN(client_certificates), WORDS(client_words)},
    {WSG_SECTION_LISTEN, "client_ca",           NULL, WSG_OPTION_TEXT,      LISTEN(client_ca),           PLAIN},
    {WSG_SECTION_LISTEN, "tls_min_version",     NULL, WSG_OPTION_WORD_BOOL, LISTEN(tls_1_3_only),        WORDS(version_words)},
    {WSG_SECTION_LISTEN, "tls_ciphers",         NULL, WSG_OPTION_TEXT,      LISTEN(tls_ciphers),         PLAIN},

    {WSG_SECTION_ROUTE, "path",               NULL, WSG_OPTION_TEXT,      ROUTE(path),               CHECK(path_check)},
    {WSG_SECTION_ROUTE, "host",               NULL, WSG_OPTION_TEXT,      ROUTE(host),               CHECK(wsg_value_check_host)},
    {WSG_SECTION_ROUTE, "kind",               NULL, WSG_OPTION_WORD,      ROUTE(kind),               WORDS(kind_words)},
    {WSG_SECTION_ROUTE, "deliver",            NULL, WSG_OPTION_WORD_BOOL, ROUTE(publish),            WORDS(deliver_words)},
    {WSG_SECTION_ROUTE, "tap",                NULL, WSG_OPTION_BOOL,      ROUTE(tap),                PLAIN},
    {WSG_SECTION_ROUTE, "accept",             NULL, WSG_OPTION_WORD_BOOL, ROUTE(accept_by_handler),  WORDS(accept_words)},
    {WSG_SECTION_ROUTE, "gatekeeper",         NULL, WSG_OPTION_TEXT,      ROUTE(gatekeeper),         CHECK(wsg_value_check_name)},
    {WSG_SECTION_ROUTE, "no_handler",         NULL, WSG_OPTION_WORD,      ROUTE(no_handler),         WORDS(no_handler_words)},
    {WSG_SECTION_ROUTE, "handler_wait",       NULL, WSG_OPTION_DURATION,  ROUTE(handler_wait_ms),    RANGE(1, DAY_MS)},
    {WSG_SECTION_ROUTE, "handler_grace",      NULL, WSG_OPTION_DURATION,  ROUTE(handler_grace_ms),   RANGE(0, DAY_MS)},
    {WSG_SECTION_ROUTE, "handler_full",       NULL, WSG_OPTION_WORD,      ROUTE(when_full),          WORDS(full_words)},
    {WSG_SECTION_ROUTE, "max_retained",       NULL, WSG_OPTION_SIZE,      ROUTE(max_retained),       RANGE(KIB, 1024 * GIB)},
    {WSG_SECTION_ROUTE, "max_backlog",        NULL, WSG_OPTION_SIZE,      ROUTE(max_backlog),        RANGE(0, 1024 * GIB)},
    {WSG_SECTION_ROUTE, "ack_timeout",        NULL, WSG_OPTION_DURATION,  ROUTE(ack_timeout_ms),     RANGE(1000, DAY_MS)},
    {WSG_SECTION_ROUTE, "max_deliveries",     NULL, WSG_OPTION_COUNT32,   ROUTE(max_deliveries),     RANGE(0, 100)},
    {WSG_SECTION_ROUTE, "undeliverable",      NULL, WSG_OPTION_WORD_BOOL, ROUTE(skips_undeliverable), WORDS(undeliverable_words)},
    {WSG_SECTION_ROUTE, "pin",                NULL, WSG_OPTION_WORD_BOOL, ROUTE(pin_by_hash),        WORDS(pin_words)},
    {WSG_SECTION_ROUTE, "pin_key",            NULL, WSG_OPTION_TEXT,      ROUTE(pin_key),            PLAIN},
    {WSG_SECTION_ROUTE, "user",               NULL, WSG_OPTION_TEXT,      ROUTE(user),               PLAIN},
    {WSG_SECTION_ROUTE, "join",               NULL, WSG_OPTION_LIST,      ROUTE(joins),              LIST(WSG_CONFIG_JOINS_MAX, wsg_value_check_text)},
    {WSG_SECTION_ROUTE, "subprotocols",       NULL, WSG_OPTION_LIST,      ROUTE(subprotocols),       LIST(WSG_CONFIG_SUBPROTOCOLS_MAX, wsg_value_check_token)},
    {WSG_SECTION_ROUTE, "check_text",         NULL, WSG_OPTION_WORD_BOOL, ROUTE(unchecked_text),     WORDS(check_words)},
    {WSG_SECTION_ROUTE, "compress",           NULL, WSG_OPTION_BOOL,      ROUTE(compress),           PLAIN},
    {WSG_SECTION_ROUTE, "compress_takeover",  NULL, WSG_OPTION_BOOL,      ROUTE(compress_takeover),  PLAIN},
    {WSG_SECTION_ROUTE, "compress_threshold", NULL, WSG_OPTION_SIZE,      ROUTE(compress_threshold), RANGE(0, GIB)},
    {WSG_SECTION_ROUTE, "compress_level",     NULL, WSG_OPTION_COUNT32,   ROUTE(compress_level),     RANGE(1, 9)},
    {WSG_SECTION_ROUTE, "compress_window",    NULL, WSG_OPTION_COUNT32,   ROUTE(compress_window),    RANGE(9, 15)},
    {WSG_SECTION_ROUTE, "gzip",               NULL, WSG_OPTION_BOOL,      ROUTE(gzip),               PLAIN},
    {WSG_SECTION_ROUTE, "gzip_level",         NULL, WSG_OPTION_COUNT32,   ROUTE(gzip_level),         RANGE(1, 9)},
    {WSG_SECTION_ROUTE, "gzip_min",           NULL, WSG_OPTION_SIZE,      ROUTE(gzip_min),           RANGE(0, GIB)},
    {WSG_SECTION_ROUTE, "max_message",        NULL, WSG_OPTION_SIZE,      ROUTE(max_message),        RANGE(1, GIB)},
    {WSG_SECTION_ROUTE, "max_frame",          NULL, WSG_OPTION_SIZE,      ROUTE(max_frame),          RANGE(1, GIB)},
    {WSG_SECTION_ROUTE, "max_fragments",      NULL, WSG_OPTION_COUNT32,   ROUTE(max_fragments),      RANGE(1, UINT32_MAX)},
    {WSG_SECTION_ROUTE, "max_queue",          NULL, WSG_OPTION_SIZE,      ROUTE(max_queue),          RANGE(KIB, 1024 * GIB)},
    {WSG_SECTION_ROUTE, "max_queue_messages", NULL, WSG_OPTION_COUNT32,   ROUTE(max_queue_messages), RANGE(1, UINT32_MAX)},
    {WSG_SECTION_ROUTE, "slow_client",        NULL, WSG_OPTION_WORD,      ROUTE(slow),               WORDS(slow_words)},
    {WSG_SECTION_ROUTE, "max_body",           NULL, WSG_OPTION_SIZE,      ROUTE(max_body),           RANGE(0, 1024 * GIB)},
    {WSG_SECTION_ROUTE, "expect",             NULL, WSG_OPTION_WORD_BOOL, ROUTE(expect_by_handler),  WORDS(accept_words)},
    {WSG_SECTION_ROUTE, "half_close",         NULL, WSG_OPTION_WORD_BOOL, ROUTE(half_close_aborts),  WORDS(half_close_words)},
    {WSG_SECTION_ROUTE, "accept_timeout",     NULL, WSG_OPTION_DURATION,  ROUTE(accept_timeout_ms),  RANGE(1, DAY_MS)},
    {WSG_SECTION_ROUTE, "body_timeout",       NULL, WSG_OPTION_DURATION,  ROUTE(body_timeout_ms),    RANGE(0, DAY_MS)},
    {WSG_SECTION_ROUTE, "request_timeout",    NULL, WSG_OPTION_DURATION,  ROUTE(request_timeout_ms), RANGE(1, DAY_MS)},
    {WSG_SECTION_ROUTE, "stream_timeout",     NULL, WSG_OPTION_DURATION,  ROUTE(stream_timeout_ms),  RANGE(0, DAY_MS)},
    {WSG_SECTION_ROUTE, "sse_keepalive",      NULL, WSG_OPTION_DURATION,  ROUTE(sse_keepalive_ms),   RANGE(0, DAY_MS)},

    {WSG_SECTION_ROUTE, "allow",              NULL, WSG_OPTION_LIST,      ROUTE(allow),              LIST(WSG_CONFIG_NETS_MAX, wsb_ip_net_check)},
    {WSG_SECTION_ROUTE, "deny",               NULL, WSG_OPTION_LIST,      ROUTE(deny),               LIST(WSG_CONFIG_NETS_MAX, wsb_ip_net_check)},
    {WSG_SECTION_ROUTE, "token",              NULL, WSG_OPTION_TEXT,      ROUTE(token),              PLAIN},
    {WSG_SECTION_ROUTE, "token_keys",         NULL, WSG_OPTION_TEXT,      ROUTE(token_keys),         PLAIN},
    {WSG_SECTION_ROUTE, "token_issuer",       NULL, WSG_OPTION_TEXT,      ROUTE(token_issuer),       PLAIN},
    {WSG_SECTION_ROUTE, "token_audience",     NULL, WSG_OPTION_TEXT,      ROUTE(token_audience),     PLAIN},
    {WSG_SECTION_ROUTE, "token_leeway",       NULL, WSG_OPTION_DURATION,  ROUTE(token_leeway_ms),    RANGE(0, 60 * 60 * 1000)},
    {WSG_SECTION_ROUTE, "token_expiry",       NULL, WSG_OPTION_WORD_BOOL, ROUTE(ends_with_token),    WORDS(expiry_words)},
    {WSG_SECTION_ROUTE, "origins",            NULL, WSG_OPTION_LIST,      ROUTE(origins),            LIST(WSG_CONFIG_ORIGINS_MAX, wsb_origin_check)},
    {WSG_SECTION_ROUTE, "methods",            NULL, WSG_OPTION_LIST,      ROUTE(methods),            LIST(WSG_CONFIG_METHODS_MAX, wsg_value_check_method)},
    {WSG_SECTION_ROUTE, "cors_origins",     NULL, WSG_OPTION_LIST,     ROUTE(cors.origins),     LIST(WSG_CONFIG_ORIGINS_MAX, wsg_value_check_page)},
    {WSG_SECTION_ROUTE, "cors_methods",     NULL, WSG_OPTION_LIST,     ROUTE(cors.methods),     LIST(WSG_CONFIG_METHODS_MAX, wsg_value_check_method)},
    {WSG_SECTION_ROUTE, "cors_headers",     NULL, WSG_OPTION_LIST,     ROUTE(cors.headers),     LIST(WSG_CONFIG_FIELDS_MAX, wsg_value_check_field)},
    {WSG_SECTION_ROUTE, "cors_expose",      NULL, WSG_OPTION_LIST,     ROUTE(cors.expose),      LIST(WSG_CONFIG_FIELDS_MAX, wsg_value_check_field)},
    {WSG_SECTION_ROUTE, "cors_credentials", NULL, WSG_OPTION_BOOL,     ROUTE(cors.credentials), PLAIN},
    {WSG_SECTION_ROUTE, "cors_max_age",     NULL, WSG_OPTION_DURATION, ROUTE(cors.max_age_ms),  RANGE(0, DAY_MS)},
    {WSG_SECTION_ROUTE, "require_subprotocol", NULL, WSG_OPTION_BOOL,     ROUTE(require_subprotocol), PLAIN},
    {WSG_SECTION_ROUTE, "max_connections",    NULL, WSG_OPTION_COUNT32,   ROUTE(max_connections),    RANGE(0, 16777216)},
    {WSG_SECTION_ROUTE, "max_pending",        NULL, WSG_OPTION_COUNT32,   ROUTE(max_pending),        RANGE(0, 16777216)},
    {WSG_SECTION_ROUTE, "handshake_rate",     NULL, WSG_OPTION_COUNT32,   ROUTE(handshake_rate),     RANGE(0, 1000000)},
    {WSG_SECTION_ROUTE, "handshake_burst",    NULL, WSG_OPTION_COUNT32,   ROUTE(handshake_burst),    RANGE(2, 1000000)},
    {WSG_SECTION_ROUTE, "ping_interval",      NULL, WSG_OPTION_DURATION,  ROUTE(ping_interval_ms),   RANGE(0, DAY_MS)},
    {WSG_SECTION_ROUTE, "ping_timeout",       NULL, WSG_OPTION_DURATION,  ROUTE(ping_timeout_ms),    RANGE(0, DAY_MS)},
    {WSG_SECTION_ROUTE, "message_timeout",    NULL, WSG_OPTION_DURATION,  ROUTE(message_timeout_ms), RANGE(0, DAY_MS)},
    {WSG_SECTION_ROUTE, "idle_timeout",       NULL, WSG_OPTION_DURATION,  ROUTE(idle_timeout_ms),    RANGE(0, 7 * DAY_MS)},
    {WSG_SECTION_ROUTE, "lifetime",           NULL, WSG_OPTION_DURATION,  ROUTE(lifetime_ms),        RANGE(0, 7 * DAY_MS)},
    {WSG_SECTION_ROUTE, "message_rate",       NULL, WSG_OPTION_COUNT32,   ROUTE(message_rate),       RANGE(0, 1000000)},
    {WSG_SECTION_ROUTE, "message_burst",      NULL, WSG_OPTION_COUNT32,   ROUTE(message_burst),      RANGE(0, 1000000)},
    {WSG_SECTION_ROUTE, "byte_rate",          NULL, WSG_OPTION_SIZE,      ROUTE(byte_rate),          RANGE(0, 1024 * GIB)},
    {WSG_SECTION_ROUTE, "byte_burst",         NULL, WSG_OPTION_SIZE,      ROUTE(byte_burst),         RANGE(0, 1024 * GIB)},
    {WSG_SECTION_ROUTE, "over_rate",          NULL, WSG_OPTION_WORD,      ROUTE(over_rate),          WORDS(rate_words)},

    {WSG_SECTION_STATIC, "directory", NULL, WSG_OPTION_TEXT, STATIC(dir), PLAIN},
    {WSG_SECTION_STATIC, "gzip_static", NULL, WSG_OPTION_BOOL, STATIC(gzip_static), PLAIN},
    {WSG_SECTION_STATIC, "cors_origins",     NULL, WSG_OPTION_LIST,     STATIC(cors.origins),     LIST(WSG_CONFIG_ORIGINS_MAX, wsg_value_check_page)},
    {WSG_SECTION_STATIC, "cors_headers",     NULL, WSG_OPTION_LIST,     STATIC(cors.headers),     LIST(WSG_CONFIG_FIELDS_MAX, wsg_value_check_field)},
    {WSG_SECTION_STATIC, "cors_expose",      NULL, WSG_OPTION_LIST,     STATIC(cors.expose),      LIST(WSG_CONFIG_FIELDS_MAX, wsg_value_check_field)},
    {WSG_SECTION_STATIC, "cors_credentials", NULL, WSG_OPTION_BOOL,     STATIC(cors.credentials), PLAIN},
    {WSG_SECTION_STATIC, "cors_max_age",     NULL, WSG_OPTION_DURATION, STATIC(cors.max_age_ms),  RANGE(0, DAY_MS)},

    {WSG_SECTION_DIAL, "url",          NULL, WSG_OPTION_TEXT,     DIAL(url),          PLAIN},
    {WSG_SECTION_DIAL, "route",        NULL, WSG_OPTION_TEXT,     DIAL(route),        PLAIN},
    {WSG_SECTION_DIAL, "headers",      NULL, WSG_OPTION_LIST,     DIAL(headers),      LIST(WSG_CONFIG_DIAL_HEADERS_MAX, wsg_value_check_text)},
    {WSG_SECTION_DIAL, "subprotocols", NULL, WSG_OPTION_LIST,     DIAL(subprotocols), LIST(WSG_CONFIG_SUBPROTOCOLS_MAX, wsg_value_check_token)},
    {WSG_SECTION_DIAL, "origin",       NULL, WSG_OPTION_TEXT,     DIAL(from),         PLAIN},
    {WSG_SECTION_DIAL, "user",         NULL, WSG_OPTION_TEXT,     DIAL(user),         PLAIN},
    {WSG_SECTION_DIAL, "groups",       NULL, WSG_OPTION_LIST,     DIAL(groups),       LIST(WSG_CONFIG_JOINS_MAX, wsg_value_check_text)},
    {WSG_SECTION_DIAL, "ca",           NULL, WSG_OPTION_TEXT,     DIAL(ca),           PLAIN},
    {WSG_SECTION_DIAL, "certificate",  NULL, WSG_OPTION_TEXT,     DIAL(certificate),  PLAIN},
    {WSG_SECTION_DIAL, "key",          NULL, WSG_OPTION_TEXT,     DIAL(key),          PLAIN},
    {WSG_SECTION_DIAL, "insecure",     NULL, WSG_OPTION_BOOL,     DIAL(insecure),     PLAIN},
    {WSG_SECTION_DIAL, "timeout",      NULL, WSG_OPTION_DURATION, DIAL(timeout_ms),   RANGE(1, DAY_MS)},
    {WSG_SECTION_DIAL, "retry_min",    NULL, WSG_OPTION_DURATION, DIAL(retry_min_ms), RANGE(1, DAY_MS)},
    {WSG_SECTION_DIAL, "retry_max",    NULL, WSG_OPTION_DURATION, DIAL(retry_max_ms), RANGE(1, DAY_MS)},

    {WSG_SECTION_BUS, "handlers",      "bus-handlers",  WSG_OPTION_TEXT, TOP(bus_handlers),  CHECK(endpoint_check)},
    {WSG_SECTION_BUS, "events",        "bus-events",    WSG_OPTION_TEXT, TOP(bus_events),    CHECK(endpoint_check)},
    {WSG_SECTION_BUS, "commands",      "bus-commands",  WSG_OPTION_TEXT, TOP(bus_commands),  CHECK(endpoint_check)},
    {WSG_SECTION_BUS, "curve_secret",  "curve-secret",  WSG_OPTION_TEXT, TOP(curve_secret),  PLAIN},
    {WSG_SECTION_BUS, "curve_clients", "curve-clients", WSG_OPTION_TEXT, TOP(curve_clients), PLAIN},

    {WSG_SECTION_BUS, "zmq_peers",     "zmq-peers",     WSG_OPTION_COUNT32, TOP(zmq_peers),  RANGE(8, 65536)},
    {WSG_SECTION_BUS, "shm",           "shm",           WSG_OPTION_BOOL, TOP(shm),           PLAIN},
    {WSG_SECTION_BUS, "shm_ring",      "shm-ring",      WSG_OPTION_SIZE, TOP(shm_ring),      RANGE(64 * KIB, 64 * MIB)},
    {WSG_SECTION_BUS, "shm_memory",    "shm-memory",    WSG_OPTION_SIZE, TOP(shm_memory),    RANGE(MIB, 1024 * GIB)},
    {WSG_SECTION_BUS, "shm_handlers",  "shm-handlers",  WSG_OPTION_COUNT32, TOP(shm_handlers), RANGE(1, 4096)},
    {WSG_SECTION_BUS, "shm_allow",     "shm-allow",     WSG_OPTION_TEXT, TOP(shm_allow),     CHECK(wsg_allow_check)},

    {WSG_SECTION_LOG, "level",  "log-level",  WSG_OPTION_WORD,   TOP(log_level),  WORDS(level_words)},
    {WSG_SECTION_LOG, "format", "log-format", WSG_OPTION_WORD,   TOP(log_format), WORDS(format_words)},
    {WSG_SECTION_LOG, "levels", "log",        WSG_OPTION_LEVELS, 0,               WORDS(level_words)},
    {WSG_SECTION_LOG, "access_log",    "access-log",    WSG_OPTION_TEXT, TOP(access_log),    PLAIN},
    {WSG_SECTION_LOG, "access_format", "access-format", WSG_OPTION_WORD, TOP(access_format), WORDS(access_words)},

    {WSG_SECTION_TIMEOUTS, "tls_handshake", "tls-handshake-timeout", WSG_OPTION_DURATION, TOP(handshake_timeout_ms), RANGE(1, DAY_MS)},
    {WSG_SECTION_TIMEOUTS, "head",          "head-timeout",      WSG_OPTION_DURATION, TOP(head_timeout_ms),      RANGE(1, DAY_MS)},
    {WSG_SECTION_TIMEOUTS, "keepalive",     "keepalive-timeout", WSG_OPTION_DURATION, TOP(keepalive_timeout_ms), RANGE(1, DAY_MS)},
    {WSG_SECTION_TIMEOUTS, "close",         "close-timeout",     WSG_OPTION_DURATION, TOP(close_timeout_ms),     RANGE(1, DAY_MS)},
    {WSG_SECTION_TIMEOUTS, "drain",         "drain-timeout",     WSG_OPTION_DURATION, TOP(drain_timeout_ms),     RANGE(0, DAY_MS)},
    {WSG_SECTION_TIMEOUTS, "drain_delay",   "drain-delay",       WSG_OPTION_DURATION, TOP(drain_delay_ms),       RANGE(0, DAY_MS)},
    {WSG_SECTION_TIMEOUTS, "drain_spread",  "drain-spread",      WSG_OPTION_DURATION, TOP(drain_spread_ms),      RANGE(0, DAY_MS)},
    {WSG_SECTION_TIMEOUTS, "ping_interval", "ping-interval",     WSG_OPTION_DURATION, TOP(ping_interval_ms),     RANGE(0, DAY_MS)},
    {WSG_SECTION_TIMEOUTS, "ping_timeout",  "ping-timeout",      WSG_OPTION_DURATION, TOP(ping_timeout_ms),      RANGE(1, DAY_MS)},

    {WSG_SECTION_LIMITS, "connections", "max-connections", WSG_OPTION_COUNT,   TOP(max_connections), RANGE(1, 16777216)},
    {WSG_SECTION_LIMITS, "connections_per_address", "max-connections-per-address", WSG_OPTION_COUNT32, TOP(max_per_address), RANGE(0, 16777216)},
    {WSG_SECTION_LIMITS, "accept_rate", "accept-rate",   WSG_OPTION_COUNT32,   TOP(accept_rate),    RANGE(0, 1000000)},
    {WSG_SECTION_LIMITS, "accept_burst", "accept-burst", WSG_OPTION_COUNT32,   TOP(accept_burst),   RANGE(1, 1000000)},
    {WSG_SECTION_LIMITS, "handshake_rate", "handshake-rate",   WSG_OPTION_COUNT32, TOP(handshake_rate),  RANGE(0, 1000000)},
    {WSG_SECTION_LIMITS, "handshake_burst", "handshake-burst", WSG_OPTION_COUNT32, TOP(handshake_burst), RANGE(2, 1000000)},
    {WSG_SECTION_LIMITS, "refuse",      "refuse",        WSG_OPTION_WORD_BOOL, TOP(answer_refused), WORDS(refuse_words)},
    {WSG_SECTION_LIMITS, "tls_handshakes", "max-tls-handshakes", WSG_OPTION_COUNT32, TOP(max_handshakes), RANGE(1, 1048576)},
    {WSG_SECTION_LIMITS, "head",        "max-head",        WSG_OPTION_SIZE,    TOP(max_head),        RANGE(KIB, MIB)},
    {WSG_SECTION_LIMITS, "headers",     "max-headers",     WSG_OPTION_COUNT32, TOP(max_headers),     RANGE(1, 10000)},
    {WSG_SECTION_LIMITS, "message_memory", "max-message-memory", WSG_OPTION_SIZE, TOP(message_memory), RANGE(KIB, 1024 * GIB)},
    {WSG_SECTION_LIMITS, "compress_memory", "max-compress-memory", WSG_OPTION_SIZE, TOP(compress_memory), RANGE(0, 1024 * GIB)},
};
/* clang-format on */
const size_t wsg_option_count = sizeof wsg_options / sizeof wsg_options[0];

const struct wsg_synonym wsg_option_synonyms[] = {
    {WSG_SECTION_TOP, "dir", "runtime_dir"},
    /* as certificates and keys are called in dial, and elsewhere */
    {WSG_SECTION_LISTEN, "certificate", "certificates"},
    {WSG_SECTION_LISTEN, "cert", "certificates"},
    {WSG_SECTION_LISTEN, "key", "keys"},
    {WSG_SECTION_LISTEN, "client_ca_file", "client_ca"},
    {WSG_SECTION_DIAL, "cert", "certificate"},
    {WSG_SECTION_DIAL, "ca_file", "ca"},
    {WSG_SECTION_DIAL, "connect_timeout", "timeout"}, /* of wsctl dial */
    {WSG_SECTION_DIAL, "join", "groups"},             /* of a route */
    {WSG_SECTION_ROUTE, "groups", "join"},            /* of dial and of ACCEPT */
    {WSG_SECTION_STATIC, "dir", "directory"},
    /* as the flags are called */
    {WSG_SECTION_LOG, "log_level", "level"},
    {WSG_SECTION_LOG, "log_format", "format"},
    {WSG_SECTION_TIMEOUTS, "tls_handshake_timeout", "tls_handshake"},
    {WSG_SECTION_TIMEOUTS, "head_timeout", "head"},
    {WSG_SECTION_TIMEOUTS, "keepalive_timeout", "keepalive"},
    {WSG_SECTION_TIMEOUTS, "close_timeout", "close"},
    {WSG_SECTION_TIMEOUTS, "drain_timeout", "drain"},
    {WSG_SECTION_LIMITS, "max_connections", "connections"},
    {WSG_SECTION_LIMITS, "max_connections_per_address", "connections_per_address"},
    {WSG_SECTION_LIMITS, "max_tls_handshakes", "tls_handshakes"},
    {WSG_SECTION_LIMITS, "max_head", "head"},
    {WSG_SECTION_LIMITS, "max_headers", "headers"},
    {WSG_SECTION_LIMITS, "max_message_memory", "message_memory"},
    {WSG_SECTION_LIMITS, "max_compress_memory", "compress_memory"},
    {0},
};

const struct wsg_synonym wsg_flag_synonyms[] = {
    {WSG_SECTION_TOP, "dir", "runtime-dir"},
    {WSG_SECTION_TOP, "bus", "runtime-dir"},
    {0},
};

static const char *const section_names[WSG_SECTIONS] = {"",    "listen", "route",    "static", "dial",
                                                        "bus", "log",    "timeouts", "limits"};

const char *wsg_section_name(enum wsg_section section)
{
    return section_names[section];
}

bool wsg_option_is_list(const struct wsg_option *o)
{
    return o->kind == WSG_OPTION_LIST || o->kind == WSG_OPTION_LEVELS;
}

static const char *documented_name(enum wsg_section section, const char *name)
{
    for (const struct wsg_synonym *s = wsg_option_synonyms; s->word; s++) {
        if (s->section == section && strcmp(s->word, name) == 0)
            return s->name;
    }
    return name;
}

const struct wsg_option *wsg_option_find(enum wsg_section section, const char *name)
{
    name = documented_name(section, name);
    for (size_t i = 0; i < wsg_option_count; i++) {
        if (wsg_options[i].section == section && strcmp(wsg_options[i].name, name) == 0)
            return &wsg_options[i];
    }
    return NULL;
}

static const char *suggest(enum wsg_section section, const char *name)
{
    struct wsb_near near = wsb_near_to(name, strlen(name));
    for (size_t i = 0; i < wsg_option_count; i++) {
        if (wsg_options[i].section == section)
            wsb_near_offer(&near, wsg_options[i].name);
    }
    for (enum wsg_section s = WSG_SECTION_LISTEN; section == WSG_SECTION_TOP && s < WSG_SECTIONS; s++)
        wsb_near_offer(&near, section_names[s]);
    return near.found;
}

static bool is_section_name(const char *name)
{
    for (enum wsg_section s = WSG_SECTION_LISTEN; s < WSG_SECTIONS; s++) {
        if (strcmp(section_names[s], name) == 0)
            return true;
    }
    return false;
}

/* The sections that have this option, as in "section 'limits' or 'dial', or outside of every section". False: none. */
static bool homes_list(const char *name, char ret[WSG_OPTION_HINT])
{
    size_t at = 0;
    ret[0] = 0;
    for (enum wsg_section s = WSG_SECTION_LISTEN; s < WSG_SECTIONS; s++) {
        if (wsg_option_find(s, name) && at < WSG_OPTION_HINT)
            at += (size_t)snprintf(ret + at, WSG_OPTION_HINT - at, "%s'%s'", at ? " or " : "in section ",
                                   section_names[s]);
    }
    if ((wsg_option_find(WSG_SECTION_TOP, name) || is_section_name(name)) && at < WSG_OPTION_HINT)
        at += (size_t)snprintf(ret + at, WSG_OPTION_HINT - at, "%soutside of every section", at ? ", or " : "");
    return at > 0;
}

void wsg_option_hint(enum wsg_section section, const char *name, char ret[WSG_OPTION_HINT])
{
    char homes[WSG_OPTION_HINT];
    const char *near;
    if (homes_list(name, homes))
        (void)snprintf(ret, WSG_OPTION_HINT, "it belongs %.*s", WSG_OPTION_HINT - 16, homes);
    else if ((near = suggest(section, name)) != NULL)
        (void)snprintf(ret, WSG_OPTION_HINT, "did you mean '%s'?", near);
    else
        (void)snprintf(ret, WSG_OPTION_HINT, "wsgate.conf(5) lists those that are known here");
}

/* As in "a key of --listen, or a flag of its own, --max-head". False: nowhere. */
static bool flag_homes_list(const char *name, char ret[WSG_OPTION_HINT])
{
    size_t at = 0;
    for (enum wsg_section s = WSG_SECTION_LISTEN; s <= WSG_SECTION_ROUTE; s++) {
        if (wsg_option_find(s, name))
            at +=
                (size_t)snprintf(ret + at, WSG_OPTION_HINT - at, "%s--%s", at ? " or " : "a key of ", section_names[s]);
    }
    for (enum wsg_section s = WSG_SECTION_TOP; s < WSG_SECTIONS; s++) {
        const struct wsg_option *o = wsg_option_find(s, name);
        if (o && o->flag) {
            at += (size_t)snprintf(ret + at, WSG_OPTION_HINT - at, "%sa flag of its own, --%s", at ? ", or " : "",
                                   o->flag);
            break;
        }
    }
    return at > 0;
}

bool wsg_option_flag_hint(enum wsg_section section, const char *name, char ret[WSG_OPTION_HINT])
{
    char homes[WSG_OPTION_HINT];
    const char *near;
    if (flag_homes_list(name, homes))
        (void)snprintf(ret, WSG_OPTION_HINT, "it is %.*s", WSG_OPTION_HINT - 16, homes);
    else if (section != WSG_SECTION_TOP && (near = suggest(section, name)) != NULL)
        (void)snprintf(ret, WSG_OPTION_HINT, "did you mean '%s'?", near);
    else
        return false;
    return true;
}

static wsb_err nomem(struct wsb_fault *fault)
{
    return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
}

/* "websocket, http or both" */
static void words_list(char *buf, size_t buf_len, const struct wsg_word *words)
{
    size_t used = 0;
    buf[0] = 0;
    for (const struct wsg_word *w = words; w->word && used < buf_len; w++) {
        const char *gap = w == words ? "" : w[1].word ? ", " : " or ";
        int n = snprintf(buf + used, buf_len - used, "%s%s", gap, w->word);
        used += n > 0 ? (size_t)n : 0;
    }
}

static const char *documented_word(const struct wsg_word *words, const char *text)
{
    for (size_t i = 0; i < sizeof word_synonyms / sizeof *word_synonyms; i++) {
        if (word_synonyms[i].words == words && strcmp(word_synonyms[i].spelling, text) == 0)
            return word_synonyms[i].word;
    }
    return text;
}

static wsb_err word_parse(const struct wsg_word *words, const char *text, int *ret, struct wsb_fault *fault)
{
    char list[80];
    const char *word = documented_word(words, text);
    for (const struct wsg_word *w = words; w->word; w++) {
        if (strcmp(w->word, word) == 0) {
            *ret = w->value;
            return WSB_OK;
        }
    }
    words_list(list, sizeof list, words);
    return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "'%.60s' is not one of %s", text, list);
}

static wsb_err text_set(const struct wsg_option *o, char **field, const char *text, struct wsb_fault *fault)
{
    wsb_err err = o->check ? o->check(text, fault) : wsg_value_check_text(text, fault);
    if (err)
        return err;
    char *copy = strdup(text);
    if (!copy)
        return nomem(fault);
    free(*field);
    *field = copy;
    return WSB_OK;
}

/* One more text of a list in which each stands once. */
static wsb_err list_add(const struct wsg_option *o, struct wsg_texts *list, const char *text, struct wsb_fault *fault)
{
    wsb_err err = o->check(text, fault);
    if (err)
        return err;
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->at[i], text) == 0)
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "'%.60s' is there twice", text);
    }
    if (list->count == o->max)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "more than %zu of them", (size_t)o->max);
    char **grown = reallocarray(list->at, list->count + 1, sizeof *grown);
    if (!grown)
        return nomem(fault);
    list->at = grown;
    grown[list->count] = strdup(text);
    if (!grown[list->count])
        return nomem(fault);
    list->count++;
    return WSB_OK;
}

static wsb_err module_refuse(const char *text, struct wsb_fault *fault)
{
    struct wsg_word modules[WSB_LOG_MODULES + 1] = {{NULL, 0}};
    char list[80];
    for (int i = 0; i < WSB_LOG_MODULES; i++)
        modules[i].word = wsb_log_module_name((enum wsb_log_module)i);
    words_list(list, sizeof list, modules);
    return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "'%.60s' is not MODULE=LEVEL, where a module is one of %s", text,
                         list);
}

static wsb_err level_set(const struct wsg_option *o, struct wsg_config *c, const char *text, struct wsb_fault *fault)
{
    char name[16];
    enum wsb_log_module module;
    int level = 0;
    const char *equals = strchr(text, '=');
    if (!equals || (size_t)(equals - text) >= sizeof name)
        return module_refuse(text, fault);
    memcpy(name, text, (size_t)(equals - text));
    name[equals - text] = 0;
    if (!wsb_log_module_parse(name, &module))
        return module_refuse(text, fault);
    wsb_err err = word_parse(o->words, equals + 1, &level, fault);
    if (!err)
        c->module_levels[module] = level;
    return err;
}

static wsb_err number_parse(const struct wsg_option *o, const char *text, uint64_t *ret, struct wsb_fault *fault)
{
    switch (o->kind) {
    case WSG_OPTION_SIZE:
        return wsg_value_size(text, o->min, o->max, ret, fault);
    case WSG_OPTION_DURATION:
        return wsg_value_duration(text, o->min, o->max, ret, fault);
    case WSG_OPTION_WORKERS:
        if (strcmp(text, "auto") == 0) {
            *ret = 0;
            return WSB_OK;
        }
        if (wsg_value_number(text, o->min, o->max, ret, NULL) == WSB_OK)
            return WSB_OK;
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "'%.60s' is not a number from %u to %u, or auto", text,
                             (unsigned)o->min, (unsigned)o->max);
    default:
        return wsg_value_number(text, o->min, o->max, ret, fault);
    }
}

static wsb_err number_set(const struct wsg_option *o, void *field, const char *text, struct wsb_fault *fault)
{
    uint64_t v = 0;
    size_t size = 0;
    wsb_err err = number_parse(o, text, &v, fault);
    if (err)
        return err;
    if (!wsb_u64_to_size(v, &size))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "'%.60s' is more than this machine can address", text);
    if (o->kind == WSG_OPTION_SIZE || o->kind == WSG_OPTION_COUNT)
        *(size_t *)field = size;
    else if (o->kind == WSG_OPTION_WORKERS)
        *(unsigned *)field = (unsigned)v;
    else
        *(uint32_t *)field = (uint32_t)v; /* the table's maximum fits */
    return WSB_OK;
}

static wsb_err word_set(const struct wsg_option *o, void *field, const char *text, struct wsb_fault *fault)
{
    int value = 0;
    wsb_err err = word_parse(o->words, text, &value, fault);
    if (err)
        return err;
    if (o->kind == WSG_OPTION_WORD_BOOL)
        *(bool *)field = value;
    else
        memcpy(field, &value, sizeof value); /* whichever enum it is, it is as large as an int */
    return WSB_OK;
}

wsb_err wsg_option_set(const struct wsg_option *o, void *target, const char *value, struct wsb_fault *fault)
{
    void *field = (char *)target + o->offset;
    switch (o->kind) {
    case WSG_OPTION_SIZE:
    case WSG_OPTION_COUNT:
    case WSG_OPTION_COUNT32:
    case WSG_OPTION_DURATION:
    case WSG_OPTION_WORKERS:
        return number_set(o, field, value, fault);
    case WSG_OPTION_MODE:
        return wsg_value_mode(value, field, fault);
    case WSG_OPTION_BOOL:
        return wsg_value_bool(value, field, fault);
    case WSG_OPTION_WORD:
    case WSG_OPTION_WORD_BOOL:
        return word_set(o, field, value, fault);
    case WSG_OPTION_TEXT:
        return text_set(o, field, value, fault);
    case WSG_OPTION_LIST:
        return list_add(o, field, value, fault);
    case WSG_OPTION_LEVELS:
        return level_set(o, target, value, fault);
    }
    return wsb_fault_set(fault, WSB_ERR_INTERNAL, 0, "option '%s' has no kind", o->name);
}
