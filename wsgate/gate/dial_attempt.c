#include "gate/dial_attempt.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bus/key.h"
#include "ws/dial.h"

struct wsg_dial_attempt {
    const struct wsg_dial_config *config; /* borrowed */
    struct wsg_loop *loop;                /* borrowed */
    struct wsg_task *done;                /* borrowed */
    pthread_t thread;
    bool is_finished;
    bool has_offer;
    struct wsb_deflate_offer offer;
    int stop_fd;
    enum wsb_reason reason;
    struct wsb_peer peer;
    struct wsb_open_result result;
    struct wsb_deflate_params params;
};

static struct wsb_open_options options_of(const struct wsg_dial_config *c)
{
    return (struct wsb_open_options){
        .headers = (const char *const *)c->headers.at,
        .header_count = c->headers.count,
        .subprotocols = (const char *const *)c->subprotocols.at,
        .subprotocol_count = c->subprotocols.count,
        .origin = c->from,
        .timeout_ms = c->timeout_ms,
        .ca_file = c->ca,
        .certificate = c->certificate,
        .key = c->key,
        .insecure = c->insecure,
    };
}

/* What TLS has still to say leaves before the connection changes hands: at this point that is little, or nothing. */
static enum wsb_reason settle(struct wsg_dial_attempt *a)
{
    struct wsb_fault fault;
    if (wsb_peer_flush(&a->peer, &fault) == WSB_OK && !a->peer.has_ended && a->peer.cipher.len == 0)
        return WSB_REASON_OK;
    (void)snprintf(a->result.why, sizeof a->result.why, "the server closed the connection during the handshake");
    wsb_peer_deinit(&a->peer);
    return WSB_REASON_IO;
}

static void *attempt_main(void *arg)
{
    struct wsg_dial_attempt *a = arg;
    struct wsb_open_options o = options_of(a->config);
    const struct wsb_dial_terms terms = {
        .offer = a->has_offer ? &a->offer : NULL, .no_body = true, .stop_fd = a->stop_fd};
    o.no_compression = !a->has_offer;
    a->reason = wsb_dial(a->config->url, &o, &terms, &a->peer, &a->result, &a->params);
    if (a->reason == WSB_REASON_OK)
        a->reason = settle(a);
    wsg_loop_post(a->loop, a->done);
    return NULL;
}

/* Signals are for the first worker. */
static bool start(struct wsg_dial_attempt *a)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&a->thread, NULL, attempt_main, a);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return !failed;
}

struct wsg_dial_attempt *wsg_dial_attempt_start(const struct wsg_dial_config *c, const struct wsb_deflate_offer *offer,
                                                struct wsg_loop *loop, struct wsg_task *done)
{
    struct wsg_dial_attempt *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->config = c;
    a->loop = loop;
    a->done = done;
    a->has_offer = offer != NULL;
    if (offer)
        a->offer = *offer;
    wsb_peer_init(&a->peer);
    a->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (a->stop_fd >= 0 && start(a))
        return a;
    if (a->stop_fd >= 0)
        (void)close(a->stop_fd);
    free(a);
    return NULL;
}

void wsg_dial_attempt_stop(struct wsg_dial_attempt *a)
{
    (void)!eventfd_write(a->stop_fd, 1);
}

void wsg_dial_attempt_finish(struct wsg_dial_attempt *a, struct wsg_dial_outcome *ret)
{
    if (!a->is_finished)
        (void)pthread_join(a->thread, NULL);
    a->is_finished = true;
    *ret = (struct wsg_dial_outcome){a->reason, &a->peer, &a->result, &a->params};
}

void wsg_dial_attempt_free(struct wsg_dial_attempt *a)
{
    if (!a)
        return;
    wsb_peer_deinit(&a->peer);
    free(a->result.fields);
    free(a->result.body);
    (void)close(a->stop_fd);
    free(a);
}

/* --------------------------------------------------------------------- checks */

static wsb_err check_request(const struct wsg_dial_config *c, const struct wsb_url *url, struct wsb_fault *fault)
{
    static const uint8_t none[16];
    struct wsb_open_options o = options_of(c);
    struct wsb_dial_request r = {
        .url = url,
        .headers = o.headers,
        .header_count = o.header_count,
        .subprotocols = o.subprotocols,
        .subprotocol_count = o.subprotocol_count,
        .origin = o.origin,
    };
    char key[WSB_DIAL_KEY_SIZE];
    struct wsb_buf text;
    wsb_buf_init(&text, 0);
    wsb_dial_key(none, key);
    wsb_err err = wsb_dial_write(&text, &r, key, fault);
    wsb_buf_deinit(&text);
    return err;
}

static wsb_err check_names(const struct wsg_dial_config *c, struct wsb_fault *fault)
{
    if (c->user && !wsg_is_name(wsb_span_str(c->user)))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "user: a name has 1 to 255 bytes of UTF-8");
    for (size_t i = 0; i < c->groups.count; i++) {
        if (!wsg_is_name(wsb_span_str(c->groups.at[i])))
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "groups: a name has 1 to 255 bytes of UTF-8");
    }
    return WSB_OK;
}

static wsb_err check_tls(const struct wsg_dial_config *c, const struct wsb_url *url, struct wsb_fault *fault)
{
    struct wsb_tls_context *context = NULL;
    if (!url->is_tls)
        return c->ca || c->certificate || c->insecure
                   ? wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "url: ca, certificate and insecure are for wss://")
                   : WSB_OK;
    wsb_err err = wsb_tls_client_new(
        &(struct wsb_tls_client_config){.ca_file = c->ca, .files = {c->certificate, c->key}, .insecure = c->insecure},
        &context, fault);
    wsb_tls_context_unref(context);
    return err;
}

wsb_err wsg_dial_attempt_check(const struct wsg_dial_config *c, struct wsb_fault *fault)
{
    struct wsb_url *url = malloc(sizeof *url);
    if (!url)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    wsb_err err = wsb_url_parse(c->url, url, fault);
    if (!err)
        err = check_names(c, fault);
    if (!err)
        err = check_request(c, url, fault);
    if (!err)
        err = check_tls(c, url, fault);
    free(url);
    return err;
}
