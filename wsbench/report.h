#ifndef WSL_REPORT_H
#define WSL_REPORT_H

/* A result for people, and for programs. */

#include <stdio.h>

#include "run.h"

void wsl_report_text(FILE *to, const struct wsl_options *o, const struct wsl_result *r);

/* One object on one line; wsbench(1) names its members. */
void wsl_report_json(FILE *to, const struct wsl_options *o, const struct wsl_result *r);

#endif
