#ifndef WSL_LOADS_H
#define WSL_LOADS_H

/* The modes, one file each. */

#include "worker.h"

extern const struct wsl_load wsl_load_echo;
extern const struct wsl_load wsl_load_rate;
extern const struct wsl_load wsl_load_fanout;
extern const struct wsl_load wsl_load_idle;

#endif
