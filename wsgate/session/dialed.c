/*
 * Where a connection that was dialed joins the others. A worker has few of them, so what only they need stands beside the
 * sessions and is looked for.
 */
#include "session/dialed.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "session/compress.h"
#include "session/framing.h"
#include "session/parts.h"
#include "ws/dial.h"

static struct wsg_dialed *dialed_of(const struct wsg_session *s)
{
    struct wsg_dialed *d = s->env->dialed;
    while (d->session != s)
        d = d->next;
    return d;
}

void wsg_dialed_note(struct wsg_session *s, enum wsg_by by, uint16_t code, struct wsb_span reason)
{
    struct wsg_dialed *d = dialed_of(s);
    d->close_by = (uint8_t)by;
    d->close_code = code;
    (void)snprintf(d->close_reason, sizeof d->close_reason, "%.*s", (int)reason.len,
                   reason.len ? (const char *)reason.ptr : "");
}

void wsg_dialed_end(struct wsg_session *s)
{
    struct wsg_dialed *d = dialed_of(s);
    struct wsg_dialed **at = &s->env->dialed;
    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    d->session = NULL;
    d->ended_ms = wsg_loop_now_ms(s->env->loop);
    d->ended(d);
}

/* ------------------------------------------------------------------ metadata */

/* The answer's, as OPEN of a client has those of its request. */
static void put_fields(struct wsg_session *s, struct wsb_json *j, const char *fields)
{
    struct wsg_http_header headers[WSB_DIAL_FIELDS_MAX];
    struct wsg_http_head head = {.headers = headers};
    struct wsb_span rest = wsb_span_str(fields);
    while (head.header_count < WSB_DIAL_FIELDS_MAX &&
           wsb_dial_next_field(&rest, &headers[head.header_count].name, &headers[head.header_count].value))
        head.header_count++;
    wsg_meta_put_headers(j, &head, NULL, &s->env->text2);
}

static wsb_err write_meta(struct wsg_session *s, const struct wsg_dialed *d, struct wsb_buf *out)
{
    struct wsb_json j;
    char extensions[WSB_DEFLATE_TEXT_SIZE];
    struct wsb_span target = wsb_span_str(d->path);
    const char *query = strchr(d->path, '?');
    wsb_json_begin(&j, out);
    wsb_json_object(&j);
    wsb_json_kcstr(&j, "route", s->route->name);
    wsb_json_key(&j, "params");
    wsb_json_object(&j);
    wsb_json_object_end(&j);
    wsb_json_kstr(&j, "target", target);
    wsb_json_kstr(&j, "path", wsb_span(target.ptr, query ? (size_t)(query - d->path) : target.len));
    wsb_json_kcstr(&j, "query", query ? query + 1 : "");
    wsb_json_kcstr(&j, "host", d->host);
    wsb_json_kcstr(&j, "peer", s->peer);
    wsb_json_kcstr(&j, "scheme", s->secure ? "wss" : "ws");
    wsg_secure_write_meta(s, &j);
    wsb_json_kcstr(&j, "origin", "");
    wsb_json_kcstr(&j, "subprotocol", d->subprotocol);
    wsb_json_kcstr(&j, "extensions", wsg_compress_text(s, extensions));
    wsb_json_key(&j, "offered");
    wsb_json_array(&j);
    wsb_json_array_end(&j);
    put_fields(s, &j, d->fields);
    wsb_json_key(&j, "dialed");
    wsb_json_object(&j);
    wsb_json_kcstr(&j, "name", d->name);
    wsb_json_kcstr(&j, "url", d->url);
    wsb_json_object_end(&j);
    wsb_json_object_end(&j);
    return wsb_json_end(&j);
}

/* Whose it is, in OPEN's form: the user, then the groups, each with a NUL. */
static wsb_err write_identity(const struct wsg_dialed *d, struct wsb_buf *out)
{
    wsb_err err = WSB_OK;
    if (!d->user && d->groups->count == 0)
        return WSB_OK;
    if (d->user)
        err = wsb_buf_append_str(out, d->user);
    if (!err)
        err = wsb_buf_append(out, "", 1);
    for (size_t i = 0; i < d->groups->count && !err; i++)
        err = wsb_buf_append(out, d->groups->at[i], strlen(d->groups->at[i]) + 1);
    return err;
}

/* ----------------------------------------------------------------- beginning */

static wsb_err make_masks(struct wsg_env *env)
{
    if (!env->masks)
        env->masks = calloc(1, sizeof *env->masks);
    return env->masks ? WSB_OK : WSB_ERR_NOMEM;
}

/* All that can fail, before anybody hears of it. */
static wsb_err furnish(struct wsg_session *s, struct wsg_dialed *d)
{
    struct wsg_exchange *x = calloc(1, sizeof *x);
    if (!x)
        return WSB_ERR_NOMEM;
    s->exchange = x; /* for as long as OPEN is written */
    wsb_buf_init(&x->body, 0);
    wsb_buf_init(&x->meta, 0);
    x->key = wsg_key_hash(&s->env->routes->seed, wsb_span_str(d->url));
    bool ok = wsg_session_set_target(s, wsb_span_str(d->target)) &&
              (!*d->subprotocol || wsg_session_set_subprotocol(s, wsb_span_str(d->subprotocol)));
    wsb_err err = ok ? WSB_OK : WSB_ERR_NOMEM;
    if (!err)
        err = make_masks(s->env);
    if (!err && d->tls)
        err = wsg_secure_adopt(s, d->tls);
    if (!err && s->secure)
        d->tls = NULL;
    if (!err && d->is_compressed)
        err = wsg_compress_begin_client(s, &d->deflate);
    if (!err)
        err = write_meta(s, d, &x->meta);
    return err ? err : write_identity(d, &x->body);
}

static void begin(struct wsg_session *s, struct wsg_dialed *d)
{
    struct wsb_buf unread = d->unread;
    wsb_buf_init(&d->unread, 0);
    wsg_emit_begin(s, WSB_OPEN, 0);
    wsg_websocket_open(s);
    d->opened_ms = s->opened_ms;
    if (unread.len) /* frames that came with the answer */
        wsg_session_take_bytes(s, unread.data, unread.len);
    wsb_buf_deinit(&unread);
}

static void peer_format(int fd, char out[WSG_ADDRESS_TEXT])
{
    struct wsg_address a = {.len = sizeof a.storage};
    if (getpeername(fd, (struct sockaddr *)&a.storage, &a.len) == 0)
        wsg_address_format(&a, out);
    else
        out[0] = 0; /* it has gone already, as reading will tell */
}

wsb_err wsg_session_adopt(struct wsg_env *env, struct wsg_dialed *d)
{
    char peer[WSG_ADDRESS_TEXT];
    wsb_err err = WSB_ERR_NOMEM;
    peer_format(d->fd, peer);
    struct wsg_session *s = wsg_session_new(env, d->fd, peer);
    d->session = NULL;
    d->close_code = 0;
    d->close_reason[0] = 0;
    if (s) {
        s->state = WSG_SESSION_PENDING;
        s->is_dialed = true;
        s->route = d->route;
        err = furnish(s, d);
    }
    if (!err)
        err = wsg_session_enlist(s, env->close_timeout_ms);
    if (err) {
        (void)close(d->fd);
        d->fd = -1;
        wsb_tls_stream_free(d->tls);
        d->tls = NULL;
        wsb_buf_deinit(&d->unread);
        if (s)
            wsg_session_free(s);
        return err;
    }
    d->fd = -1;
    d->session = s;
    d->id = s->id;
    d->next = env->dialed;
    env->dialed = d;
    begin(s, d);
    return WSB_OK;
}
