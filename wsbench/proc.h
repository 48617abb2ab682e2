#ifndef WSL_PROC_H
#define WSL_PROC_H

/* What the kernel says in /proc about the server's processes and about the machine, proc(5). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wsbus/err.h"

/* Processes, each once. */
struct wsl_pids {
    int *pids; /* owned */
    size_t count, cap;
};

struct wsl_usage {
    double user_s, system_s;   /* of the processes; in clock ticks, so ±10 ms each */
    uint64_t running_ns;       /* time on a CPU by their threads' schedstat; threads that have ended do not count */
    uint64_t switches;         /* context switches, of their threads too */
    uint64_t rss_kib, pss_kib; /* PSS counts a page that n processes share as 1/n */
    double busy_s, steal_s;    /* of the machine; steal: wanted by us, and taken by other guests */
};

/* The given processes and, if wanted, all that descend from them now. WSB_ERR_NOT_FOUND one does not exist, with
 * ret_missing; WSB_ERR_NOMEM. */
WSB_MUST_CHECK wsb_err wsl_pids_find(const int *given, size_t count, bool descendants, struct wsl_pids *ret,
                                     int *ret_missing);
void wsl_pids_free(struct wsl_pids *p);

/* What has gone by now counts as nothing. */
struct wsl_usage wsl_usage_cpu(const struct wsl_pids *p);

/* Only rss_kib and pss_kib; slow for large processes. */
struct wsl_usage wsl_usage_memory(const struct wsl_pids *p);

#endif
