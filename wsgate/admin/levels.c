/* Logging levels: the gate's modules and the handlers', for good or for a time; and the access log's file. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "admin/parts.h"
#include "base/log.h"

enum { TEMPORARY_MAX = 1024, FOR_MAX_S = 7 * 24 * 3600 };

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* A level that goes back by itself. */
struct wsg_temporary {
    struct wsg_temporary *prev, *next;
    struct wsg_admin *admin; /* borrowed */
    struct wsg_timer timer;
    uint32_t handler; /* 0: of a module */
    enum wsb_log_module module;
    enum wsb_level before;
};

static struct wsg_handler *handler_of(struct wsg_admin *a, uint32_t id)
{
    return wsg_handlers_by_id(&wsg_gate_hub(a->gate)->handlers, id);
}

static struct wsg_temporary *find_temporary(struct wsg_admin *a, uint32_t handler, enum wsb_log_module module)
{
    struct wsg_temporary *t;
    DL_FOREACH (a->temporary, t) {
        if (t->handler == handler && (handler || t->module == module))
            return t;
    }
    return NULL;
}

static void forget(struct wsg_temporary *t)
{
    wsg_loop_disarm(t->admin->loop, &t->timer);
    DL_DELETE(t->admin->temporary, t);
    free(t);
}

static void apply(struct wsg_admin *a, uint32_t handler, enum wsb_log_module module, enum wsb_level level)
{
    struct wsg_handler *h = handler ? handler_of(a, handler) : NULL;
    if (h)
        wsg_hub_set_level(wsg_gate_hub(a->gate), h, level);
    else if (!handler)
        wsb_log_set_level(module, level);
}

static void on_time_up(struct wsg_timer *timer)
{
    struct wsg_temporary *t = CONTAINER(timer, struct wsg_temporary, timer);
    apply(t->admin, t->handler, t->module, t->before);
    WSB_LOG(WSB_LOG_ADMIN, WSB_LOG_INFO, "level is back",
            WSB_KS("module", t->handler ? "handler" : wsb_log_module_name(t->module)), WSB_KU("handler", t->handler),
            WSB_KS("level", wsb_level_name(t->before)));
    forget(t);
}

/* Handlers come and go; what was to be undone on one that went is nothing to keep. */
static void forget_gone_handlers(struct wsg_admin *a)
{
    struct wsg_temporary *t, *next;
    DL_FOREACH_SAFE (a->temporary, t, next) {
        if (t->handler && !handler_of(a, t->handler))
            forget(t);
    }
}

static wsb_err set_for_a_time(struct wsg_admin *a, uint32_t handler, enum wsb_log_module module, enum wsb_level before,
                              uint64_t for_s)
{
    struct wsg_temporary *t = find_temporary(a, handler, module);
    uint64_t due_ms = wsg_loop_now_ms(a->loop) + for_s * 1000;
    size_t count;
    if (t) /* it goes back to what was before the first one */
        return wsg_loop_arm(a->loop, &t->timer, due_ms);
    forget_gone_handlers(a);
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): does not see that DL_DELETE unlinks what forget() frees */
    DL_COUNT(a->temporary, t, count);
    t = count < TEMPORARY_MAX ? calloc(1, sizeof *t) : NULL;
    if (!t)
        return WSB_ERR_LIMIT;
    *t = (struct wsg_temporary){
        .admin = a, .timer.fn = on_time_up, .handler = handler, .module = module, .before = before};
    wsb_err err = wsg_loop_arm(a->loop, &t->timer, due_ms);
    if (err)
        free(t);
    else
        DL_APPEND(a->temporary, t);
    return err;
}

static wsb_err set_level(struct wsg_admin *a, uint32_t handler, enum wsb_log_module module, enum wsb_level level,
                         uint64_t for_s)
{
    enum wsb_level before = handler ? (enum wsb_level)handler_of(a, handler)->level : wsb_log_get_level(module);
    wsb_err err = WSB_OK;
    if (for_s) {
        err = set_for_a_time(a, handler, module, before, for_s);
    } else {
        struct wsg_temporary *t = find_temporary(a, handler, module);
        if (t)
            forget(t);
    }
    if (!err)
        apply(a, handler, module, level);
    return err;
}

void wsg_levels_write(struct wsg_admin *a, struct wsb_json *j)
{
    const struct wsg_temporary *t;
    uint64_t now_ms = wsg_loop_now_ms(a->loop);
    wsb_json_object(j);
    wsb_json_key(j, "levels");
    wsb_json_object(j);
    for (int m = 0; m < WSB_LOG_MODULES; m++)
        wsb_json_kcstr(j, wsb_log_module_name((enum wsb_log_module)m),
                       wsb_level_name(wsb_log_get_level((enum wsb_log_module)m)));
    wsb_json_object_end(j);
    forget_gone_handlers(a);
    wsb_json_key(j, "temporary");
    wsb_json_array(j);
    DL_FOREACH (a->temporary, t) {
        wsb_json_object(j);
        if (t->handler)
            wsb_json_ku64(j, "handler", t->handler);
        else
            wsb_json_kcstr(j, "module", wsb_log_module_name(t->module));
        wsb_json_kcstr(j, "back_to", wsb_level_name(t->before));
        wsb_json_ku64(j, "left_ms", t->timer.due_ms > now_ms ? t->timer.due_ms - now_ms : 0);
        wsb_json_object_end(j);
    }
    wsb_json_array_end(j);
    wsb_json_object_end(j);
}

void wsg_on_log_get(const struct wsg_call *call)
{
    struct wsb_json j;
    wsg_answer_begin(call->admin, call->id, &j);
    wsg_levels_write(call->admin, &j);
    wsg_answer_end(call->client, call->id, &j);
}

/* What log_set is told. */
struct wanted {
    const char *module;
    const char *level_name;
    uint64_t handler;
    uint64_t for_s;
    enum wsb_level level;
    enum wsb_log_module first, last;
};

static wsb_err parse_wanted(const json_t *params, struct wanted *w, struct wsb_fault *fault)
{
    wsb_err err;
    if ((err = wsg_param_str(params, "module", &w->module, fault)) ||
        (err = wsg_param_str(params, "level", &w->level_name, fault)) ||
        (err = wsg_param_u64(params, "handler", 1, UINT32_MAX, &w->handler, fault)) ||
        (err = wsg_param_u64(params, "for_s", 1, FOR_MAX_S, &w->for_s, fault)))
        return err;
    if (!w->level_name || !wsb_level_parse(w->level_name, &w->level))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"level\" must be one of debug, info, wslog, warn, error");
    if ((w->module != NULL) == (w->handler != 0))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "either \"module\" or \"handler\" must be there");
    w->last = (enum wsb_log_module)(WSB_LOG_MODULES - 1);
    if (w->module && strcmp(w->module, "all") != 0) {
        if (!wsb_log_module_parse(w->module, &w->first))
            return wsb_fault_set(fault, WSB_ERR_PROTO, 0,
                                 "\"module\" must be one of gate, http, ws, bus, link, admin, handler, all");
        w->last = w->first;
    }
    return WSB_OK;
}

void wsg_on_log_set(const struct wsg_call *call)
{
    struct wanted w = {0};
    struct wsb_fault fault = {0};
    char detail[160];
    wsb_err err = parse_wanted(call->params, &w, &fault);
    if (wsg_call_failed(call, err, &fault) || (w.handler && !wsg_call_handler(call)))
        return;
    (void)snprintf(detail, sizeof detail, "%s %" PRIu64 " %s for_s %" PRIu64, w.module ? w.module : "handler",
                   w.handler, w.level_name, w.for_s);
    if (w.handler)
        err = set_level(call->admin, (uint32_t)w.handler, WSB_LOG_GATE, w.level, w.for_s);
    for (int m = (int)w.first; !w.handler && m <= (int)w.last && !err; m++)
        err = set_level(call->admin, 0, (enum wsb_log_module)m, w.level, w.for_s);
    if (err) {
        wsg_answer_error(call->client, call->id, WSG_RPC_BUSY, "too many levels that go back by themselves");
        return;
    }
    wsg_audit(call, detail);
    wsg_on_log_get(call);
}

void wsg_levels_deinit(struct wsg_admin *a)
{
    struct wsg_temporary *t, *next;
    DL_FOREACH_SAFE (a->temporary, t, next)
        forget(t);
}

/* ------------------------------------------------------------------- access log */

void wsg_on_log_reopen(const struct wsg_call *call)
{
    struct wsb_fault fault = {0};
    wsg_audit(call, "access log");
    if (wsg_gate_reopen_log(call->admin->gate, &fault) != WSB_OK)
        wsg_answer_error(call->client, call->id, WSG_RPC_REFUSED, "%s", fault.text);
    else
        wsg_answer_ok(call);
}
