/* One entry a prefix, with a bit for each socket. */
#include "link/subscriptions.h"

#include <stdint.h>
#include <stdlib.h>
#include <uthash.h>

struct wsb_subscription {
    UT_hash_handle hh;
    uint32_t sockets; /* bits */
    size_t len;
    uint8_t prefix[];
};

static struct wsb_subscription *find(const struct wsb_subscriptions *t, struct wsb_span prefix)
{
    struct wsb_subscription *s;
    HASH_FIND(hh, t->by_prefix, prefix.len ? (const void *)prefix.ptr : "", prefix.len, s);
    return s;
}

static struct wsb_subscription *add(struct wsb_subscriptions *t, struct wsb_span prefix)
{
    if (t->count == WSB_SUBSCRIPTIONS_MAX)
        return NULL;
    struct wsb_subscription *s = malloc(sizeof *s + prefix.len);
    if (!s)
        return NULL;
    *s = (struct wsb_subscription){.len = prefix.len};
    if (prefix.len)
        memcpy(s->prefix, prefix.ptr, prefix.len);
    HASH_ADD_KEYPTR(hh, t->by_prefix, s->prefix, s->len, s);
    t->count++;
    return s;
}

bool wsb_subscriptions_note(struct wsb_subscriptions *t, unsigned socket, struct wsb_span prefix, bool begins)
{
    uint32_t bit = (uint32_t)1 << socket;
    struct wsb_subscription *s = find(t, prefix);
    if (begins) {
        bool is_first = !s;
        if (!s)
            s = add(t, prefix);
        if (s)
            s->sockets |= bit;
        return is_first;
    }
    if (!s)
        return true; /* it was not noted when it began */
    s->sockets &= ~bit;
    if (s->sockets)
        return false;
    HASH_DELETE(hh, t->by_prefix, s);
    t->count--;
    free(s);
    return true;
}

void wsb_subscriptions_deinit(struct wsb_subscriptions *t)
{
    struct wsb_subscription *s = t->by_prefix;
    HASH_CLEAR(hh, t->by_prefix); /* the table; its entries stay linked */
    while (s) {
        struct wsb_subscription *next = s->hh.next;
        free(s);
        s = next;
    }
    t->count = 0;
}
