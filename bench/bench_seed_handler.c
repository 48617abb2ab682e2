/*
 * The handler of the seed grid: a message begins with eight hexadecimal digits, and the answer is binary and has so many bytes. So
 * what goes up and what comes down can be of different size, and each way is measured without a second clock.
 *
 *   bench_seed_handler RUNTIME_DIR
 */
#include <signal.h>
#include <string.h>

#include <wsbus/handler.h>

#include "bench/common.h"

enum { DIGITS = 8, ANSWER_MAX = 16 << 20 };

static wsb_handler handle;

static void on_signal(int number)
{
    (void)number;
    wsb_wake(handle);
}

static size_t wanted(const struct wsb_event *ev)
{
    char digits[DIGITS + 1] = {0};
    memcpy(digits, ev->data, ev->len < DIGITS ? ev->len : DIGITS);
    unsigned long len = strtoul(digits, NULL, 16);
    return len < ANSWER_MAX ? len : ANSWER_MAX;
}

int main(int argc, char **argv)
{
    static uint8_t answer[ANSWER_MAX];
    static const char *const routes[] = {"seed"};
    const struct wsb_handler_options options = {.routes = routes, .route_count = 1, .name = "bench-seed"};
    struct wsb_event ev;
    if (argc != 2 || !wsb_handler_open(argv[1], &options, &handle))
        bench_die("usage: bench_seed_handler RUNTIME_DIR: %s", wsb_why());
    (void)sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_signal}, NULL);
    while (wsb_readguarded(handle, &ev, -1)) {
        if (ev.type == WSB_EV_DATA)
            (void)wsb_writeguarded(handle, ev.conn, WSB_BINARY, answer, wanted(&ev));
    }
    (void)wsb_handler_close(handle);
    return 0;
}
