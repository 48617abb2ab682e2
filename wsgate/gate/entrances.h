#ifndef WSG_GATE_ENTRANCES_H
#define WSG_GATE_ENTRANCES_H

/* What the configuration says of who may come in, as the sessions act by it. */

#include "config/config.h"
#include "session/gatekeeping.h"

WSB_MUST_CHECK wsb_err wsg_entrances_build(struct wsg_gatekeeping *g, const struct wsg_config *c,
                                           struct wsb_fault *fault);
/* The keys of tokens as their files have them now, of each route; NULL where none are wanted. */
struct wsg_token_news {
    struct wsb_token_keys **keys; /* owned */
    size_t count;
};

/* All of them, or, with a fault, none. */
/* Read the keys of each route that wants tokens, for `wsgate -t`. */
void wsg_tokens_check(const struct wsg_config *c, struct wsg_faults *all);
WSB_MUST_CHECK wsb_err wsg_token_news_load(struct wsg_token_news *n, const struct wsg_config *c,
                                           struct wsb_fault *fault);
/* From now on they count; n is empty afterwards. */
void wsg_token_news_take(struct wsg_token_news *n, struct wsg_gatekeeping *g);
void wsg_token_news_deinit(struct wsg_token_news *n);

void wsg_entrances_deinit(struct wsg_gatekeeping *g);

#endif
