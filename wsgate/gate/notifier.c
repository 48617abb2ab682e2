/* sd_notify(3), as the gate has it to say. */
#include "gate/notifier.h"

#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/utf8.h"

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

enum {
    SIGNS_PER_WATCHDOG = 4, /* of which the manager needs one; an answer of the workers takes a round of ours */
    SHORTEST_MS = 10,
    RETRY_MS = 100,
    STOPPING_SLACK_MS = 10000 /* to write what is left, after the last client has gone */
};

/* ------------------------------------------------------------------ telling */

static void keep(struct wsg_notifier *n, const char *text)
{
    if (n->untold_count == WSG_UNTOLD_MAX) { /* the oldest one is history */
        memmove(n->untold[0], n->untold[1], (WSG_UNTOLD_MAX - 1) * sizeof *n->untold);
        n->untold_count--;
    }
    (void)snprintf(n->untold[n->untold_count++], sizeof *n->untold, "%s", text);
    if (n->untold_count == 1 || !n->retry.heap_index)
        (void)!wsg_loop_arm(n->loop, &n->retry, wsg_loop_now_ms(n->loop) + RETRY_MS);
}

static void complain(const char *text)
{
    WSB_LOG(WSB_LOG_GATE, WSB_LOG_WARN, "the service manager cannot be told",
            WSB_KSPAN("what", wsb_span(text, strcspn(text, "\n"))));
}

static void on_retry(struct wsg_timer *t)
{
    struct wsg_notifier *n = CONTAINER(t, struct wsg_notifier, retry);
    while (n->untold_count) {
        wsb_err err = wsg_manager_tell(n->manager, n->untold[0]);
        if (err == WSB_AGAIN) {
            (void)!wsg_loop_arm(n->loop, t, wsg_loop_now_ms(n->loop) + RETRY_MS);
            return;
        }
        if (err)
            complain(n->untold[0]);
        n->untold_count--;
        memmove(n->untold[0], n->untold[1], n->untold_count * sizeof *n->untold);
    }
}

static void tell(struct wsg_notifier *n, const char *text)
{
    wsb_err err = n->untold_count ? WSB_AGAIN : wsg_manager_tell(n->manager, text);
    if (err == WSB_AGAIN)
        keep(n, text);
    else if (err)
        complain(text);
}

/* One line is one line, and UTF-8: the manager throws away what is not. */
static void write_status(char *out, size_t size, const char *status)
{
    (void)snprintf(out, size, "%s", status);
    bool is_utf8 = wsb_utf8_is_valid((const uint8_t *)out, strlen(out));
    for (char *c = out; *c; c++) {
        uint8_t byte = (uint8_t)*c;
        if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !is_utf8))
            *c = ' ';
    }
}

/* --------------------------------------------------------------------- life */

static void on_pulse(struct wsg_task *t)
{
    struct wsg_pulse *p = CONTAINER(t, struct wsg_pulse, task);
    atomic_store_explicit(&p->is_out, false, memory_order_release);
}

/* True when the loop has answered since it was last asked; and it is asked again. */
static bool is_alive(struct wsg_pulse *p, size_t worker)
{
    if (atomic_load_explicit(&p->is_out, memory_order_acquire)) {
        if (!p->is_missed)
            WSB_LOG(WSB_LOG_GATE, WSB_LOG_ERROR, "a worker does not answer", WSB_KU("worker", worker));
        p->is_missed = true;
        return false;
    }
    if (p->is_missed)
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_WARN, "a worker answers again", WSB_KU("worker", worker));
    p->is_missed = false;
    atomic_store_explicit(&p->is_out, true, memory_order_relaxed);
    wsg_loop_post(p->loop, &p->task);
    return true;
}

static void on_watchdog(struct wsg_timer *t)
{
    struct wsg_notifier *n = CONTAINER(t, struct wsg_notifier, watchdog);
    size_t alive = 0;
    for (size_t i = 0; i < n->pulse_count; i++)
        alive += is_alive(&n->pulses[i], i + 1);
    if (alive == n->pulse_count) /* what is not taken now is said again by the next one */
        (void)!wsg_manager_tell(n->manager, "WATCHDOG=1");
    (void)!wsg_loop_arm(n->loop, t, wsg_loop_now_ms(n->loop) + n->watchdog_ms);
}

/* --------------------------------------------------------------------- API */

wsb_err wsg_notifier_init(struct wsg_notifier *n, struct wsg_manager *manager, struct wsg_loop *const *loops,
                          size_t count)
{
    assert(count > 0);
    *n = (struct wsg_notifier){.manager = manager,
                               .loop = loops[0],
                               .watchdog.fn = on_watchdog,
                               .retry.fn = on_retry,
                               .untold = calloc(WSG_UNTOLD_MAX, sizeof *n->untold),
                               .pulses = calloc(count, sizeof *n->pulses)};
    if (!n->untold || !n->pulses) {
        wsg_notifier_deinit(n);
        return WSB_ERR_NOMEM;
    }
    for (; n->pulse_count + 1 < count; n->pulse_count++)
        n->pulses[n->pulse_count] = (struct wsg_pulse){.task.fn = on_pulse, .loop = loops[n->pulse_count + 1]};
    if (!manager || !manager->watchdog_us)
        return WSB_OK;
    n->watchdog_ms = manager->watchdog_us / 1000 / SIGNS_PER_WATCHDOG;
    n->watchdog_ms = n->watchdog_ms > SHORTEST_MS ? n->watchdog_ms : SHORTEST_MS;
    return WSB_OK;
}

void wsg_notifier_deinit(struct wsg_notifier *n)
{
    if (n->loop) {
        wsg_loop_disarm(n->loop, &n->watchdog);
        wsg_loop_disarm(n->loop, &n->retry);
    }
    free(n->untold);
    free(n->pulses);
    *n = (struct wsg_notifier){0};
}

void wsg_notifier_ready(struct wsg_notifier *n, const char *status)
{
    char text[WSG_MANAGER_TEXT_MAX], words[WSG_MANAGER_TEXT_MAX / 2];
    bool is_first = n->phase == WSG_PHASE_STARTING;
    if (!n->manager || n->phase == WSG_PHASE_STOPPING)
        return;
    n->phase = WSG_PHASE_READY;
    write_status(words, sizeof words, status);
    (void)snprintf(text, sizeof text, "READY=1\nSTATUS=%s", words);
    tell(n, text);
    if (is_first && n->watchdog_ms)
        on_watchdog(&n->watchdog);
}

void wsg_notifier_reloading(struct wsg_notifier *n)
{
    char text[WSG_MANAGER_TEXT_MAX];
    struct timespec now;
    if (!n->manager || n->phase != WSG_PHASE_READY)
        return;
    n->phase = WSG_PHASE_RELOADING;
    clock_gettime(CLOCK_MONOTONIC, &now); /* Type=notify-reload wants to know that this is not about an earlier one */
    (void)snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=Reading files anew",
                   (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
    tell(n, text);
}

void wsg_notifier_stopping(struct wsg_notifier *n, const char *status, uint64_t within_ms)
{
    char text[WSG_MANAGER_TEXT_MAX], words[WSG_MANAGER_TEXT_MAX / 2];
    if (!n->manager || n->phase == WSG_PHASE_STOPPING)
        return;
    n->phase = WSG_PHASE_STOPPING;
    write_status(words, sizeof words, status);
    (void)snprintf(text, sizeof text, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64 "\nSTATUS=%s",
                   (within_ms + STOPPING_SLACK_MS) * 1000, words);
    tell(n, text);
}
