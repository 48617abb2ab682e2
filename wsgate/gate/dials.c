/*
 * What is dialed, and when. Three threads have to do with one dial, never two at a time: the attempt's, its worker's and this
 * one; whoever is done posts a task to the next.
 */
#include "gate/dials.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "config/value.h"
#include "gate/gate_parts.h"
#include "ws/close.h"
#include "ws/url.h"

enum { LOOK_MS = 250, FAILURES_COUNTED = 30 };

const char *wsg_dial_state_name(enum wsg_dial_state state)
{
    static const char *const names[] = {"waiting", "pausing", "connecting", "opening", "open", "stopped"};
    return names[state];
}

const char *wsg_dial_failure_name(enum wsg_dial_failure failure)
{
    static const char *const names[] = {"address", "connect", "timeout", "tls", "refused", "protocol", "memory"};
    return names[failure];
}

static enum wsg_dial_failure failure_of(enum wsb_reason reason)
{
    switch (reason) {
    case WSB_REASON_ADDRESS:
        return WSG_DIAL_ADDRESS;
    case WSB_REASON_TIMEOUT:
        return WSG_DIAL_TIMEOUT;
    case WSB_REASON_TLS:
        return WSG_DIAL_TLS;
    case WSB_REASON_REFUSED:
        return WSG_DIAL_REFUSED;
    case WSB_REASON_PROTOCOL:
        return WSG_DIAL_PROTOCOL;
    case WSB_REASON_NOMEM:
        return WSG_DIAL_MEMORY;
    default:
        return WSG_DIAL_CONNECT;
    }
}

/* --------------------------------------------------------------------- states */

static void enter(struct wsg_dial *d, enum wsg_dial_state state)
{
    d->state = state;
    d->since_ms = wsg_loop_now_ms(d->dials->loop);
}

static void dial_free(struct wsg_dial *d)
{
    wsg_dial_attempt_free(d->attempt);
    wsg_dial_config_deinit(&d->own);
    free(d->target);
    free(d->path);
    free(d->host);
    free(d);
}

static void forget(struct wsg_dial *d)
{
    wsg_loop_disarm(d->dials->loop, &d->timer);
    struct wsg_dial **at = &d->dials->first;
    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    d->dials->count--;
    dial_free(d);
}

static wsb_err arm(struct wsg_dial *d, uint64_t after_ms)
{
    d->due_ms = wsg_loop_now_ms(d->dials->loop) + after_ms;
    return wsg_loop_arm(d->dials->loop, &d->timer, d->due_ms);
}

/* Stopped until somebody starts it; what was made while the gate runs is gone. */
static void retire(struct wsg_dial *d)
{
    wsg_loop_disarm(d->dials->loop, &d->timer);
    d->is_stopping = d->is_wanted = false;
    enter(d, WSG_DIAL_STOPPED);
    if (d->is_own)
        forget(d);
}

/* The last that is done with a dial: it may be gone afterwards. */
static void come_back(struct wsg_dial *d, uint64_t after_ms)
{
    if (arm(d, after_ms) == WSB_OK)
        return;
    WSB_LOG(WSB_LOG_GATE, WSB_LOG_ERROR, "a dial is given up: out of memory", WSB_KS("dial", d->config->name));
    retire(d);
}

static void begin_anew(struct wsg_dial *d)
{
    d->is_stopping = d->is_wanted = false;
    d->failures_in_a_row = 0;
    enter(d, WSG_DIAL_WAITING);
    come_back(d, 0);
}

/* Nothing of it is under way any more. */
static void rest(struct wsg_dial *d)
{
    if (d->is_wanted && !d->dials->is_draining)
        begin_anew(d);
    else
        retire(d);
}

static uint32_t chance(uint32_t below)
{
    uint32_t v = 0;
    if (getrandom(&v, sizeof v, 0) != sizeof v)
        v = (uint32_t)(uintptr_t)&v; /* it only spreads attempts */
    return below ? v % below : 0;
}

/* Anything from retry_min to a bound that doubles with each failure: full jitter. */
static uint64_t pause_ms(const struct wsg_dial *d)
{
    const struct wsg_dial_config *c = d->config;
    unsigned doublings = d->failures_in_a_row < FAILURES_COUNTED ? d->failures_in_a_row : FAILURES_COUNTED;
    uint64_t bound_ms = (uint64_t)c->retry_min_ms << doublings;
    bound_ms = bound_ms < c->retry_max_ms ? bound_ms : c->retry_max_ms;
    return c->retry_min_ms + chance((uint32_t)(bound_ms - c->retry_min_ms) + 1);
}

/* An attempt or a connection has come to its end. */
static void go_on(struct wsg_dial *d)
{
    if (d->is_stopping || d->is_once || d->dials->is_draining) {
        rest(d);
        return;
    }
    d->failures_in_a_row++;
    enter(d, WSG_DIAL_PAUSING);
    come_back(d, pause_ms(d));
}

static void fail(struct wsg_dial *d, enum wsg_dial_failure failure, const char *why)
{
    d->dials->stats.failed[failure]++;
    (void)snprintf(d->last, sizeof d->last, "%s", why);
    WSB_LOG(WSB_LOG_GATE, WSB_LOG_WARN, "cannot dial", WSB_KS("dial", d->config->name), WSB_KS("url", d->target),
            WSB_KS("reason", wsg_dial_failure_name(failure)), WSB_KS("why", why),
            WSB_KU("in_a_row", d->failures_in_a_row + 1));
    go_on(d);
}

/* ---------------------------------------------------------------- the connection */

static void on_ended(struct wsg_task *t)
{
    struct wsg_dial *d = CONTAINER(t, struct wsg_dial, ended);
    const struct wsg_dialed *c = &d->dialed;
    bool was_stable = c->ended_ms - c->opened_ms >= d->config->retry_max_ms;
    if (was_stable)
        d->failures_in_a_row = 0;
    const char *by = c->close_by == WSG_BY_CLIENT ? "server" : wsg_by_name((enum wsg_by)c->close_by);
    if (c->close_code)
        (void)snprintf(d->last, sizeof d->last, "closed by the %s: %u%s%s", by, (unsigned)c->close_code,
                       c->close_reason[0] ? " " : "", c->close_reason);
    else
        (void)snprintf(d->last, sizeof d->last, "given up: out of memory");
    go_on(d);
}

/* On its worker. Here it is told after it was told that there is one, however short it was. */
static void dialed_ended(struct wsg_dialed *dialed)
{
    struct wsg_dial *d = CONTAINER(dialed, struct wsg_dial, dialed);
    d->has_ended = true;
    if (d->is_told && !d->dials->is_halted)
        wsg_loop_post(d->dials->loop, &d->ended);
}

static void on_adopt(struct wsg_task *t)
{
    struct wsg_dial *d = CONTAINER(t, struct wsg_dial, adopt);
    struct wsg_loop *loop = d->dials->loop;
    d->has_ended = d->is_told = false;
    d->adoption = wsg_session_adopt(&wsg_gate_worker(d->dials->gate, d->worker)->env, &d->dialed);
    d->is_told = true;
    bool has_ended = d->has_ended;
    wsg_loop_post(loop, &d->adopted); /* without a connection it may be gone from here on */
    if (has_ended)
        wsg_loop_post(loop, &d->ended);
}

static void close_it(struct wsg_dial *d)
{
    const struct wsg_command c = {.type = WSB_CLOSE, .by = WSG_BY_ADMIN, .status = WSB_CLOSE_NORMAL};
    wsg_gate_command(d->dials->gate, &c, &d->dialed.id, 1);
}

static void on_adopted(struct wsg_task *t)
{
    struct wsg_dial *d = CONTAINER(t, struct wsg_dial, adopted);
    wsg_dial_attempt_free(d->attempt);
    d->attempt = NULL;
    if (d->adoption) {
        fail(d, WSG_DIAL_MEMORY,
             d->adoption == WSB_ERR_FULL ? "compress_memory is used up" : "no memory for the connection");
        return;
    }
    d->opened++;
    d->dials->stats.opened++;
    enter(d, WSG_DIAL_OPEN);
    WSB_LOG(WSB_LOG_GATE, WSB_LOG_INFO, "dialed", WSB_KS("dial", d->config->name), WSB_KS("url", d->target),
            WSB_KS("route", d->route->name), WSB_KID("conn", d->dialed.id));
    if (d->is_stopping)
        close_it(d);
}

/* ------------------------------------------------------------------- the attempt */

/* What the attempt has opened becomes a worker's, the workers taking turns. */
static void hand_over(struct wsg_dial *d, const struct wsg_dial_outcome *o)
{
    struct wsg_dials *all = d->dials;
    const struct wsg_dial_config *c = d->config;
    struct wsb_peer *peer = o->peer;
    const struct wsg_route_policy *p = &d->route->policy;
    d->dialed = (struct wsg_dialed){
        .fd = peer->fd,
        .tls = peer->tls,
        .unread = wsb_peer_take_unread(peer),
        .route = d->route,
        .name = c->name,
        .url = c->url,
        .target = d->target,
        .path = d->path,
        .host = d->host,
        .ended = dialed_ended,
        .subprotocol = o->result->subprotocol,
        .user = c->user,
        .groups = &c->groups,
        .fields = o->result->fields,
        .is_compressed = o->result->is_compressed,
        .deflate = *o->params,
    };
    if (d->dialed.deflate.client_bits > p->compress_window)
        d->dialed.deflate.client_bits = (uint8_t)p->compress_window; /* a smaller one than may be needs no leave */
    peer->fd = -1;
    peer->tls = NULL;
    d->worker = (uint8_t)(all->next_worker++ % wsg_gate_worker_count(all->gate));
    enter(d, WSG_DIAL_OPENING);
    wsg_loop_post(wsg_gate_worker(all->gate, d->worker)->loop, &d->adopt);
}

static void on_attempted(struct wsg_task *t)
{
    struct wsg_dial *d = CONTAINER(t, struct wsg_dial, attempted);
    struct wsg_dial_outcome o;
    wsg_dial_attempt_finish(d->attempt, &o);
    if (o.reason == WSB_REASON_OK && !d->is_stopping && !d->dials->is_draining) {
        hand_over(d, &o);
        return;
    }
    char why[sizeof o.result->why + 24];
    if (o.reason == WSB_REASON_REFUSED && o.result->status)
        (void)snprintf(why, sizeof why, "the server answers %u", o.result->status);
    else
        (void)snprintf(why, sizeof why, "%s", o.result->why);
    wsg_dial_attempt_free(d->attempt);
    d->attempt = NULL;
    if (d->is_stopping || d->dials->is_draining)
        rest(d);
    else
        fail(d, failure_of(o.reason), why);
}

/* Others of the route that may have a connection soon. */
static uint64_t count_under_way(const struct wsg_dial *d)
{
    uint64_t count = 0;
    for (const struct wsg_dial *o = d->dials->first; o; o = o->next)
        count += o->route == d->route && (o->state == WSG_DIAL_CONNECTING || o->state == WSG_DIAL_OPENING);
    return count;
}

/* Somebody must be there for what comes, and room for it. */
static bool may_attempt(const struct wsg_dial *d)
{
    const struct wsg_route *r = d->route;
    bool is_served = r->policy.publish || r->policy.no_handler == WSG_NO_HANDLER_WAIT ||
                     wsg_route_serving(r, WSG_KIND_WEBSOCKET) > 0;
    return is_served && !wsg_route_is_full(r, count_under_way(d));
}

/* Compressors with context cost memory that may be used up when the connection is there: then the next attempt does without. */
static bool keeps_context(const struct wsg_dial *d)
{
    return d->route->policy.compress_takeover && d->adoption != WSB_ERR_FULL;
}

static void attempt(struct wsg_dial *d)
{
    const struct wsg_route_policy *p = &d->route->policy;
    const struct wsb_deflate_offer offer = {
        .server_no_takeover = !keeps_context(d),
        .client_no_takeover = !keeps_context(d),
        .server_bits = keeps_context(d) ? (uint8_t)p->compress_window : 0,
        .client_bits = WSB_DEFLATE_BITS_MAX,
    };
    if (!may_attempt(d)) {
        if (d->state != WSG_DIAL_WAITING)
            enter(d, WSG_DIAL_WAITING);
        come_back(d, LOOK_MS);
        return;
    }
    d->attempts++;
    d->dials->stats.attempts++;
    enter(d, WSG_DIAL_CONNECTING);
    d->attempt = wsg_dial_attempt_start(d->config, p->compress ? &offer : NULL, d->dials->loop, &d->attempted);
    if (!d->attempt)
        fail(d, WSG_DIAL_MEMORY, "no memory, thread or descriptor");
}

static void on_timer(struct wsg_timer *t)
{
    attempt(CONTAINER(t, struct wsg_dial, timer));
}

/* -------------------------------------------------------------- beginning, ending */

/* What is shown of the URL, and told of it. A query is where people put what nobody else should see. */
static bool take_apart(struct wsg_dial *d, const char *text)
{
    struct wsb_url *url = malloc(sizeof *url);
    struct wsb_fault ignored;
    if (url && wsb_url_parse(text, url, &ignored) == WSB_OK) {
        d->target = strndup(text, strcspn(text, "?"));
        d->path = strdup(url->path);
        d->host = strdup(url->authority);
    }
    free(url);
    return d->target && d->path && d->host;
}

static struct wsg_dial *dial_new(struct wsg_dials *all, const struct wsg_dial_config *c, struct wsg_route *route)
{
    struct wsg_dial *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    if (!take_apart(d, c->url)) {
        dial_free(d);
        return NULL;
    }
    d->dials = all;
    d->config = c;
    d->route = route;
    d->timer.fn = on_timer;
    d->attempted.fn = on_attempted;
    d->adopt.fn = on_adopt;
    d->adopted.fn = on_adopted;
    d->ended.fn = on_ended;
    d->dialed.fd = -1;
    d->since_ms = wsg_loop_now_ms(all->loop);
    struct wsg_dial **at = &all->first;
    while (*at)
        at = &(*at)->next;
    *at = d;
    all->count++;
    return d;
}

void wsg_dials_check(const struct wsg_config *c, struct wsg_faults *all)
{
    for (size_t i = 0; i < c->dial_count; i++) {
        struct wsb_fault fault = {0};
        const struct wsg_dial_config *d = &c->dials[i];
        if (d->origin.is_bad || wsg_dial_attempt_check(d, &fault) == WSB_OK)
            continue;
        (void)wsg_fault_prefix(&fault, "dial '%.64s'", d->name);
        (void)wsg_origin_blame(&d->origin, "", "url", &fault);
        (void)wsg_faults_add(all, &fault);
    }
}

wsb_err wsg_dials_begin(struct wsg_dials *all, struct wsg_gate *gate, struct wsb_fault *fault)
{
    const struct wsg_config *c = wsg_gate_config(gate);
    all->gate = gate;
    all->loop = wsg_gate_loop(gate);
    struct wsg_faults faults = {0};
    wsg_dials_check(c, &faults);
    if (faults.count) {
        *fault = faults.at[0];
        return fault->err;
    }
    for (size_t i = 0; i < c->dial_count; i++) {
        struct wsg_route *route = wsg_routes_find(wsg_gate_routes(gate), wsb_span_str(c->dials[i].route));
        struct wsg_dial *d = dial_new(all, &c->dials[i], route); /* the configuration has seen that there is one */
        if (!d || arm(d, 0) != WSB_OK)
            return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    }
    return WSB_OK;
}

struct wsg_dial *wsg_dials_find(const struct wsg_dials *all, const char *name)
{
    struct wsg_dial *d = all->first;
    while (d && strcmp(d->config->name, name) != 0)
        d = d->next;
    return d;
}

static wsb_err give_name(struct wsg_dials *all, struct wsg_dial_config *c)
{
    char name[32];
    do
        (void)snprintf(name, sizeof name, "dial-%u", ++all->last_name);
    while (wsg_dials_find(all, name));
    c->name = strdup(name);
    return c->name ? WSB_OK : WSB_ERR_NOMEM;
}

static wsb_err admit(struct wsg_dials *all, struct wsg_dial_config *c, struct wsg_route **ret_route,
                     struct wsb_fault *fault)
{
    if (all->is_draining)
        return wsb_fault_set(fault, WSB_ERR_REFUSED, 0, "the gate is shutting down");
    if (all->count >= WSG_CONFIG_DIALS_MAX)
        return wsb_fault_set(fault, WSB_ERR_LIMIT, 0, "there are %d dials already", WSG_CONFIG_DIALS_MAX);
    if (!c->name && give_name(all, c) != WSB_OK)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    wsb_err err = wsg_dial_config_check(c, fault);
    if (!err)
        err = wsg_dial_attempt_check(c, fault);
    if (err)
        return err;
    if (wsg_dials_find(all, c->name))
        return wsb_fault_set(fault, WSB_ERR_EXISTS, 0, "a dial '%.64s' is there already", c->name);
    *ret_route = wsg_routes_find(wsg_gate_routes(all->gate), wsb_span_str(c->route));
    if (!*ret_route || !((*ret_route)->policy.kinds & WSG_KIND_WEBSOCKET))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "there is no route '%.64s' that speaks WebSocket", c->route);
    return WSB_OK;
}

wsb_err wsg_dials_add(struct wsg_dials *all, struct wsg_dial_config *c, bool is_once, struct wsg_dial **ret,
                      struct wsb_fault *fault)
{
    struct wsg_route *route = NULL;
    wsb_err err = admit(all, c, &route, fault);
    if (err)
        return err;
    struct wsg_dial *d = dial_new(all, c, route);
    if (!d || arm(d, 0) != WSB_OK) {
        if (d)
            forget(d);
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    }
    d->own = *c;
    d->config = &d->own;
    *c = (struct wsg_dial_config){0};
    d->is_own = true;
    d->is_once = is_once;
    *ret = d;
    return WSB_OK;
}

size_t wsg_dials_open_count(const struct wsg_dials *all)
{
    size_t count = 0;
    for (const struct wsg_dial *d = all->first; d; d = d->next)
        count += d->state == WSG_DIAL_OPEN;
    return count;
}

void wsg_dial_stop(struct wsg_dial *d)
{
    switch (d->state) {
    case WSG_DIAL_WAITING:
    case WSG_DIAL_PAUSING:
        rest(d);
        return;
    case WSG_DIAL_CONNECTING:
        wsg_dial_attempt_stop(d->attempt);
        break;
    case WSG_DIAL_OPEN:
        close_it(d);
        break;
    case WSG_DIAL_OPENING:
    case WSG_DIAL_STOPPED:
        break;
    }
    d->is_stopping = d->state != WSG_DIAL_STOPPED;
    d->is_wanted = false;
}

void wsg_dial_start(struct wsg_dial *d)
{
    if (d->dials->is_draining)
        return;
    d->is_wanted = d->is_stopping;
    if (d->state == WSG_DIAL_STOPPED)
        begin_anew(d);
}

void wsg_dials_drain(struct wsg_dials *all)
{
    all->is_draining = true;
    for (struct wsg_dial *d = all->first, *next; d; d = next) {
        next = d->next;
        if (d->state == WSG_DIAL_WAITING || d->state == WSG_DIAL_PAUSING)
            rest(d);
        else if (d->state == WSG_DIAL_CONNECTING)
            wsg_dial_attempt_stop(d->attempt);
    }
}

void wsg_dials_halt(struct wsg_dials *all)
{
    struct wsg_dial_outcome ignored;
    all->is_halted = true;
    for (struct wsg_dial *d = all->first; d; d = d->next) {
        if (all->loop)
            wsg_loop_disarm(all->loop, &d->timer);
        if (!d->attempt)
            continue;
        wsg_dial_attempt_stop(d->attempt);
        wsg_dial_attempt_finish(d->attempt, &ignored);
    }
}

void wsg_dials_deinit(struct wsg_dials *all)
{
    while (all->first) {
        struct wsg_dial *d = all->first;
        all->first = d->next;
        if (d->dialed.fd >= 0) { /* handed over, and never taken */
            (void)close(d->dialed.fd);
            wsb_tls_stream_free(d->dialed.tls);
            wsb_buf_deinit(&d->dialed.unread);
        }
        dial_free(d);
    }
}
