/* Slots are a ring by message number that grows when a schedule runs ahead of the server, but not without end. */
#include "exchange.h"

#include <stdlib.h>

enum { SLOTS_MAX = 1 << 16, SLOTS_FIRST = 4 };
static const size_t WAITING_MAX = 64 << 20; /* bytes in one connection that a schedule may leave unsent */

static bool grow(struct wsl_conn *c)
{
    uint32_t count = c->slot_count ? c->slot_count * 2 : SLOTS_FIRST;
    struct wsl_slot *slots = count <= SLOTS_MAX ? malloc(count * sizeof *slots) : NULL;
    if (!slots)
        return false;
    for (uint32_t i = c->answered; i != c->sent; i++)
        slots[i & (count - 1)] = c->slots[i & (c->slot_count - 1)];
    free(c->slots);
    c->slots = slots;
    c->slot_count = count;
    return true;
}

static bool has_room(struct wsl_worker *w, struct wsl_conn *c)
{
    if (w->shared->o->mode == WSL_RATE && wsl_conn_waiting(c) + w->frames.len > WAITING_MAX)
        return false;
    return c->sent - c->answered < c->slot_count || grow(c);
}

bool wsl_exchange_send(struct wsl_worker *w, struct wsl_conn *c, unsigned count, uint64_t due_ns, uint64_t now_ns)
{
    bool measured = wsl_phase_of(w->shared) == WSL_MEASURE;
    wsb_buf_clear(&w->frames);
    for (; count && wsl_get(&w->sent) < w->quota; count--) {
        if (!has_room(w, c)) {
            w->tally.counts[WSL_SKIPPED] += count;
            break;
        }
        struct wsl_stamp stamp = {.time_ns = now_ns, .sender = c->number, .number = c->sent};
        if (wsl_worker_frame(w, c, &stamp)) {
            wsl_worker_lose(w, c, WSL_DISCONNECTED, "out of memory");
            return false;
        }
        c->slots[c->sent & (c->slot_count - 1)] = (struct wsl_slot){.sent_ns = now_ns, .due_ns = due_ns};
        c->sent++;
        wsl_add(&w->sent, 1);
        wsl_add(&w->sent_measured, measured);
    }
    return wsl_worker_send(w, c);
}

const struct wsl_slot *wsl_exchange_take(struct wsl_worker *w, struct wsl_conn *c, const struct wsl_incoming *in)
{
    struct wsb_fault fault = {0};
    if (c->answered == c->sent) {
        (void)wsb_fault_set(&fault, WSB_ERR_PROTO, 0, "connection %u: an answer too many", c->number);
        wsl_tally_fault(&w->tally, WSL_UNEXPECTED, &fault);
        return NULL;
    }
    const struct wsl_slot *slot = &c->slots[c->answered & (c->slot_count - 1)];
    struct wsl_stamp stamp = {.time_ns = slot->sent_ns, .sender = c->number, .number = c->answered};
    if (!wsl_payload_is(w->shared->payload, &stamp, in->payload)) {
        (void)wsb_fault_set(&fault, WSB_ERR_PROTO, 0, "connection %u: answer %u is not what was sent", c->number,
                            c->answered);
        wsl_tally_fault(&w->tally, WSL_CORRUPT, &fault);
    }
    c->answered++;
    wsl_add(&w->received, 1);
    if (wsl_phase_of(w->shared) == WSL_MEASURE) {
        wsl_add(&w->received_measured, 1);
        wsl_add(&w->bytes_measured, in->payload.len);
    }
    return slot;
}
