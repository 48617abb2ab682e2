/* The latest event of each connection, since the gate was told. Nothing here allocates: it runs for every event. */
#include "api/acks.h"

#include <endian.h>
#include <string.h>

/* The place of the connection, or the free one where it would be: there always is one. */
static uint16_t *find(struct wsb_acks *a, wsb_conn conn)
{
    size_t i = (size_t)((conn * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (WSB_ACKS_PLACES - 1);
    while (a->places[i] && a->pairs[a->places[i] - 1].conn != conn)
        i = (i + 1) & (WSB_ACKS_PLACES - 1);
    return &a->places[i];
}

bool wsb_acks_note(struct wsb_acks *a, wsb_conn conn, uint64_t seq, size_t bytes)
{
    uint16_t *place = find(a, conn);
    if (!*place) {
        if (a->count == WSB_ACKS_MAX)
            return false;
        a->pairs[a->count++] = (struct wsb_ack_pair){.conn = conn};
        *place = (uint16_t)a->count;
        a->place_of[a->count - 1] = (uint16_t)(place - a->places);
    }
    struct wsb_ack_pair *pair = &a->pairs[*place - 1];
    if (seq > pair->seq)
        pair->seq = seq;
    a->events++;
    a->bytes += bytes;
    return true;
}

void wsb_acks_forget(struct wsb_acks *a, wsb_conn conn)
{
    const uint16_t *place = find(a, conn);
    if (*place)
        a->pairs[*place - 1].seq = 0;
}

void wsb_acks_clear(struct wsb_acks *a)
{
    for (size_t i = 0; i < a->count; i++) /* seldom many: not all of them */
        a->places[a->place_of[i]] = 0;
    a->count = a->events = a->bytes = 0;
}

size_t wsb_acks_write(const struct wsb_acks *a, uint8_t out[WSB_ACKS_BYTES])
{
    size_t len = 0;
    for (size_t i = 0; i < a->count; i++) {
        const uint64_t pair[2] = {htole64(a->pairs[i].conn), htole64(a->pairs[i].seq)};
        if (!a->pairs[i].seq)
            continue;
        memcpy(out + len, pair, sizeof pair);
        len += sizeof pair;
    }
    return len;
}
