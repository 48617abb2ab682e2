/*
 * Row by row of the table, and in each row one route or handler after the other: a family's samples must stand together.
 * Handlers come and go between steps, so they are named by id; one that has gone is left out from there on.
 */
#include "admin/page.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus/route.h"

struct wsg_page *wsg_page_new(struct wsg_gate *gate)
{
    const struct wsg_handlers *handlers = &wsg_gate_hub(gate)->handlers;
    struct wsg_page *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->refs = 1;
    p->handlers = calloc(handlers->count + 1, sizeof *p->handlers);
    if (!p->handlers) {
        free(p);
        return NULL;
    }
    for (const struct wsg_handler *h = handlers->by_id; h; h = h->by_id.next)
        p->handlers[p->handler_count++] = h->id;
    wsg_counter_source_init(&p->source, gate);
    wsb_buf_init(&p->text, WSG_PAGE_BYTES_MAX);
    wsg_exposition_begin(&p->out, &p->text);
    const struct wsg_label version = {"version", WSBUS_VERSION};
    wsg_exposition_family(&p->out, "wsbus_build", WSG_INFO, "", "The gate's version.");
    wsg_exposition_sample(&p->out, "wsbus_build", WSG_INFO, &version, 1, 1, 1);
    return p;
}

void wsg_page_unref(struct wsg_page *p)
{
    if (!p || --p->refs)
        return;
    wsb_buf_deinit(&p->text);
    free(p->handlers);
    free(p);
}

static size_t write_samples(struct wsg_page *p, const struct wsg_counter *c, struct wsg_label labels[3], size_t count)
{
    if (c->reasons == 0)
        wsg_exposition_sample(&p->out, c->metric, c->type, labels, count, c->get(&p->source, 0), c->scale);
    for (int i = 0; i < c->reasons; i++) {
        labels[count] = (struct wsg_label){"reason", c->reason_name(i)};
        wsg_exposition_sample(&p->out, c->metric, c->type, labels, count + 1, c->get(&p->source, i), c->scale);
    }
    return c->reasons ? (size_t)c->reasons : 1;
}

/* The row's samples of the next one that it is about; how many were written. */
static size_t write_next(struct wsg_page *p, const struct wsg_counter *c)
{
    struct wsg_label labels[3];
    char id[16];
    size_t at = p->at++;
    switch (c->of) {
    case WSG_OF_GATE:
    case WSG_OF_BUS:
        return write_samples(p, c, labels, 0);
    case WSG_OF_ROUTE:
        p->source.route = &wsg_gate_routes(p->source.gate)->routes[at];
        labels[0] = (struct wsg_label){"route", p->source.route->name};
        return write_samples(p, c, labels, 1);
    case WSG_OF_HANDLER:
        p->source.handler = wsg_handlers_by_id(&p->source.hub->handlers, p->handlers[at]);
        if (!p->source.handler)
            return 1; /* looking for it is work, too */
        (void)snprintf(id, sizeof id, "%" PRIu32, p->handlers[at]);
        labels[0] = (struct wsg_label){"handler", id};
        labels[1] = (struct wsg_label){"name", p->source.handler->name};
        return write_samples(p, c, labels, 2);
    }
    return 1;
}

static size_t count_of(const struct wsg_page *p, enum wsg_counter_of of)
{
    return of == WSG_OF_ROUTE ? wsg_gate_routes(p->source.gate)->count : of == WSG_OF_HANDLER ? p->handler_count : 1;
}

bool wsg_page_step(struct wsg_page *p, size_t samples)
{
    p->source.now_ms = wsg_loop_now_ms(wsg_gate_loop(p->source.gate)); /* nothing that it began at may be after it */
    for (size_t written = 0; written < samples && p->row < wsg_counter_count && !p->out.err;) {
        const struct wsg_counter *c = &wsg_counters[p->row];
        if (!c->metric || p->at == count_of(p, c->of)) {
            p->row++;
            p->at = 0;
            continue;
        }
        if (p->at == 0)
            wsg_exposition_family(&p->out, c->metric, c->type, c->unit, c->help);
        written += write_next(p, c);
    }
    if (p->row < wsg_counter_count && !p->out.err)
        return false;
    p->err = wsg_exposition_end(&p->out);
    p->is_done = true;
    return true;
}
