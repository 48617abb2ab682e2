/* The servers that the gate dials: which, and how it goes; one more, one less. */
#include <inttypes.h>

#include "admin/parts.h"
#include "config/option.h"

static void write_dial(const struct wsg_admin *a, const struct wsg_dial *d, struct wsb_json *j)
{
    uint64_t now_ms = wsg_loop_now_ms(a->loop);
    wsb_json_object(j);
    wsb_json_kcstr(j, "name", d->config->name);
    wsb_json_kcstr(j, "url", d->target);
    wsb_json_kcstr(j, "route", d->route->name);
    wsb_json_kcstr(j, "state", wsg_dial_state_name(d->state));
    wsb_json_kbool(j, "stopping", d->is_stopping);
    wsb_json_kbool(j, "once", d->is_once);
    wsb_json_kbool(j, "configured", !d->is_own);
    wsb_json_ku64(j, "since_ms", now_ms - d->since_ms);
    if (d->state == WSG_DIAL_PAUSING)
        wsb_json_ku64(j, "next_ms", d->due_ms > now_ms ? d->due_ms - now_ms : 0);
    if (d->state == WSG_DIAL_OPEN) {
        wsb_json_key(j, "conn");
        wsb_json_id(j, d->dialed.id);
    }
    wsb_json_ku64(j, "attempts", d->attempts);
    wsb_json_ku64(j, "opened", d->opened);
    wsb_json_ku64(j, "failures_in_a_row", d->failures_in_a_row);
    wsb_json_kcstr(j, "last", d->last);
    wsb_json_object_end(j);
}

static void answer_one(const struct wsg_call *call, const struct wsg_dial *d)
{
    struct wsb_json j;
    wsg_answer_begin(call->admin, call->id, &j);
    write_dial(call->admin, d, &j);
    wsg_answer_end(call->client, call->id, &j);
}

void wsg_on_dials(const struct wsg_call *call)
{
    struct wsb_json j;
    wsg_answer_begin(call->admin, call->id, &j);
    wsb_json_object(&j);
    wsb_json_key(&j, "dials");
    wsb_json_array(&j);
    for (const struct wsg_dial *d = wsg_gate_dials(call->admin->gate)->first; d; d = d->next)
        write_dial(call->admin, d, &j);
    wsb_json_array_end(&j);
    wsb_json_object_end(&j);
    wsg_answer_end(call->client, call->id, &j);
}

/* One value as it would stand in the file. */
static wsb_err set_value(const struct wsg_option *o, struct wsg_dial_config *c, const json_t *value,
                         struct wsb_fault *fault)
{
    const char *text = json_is_string(value)  ? json_string_value(value)
                       : json_is_true(value)  ? "yes"
                       : json_is_false(value) ? "no"
                                              : NULL;
    if (!text)
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"%s\": a text is wanted, as in the configuration file",
                             o->name);
    if (wsg_option_set(o, c, text, fault) == WSB_OK)
        return WSB_OK;
    struct wsb_fault what = *fault;
    return wsb_fault_set(fault, what.err, 0, "%s: %.200s", o->name, what.text);
}

static wsb_err read_option(const struct wsg_option *o, struct wsg_dial_config *c, const json_t *params,
                           struct wsb_fault *fault)
{
    const json_t *value = json_object_get(params, o->name);
    wsb_err err = WSB_OK;
    if (!value || !json_is_array(value))
        return value ? set_value(o, c, value, fault) : WSB_OK;
    if (!wsg_option_is_list(o))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"%s\": one value, not a list", o->name);
    for (size_t i = 0; i < json_array_size(value) && !err; i++)
        err = set_value(o, c, json_array_get(value, i), fault);
    return err;
}

/* Every option of the file's section has the same name here. */
static wsb_err read_config(const struct wsg_call *call, struct wsg_dial_config *c, bool *ret_once,
                           struct wsb_fault *fault)
{
    const char *name = NULL;
    wsb_err err = wsg_param_str(call->params, "name", &name, fault);
    if (!err)
        err = wsg_param_bool(call->params, "once", ret_once, fault);
    if (!err && name && !(c->name = strdup(name)))
        err = wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    for (size_t i = 0; i < wsg_option_count && !err; i++) {
        if (wsg_options[i].section == WSG_SECTION_DIAL)
            err = read_option(&wsg_options[i], c, call->params, fault);
    }
    return err;
}

void wsg_on_dial(const struct wsg_call *call)
{
    struct wsg_dial_config c;
    struct wsg_dial *d = NULL;
    struct wsb_fault fault = {0};
    bool is_once = false;
    wsg_dial_config_init(&c);
    wsb_err err = read_config(call, &c, &is_once, &fault);
    if (!err)
        err = wsg_dials_add(wsg_gate_dials(call->admin->gate), &c, is_once, &d, &fault);
    wsg_dial_config_deinit(&c);
    if (wsg_call_failed(call, err, &fault) || !d)
        return;
    wsg_audit(call, d->target);
    answer_one(call, d);
}

static struct wsg_dial *dial_of(const struct wsg_call *call)
{
    struct wsb_fault fault = {0};
    const char *name = NULL;
    if (wsg_call_failed(call, wsg_param_str(call->params, "name", &name, &fault), &fault))
        return NULL;
    struct wsg_dial *d = name ? wsg_dials_find(wsg_gate_dials(call->admin->gate), name) : NULL;
    if (!d)
        wsg_answer_error(call->client, call->id, WSG_RPC_NOT_FOUND, "no dial \"%.64s\"", name ? name : "");
    return d;
}

void wsg_on_dial_stop(const struct wsg_call *call)
{
    struct wsg_dial *d = dial_of(call);
    if (!d)
        return;
    wsg_audit(call, d->config->name);
    wsg_dial_stop(d); /* it may be gone now */
    wsg_answer_ok(call);
}

void wsg_on_dial_start(const struct wsg_call *call)
{
    struct wsg_dial *d = dial_of(call);
    if (!d)
        return;
    wsg_audit(call, d->config->name);
    wsg_dial_start(d);
    wsg_answer_ok(call);
}
