/* What is read again while the gate runs, certificates, the keys of tokens and the token of metrics: all of it is good, or nothing changes. And the
 * access log, whose file is opened again. */
#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "gate/gate_parts.h"

/* New contexts on their way to a worker, each with a reference. */
struct tls_news {
    struct wsg_task task;
    struct wsg_worker *worker;
    size_t count;
    struct wsb_tls_context *contexts[];
};

static void on_tls_news(struct wsg_task *t)
{
    struct tls_news *n = CONTAINER(t, struct tls_news, task);
    wsg_worker_set_tls(n->worker, n->contexts, n->count);
    for (size_t i = 0; i < n->count; i++)
        wsb_tls_context_unref(n->contexts[i]);
    free(n);
}

static void tell_worker(struct wsg_gate *g, struct wsg_worker *w, struct tls_news *n)
{
    assert(n);
    *n = (struct tls_news){.task.fn = on_tls_news, .worker = w, .count = g->tls.count};
    for (size_t i = 0; i < n->count; i++)
        n->contexts[i] = wsb_tls_context_ref(g->tls.contexts[i]);
    wsg_loop_post(w->loop, &n->task);
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): each is freed by the task that it is, or here */
static wsb_err news_new(struct wsg_gate *g, struct tls_news *ret[WSG_ID_WORKERS], struct wsb_fault *fault)
{
    for (size_t i = 0; i < g->worker_count; i++) {
        ret[i] = malloc(sizeof **ret + g->tls.count * sizeof *g->tls.contexts);
        if (!ret[i])
            return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    }
    return WSB_OK;
}

wsb_err wsg_gate_reload(struct wsg_gate *g, struct wsb_fault *fault)
{
    struct tls_news *news[WSG_ID_WORKERS] = {0};
    struct wsg_token_news keys = {0};
    struct wsb_bearer metrics_token = {0};
    assert(g->worker_count > 0);
    wsg_notifier_reloading(&g->notifier);
    wsb_err err = news_new(g, news, fault);
    if (!err)
        err = wsg_token_news_load(&keys, g->config, fault);
    if (!err)
        err = wsg_gate_load_metrics_token(g->config, &metrics_token, fault);
    if (!err)
        err = wsg_tls_listeners_load(&g->tls, g->config, fault);
    if (!err) {
        wsg_token_news_take(&keys, &g->gatekeeping);
        g->metrics_token = metrics_token;
    }
    wsb_bearer_wipe(&metrics_token);
    wsg_token_news_deinit(&keys);
    for (size_t i = 0; i < g->worker_count; i++) {
        if (err)
            free(news[i]);
        else
            tell_worker(g, &g->workers[i], news[i]);
    }
    wsg_gate_notify_ready(g, err ? fault->text : NULL);
    if (err) {
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_ERROR, "files not taken", WSB_KS("why", fault->text));
        return err;
    }
    WSB_LOG(WSB_LOG_GATE, WSB_LOG_INFO, "files read anew",
            WSB_KS("tls", wsg_tls_listeners_has_any(&g->tls) ? "some" : "none"));
    wsg_gate_warn_of_tls(g);
    return WSB_OK;
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

wsb_err wsg_gate_reopen_log(struct wsg_gate *g, struct wsb_fault *fault)
{
    if (!g->access_log)
        return wsb_fault_set(fault, WSB_ERR_NOT_FOUND, 0, "there is no access log: access_log is not set");
    wsb_err err = wsg_access_log_reopen(g->access_log, fault);
    if (err)
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_ERROR, "access log not reopened", WSB_KS("why", fault->text));
    else
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_INFO, "access log reopened", WSB_KS("path", g->config->access_log));
    return err;
}
