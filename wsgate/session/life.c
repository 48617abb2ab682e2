/*
 * How a client comes, says goodbye and goes. Nothing is freed in a dispatch: kill() takes the session out of everything, the
 * round's end frees it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"
#include "session/compress.h"
#include "session/parts.h"

enum {
    SILENT_MS = 1000,
    SILENT_LOOKS = 256, /* places */
    LINGER_MS = 2000,
    REAP_BYTES = 4 << 20, /* that a round frees */
    REAP_COST = 4 << 10   /* of a session besides, in bytes */
};

/* 456 takes as much of malloc() as 448 */
_Static_assert(sizeof(struct wsg_session) <= 456, "an idle connection pays for this; what few need is not in it");

/* --------------------------------------------------------------------- begin */

void wsg_session_end_http(struct wsg_session *s)
{
    if (!s->in.http)
        return;
    wsg_http_in_deinit(s->in.http);
    free(s->in.http);
    s->in.http = NULL;
}

static void peer_format(int fd, const struct wsg_address *peer, char out[WSG_ADDRESS_TEXT])
{
    unsigned uid;
    wsg_address_format(peer, out);
    if (wsg_address_is_unix(peer) && wsg_socket_peer_uid(fd, &uid))
        (void)snprintf(out, WSG_ADDRESS_TEXT, "unix:%u", uid);
}

void wsg_session_turn_away(struct wsg_session *s, enum wsg_refusal why)
{
    wsg_gatekeeping_count(s->env->gatekeeping, why);
    if (s->env->gatekeeping->answers && why != WSG_REFUSED_ADDRESS && !s->secure) {
        wsg_exchange_error(s, 503, wsg_refusal_name(why), NULL, 0);
        return;
    }
    WSB_LOG_FEW(&s->env->lines.refused, WSG_REFUSED_LINES, wsg_loop_now_ms(s->env->loop), WSB_LOG_HTTP, WSB_LOG_INFO,
                "refused", WSB_KS("why", wsg_refusal_name(why)), WSB_KS("peer", s->peer));
    wsg_session_kill(s, wsg_refusal_name(why));
}

struct wsg_session *wsg_session_new(struct wsg_env *env, int fd, const char *peer)
{
    struct wsg_session *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->watch = (struct wsg_watch){.fd = fd, .fn = wsg_session_on_socket};
    s->timer.fn = wsg_session_on_timer;
    s->env = env;
    s->receipts_end = &s->receipts;
    if (wsg_session_set_peer(s, wsb_span_str(peer)))
        return s;
    free(s);
    return NULL;
}

/* Of somebody who has come by a listener. */
static struct wsg_session *session_of(struct wsg_env *env, int fd, uint8_t entrance, const struct wsg_address *peer,
                                      struct wsb_tls_context *tls)
{
    const struct wsg_entrance *by = &env->gatekeeping->entrances[entrance];
    char text[WSG_ADDRESS_TEXT];
    peer_format(fd, peer, text);
    struct wsg_session *s = wsg_session_new(env, fd, text);
    if (!s)
        return NULL;
    s->entrance = entrance;
    s->state = by->has_proxy_header ? WSG_SESSION_PROXY : tls ? WSG_SESSION_SECURING : WSG_SESSION_HTTP;
    s->in.http = malloc(sizeof *s->in.http);
    if (s->in.http)
        wsg_http_in_init(s->in.http, &by->http_limits);
    if (s->in.http && (!tls || wsg_secure_begin(s, tls) == WSB_OK))
        return s;
    wsg_session_free(s);
    return NULL;
}

wsb_err wsg_session_enlist(struct wsg_session *s, uint32_t timeout_ms)
{
    struct wsg_env *env = s->env;
    wsb_err err = wsg_slots_add(&env->slots, s, &s->id);
    if (err)
        return err;
    s->opened_ms = s->active_ms = wsg_loop_now_ms(env->loop);
    err = wsg_loop_watch(env->loop, &s->watch, EPOLLIN);
    if (!err)
        err = wsg_loop_arm(env->loop, &s->timer, s->opened_ms + timeout_ms);
    if (err) {
        wsg_loop_unwatch(env->loop, &s->watch);
        wsg_slots_remove(&env->slots, s->id);
    }
    return err;
}

/* Soon it is looked whether it has said anything at all. */
static uint32_t first_timeout_ms(const struct wsg_entrance *by)
{
    return by->handshake_timeout_ms < SILENT_MS ? by->handshake_timeout_ms : SILENT_MS;
}

wsb_err wsg_session_open(struct wsg_env *env, int fd, uint8_t entrance, const struct wsg_address *peer,
                         struct wsb_tls_context *tls)
{
    const struct wsg_entrance *by = &env->gatekeeping->entrances[entrance];
    struct wsg_session *s = session_of(env, fd, entrance, peer, tls);
    bool is_secure = s && s->state == WSG_SESSION_SECURING;
    wsb_err err = s ? wsg_session_enlist(s, is_secure ? first_timeout_ms(by) : by->head_timeout_ms) : WSB_ERR_NOMEM;
    enum wsg_refusal why;
    if (err) {
        wsg_gatekeeping_count(env->gatekeeping, WSG_REFUSED_MEMORY);
        close(fd);
        if (s)
            wsg_session_free(s);
        return err;
    }
    struct wsb_ip ip = wsg_ip_of_peer(s->peer);
    if (s->state == WSG_SESSION_PROXY) {
        if (!wsb_ip_nets_have(&env->gatekeeping->trusted, &ip))
            wsg_session_turn_away(s, WSG_REFUSED_ADDRESS);
        else
            s->is_trusted = true;
    } else if (!wsg_gatekeeping_enter(s, &ip, &why)) {
        wsg_session_turn_away(s, why);
    }
    return WSB_OK;
}

static bool is_silent(const struct wsg_session *s)
{
    bool has_not_begun = s->state == WSG_SESSION_SECURING || s->state == WSG_SESSION_PROXY ||
                         (s->state == WSG_SESSION_HTTP && !s->request_begun);
    bool was_answered = s->out.queued != 0;
    return has_not_begun && !was_answered && s->active_ms == s->opened_ms && !wsg_secure_has_begun(s);
}

bool wsg_sessions_end_silent(struct wsg_env *env)
{
    const struct wsg_slots *t = &env->slots;
    uint64_t now_ms = wsg_loop_now_ms(env->loop);
    struct wsg_session *oldest = NULL;
    for (uint32_t n = 0; n < SILENT_LOOKS && n < t->count; n++, env->silent_at++) {
        struct wsg_session *s = t->slots[env->silent_at % t->count].value;
        if (s && is_silent(s) && now_ms - s->opened_ms >= SILENT_MS && (!oldest || s->opened_ms < oldest->opened_ms))
            oldest = s;
    }
    if (!oldest)
        return false;
    wsg_gatekeeping_count(env->gatekeeping, WSG_REFUSED_SILENT);
    wsg_session_kill(oldest, "silent, and others wait");
    return true;
}

/* ----------------------------------------------------------------------- end */

uint32_t wsg_session_linger_ms(const struct wsg_session *s)
{
    return s->env->close_timeout_ms < LINGER_MS ? s->env->close_timeout_ms : LINGER_MS;
}

/* Say no more, let the output leave, then wait a moment for the client to close. */
void wsg_session_linger(struct wsg_session *s)
{
    if (s->state == WSG_SESSION_DEAD)
        return;
    s->state = WSG_SESSION_LINGER;
    wsg_unfinished_end(s);
    if (s->in_is_ws)
        wsb_ws_in_deinit(&s->in.ws); /* nothing more of it is looked at */
    wsg_session_end_pause(s);
    s->paused = 0;
    wsg_session_drop_unread(s);
    wsg_compress_end(s);
    wsg_session_set_timer(s, s->out.bytes ? s->env->close_timeout_ms : wsg_session_linger_ms(s));
    wsg_session_mark_dirty(s);
    wsg_session_watch(s);
}

static void drop_receipts(struct wsg_session *s)
{
    while (s->receipts)
        wsg_session_end_receipt(s, s->receipts, WSB_OUTCOME_GONE, "closed before it was written");
}

/* RFC 9112 §6.3: the end of the connection would be the end of the response, whatever is missing of it. With TLS too:
 * many take an end without close_notify for one. */
static bool would_look_whole(const struct wsg_session *s)
{
    bool is_answering = s->exchange && s->exchange->response_begun && !s->exchange->response_complete;
    return s->ends_by_close && (is_answering || s->out.bytes);
}

void wsg_session_kill(struct wsg_session *s, const char *why)
{
    if (s->state == WSG_SESSION_DEAD)
        return;
    WSB_LOG(s->in_is_ws ? WSB_LOG_WS : WSB_LOG_HTTP, WSB_LOG_DEBUG, "connection ended", WSB_KID("conn", s->id),
            WSB_KS("why", why), WSB_KS("peer", s->peer));
    if (s->exchange)
        wsg_access_end(s);
    wsg_access_end_websocket(s, WSG_BY_NETWORK, 1006, /*clean=*/false); /* unless that was told */
    drop_receipts(s);
    wsg_deliver_end(s);
    wsg_unfinished_end(s);
    wsg_session_end_pause(s);
    if (s->in_is_ws)
        wsg_count(&s->route->tally.closed, 1);
    if (s->exchange && s->exchange->is_sent)
        wsg_emit_done(s);
    wsg_session_stop_reading(s);
    if (s->is_tapped)
        s->env->taps--;
    wsg_gatekeeping_leave(s);
    if (s->is_dialed)
        wsg_dialed_end(s);
    s->state = WSG_SESSION_DEAD;
    s->env->flushing.ended++;
    wsg_loop_unwatch(s->env->loop, &s->watch);
    wsg_loop_disarm(s->env->loop, &s->timer);
    if (s->secure)
        wsg_secure_end(s);
    if (would_look_whole(s))
        wsg_socket_doom(s->watch.fd);
    close(s->watch.fd);
    s->watch.fd = -1;
    wsg_slots_remove(&s->env->slots, s->id);
    s->next_dead = s->env->dead;
    s->env->dead = s;
}

void wsg_session_free(struct wsg_session *s)
{
    wsg_outq_deinit(&s->out, &s->env->pool);
    wsg_secure_free(s);
    wsg_exchange_free(s);
    if (s->in_is_ws)
        wsb_ws_in_deinit(&s->in.ws);
    else
        wsg_session_end_http(s);
    wsg_session_drop_unread(s);
    free(s->peer);
    wsg_compress_end(s); /* it may be in the place of the next */
    free(s->close_reason);
    free(s->asked_ping);
    wsg_terms_free(s);
    free(s);
}

bool wsg_sessions_reap(struct wsg_env *env)
{
    struct wsg_session **at = &env->dead;
    size_t left = REAP_BYTES;
    while (*at && left) {
        struct wsg_session *s = *at;
        if (s->is_dirty) { /* still in a line: when that is over */
            at = &s->next_dead;
            continue;
        }
        size_t cost = s->out.bytes + wsg_packing_waiting(s) + REAP_COST;
        left -= cost < left ? cost : left;
        *at = s->next_dead;
        wsg_session_free(s);
    }
    return left != 0;
}
