#include "hub/undeliverable.h"

#include "base/json.h"
#include "base/log.h"
#include "hub/accounts.h"
#include "hub/deliver.h"
#include "hub/pause.h"
#include "hub/publish.h"
#include "hub/round.h"

enum { ALONE_MS = 1000 };

static void be_alone_no_more(struct wsg_hub *h, struct wsg_handler *to)
{
    to->alone = WSG_ALONE_NO;
    to->is_pump_due = true;
    wsg_hub_watch_room(h);
}

void wsg_hub_alone_on(struct wsg_hub *h, struct wsg_handler *to)
{
    if (to->alone == WSG_ALONE_NO || to->unacked)
        return;
    bool was_wanted = to->alone == WSG_ALONE_WANTED;
    to->alone = WSG_ALONE_NO;
    struct wsg_pin *p = was_wanted ? wsg_pins_find(&h->pins, to->alone_conn) : NULL;
    if (p && p->handler == to) /* in front of all others, or it would never be its turn */
        wsg_hub_go_on(h, p);
    if (to->alone == WSG_ALONE_NO)
        wsg_hub_pump_soon(h, to);
}

/* One that acknowledges only now and then, or works long on one event, must not stand still because of it. */
void wsg_hub_end_alone(struct wsg_hub *h, uint64_t now_ms)
{
    for (struct wsg_handler *to = h->handlers.by_id; to; to = to->by_id.next) {
        if (to->alone == WSG_ALONE_NO || now_ms - to->alone_since_ms < ALONE_MS)
            continue;
        to->acks_late = true;
        be_alone_no_more(h, to);
    }
}

/* -------------------------------------------------------------- set aside */

static void publish_letter(struct wsg_hub *h, const struct wsg_pin *p, const struct wsb_envelope *e,
                           uint32_t deliveries, const char *handler)
{
    struct wsb_json j;
    wsb_buf_clear(&h->text);
    wsb_json_begin(&j, &h->text);
    wsb_json_object(&j);
    wsb_json_kcstr(&j, "route", p->route->name);
    wsb_json_kcstr(&j, "event", wsb_type_name(e->header.type));
    wsb_json_ku64(&j, "deliveries", deliveries);
    wsb_json_kcstr(&j, "handler", handler);
    wsb_json_object_end(&j);
    if (wsb_json_end(&j) != WSB_OK)
        return;
    struct wsb_envelope letter = *e;
    letter.header.type = WSB_DEAD_LETTER;
    letter.header.conn = p->conn;
    letter.header.flags = 0;
    letter.meta = wsb_buf_span(&h->text);
    wsg_hub_publish(h, p->route, &letter);
}

static void set_aside(struct wsg_hub *h, const struct wsg_pin *p, const struct wsb_envelope *e, uint32_t deliveries,
                      const struct wsg_handler *from)
{
    wsg_dead_letters_add(&h->dead_letters, p, e, deliveries, from->name, wsg_loop_wall_ns(h->loop));
    publish_letter(h, p, e, deliveries, from->name);
    WSB_LOG_FEW(&h->lines.letters, WSB_LOG_LIMIT_LINES, wsg_loop_now_ms(h->loop), WSB_LOG_BUS, WSB_LOG_WARN,
                "event set aside: no handler gets done with it", WSB_KS("route", p->route->name),
                WSB_KID("conn", p->conn), WSB_KS("event", wsb_type_name(e->header.type)), WSB_KU("seq", e->header.seq),
                WSB_KU("deliveries", deliveries), WSB_KS("handler", from->name));
}

/* OPEN is not kept: it is made anew for each owner. Without it nothing else of the connection can be delivered. */
static bool is_open_spent(const struct wsg_pin *p, uint32_t limit)
{
    return wsg_pin_is_opening(p) && p->open_deliveries + 1U >= limit;
}

bool wsg_hub_spare(struct wsg_hub *h, struct wsg_pin *p, const struct wsg_handler *from)
{
    const struct wsg_route_policy *policy = &p->route->policy;
    struct wsg_kept *k;
    uint32_t count = 0;
    if (policy->max_deliveries == 0)
        return true;
    bool is_over = is_open_spent(p, policy->max_deliveries);
    if (is_over) {
        struct wsb_envelope e = {.header = {.type = WSB_OPEN, .seq = 1, .time_ns = p->opened_ns}};
        set_aside(h, p, &e, p->open_deliveries + 1U, from);
    }
    while ((k = wsg_hub_take_spent(h, p, policy->max_deliveries)) != NULL) {
        struct wsb_envelope e = wsg_kept_envelope(k);
        set_aside(h, p, &e, k->deliveries + 1U, from);
        wsg_kept_free(k);
        count++;
    }
    if (!is_over && (count == 0 || (policy->skips_undeliverable && !p->is_request)))
        return !wsg_hub_end_if_over(h, p);
    wsg_hub_give_up(h, p, 502, "its message was too much for every handler", WSG_IN_UNDELIVERABLE);
    return false;
}
