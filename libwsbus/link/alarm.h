#ifndef WSB_LINK_ALARM_H
#define WSB_LINK_ALARM_H

/*
 * A word to sleep on, and another one that somebody else rings: a thread waits for both at once, for the price of one system
 * call. Only where the kernel can do that (Linux 5.16); otherwise one waits on descriptors.
 *
 * Threads   any
 */

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

struct wsb_alarm {
    _Atomic uint32_t count;    /* grows with each ring */
    _Atomic uint32_t sleepers; /* who would have to be woken */
};

/* Also in signal handlers. */
static inline void wsb_alarm_ring(struct wsb_alarm *a)
{
    atomic_fetch_add(&a->count, 1);
    if (atomic_load(&a->sleepers))
        (void)syscall(SYS_futex, &a->count, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

enum wsb_sleep { WSB_SLEEP_WOKEN, WSB_SLEEP_TIME_UP, WSB_SLEEP_SIGNAL, WSB_SLEEP_UNSUPPORTED };

/*
 * Until the alarm has rung since it stood at `seen`, or the other word, which another process may ring, is not `other_seen`
 * any more; at most timeout_ms.
 */
enum wsb_sleep wsb_alarm_sleep(struct wsb_alarm *a, uint32_t seen, const _Atomic uint32_t *other, uint32_t other_seen,
                               int timeout_ms);

#endif
