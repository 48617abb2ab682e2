#include "bus/lane.h"

#include <stdlib.h>
#include <utlist.h>

#include "bus/pin.h"

static struct wsg_pin **list_of(struct wsg_lane *lane, const struct wsg_pin *p)
{
    return p->is_moving ? &lane->moving : &lane->pins;
}

static void leave_walks(struct wsg_lane *lane, const struct wsg_pin *p)
{
    for (int i = 0; i < WSG_WALKS; i++) {
        if (lane->walks[i] == p)
            lane->walks[i] = p->next;
    }
}

void wsg_lane_add(struct wsg_lane *lane, struct wsg_pin *p)
{
    p->is_moving = false;
    DL_APPEND(lane->pins, p);
    lane->count++;
}

void wsg_lane_remove(struct wsg_lane *lane, struct wsg_pin *p)
{
    struct wsg_pin **list = list_of(lane, p);
    leave_walks(lane, p);
    DL_DELETE(*list, p);
    lane->count--;
}

void wsg_lane_rotate(struct wsg_lane *lane, struct wsg_pin *p)
{
    if (!p->next) /* it is the last one; a walk that has come to it is not over */
        return;
    leave_walks(lane, p);
    DL_DELETE(lane->pins, p);
    DL_APPEND(lane->pins, p);
}

void wsg_lane_begin_move(struct wsg_lane *lane, struct wsg_pin *p)
{
    wsg_lane_remove(lane, p);
    p->is_moving = true;
    DL_APPEND(lane->moving, p);
    lane->count++;
}

void wsg_lane_end_move(struct wsg_lane *lane, struct wsg_pin *p)
{
    wsg_lane_remove(lane, p);
    wsg_lane_add(lane, p);
}

struct wsg_pin *wsg_lane_any(const struct wsg_lane *lane)
{
    return lane->pins ? lane->pins : lane->moving;
}

struct wsg_pin *wsg_lane_next(const struct wsg_lane *lane, const struct wsg_pin *p)
{
    if (!p)
        return wsg_lane_any(lane);
    return p->next || p->is_moving ? p->next : lane->moving;
}

/* -------------------------------------------------------------------- walks */

void wsg_lane_walk(struct wsg_lane *lane, enum wsg_walk walk)
{
    lane->walks[walk] = lane->pins;
}

struct wsg_pin *wsg_lane_step(struct wsg_lane *lane, enum wsg_walk walk)
{
    struct wsg_pin *p = lane->walks[walk];
    if (p)
        lane->walks[walk] = p->next;
    return p;
}
