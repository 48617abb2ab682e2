/*
 * A closed loop: the next message of a connection leaves when an answer has come, so that latency and rate are two sides of
 * one thing. What one read has brought is answered by one write.
 */
#include "exchange.h"
#include "loads.h"

static void round_of(struct wsl_worker *w, enum wsl_phase phase, uint64_t now_ns, uint64_t *ret_wait_ns)
{
    (void)ret_wait_ns;
    if (phase == WSL_DRAIN || wsl_get(&w->sent) >= w->quota)
        atomic_store(&w->is_finished, true);
    if (w->is_primed || phase == WSL_DRAIN)
        return;
    w->is_primed = true;
    for (unsigned i = 0; i < w->conn_count; i++) {
        struct wsl_conn *c = &w->conns[i];
        if (c->state == WSL_OPEN)
            (void)wsl_exchange_send(w, c, (unsigned)w->shared->o->in_flight, now_ns, now_ns);
    }
}

static void message(struct wsl_worker *w, struct wsl_conn *c, const struct wsl_incoming *in, uint64_t now_ns)
{
    const struct wsl_slot *slot = wsl_exchange_take(w, c, in);
    if (slot && wsl_phase_of(w->shared) == WSL_MEASURE)
        wsl_histogram_add(&w->latency, now_ns - slot->sent_ns);
}

static void taken(struct wsl_worker *w, struct wsl_conn *c, uint64_t now_ns)
{
    enum wsl_phase phase = wsl_phase_of(w->shared);
    uint32_t in_flight = c->sent - c->answered, wanted = (uint32_t)w->shared->o->in_flight;
    if (w->is_primed && (phase == WSL_WARM_UP || phase == WSL_MEASURE) && in_flight < wanted)
        (void)wsl_exchange_send(w, c, wanted - in_flight, now_ns, now_ns);
}

const struct wsl_load wsl_load_echo = {.round = round_of, .message = message, .taken = taken};
