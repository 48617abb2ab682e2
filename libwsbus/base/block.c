/* Blocks on their way to a peer, and the account they are charged to. The last block may be freed by another thread. */
#include "base/block.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/size.h"

struct wsb_account {
    _Atomic size_t bytes;
    _Atomic size_t refs;
};

struct wsb_account *wsb_account_new(void)
{
    struct wsb_account *a = malloc(sizeof *a);
    if (!a)
        return NULL;
    atomic_init(&a->bytes, 0);
    atomic_init(&a->refs, 1);
    return a;
}

struct wsb_account *wsb_account_ref(struct wsb_account *a)
{
    atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
    return a;
}

void wsb_account_unref(struct wsb_account *a)
{
    if (a && atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) == 1)
        free(a);
}

size_t wsb_account_bytes(const struct wsb_account *a)
{
    return atomic_load_explicit(&a->bytes, memory_order_relaxed);
}

static void charge(struct wsb_block *b, size_t cap)
{
    /* a small block costs its envelope and the allocator too */
    size_t now = cap + sizeof *b + 64;
    atomic_fetch_add_explicit(&b->account->bytes, now, memory_order_relaxed);
    b->charge = now;
}

struct wsb_block *wsb_block_new(struct wsb_account *a, size_t cap)
{
    size_t size;
    if (!wsb_size_add(cap, sizeof(struct wsb_block), &size))
        return NULL;
    struct wsb_block *b = malloc(size);
    if (!b)
        return NULL;
    *b = (struct wsb_block){.account = a, .refs = 1, .cap = cap};
    atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
    charge(b, cap);
    return b;
}

struct wsb_block *wsb_block_grow(struct wsb_block *b, size_t cap)
{
    size_t size;
    if (!wsb_size_add(cap, sizeof *b, &size))
        return NULL;
    struct wsb_block *bigger = realloc(b, size);
    if (!bigger)
        return NULL;
    atomic_fetch_sub_explicit(&bigger->account->bytes, bigger->charge, memory_order_relaxed);
    bigger->cap = cap;
    charge(bigger, cap);
    return bigger;
}

struct wsb_block *wsb_block_ref(struct wsb_block *b)
{
    b->refs++;
    return b;
}

void wsb_block_free(struct wsb_block *b)
{
    if (!b || --b->refs)
        return;
    struct wsb_account *a = b->account;
    atomic_fetch_sub_explicit(&a->bytes, b->charge, memory_order_relaxed);
    free(b);
    wsb_account_unref(a);
}
