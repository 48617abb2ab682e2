#ifndef WSG_ADMIN_FILTER_H
#define WSG_ADMIN_FILTER_H

/* Which connections are meant. Pure. */

#include "admin/rpc.h"
#include "bus/group.h"
#include "gate/gate.h"

enum { WSG_FILTER_TEXT = 128 };

struct wsg_filter {
    char id_suffix[17];          /* of the 16 digits; "" any */
    char route[WSG_FILTER_TEXT]; /* exactly */
    char peer[WSG_FILTER_TEXT];  /* its beginning */
    char subprotocol[WSG_FILTER_TEXT];
    char state[16]; /* "CONNECTED", …, of any case */
    char kind[16];  /* "websocket", "http" */
    /* Names that the hub knows: wsg_filter_matches() does not look at them. */
    char user[WSG_GROUP_NAME_MAX + 1], group[WSG_GROUP_NAME_MAX + 1], tag[WSG_GROUP_NAME_MAX + 1];
    uint64_t handler; /* 0: any */
    uint64_t older_than_ms;
    uint64_t idle_ms;
};

/* The names of the parameters below, for wsg_params_check(). */
#define WSG_FILTER_PARAMS "id route peer subprotocol state kind handler older_than_ms idle_ms user group tag "

WSB_MUST_CHECK wsb_err wsg_filter_parse(const json_t *params, struct wsg_filter *ret, struct wsb_fault *fault);
bool wsg_filter_is_empty(const struct wsg_filter *f); /* it lets everything through */
/* `handler`: the id of the row's handler, 0 when it has none. */
bool wsg_filter_matches(const struct wsg_filter *f, const struct wsg_conn_info *row, uint64_t handler);

#endif
