/*
 * One connection, the last one of the first worker, publishes; all others have to get everything, once and in order. With
 * --rate publishes leave by a schedule; otherwise so many are under way, and one is done when every subscriber has it.
 */
#include "loads.h"

enum { BURST = 64 };
static const uint64_t STALL_NS = 1000000000;

static uint64_t deliveries(struct wsl_shared *s)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < s->worker_count; i++)
        sum += wsl_get(&s->workers[i].received);
    return sum;
}

/* How many may be published now, by the schedule. */
static uint64_t room_by_schedule(struct wsl_worker *w, uint64_t now_ns, uint64_t *ret_wait_ns)
{
    double per_ns = w->shared->o->rate / 1e9;
    uint64_t elapsed_ns = now_ns - wsl_get(&w->shared->schedule_ns);
    uint64_t due = (uint64_t)((double)elapsed_ns * per_ns);
    uint64_t next_ns = (uint64_t)((double)(due + 1) / per_ns);
    if (next_ns - elapsed_ns < *ret_wait_ns)
        *ret_wait_ns = next_ns > elapsed_ns ? next_ns - elapsed_ns : 0;
    uint64_t room = due > w->scheduled ? due - w->scheduled : 0;
    return room < BURST ? room : BURST;
}

/* How many, by what has been delivered. What was lost is not waited for longer than STALL_NS. */
static uint64_t room_by_window(struct wsl_worker *w, uint64_t now_ns)
{
    uint64_t sum = deliveries(w->shared), window = w->shared->o->in_flight;
    uint64_t done = sum / wsl_get(&w->shared->subscribers) + w->given_up;
    if (sum != w->progress || !w->progress_ns) {
        w->progress = sum;
        w->progress_ns = now_ns;
    }
    if (w->scheduled >= done + window && now_ns - w->progress_ns > STALL_NS) {
        w->tally.counts[WSL_STALLS]++;
        w->given_up += w->scheduled - done;
        w->progress_ns = now_ns;
        done = w->scheduled;
    }
    return w->scheduled < done + window ? done + window - w->scheduled : 0;
}

static void publish(struct wsl_worker *w, struct wsl_conn *c, uint64_t count, bool measured)
{
    wsb_buf_clear(&w->frames);
    for (; count && wsl_get(&w->sent) < w->quota; count--) {
        struct wsl_stamp stamp = {wsl_now_ns(), w->shared->run, (uint32_t)w->scheduled};
        if (wsl_worker_frame(w, c, &stamp)) {
            wsl_worker_lose(w, c, WSL_DISCONNECTED, "out of memory");
            return;
        }
        w->scheduled++;
        wsl_add(&w->sent, 1);
        wsl_add(&w->sent_measured, measured);
    }
    (void)wsl_worker_send(w, c);
}

static void round_of(struct wsl_worker *w, enum wsl_phase phase, uint64_t now_ns, uint64_t *ret_wait_ns)
{
    struct wsl_conn *publisher = &w->conns[w->conn_count - 1];
    if (phase == WSL_DRAIN || wsl_get(&w->sent) >= w->quota || !publisher->publishes || publisher->state != WSL_OPEN)
        atomic_store(&w->is_finished, true);
    if (atomic_load(&w->is_finished) || !wsl_get(&w->shared->subscribers))
        return;
    uint64_t room = w->shared->o->rate > 0 ? room_by_schedule(w, now_ns, ret_wait_ns) : room_by_window(w, now_ns);
    if (w->shared->worker_count > 1 && w->shared->o->rate <= 0)
        *ret_wait_ns = 50000; /* what other workers receive does not wake this one */
    if (room)
        publish(w, publisher, room, phase == WSL_MEASURE);
}

/* From number 0 on there are no gaps. False: the subscriber has it already. */
static bool take_number(struct wsl_worker *w, struct wsl_conn *c, uint32_t number)
{
    int32_t ahead = (int32_t)(number - c->answered);
    if (ahead < 0) {
        w->tally.counts[WSL_DUPLICATE]++;
        return false;
    }
    w->tally.counts[WSL_LOST] += (uint32_t)ahead;
    c->answered = number + 1;
    return true;
}

static void message(struct wsl_worker *w, struct wsl_conn *c, const struct wsl_incoming *in, uint64_t now_ns)
{
    struct wsl_stamp stamp;
    if (c->publishes || !wsl_stamp_read(in->payload, &stamp) || stamp.sender != w->shared->run) {
        w->tally.counts[WSL_FOREIGN]++;
        return;
    }
    if (!wsl_payload_is(w->shared->payload, &stamp, in->payload)) {
        struct wsb_fault fault = {0};
        (void)wsb_fault_set(&fault, WSB_ERR_PROTO, 0, "connection %u: message %u is not what was published", c->number,
                            stamp.number);
        wsl_tally_fault(&w->tally, WSL_CORRUPT, &fault);
        return;
    }
    if (!take_number(w, c, stamp.number))
        return;
    wsl_add(&w->received, 1);
    if (wsl_phase_of(w->shared) == WSL_MEASURE) {
        wsl_add(&w->received_measured, 1);
        wsl_add(&w->bytes_measured, in->payload.len);
        wsl_histogram_add(&w->latency, now_ns - stamp.time_ns);
    }
}

const struct wsl_load wsl_load_fanout = {.round = round_of, .message = message};
