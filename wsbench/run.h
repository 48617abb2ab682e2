#ifndef WSL_RUN_H
#define WSL_RUN_H

/* One run: connect, warm up, measure, drain, close; and what came of it. */

#include "options.h"
#include "proc.h"
#include "target.h"
#include "worker.h"

struct wsl_result {
    unsigned total;     /* connections that were wanted; fan-out: with the publisher */
    unsigned connected; /* that opened */
    unsigned alive;     /* that were still open when the load was over */
    double connect_s;   /* from the first to the last that opened */
    double measured_s;
    uint64_t sent, received;                   /* in all; received: good and bad answers, fan-out: deliveries */
    uint64_t sent_measured, received_measured; /* within the measured time */
    uint64_t bytes_measured;
    uint64_t missing; /* answers, or deliveries, that never came */
    struct wsl_histogram latency, uncorrected,
        handshake; /* ns; with a schedule, latency has what never came, as waited for */
    struct wsl_tally tally;
    double client_cpu_s;
    size_t processes;                     /* of the server that were looked at; 0: none were given */
    struct wsl_usage before, first, last; /* before connecting, and at both ends of the measured time */
};

/* Did everything come back as it should? */
bool wsl_result_is_clean(const struct wsl_result *r);

/* WSB_OK also when nothing connected: the result says so. Otherwise the client itself could not run, and why. */
WSB_MUST_CHECK wsb_err wsl_run(const struct wsl_options *o, const struct wsl_target *t, struct wsl_result *ret,
                               struct wsb_fault *fault);

#endif
