/* Two words to sleep on. */
#include "link/alarm.h"

#include <errno.h>
#include <time.h>

#ifdef FUTEX_32
enum wsb_sleep wsb_alarm_sleep(struct wsb_alarm *a, uint32_t seen, const _Atomic uint32_t *other, uint32_t other_seen,
                               int timeout_ms)
{
    struct futex_waitv words[] = {
        {.val = other_seen, .uaddr = (uintptr_t)other, .flags = FUTEX_32},
        {.val = seen, .uaddr = (uintptr_t)&a->count, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG},
    };
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    long ns = until.tv_nsec + (long)(timeout_ms % 1000) * 1000000;
    until.tv_sec += timeout_ms / 1000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    atomic_fetch_add(&a->sleepers, 1);
    long n = syscall(SYS_futex_waitv, words, 2, 0, &until, CLOCK_MONOTONIC);
    int code = errno;
    atomic_fetch_sub(&a->sleepers, 1);
    if (n >= 0 || code == EAGAIN)
        return WSB_SLEEP_WOKEN;
    return code == ETIMEDOUT ? WSB_SLEEP_TIME_UP : code == EINTR ? WSB_SLEEP_SIGNAL : WSB_SLEEP_UNSUPPORTED;
}
#else
enum wsb_sleep wsb_alarm_sleep(struct wsb_alarm *a, uint32_t seen, const _Atomic uint32_t *other, uint32_t other_seen,
                               int timeout_ms)
{
    (void)a, (void)seen, (void)other, (void)other_seen, (void)timeout_ms;
    return WSB_SLEEP_UNSUPPORTED;
}
#endif
