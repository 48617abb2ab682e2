/* The lines about a handler that is not registered, and when they are due. */
#include "api/trouble.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/runtime_dir.h"

#define IPC     "ipc://"
#define CHANNEL "/handlers"

static const char say_where[] = "start wsgate there, or name its runtime directory with WSBUS_DIR";

/* ------------------------------------------------------------------- begin, end */

/* Names and a gate's words end up on a terminal and in logs of lines. */
static void make_printable(char *s)
{
    for (; *s; s++) {
        if ((uint8_t)*s < 0x20 || (uint8_t)*s > 0x7e)
            *s = '?';
    }
}

static wsb_err write_who(struct wsb_buf *out, const char *name, const char *const *routes, size_t count)
{
    wsb_err err = wsb_buf_printf(out, "handler '%.64s' (%s", name,
                                 count == 1 ? "route"
                                 : count    ? "routes"
                                            : "no route");
    for (size_t i = 0; i < count && i < WSB_TROUBLE_ROUTES && !err; i++)
        err = wsb_buf_printf(out, "%s '%.64s'", i ? "," : "", routes[i]);
    if (!err && count > WSB_TROUBLE_ROUTES)
        err = wsb_buf_append_str(out, ", ...");
    return err ? err : wsb_buf_append(out, ")", 2);
}

wsb_err wsb_trouble_init(struct wsb_trouble *t, const char *name, const char *const *routes, size_t route_count,
                         const char *endpoint)
{
    struct wsb_buf who;
    bool is_local = strncmp(endpoint, IPC, strlen(IPC)) == 0;
    *t = (struct wsb_trouble){0};
    wsb_buf_init(&who, WSB_TROUBLE_LINE);
    wsb_err err = write_who(&who, name, routes, route_count);
    if (!err) {
        t->who = strdup((const char *)who.data);
        t->where = strdup(is_local ? endpoint + strlen(IPC) : endpoint);
        err = t->who && t->where ? WSB_OK : WSB_ERR_NOMEM;
    }
    wsb_buf_deinit(&who);
    if (err)
        return err;
    char *channel = is_local ? strrchr(t->where, '/') : NULL;
    if (channel && strcmp(channel, CHANNEL) == 0)
        *channel = '\0';
    make_printable(t->who);
    return WSB_OK;
}

void wsb_trouble_set_key(struct wsb_trouble *t, const char *public_key)
{
    (void)snprintf(t->public_key, sizeof t->public_key, "%s", public_key);
}

void wsb_trouble_deinit(struct wsb_trouble *t)
{
    free(t->who);
    free(t->where);
    t->who = t->where = NULL;
}

const char *wsb_trouble_directory(const struct wsb_trouble *t)
{
    return t->where && t->where[0] == '/' ? t->where : NULL;
}

/* ------------------------------------------------------------------------ lines */

static void write_line(struct wsb_trouble *t)
{
    bool is_local = wsb_trouble_directory(t) != NULL;
    char *out = t->line;
    size_t size = sizeof t->line;
    int n = snprintf(out, size, "wsbus: %s: ", t->who);
    out += n;
    size -= (size_t)n;
    switch (t->kind) {
    case WSB_TROUBLE_NONE:
        (void)snprintf(out, size, "registered with the gate at %s", t->where);
        break;
    case WSB_TROUBLE_ABSENT:
        (void)snprintf(out, size, "no gate at %s: no socket is there; %s", t->where, say_where);
        break;
    case WSB_TROUBLE_DENIED:
        (void)snprintf(out, size, WSB_RUNTIME_DIR_DENIED, t->where, "the handler");
        break;
    case WSB_TROUBLE_DEAF:
        (void)snprintf(out, size, "no gate at %s: nobody listens there; %s", t->where,
                       is_local ? say_where : "start wsgate there, or correct the address");
        break;
    case WSB_TROUBLE_HANDSHAKE:
        if (*t->public_key)
            (void)snprintf(out, size,
                           "the gate at %s refuses the connection; put our public key %s on its list of keys, and "
                           "compare server_key with the gate's",
                           t->where, t->public_key);
        else
            (void)snprintf(out, size,
                           "the gate at %s refuses the connection; look at its log, and set server_key and key_file if "
                           "it wants keys",
                           t->where);
        break;
    case WSB_TROUBLE_LINK:
        (void)snprintf(out, size, "the gate at %s refuses shared memory: %s; use another link", t->where, t->why);
        break;
    case WSB_TROUBLE_REFUSED:
        (void)snprintf(out, size,
                       "the gate at %s refuses the registration: %s; correct the handler, or the gate's configuration",
                       t->where, t->why);
        break;
    case WSB_TROUBLE_MUTE:
    case WSB_TROUBLE_KINDS:
        (void)snprintf(out, size, "the gate at %s does not answer; look at its log", t->where);
        break;
    }
    t->level = t->kind ? WSB_LOG_WARN : WSB_LOG_INFO;
    t->is_pending = true;
}

/* ------------------------------------------------------------------------- times */

static void end_trouble(struct wsb_trouble *t, uint64_t now_ms)
{
    bool was_told = t->is_told;
    t->kind = WSB_TROUBLE_NONE;
    t->is_told = false;
    t->interval_ms = 0;
    if (!was_told)
        return;
    t->told_ms = now_ms;
    write_line(t);
}

void wsb_trouble_note(struct wsb_trouble *t, enum wsb_trouble_kind kind, const char *why, uint64_t now_ms)
{
    char plain[WSB_TROUBLE_WHY];
    if (kind == WSB_TROUBLE_NONE) {
        if (t->kind)
            end_trouble(t, now_ms);
        return;
    }
    (void)snprintf(plain, sizeof plain, "%s", why);
    make_printable(plain);
    if (kind != t->kind || strcmp(plain, t->why) != 0) {
        t->kind = kind;
        memcpy(t->why, plain, sizeof plain);
        t->interval_ms = 0;
    }
    bool is_due = t->interval_ms == 0 || now_ms >= t->again_ms;
    if (!is_due || (t->told_ms && now_ms - t->told_ms < WSB_TROUBLE_LEAST_MS))
        return;
    t->interval_ms = t->interval_ms ? t->interval_ms * 2 : WSB_TROUBLE_FIRST_MS;
    if (t->interval_ms > WSB_TROUBLE_LAST_MS)
        t->interval_ms = WSB_TROUBLE_LAST_MS;
    t->told_ms = now_ms;
    t->again_ms = now_ms + t->interval_ms;
    t->is_told = true;
    write_line(t);
}
