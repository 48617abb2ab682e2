#include "dial/wait.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

uint64_t wsb_monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int wsb_ms_left(uint64_t until_ms)
{
    uint64_t now_ms = wsb_monotonic_ms();
    uint64_t left = until_ms > now_ms ? until_ms - now_ms : 0;
    return left < INT32_MAX ? (int)left : INT32_MAX;
}

wsb_err wsb_wait_fd(int fd, short events, uint64_t until_ms, int stop_fd)
{
    for (;;) {
        struct pollfd p[2] = {{.fd = fd, .events = events}, {.fd = stop_fd, .events = POLLIN}};
        int n = poll(p, 2, wsb_ms_left(until_ms)); /* one that is negative is passed over */
        if (n > 0)
            return p[1].revents ? WSB_CLOSED : WSB_OK;
        if (n == 0 && wsb_ms_left(until_ms) == 0)
            return WSB_ERR_TIMEOUT;
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return WSB_ERR_TIMEOUT;
    }
}
