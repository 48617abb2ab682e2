#ifndef TESTS_FUZZ_ZMTP_RUN_H
#define TESTS_FUZZ_ZMTP_RUN_H

/* One stream through the reader of ZMTP peers, in pieces; what came of it as a hash, so that two ways can be compared. */

#include <stdlib.h>
#include <string.h>

#include "zmtp/peer.h"

struct zmtp_run {
    uint64_t hash;
    size_t events;
    bool has_failed, is_ready;
    enum wsb_zmtp_why why;
    uint8_t client[WSB_CURVEZMQ_KEY];
};

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void zmtp_add(struct zmtp_run *r, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < len; i++)
        r->hash = (r->hash ^ p[i]) * UINT64_C(0x100000001b3);
}

static void zmtp_add_span(struct zmtp_run *r, struct wsb_span s, struct wsb_span of)
{
    require(s.len == 0 || (s.ptr >= of.ptr && s.ptr + s.len <= of.ptr + of.len));
    zmtp_add(r, &s.len, sizeof s.len);
    if (s.len)
        zmtp_add(r, s.ptr, s.len);
}

static void zmtp_note(struct zmtp_run *r, const struct wsb_zmtp_event *ev, struct wsb_span in)
{
    r->events++;
    zmtp_add(r, &ev->kind, sizeof ev->kind);
    switch (ev->kind) {
    case WSB_ZMTP_EV_READY:
        r->is_ready = true;
        zmtp_add_span(r, ev->identity, in);
        break;
    case WSB_ZMTP_EV_MESSAGE:
        require(ev->part_count > 0 && ev->part_count <= WSB_ZMTP_PARTS_MAX);
        zmtp_add(r, &ev->part_count, sizeof ev->part_count);
        for (size_t i = 0; i < ev->part_count && i < WSB_ZMTP_PARTS; i++)
            zmtp_add_span(r, ev->parts[i], in);
        break;
    case WSB_ZMTP_EV_SUBSCRIBE:
    case WSB_ZMTP_EV_CANCEL:
        zmtp_add_span(r, ev->topic, in);
        break;
    case WSB_ZMTP_EV_PING:
        require(ev->ping.context.len <= WSB_ZMTP_CONTEXT_MAX);
        zmtp_add_span(r, ev->ping.context, in);
        break;
    case WSB_ZMTP_EV_WELCOME:
        zmtp_add(r, ev->welcome, sizeof ev->welcome);
        break;
    case WSB_ZMTP_EV_GREETING:
    case WSB_ZMTP_EV_NOTHING:
        break;
    }
}

/* The stream in pieces of `step` bytes, each time in memory that is exactly as long as what is there. */
static struct zmtp_run zmtp_run(const struct wsb_zmtp_rules *rules, const uint8_t *in, size_t len, size_t step)
{
    static const uint8_t random[WSB_CURVEZMQ_RANDOM] = {1, 2, 3};
    struct zmtp_run r = {.hash = UINT64_C(0xcbf29ce484222325)};
    struct wsb_zmtp_peer peer;
    uint8_t *held = NULL;
    size_t held_len = 0;
    wsb_err err = WSB_MORE;
    wsb_zmtp_peer_init(&peer, rules, 5);
    for (size_t at = 0; at < len && err == WSB_MORE;) {
        size_t n = step < len - at ? step : len - at, used, begin = 0;
        struct wsb_zmtp_event ev;
        uint8_t *grown = malloc(held_len + n);
        require(grown != NULL);
        if (held_len)
            memcpy(grown, held, held_len);
        memcpy(grown + held_len, in + at, n);
        free(held);
        held = grown;
        held_len += n;
        at += n;
        while ((err = wsb_zmtp_next(&peer, held + begin, held_len - begin, random, &ev, &used)) == WSB_OK) {
            require(used <= held_len - begin);
            zmtp_note(&r, &ev, wsb_span(held + begin, held_len - begin));
            begin += used;
        }
        held_len -= begin;
        if (held_len)
            memmove(held, held + begin, held_len);
        if (err == WSB_MORE) { /* it asks for more than there is, and not for more than a message may be */
            require(wsb_zmtp_wanted(&peer) > held_len);
            require(wsb_zmtp_wanted(&peer) <= rules->max_message + WSB_ZMTP_SHAKE_MAX + WSB_ZMTP_HEAD_MAX);
            require(held_len <= rules->max_message + WSB_ZMTP_SHAKE_MAX + WSB_ZMTP_HEAD_MAX + step);
        }
    }
    r.has_failed = err != WSB_MORE;
    r.why = peer.why;
    memcpy(r.client, peer.client, sizeof r.client);
    wsb_zmtp_peer_deinit(&peer);
    free(held);
    return r;
}

static void zmtp_require_same(const struct zmtp_run *a, const struct zmtp_run *b)
{
    require(a->hash == b->hash && a->events == b->events && a->has_failed == b->has_failed);
    require(!a->has_failed || a->why == b->why);
}

#endif
