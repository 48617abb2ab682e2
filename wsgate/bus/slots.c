/* Places and generations. */
#include "bus/slots.h"

#include <assert.h>
#include <stdlib.h>

enum { FIRST_COUNT = 64, NONE = WSG_ID_SLOTS };

void wsg_slots_init(struct wsg_slots *s, uint64_t epoch, const struct wsb_seed *seed, uint8_t worker)
{
    *s = (struct wsg_slots){
        .epoch_tag = wsg_epoch_tag(epoch),
        .worker = worker,
        .free_head = NONE,
        .free_tail = NONE,
        .seed = *seed,
    };
}

void wsg_slots_deinit(struct wsg_slots *s)
{
    free(s->slots);
    *s = (struct wsg_slots){0};
}

static void push_free(struct wsg_slots *s, uint32_t at)
{
    s->slots[at].next_free = NONE;
    if (s->free_head == NONE)
        s->free_head = at;
    else
        s->slots[s->free_tail].next_free = at;
    s->free_tail = at;
}

static uint32_t pop_free(struct wsg_slots *s)
{
    uint32_t at = s->free_head;
    s->free_head = s->slots[at].next_free;
    if (s->free_head == NONE)
        s->free_tail = NONE;
    return at;
}

static wsb_err grow(struct wsg_slots *s)
{
    uint32_t count = s->count ? s->count * 2 : FIRST_COUNT;
    if (count > WSG_ID_SLOTS)
        return WSB_ERR_LIMIT;
    struct wsg_slot *slots = realloc(s->slots, count * sizeof *slots);
    if (!slots)
        return WSB_ERR_NOMEM;
    s->slots = slots;
    for (uint32_t i = s->count; i < count; i++) {
        s->slots[i] = (struct wsg_slot){.generation = wsg_generation_of(&s->seed, i, 0)};
        push_free(s, i);
    }
    s->count = count;
    return WSB_OK;
}

static wsb_conn id_of(const struct wsg_slots *s, uint32_t at)
{
    return wsg_id_make((struct wsg_id_parts){s->epoch_tag, s->slots[at].generation, s->worker, at});
}

wsb_err wsg_slots_add(struct wsg_slots *s, void *value, wsb_conn *ret)
{
    assert(value);
    if (s->free_head == NONE) {
        wsb_err err = grow(s);
        if (err)
            return err;
    }
    uint32_t at = pop_free(s);
    s->slots[at].value = value;
    s->used++;
    *ret = id_of(s, at);
    return WSB_OK;
}

/* False when the place has had all its generations. */
static bool next_generation(struct wsg_slots *s, uint32_t at)
{
    struct wsg_slot *slot = &s->slots[at];
    slot->nth++;
    if (slot->nth >= WSG_ID_GENERATIONS)
        return false; /* its last holder's generation stays, so that its id is not good for another */
    slot->generation = wsg_generation_of(&s->seed, at, slot->nth);
    return true;
}

void wsg_slots_remove(struct wsg_slots *s, wsb_conn id)
{
    uint32_t at = wsg_id_parts(id).slot;
    assert(at < s->count && s->slots[at].value && id_of(s, at) == id);
    s->slots[at].value = NULL;
    s->used--;
    if (next_generation(s, at))
        push_free(s, at);
}

wsb_err wsg_slots_renew(struct wsg_slots *s, wsb_conn *id)
{
    uint32_t at = wsg_id_parts(*id).slot;
    void *value = s->slots[at].value;
    assert(at < s->count && value && id_of(s, at) == *id);
    if (next_generation(s, at)) {
        *id = id_of(s, at);
        return WSB_OK;
    }
    wsb_conn fresh;
    wsb_err err = wsg_slots_add(s, value, &fresh);
    if (err) {
        s->slots[at].nth--; /* the holder keeps its old id until it is removed */
        return err;
    }
    s->slots[at].value = NULL;
    s->used--;
    *id = fresh;
    return WSB_OK;
}

wsb_err wsg_slots_find(const struct wsg_slots *s, wsb_conn id, void **ret)
{
    struct wsg_id_parts p = wsg_id_parts(id);
    if (p.epoch_tag != s->epoch_tag || p.worker != s->worker || p.slot >= s->count)
        return WSB_ERR_STALE;
    const struct wsg_slot *slot = &s->slots[p.slot];
    if (slot->generation == p.generation && slot->value) {
        *ret = slot->value;
        return WSB_OK;
    }
    return wsg_generation_nth(&s->seed, p.slot, p.generation) < slot->nth ? WSB_ERR_GONE : WSB_ERR_STALE;
}
