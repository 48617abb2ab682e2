/* The ring of events that were set aside. */
#include "hub/dead_letters.h"

#include <stdio.h>
#include <stdlib.h>

void wsg_dead_letters_deinit(struct wsg_dead_letters *t)
{
    free(t->ring);
    *t = (struct wsg_dead_letters){0};
}

void wsg_dead_letters_add(struct wsg_dead_letters *t, const struct wsg_pin *p, const struct wsb_envelope *e,
                          uint32_t deliveries, const char *handler, uint64_t time_ns)
{
    uint64_t number = ++t->count;
    if (!t->ring)
        t->ring = calloc(WSG_DEAD_LETTERS_MAX, sizeof *t->ring);
    if (!t->ring)
        return;
    struct wsg_dead_letter *d = &t->ring[(number - 1) % WSG_DEAD_LETTERS_MAX];
    *d = (struct wsg_dead_letter){
        .number = number,
        .time_ns = time_ns,
        .conn = p->conn,
        .seq = e->header.seq,
        .type = e->header.type,
        .code = e->header.code,
        .deliveries = deliveries,
        .payload_len = (uint32_t)e->payload.len,
        .kept = (uint32_t)(e->payload.len < WSG_DEAD_LETTER_BYTES ? e->payload.len : WSG_DEAD_LETTER_BYTES),
    };
    (void)snprintf(d->route, sizeof d->route, "%s", p->route->name);
    (void)snprintf(d->handler, sizeof d->handler, "%s", handler);
    if (d->kept)
        memcpy(d->payload, e->payload.ptr, d->kept);
}

const struct wsg_dead_letter *wsg_dead_letters_latest(const struct wsg_dead_letters *t, uint64_t skip)
{
    if (!t->ring || skip >= t->count || skip >= WSG_DEAD_LETTERS_MAX)
        return NULL;
    const struct wsg_dead_letter *d = &t->ring[(t->count - 1 - skip) % WSG_DEAD_LETTERS_MAX];
    return d->number == t->count - skip ? d : NULL; /* there was no memory for it */
}
