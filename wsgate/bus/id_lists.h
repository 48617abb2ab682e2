#ifndef WSG_BUS_ID_LISTS_H
#define WSG_BUS_ID_LISTS_H

/*
 * The lists of connection ids in a command's metadata, "to" and "except": they may be very long, and are all that may. They are read here
 * in one pass, and the rest of the metadata, which is short, is left for a parser that is general and slow. Pure.
 */

#include "base/buf.h"
#include "base/fault.h"
#include "wsbus/msg.h"

enum {
    WSG_META_TEXT_MAX = 256 << 10, /* bytes of the rest */
    WSG_META_VALUES_MAX = 4096,    /* in it */
    WSG_META_DEPTH_MAX = 32
};

struct wsg_id_list {
    wsb_conn *ids; /* owned */
    size_t count, cap;
    bool is_there;
};

struct wsg_id_lists {
    struct wsg_id_list to, except;
    struct wsb_buf rest; /* the metadata with [] in place of each list */
};

void wsg_id_lists_init(struct wsg_id_lists *l);
void wsg_id_lists_deinit(struct wsg_id_lists *l);

/*
 * Take the lists out of an object.
 *
 * Returns  WSB_OK: what is in l->rest is JSON if, and only if, `json` was; a list that is not plainly one is still there. WSB_ERR_PROTO:
 *          the rest is too long, too deep, or has too many values; a list has more than WSG_TARGETS_MAX. WSB_ERR_NOMEM
 */
WSB_MUST_CHECK wsb_err wsg_id_lists_cut(struct wsg_id_lists *l, struct wsb_span json, struct wsb_fault *fault);

#endif
