/*
 * An open loop: messages leave by a schedule, whether or not the server keeps up, and latency counts from when a message was
 * due. A server that stands still for a second so has a second's worth of late answers, as its users would, and
 * not one ("coordinated omission").
 */
#include "exchange.h"
#include "loads.h"

enum { BURST = 256 }; /* messages sent in one round, so that answers are read in between */

/* When message k of this worker is due; the workers take turns. */
static uint64_t due_ns(struct wsl_worker *w, uint64_t k)
{
    struct wsl_shared *s = w->shared;
    double place = (double)k * s->worker_count + w->number;
    return wsl_get(&s->schedule_ns) + (uint64_t)(place * 1e9 / s->o->rate);
}

static void round_of(struct wsl_worker *w, enum wsl_phase phase, uint64_t now_ns, uint64_t *ret_wait_ns)
{
    uint64_t until_ns = phase == WSL_DRAIN ? wsl_get(&w->shared->last_ns) : UINT64_MAX;
    for (unsigned burst = 0; burst < BURST; burst++) {
        uint64_t due = due_ns(w, w->scheduled);
        if (due >= until_ns || wsl_get(&w->sent) >= w->quota) {
            atomic_store(&w->is_finished, true);
            return;
        }
        if (due > now_ns) {
            if (due - now_ns < *ret_wait_ns)
                *ret_wait_ns = due - now_ns;
            return;
        }
        struct wsl_conn *c = &w->conns[w->scheduled++ % w->conn_count];
        if (c->state == WSL_OPEN)
            (void)wsl_exchange_send(w, c, 1, due, wsl_now_ns());
        else
            w->tally.counts[WSL_SKIPPED]++;
    }
    *ret_wait_ns = 0;
}

static void message(struct wsl_worker *w, struct wsl_conn *c, const struct wsl_incoming *in, uint64_t now_ns)
{
    const struct wsl_slot *slot = wsl_exchange_take(w, c, in);
    uint64_t first_ns = wsl_get(&w->shared->first_ns), last_ns = wsl_get(&w->shared->last_ns);
    if (slot && first_ns && slot->due_ns >= first_ns && (!last_ns || slot->due_ns < last_ns)) {
        wsl_histogram_add(&w->latency, now_ns - slot->due_ns);
        wsl_histogram_add(&w->uncorrected, now_ns - slot->sent_ns);
    }
}

const struct wsl_load wsl_load_rate = {.round = round_of, .message = message};
