/*
 * Addresses at the door. A connection is judged by the address of its client, which is that of its socket, or what the
 * header of the PROXY protocol says; a handshake that a trusted proxy hands on is judged once more, by the address that
 * the proxy names (websocket.c).
 */
#include "session/gatekeeping.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "bus/key.h"
#include "net/proxy_header.h"
#include "session/parts.h"

struct wsb_ip wsg_ip_of_peer(const char *peer)
{
    struct wsb_ip ip = {{0}}; /* of who comes over a Unix socket, and has no address */
    struct wsb_span text = wsg_address_of_peer(wsb_span_str(peer));
    if (text.len >= 2 && text.ptr[0] == '[')
        text = wsb_span(text.ptr + 1, text.len - 2);
    if (text.len && !wsb_ip_parse(text, &ip))
        ip = wsb_ip_unknown();
    return ip;
}

static void peer_format(const struct wsb_ip *ip, uint16_t port, char out[WSG_ADDRESS_TEXT])
{
    char text[WSB_IP_TEXT];
    wsb_ip_format(ip, text);
    if (wsb_ip_is_unknown(ip))
        (void)snprintf(out, WSG_ADDRESS_TEXT, "%s", text);
    else
        (void)snprintf(out, WSG_ADDRESS_TEXT, wsb_ip_is_v4(ip) ? "%s:%u" : "[%s]:%u", text, (unsigned)port);
}

/* --------------------------------------------------------------- in and out */

static enum wsg_refusal refusal_of(enum wsg_visit visit)
{
    return visit == WSG_VISIT_TOO_MANY   ? WSG_REFUSED_PER_ADDRESS
           : visit == WSG_VISIT_TOO_FAST ? WSG_REFUSED_RATE
                                         : WSG_REFUSED_MEMORY;
}

bool wsg_gatekeeping_count_client(struct wsg_session *s, const struct wsb_ip *ip, enum wsg_refusal *ret_why)
{
    struct wsg_visitors *visitors = s->env->gatekeeping->visitors;
    if (!visitors)
        return true;
    enum wsg_visit visit = wsg_visitors_enter(visitors, ip, wsg_loop_now_ms(s->env->loop));
    s->is_counted = visit == WSG_VISIT_WELCOME;
    if (!s->is_counted)
        *ret_why = refusal_of(visit);
    return s->is_counted;
}

bool wsg_gatekeeping_enter(struct wsg_session *s, const struct wsb_ip *ip, enum wsg_refusal *ret_why)
{
    struct wsg_gatekeeping *g = s->env->gatekeeping;
    s->is_trusted = wsb_ip_nets_have(&g->trusted, ip);
    if (!wsb_ip_rules_admit(&wsg_session_entrance(s)->rules, ip)) {
        *ret_why = WSG_REFUSED_ADDRESS;
        return false;
    }
    return s->is_trusted || wsg_gatekeeping_count_client(s, ip, ret_why); /* a proxy comes for many */
}

void wsg_gatekeeping_leave(struct wsg_session *s)
{
    if (!s->is_counted)
        return;
    struct wsb_ip ip = wsg_ip_of_peer(s->peer);
    s->is_counted = false;
    wsg_visitors_leave(s->env->gatekeeping->visitors, &ip, wsg_loop_now_ms(s->env->loop));
}

/* ------------------------------------------------------- the PROXY protocol */

static void refuse_header(struct wsg_session *s, const char *why)
{
    wsg_gatekeeping_count(s->env->gatekeeping, WSG_REFUSED_PROXY);
    WSB_LOG_FEW(&s->env->lines.refused, WSG_REFUSED_LINES, wsg_loop_now_ms(s->env->loop), WSB_LOG_HTTP, WSB_LOG_INFO,
                "refused", WSB_KS("why", why), WSB_KS("peer", s->peer));
    wsg_session_kill(s, why);
}

static void header_done(struct wsg_session *s, const struct wsg_proxy_header *h)
{
    char peer[WSG_ADDRESS_TEXT];
    enum wsg_refusal why;
    s->state = s->secure ? WSG_SESSION_SECURING : WSG_SESSION_HTTP;
    if (s->secure)
        wsg_session_set_timer(s, wsg_session_entrance(s)->handshake_timeout_ms);
    if (!h->has_client)
        return; /* LOCAL: the proxy itself, to see whether we live */
    peer_format(&h->ip, h->port, peer);
    if (!wsg_session_set_peer(s, wsb_span_str(peer)))
        wsg_session_kill(s, "out of memory");
    else if (!wsg_gatekeeping_enter(s, &h->ip, &why))
        wsg_session_turn_away(s, why);
}

/* What has come is looked at before it is taken, so that the client's own first bytes stay where they are. */
void wsg_gatekeeping_read_proxy(struct wsg_session *s)
{
    struct wsg_proxy_header h;
    uint8_t *bytes = s->env->scratch;
    size_t had = s->unread ? s->unread->bytes.len : 0;
    size_t len = 0;
    size_t used = 0;
    if (had)
        memcpy(bytes, s->unread->bytes.data, had);
    wsb_err err = wsg_socket_peek(s->watch.fd, bytes + had, WSG_PROXY_HEADER_MAX - had, &len);
    if (err == WSB_AGAIN)
        return;
    if (err) {
        wsg_session_kill(s, "the connection ended before its PROXY header did");
        return;
    }
    err = wsg_proxy_header_parse(bytes, had + len, &h, &used);
    if (err == WSB_MORE)
        used = had + len;
    else if (err) {
        refuse_header(s, "not a PROXY header");
        return;
    }
    if (wsg_socket_read(s->watch.fd, bytes + had, used - had, &len) != WSB_OK || len != used - had)
        wsg_session_kill(s, "the connection was reset");
    else if (err == WSB_MORE)
        wsg_session_keep_unread(s, bytes + had, len);
    else {
        wsg_session_drop_unread(s);
        header_done(s, &h);
    }
}

/* ------------------------------------------------------------- behind proxies */

bool wsg_gatekeeping_client(const struct wsg_session *s, const struct wsg_http_head *head,
                            char ret_peer[WSG_ADDRESS_TEXT], struct wsb_span *ret_proto, bool *ret_is_broken)
{
    const struct wsg_gatekeeping *g = s->env->gatekeeping;
    struct wsg_forwarded_client c;
    *ret_proto = wsb_span(NULL, 0);
    *ret_is_broken = false;
    if (g->forwarded == WSG_FORWARDED_NONE || !s->is_trusted)
        return false;
    bool found = wsg_forwarded_find(g->forwarded, head->headers, head->header_count, &g->trusted, &c);
    *ret_proto = c.proto;
    *ret_is_broken = c.is_broken;
    if (found)
        peer_format(&c.ip, c.port, ret_peer);
    return found;
}
