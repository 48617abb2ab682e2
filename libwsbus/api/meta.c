/*
 * Metadata of events: JSON from the gate, parsed when somebody asks for it. And that of HELLO. An event that is no longer the
 * last one of its handle has a token that is no longer true, and then nothing is looked at.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/handle.h"
#include "base/json.h"
#include "base/json_shape.h"

enum { HEARTBEAT_MAX_MS = 60000, HEARTBEAT_MS = 1000, MESSAGE_MAX = 16 << 20, DEPTH_MAX = 64 };

/* Deeper than any gate says: the parser calls itself for each level, on whatever stack the program's thread has. */
static json_t *parse(struct wsb_span meta)
{
    static const struct wsb_json_shape most = {DEPTH_MAX, SIZE_MAX};
    if (wsb_json_shape_check(meta, &most) != WSB_OK)
        return NULL;
    json_t *root = json_loadb((const char *)meta.ptr, meta.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    if (json_is_object(root))
        return root;
    json_decref(root);
    return NULL;
}

/* -------------------------------------------------------------------- welcome */

/* Numbers come as numbers, or as hexadecimal text where JSON would lose bits. */
static uint64_t number_of(const json_t *v)
{
    if (json_is_integer(v))
        return (uint64_t)json_integer_value(v);
    return json_is_string(v) ? strtoull(json_string_value(v), NULL, 16) : 0;
}

static uint64_t in_range(const json_t *v, uint64_t low, uint64_t high, uint64_t otherwise)
{
    uint64_t n = json_is_integer(v) && json_integer_value(v) > 0 ? (uint64_t)json_integer_value(v) : otherwise;
    return n < low ? low : n > high ? high : n;
}

wsb_err wsb_welcome_parse(struct wsb_span meta, struct wsb_welcome *ret)
{
    json_t *root = meta.len ? parse(meta) : NULL;
    uint64_t epoch = number_of(json_object_get(root, "epoch"));
    if (epoch) {
        *ret = (struct wsb_welcome){
            .epoch = epoch,
            .id = number_of(json_object_get(root, "id")),
            .heartbeat_ms =
                (unsigned)in_range(json_object_get(root, "heartbeat_ms"), 10, HEARTBEAT_MAX_MS, HEARTBEAT_MS),
            .max_message = in_range(json_object_get(root, "max_message"), 1, UINT32_MAX / 2, MESSAGE_MAX),
        };
    }
    json_decref(root);
    return epoch ? WSB_OK : WSB_ERR_PROTO;
}

/* ---------------------------------------------------------------------- hello */

static struct wsb_span name_of(const struct wsb_handler_options *o)
{
    struct wsb_span s = wsb_span_str(o->name ? o->name : program_invocation_short_name);
    if (s.len > WSB_NAME_MAX && !o->name)
        s.len = WSB_NAME_MAX;
    return s;
}

static void write_kinds(struct wsb_json *j, unsigned kinds)
{
    wsb_json_key(j, "kinds");
    wsb_json_array(j);
    if (kinds & WSB_KIND_WEBSOCKET)
        wsb_json_cstr(j, "websocket");
    if (kinds & WSB_KIND_HTTP)
        wsb_json_cstr(j, "http");
    wsb_json_array_end(j);
}

wsb_err wsb_hello_write(struct wsb_buf *out, const struct wsb_handler_options *o)
{
    static const char *const levels[] = {"debug", "info", "wslog", "warn", "error"};
    struct wsb_json j;
    wsb_json_begin(&j, out);
    wsb_json_object(&j);
    wsb_json_key(&j, "routes");
    wsb_json_array(&j);
    for (size_t i = 0; i < o->route_count; i++)
        wsb_json_cstr(&j, o->routes[i]);
    wsb_json_array_end(&j);
    wsb_json_kstr(&j, "name", name_of(o));
    wsb_json_kbool(&j, "batch", true);
    wsb_json_kbool(&j, "records", true);
    wsb_json_ku64(&j, "pid", (uint64_t)getpid());
    wsb_json_kcstr(&j, "language", "C");
    wsb_json_kcstr(&j, "level", levels[o->level]);
    wsb_json_kbool(&j, "ack", true);
    wsb_json_ku64(&j, "heartbeat_ms", HEARTBEAT_MS); /* as handler.c has them sent */
    if (o->weight)
        wsb_json_ku64(&j, "weight", o->weight);
    if (o->presence)
        wsb_json_kbool(&j, "presence", true);
    if (o->kinds)
        write_kinds(&j, o->kinds);
    wsb_json_object_end(&j);
    return wsb_json_end(&j);
}

/* ---------------------------------------------------------------------- events */

/* The value of a key, in the lock of the event's handle; NULL when there is none. Parsed once an event. */
static const json_t *look_up(struct wsb_handle *h, const struct wsb_event *ev, const char *key)
{
    if (h->token != ev->token || !h->meta.len)
        return NULL;
    if (!h->parsed)
        h->parsed = parse(h->meta);
    const char *dot = strchr(key, '.');
    if (!dot)
        return json_object_get(h->parsed, key);
    const char *name;
    json_t *value;
    json_object_foreach(h->parsed, name, value)
    {
        if (strncmp(name, key, (size_t)(dot - key)) == 0 && name[dot - key] == '\0')
            return json_object_get(value, dot + 1);
    }
    return NULL;
}

/* A gate that does not say has delivered it before all the same. */
unsigned wsb_event_deliveries(struct wsb_handle *h, const struct wsb_event *ev)
{
    return (unsigned)in_range(look_up(h, ev, "deliveries"), 2, UINT32_MAX, 2);
}

static const char *text_of(const json_t *v)
{
    const char *s = json_string_value(v);
    return s && strlen(s) == json_string_length(v) ? s : NULL;
}

const char *wsb_event_str(const struct wsb_event *ev, const char *key)
{
    struct wsb_handle *h = ev && key ? wsb_peek(ev->handler) : NULL;
    if (!h)
        return NULL;
    const char *s = text_of(look_up(h, ev, key)); /* stays with the handle until the next read */
    wsb_unlock(h);
    return s;
}

int64_t wsb_event_num(const struct wsb_event *ev, const char *key, int64_t otherwise)
{
    struct wsb_handle *h = ev && key ? wsb_peek(ev->handler) : NULL;
    if (!h)
        return otherwise;
    const json_t *v = look_up(h, ev, key);
    int64_t n = json_is_integer(v) ? json_integer_value(v) : json_is_boolean(v) ? json_is_true(v) : otherwise;
    wsb_unlock(h);
    return n;
}

const char *wsb_event_item(const struct wsb_event *ev, const char *key, size_t index)
{
    struct wsb_handle *h = ev && key ? wsb_peek(ev->handler) : NULL;
    if (!h)
        return NULL;
    const char *s = text_of(json_array_get(look_up(h, ev, key), index));
    wsb_unlock(h);
    return s;
}

/* 16 hexadecimal digits; 0 for anything else, which is no connection. */
static wsb_conn conn_of(const json_t *v)
{
    enum { DIGITS = 16 };
    const char *s = text_of(v);
    bool is = s && strlen(s) == DIGITS && strspn(s, "0123456789abcdef") == DIGITS;
    return is ? strtoull(s, NULL, 16) : 0;
}

size_t wsb_event_members(const struct wsb_event *ev, wsb_conn *ret, size_t max)
{
    size_t count = 0;
    size_t i;
    const json_t *v;
    struct wsb_handle *h = ev && ev->type == WSB_EV_MEMBERS && (ret || !max) ? wsb_peek(ev->handler) : NULL;
    if (!h)
        return 0;
    json_array_foreach(look_up(h, ev, "members"), i, v)
    {
        wsb_conn conn = conn_of(v);
        if (conn && count++ < max)
            ret[count - 1] = conn;
    }
    wsb_unlock(h);
    return count;
}

static enum wsb_closed_by who(const char *name)
{
    static const char *const names[] = {
        [WSB_BY_UNKNOWN] = "",  [WSB_BY_CLIENT] = "client",   [WSB_BY_HANDLER] = "handler",
        [WSB_BY_GATE] = "gate", [WSB_BY_NETWORK] = "network", [WSB_BY_ADMIN] = "admin",
    };
    for (size_t i = 0; name && i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0)
            return (enum wsb_closed_by)i;
    }
    return WSB_BY_UNKNOWN;
}

struct wsb_close_info wsb_event_close(const struct wsb_event *ev)
{
    struct wsb_close_info info = {.by = WSB_BY_UNKNOWN, .code = 1006, .clean = false, .reason = ""};
    if (!ev || ev->type != WSB_EV_CLOSED)
        return info;
    int64_t code = wsb_event_num(ev, "code", 1006);
    const char *reason = wsb_event_str(ev, "reason");
    info.by = who(wsb_event_str(ev, "by"));
    info.code = code >= 1000 && code <= 4999 ? (unsigned)code : 1006;
    info.clean = wsb_event_num(ev, "clean", 0) != 0;
    info.reason = reason ? reason : "";
    return info;
}

const char *wsb_event_type_name(enum wsb_event_type type)
{
    const char *name = (unsigned)type < WSB_HELLO ? wsb_type_name((uint8_t)type) : NULL;
    return name ? name : "unknown";
}
