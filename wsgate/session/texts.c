/* What is known of a client in words. */
#include <assert.h>
#include <stdlib.h>

#include "session/parts.h"

bool wsg_session_set_text(char **field, struct wsb_span text)
{
    char *copy = malloc(text.len + 1);
    if (!copy)
        return false;
    if (text.len)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    free(*field);
    *field = copy;
    return true;
}

/* One block with all three: most are short, and each block of its own would cost more than its text. */
static bool set_texts(struct wsg_session *s, struct wsb_span peer, struct wsb_span target, struct wsb_span subprotocol)
{
    const struct wsb_span texts[] = {peer, target, subprotocol};
    char **const fields[] = {&s->peer, &s->target, &s->subprotocol};
    char *before = s->peer;
    assert(peer.ptr); /* it is what the block is freed by */
    char *at = malloc(peer.len + target.len + subprotocol.len + sizeof texts / sizeof *texts);
    if (!at)
        return false;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        *fields[i] = texts[i].ptr ? at : NULL;
        if (!texts[i].ptr)
            continue;
        memcpy(at, texts[i].ptr, texts[i].len);
        at += texts[i].len;
        *at++ = 0;
    }
    free(before);
    return true;
}

bool wsg_session_set_peer(struct wsg_session *s, struct wsb_span peer)
{
    return set_texts(s, peer, wsb_span_str(s->target), wsb_span_str(s->subprotocol));
}

bool wsg_session_set_target(struct wsg_session *s, struct wsb_span target)
{
    return set_texts(s, wsb_span_str(s->peer), target, wsb_span_str(s->subprotocol));
}

bool wsg_session_set_subprotocol(struct wsg_session *s, struct wsb_span subprotocol)
{
    return set_texts(s, wsb_span_str(s->peer), wsb_span_str(s->target), subprotocol);
}
