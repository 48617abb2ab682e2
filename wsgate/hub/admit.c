#include "hub/admit.h"

#include <stdlib.h>

#include "hub/accounts.h"
#include "hub/deliver.h"
#include "hub/groups.h"
#include "hub/link.h"
#include "hub/meta.h"
#include "hub/pause.h"
#include "hub/place.h"
#include "hub/publish.h"

/* ---------------------------------------------------------------------- asking */

bool wsg_hub_ask(struct wsg_pin *p, struct wsg_route *wanted, uint64_t key, struct wsb_span names)
{
    p->asked = malloc(sizeof *p->asked + names.len);
    if (!p->asked)
        return false;
    *p->asked = (struct wsg_asked){.wanted = wanted, .key = key, .names_len = (uint32_t)names.len};
    if (names.len)
        memcpy(p->asked->names, names.ptr, names.len);
    wsg_pin_become(p, WSG_PIN_PENDING);
    return true;
}

/* ------------------------------------------------------------------- accepting */

/* Asked before the client has its 101, so that it can be told with a status. One that is to be closed instead, or that no
 * handler gets, needs none. */
bool wsg_hub_can_admit(const struct wsg_hub *h, const struct wsg_pin *p)
{
    const struct wsg_asked *asked = p->asked;
    const struct wsg_route_policy *policy = asked->wanted ? &asked->wanted->policy : NULL;
    return !policy || policy->publish || policy->no_handler == WSG_NO_HANDLER_CLOSE ||
           wsg_hub_has_place(h, asked->wanted, asked->key);
}

/* The gatekeeper has it no more, and is told so as any former owner is. */
static void leave_gatekeeper(struct wsg_hub *h, struct wsg_pin *p)
{
    struct wsg_handler *from = p->handler;
    wsg_pin_end_move(p);
    wsg_hub_drop_backlog(h, p, WSG_IN_LOST); /* a client that waits is not read: nothing is in it */
    if (from && p->sent_seq) {
        (void)wsg_pin_add_former(p, from->id, &h->handlers); /* without memory it is told, but not held to it */
        wsg_hub_tell(h, from, WSB_REVOKED, 0, p->conn, "accepted: it is its own route's now");
    }
    if (from && from->drain)
        h->drain_pending = true;
    wsg_hub_note_leaving(h, p);
    wsg_pin_assign(p, NULL, NULL);
}

static void change_route(struct wsg_hub *h, struct wsg_pin *p, struct wsg_route *to)
{
    (void)!wsg_groups_leave(&h->members, p, wsb_span_str(p->route->name));
    p->route = to;
    (void)!wsg_groups_join(&h->members, p, wsb_span_str(to->name));
}

void wsg_hub_admit(struct wsg_hub *h, struct wsg_pin *p)
{
    struct wsg_asked *asked = p->asked;
    p->asked = NULL;
    wsg_pin_become(p, asked->wanted ? WSG_PIN_ADMITTING : WSG_PIN_OPEN);
    if (asked->wanted) {
        leave_gatekeeper(h, p);
        change_route(h, p, asked->wanted);
        p->key = asked->key;
        p->was_opened = p->is_placed = p->is_paused = false; /* its owner sees it for the first time */
        p->was_asked = true;
    }
    if (!asked->wanted || asked->wanted->policy.publish)
        wsg_pin_end_pending(p); /* whoever accepted it has heard of it, and nobody else has to */
    wsg_hub_join_listed(h, p, wsb_span(asked->names, asked->names_len));
    free(asked);
}

void wsg_hub_settle_in(struct wsg_hub *h, struct wsg_pin *p)
{
    if (p->state == WSG_PIN_ADMITTING && (p->route->policy.publish || !wsg_hub_place(h, p)))
        return;
    wsg_hub_pause_if_full(h, p);
}

/* ----------------------------------------------------------------- it has its 101 */

void wsg_hub_on_admitted(struct wsg_hub *h, const struct wsg_out *out)
{
    struct wsg_pin *p = wsg_pins_find(&h->pins, out->envelope.header.conn);
    if (!p || p->is_request || wsg_pin_is_closed(p)) /* nobody was there for it, and the session has been told */
        return;
    wsg_hub_set_subprotocol(h, p, out->envelope.payload);
    if (p->state != WSG_PIN_ADMITTING)
        return;
    wsg_pin_become(p, WSG_PIN_OPEN);
    wsg_hub_publish_open(h, p);
    if (!p->route->policy.publish)
        wsg_hub_go_on(h, p);
}
