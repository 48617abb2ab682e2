/* wsbench: loads a WebSocket server, checks every answer, and says how fast and at what cost. wsbench(1). */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "report.h"

enum { CLEAN = 0, WRONG = 1, USAGE = 2 };

static int complain(const struct wsb_fault *fault)
{
    (void)fprintf(stderr, "wsbench: %s\n", fault->text);
    if (fault->err == WSB_ERR_CONFIG)
        (void)fputs("wsbench --help tells the usage\n", stderr);
    return fault->err == WSB_ERR_CONFIG || fault->err == WSB_ERR_NOT_FOUND ? USAGE : WRONG;
}

static wsb_err find_target(const struct wsl_options *o, struct wsl_target *ret, struct wsb_fault *fault)
{
    wsb_err err = wsl_target_parse(o->url, ret, fault);
    if (!err && o->publish_path && !wsl_path_is_valid(o->publish_path))
        err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--publish-path: '%.80s' is not the path of a request",
                            o->publish_path);
    return err ? err : wsl_target_resolve(ret, o->unix_path, fault);
}

int main(int argc, char **argv)
{
    static struct wsl_options options;
    static struct wsl_target target;
    static struct wsl_result result; /* histograms: too large for a stack */
    struct wsb_fault fault = {0};
    (void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */

    wsb_err err = wsl_options_parse(argc, argv, &options, &fault);
    if (err == WSB_CLOSED)
        return CLEAN;
    if (!err)
        err = find_target(&options, &target, &fault);
    if (!err)
        err = wsl_run(&options, &target, &result, &fault);
    if (err)
        return complain(&fault);
    if (options.json)
        wsl_report_json(stdout, &options, &result);
    else if (!options.quiet)
        wsl_report_text(stdout, &options, &result);
    if (fflush(stdout)) {
        (void)fprintf(stderr, "wsbench: cannot write: %s\n", strerror(errno));
        return WRONG;
    }
    return wsl_result_is_clean(&result) ? CLEAN : WRONG;
}
