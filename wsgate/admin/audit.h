#ifndef WSG_ADMIN_AUDIT_H
#define WSG_ADMIN_AUDIT_H

/*
 * What an operator's command was about, as a text of bounded length for the log: of each kind of target how many, and the first
 * few by name. Names are quoted, with a backslash before each quote and backslash, so that no name can look like two. Pure.
 */

#include "base/span.h"
#include "wsbus/handler.h"

enum {
    WSG_AUDIT_SHOWN = 3,       /* targets of each kind that are named */
    WSG_AUDIT_NAME_COST = 36,  /* bytes of a name as the log writes it, escaped; then "..." */
    WSG_AUDIT_TEXT_MAX = 1024, /* what `send` and `close` have to tell fits, and a line of the log holds it escaped */
};

struct wsg_audit_text {
    char text[WSG_AUDIT_TEXT_MAX];
    size_t len;
};

void wsg_audit_add(struct wsg_audit_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void wsg_audit_add_name(struct wsg_audit_text *t, struct wsb_span name);
/* " and 4 more" when `count` are more than are shown. */
void wsg_audit_add_rest(struct wsg_audit_text *t, size_t count);
/* "2 ids 0000000100000001 0000000100000002". */
void wsg_audit_add_ids(struct wsg_audit_text *t, const wsb_conn *ids, size_t count);

#endif
