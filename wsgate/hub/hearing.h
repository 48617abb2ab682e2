#ifndef WSG_HUB_HEARING_H
#define WSG_HUB_HEARING_H

/*
 * Whether the hub hears its handlers. While the workers are behind it receives nothing, and what a handler says lies unread. Any handler can
 * make the workers be behind, as often as it publishes; so that time excuses no handler that has said nothing.
 */

#include "hub/hub.h"

/* From now on the hub receives, or does not. Idempotent. */
void wsg_hub_hear(struct wsg_hub *h, bool hears);
/* The handler got on with its work, or had none. */
void wsg_hub_note_progress(const struct wsg_hub *h, struct wsg_handler *to);
/*
 * The handler has made no progress for longer than most_ms. Time in which the hub received nothing does not count while something of the
 * handler lies unread.
 */
bool wsg_hub_is_stuck(const struct wsg_hub *h, const struct wsg_handler *to, uint64_t most_ms);

#endif
