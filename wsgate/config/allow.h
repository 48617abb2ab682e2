#ifndef WSG_CONFIG_ALLOW_H
#define WSG_CONFIG_ALLOW_H

/* Users and groups of this host that may do something: "alice 1001 @staff" names two users and a group. */

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

enum { WSG_ALLOW_MAX = 64 };

struct wsg_allow {
    uint32_t uids[WSG_ALLOW_MAX];
    uint32_t gids[WSG_ALLOW_MAX];
    size_t uid_count, gid_count;
};

/* NULL: nobody is named. WSB_ERR_CONFIG: a name that this host does not know, too many, or none at all. */
WSB_MUST_CHECK wsb_err wsg_allow_parse(const char *text, struct wsg_allow *ret, struct wsb_fault *fault);
/* The same, only to see whether it is right. */
WSB_MUST_CHECK wsb_err wsg_allow_check(const char *text, struct wsb_fault *fault);

#endif
