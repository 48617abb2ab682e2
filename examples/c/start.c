#include "start.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_drained;
static wsb_handler opened; /* for the signal handler, which has no other way to know */

static void on_signal(int number)
{
    (void)number;
    wsb_wake(opened); /* the read under way returns false */
}

static void end_on_signals(void)
{
    struct sigaction sa = {.sa_handler = on_signal};
    (void)sigemptyset(&sa.sa_mask);
    (void)sigaction(SIGINT, &sa, NULL);
    (void)sigaction(SIGTERM, &sa, NULL);
}

static void usage(const struct example *e, FILE *out)
{
    (void)fprintf(out, "Usage: %s [--runtime-dir DIR] [--route NAME]…\n%s\n\n", e->name, e->about);
    (void)fprintf(
        out,
        "  --runtime-dir DIR  the gate's runtime directory, or its address: tcp://HOST:PORT, which takes keys from\n"
        "                     WSBUS_SERVER_KEY and WSBUS_KEY_FILE when they are set\n");
    (void)fprintf(out, "  --route NAME       serve this route (again for more); otherwise");
    for (size_t i = 0; e->routes[i]; i++)
        (void)fprintf(out, "%s %s", i ? "," : "", e->routes[i]);
    (void)fprintf(out, "\n");
}

/* getopt_long takes "--rout" as well: a later option of that beginning would make it another one. Refuse it now. */
static bool is_written_out(char *const *argv, const char *name)
{
    const char *word = optarg == argv[optind - 1] ? argv[optind - 2] : argv[optind - 1];
    return strcspn(word + 2, "=") == strlen(name);
}

static void parse(struct example *e, int argc, char **argv, const char **ret_bus)
{
    static const struct option options[] = {
        {"runtime-dir", required_argument, NULL, 'b'},
        {"dir", required_argument, NULL, 'b'}, /* the same, and so is --bus */
        {"bus", required_argument, NULL, 'b'},
        {"route", required_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    const char *routes[ROUTES_MAX] = {0};
    size_t count = 0;
    int index = 0;
    for (int c; (c = getopt_long(argc, argv, "", options, &index)) != -1;) {
        if (c != '?' && !is_written_out(argv, options[index].name)) {
            (void)fprintf(stderr, "%s: unknown option; did you mean --%s?\n", argv[0], options[index].name);
            exit(2);
        }
        if (c == 'h') {
            usage(e, stdout);
            exit(0);
        } else if (c == 'b') {
            *ret_bus = optarg;
        } else if (c == 'r' && count < ROUTES_MAX - 1) {
            routes[count++] = optarg;
        } else {
            usage(e, stderr);
            exit(2);
        }
    }
    if (optind < argc) {
        usage(e, stderr);
        exit(2);
    }
    if (count)
        memcpy(e->routes, routes, sizeof routes);
}

wsb_handler example_start(struct example *e, int argc, char **argv)
{
    const char *bus = NULL;
    parse(e, argc, argv, &bus);
    struct wsb_handler_options options = {
        .routes = e->routes, .name = e->name, .level = WSB_LOG_INFO, .kinds = e->kinds};
    while (e->routes[options.route_count])
        options.route_count++;
    if (!wsb_handler_open(bus, &options, &opened)) {
        (void)fprintf(stderr, "%s: %s\n", e->name, wsb_why());
        exit(1);
    }
    end_on_signals(); /* not before there is something to wake */
    return opened;
}

bool example_next(wsb_handler h, struct wsb_event *ret_ev)
{
    is_drained = wsb_readguarded(h, ret_ev, -1) && ret_ev->type == WSB_EV_DRAIN && !ret_ev->more;
    return wsb_reason(h) == WSB_REASON_OK && !is_drained;
}

int example_end(wsb_handler h)
{
    enum wsb_reason reason = wsb_reason(h);
    bool in_order = is_drained || reason == WSB_REASON_SIGNAL;
    if (!in_order)
        (void)fprintf(stderr, "cannot read: %s\n", wsb_reason_name(reason));
    (void)wsb_handler_close(h);
    return in_order ? 0 : 1;
}

void example_log(wsb_handler h, const struct wsb_event *ev)
{
    if (ev->type == WSB_EV_WELCOME)
        (void)wsb_log(h, WSB_LOG_INFO, "serving");
    if (ev->type == WSB_EV_ERROR)
        (void)wsb_log(h, WSB_LOG_WARN, "the gate says: %.*s", (int)ev->len, (const char *)ev->data);
}
