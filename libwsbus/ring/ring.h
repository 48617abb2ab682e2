#ifndef WSB_RING_RING_H
#define WSB_RING_RING_H

/*
 * A ring of records between one producer and one consumer: two threads, or two processes that do not trust each other.
 * Nothing in it is shared for writing: each word has one writer, and nobody believes what the other wrote without a look at it.
 * There is no lock, so nobody can die with one.
 *
 *     producer's region:  control page (the producer's words) | data, mapped twice back to back
 *     consumer's region:  control page (the consumer's words) | ...
 *
 * A record is a stamp and a body; its first four bytes of body are its length, little endian, themselves included. Records begin at
 * multiples of 64 bytes and lie in one piece, because the data is mapped twice. Positions are bytes since the beginning
 * and never wrap.
 *
 *     0  u64 stamp   written last; says "whole, and of this place and turn"
 *     8  u32 len     of the body
 *    12  …           the rest of the body
 *
 * A stamp is the position, made unguessable with a key that both ends know: bytes that lie in the ring from an earlier turn, or
 * that a stranger chose as payload, are never taken for a record. The consumer polls the stamp itself, which is in the line that
 * it reads next anyway.
 *
 * Waking    a consumer that goes to sleep says from where on it wants to be told (wake_at); a producer that is full says
 *           from where on (space_at). While both are awake nobody makes a system call.
 *
 * Nobody asks the cache for lines ahead of time: processors foresee as much by themselves, and a line that one end asks for
 * early is taken from the other, which is still at it.
 *
 * Threads   one at each end
 * Source    docs/shm.md
 */

#include <endian.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/span.h"
#include "wsbus/err.h"

enum {
    WSB_RING_CONTROL = 4096, /* bytes of the control page in front of the data */
    WSB_RING_ALIGN = 64,
    WSB_RING_STAMP = 8,
    WSB_RING_BODY_MIN = 4,
    WSB_RING_MIN = 64 << 10,
    WSB_RING_MAX = 64 << 20
};

/* One end's words. Its owner writes them, the other end reads them. Lines are kept 128 bytes apart: caches fetch pairs. */
struct wsb_ring_words {
    _Alignas(128) uint8_t terms[128];        /* what was agreed on, for who wants to look; see link/shm_wire.h */
    _Alignas(128) _Atomic uint64_t head;     /* how far I have released the other's ring */
    _Alignas(128) _Atomic uint64_t wake_at;  /* wake me when your ring passes this */
    _Alignas(128) _Atomic uint64_t space_at; /* wake me when your head passes this */
    _Alignas(128) _Atomic uint32_t state;
    _Alignas(128) _Atomic uint64_t tail; /* how far I have written, told lazily: for statistics only */
    _Alignas(128) _Atomic uint32_t bell; /* a futex word for a consumer that sleeps on one */
};

_Static_assert(sizeof(struct wsb_ring_words) <= WSB_RING_CONTROL, "the words fit into their page");
_Static_assert(offsetof(struct wsb_ring_words, head) == 0x080 && offsetof(struct wsb_ring_words, wake_at) == 0x100 &&
                   offsetof(struct wsb_ring_words, space_at) == 0x180 &&
                   offsetof(struct wsb_ring_words, state) == 0x200 && offsetof(struct wsb_ring_words, tail) == 0x280 &&
                   offsetof(struct wsb_ring_words, bell) == 0x300,
               "the layout that docs/shm.md describes");

/* ------------------------------------------------------------------- producing */

struct wsb_ring_tx {
    uint8_t *data;                      /* borrowed */
    struct wsb_ring_words *mine;        /* borrowed */
    const struct wsb_ring_words *peers; /* borrowed */
    uint64_t size, key;
    uint64_t tail;  /* where the next record begins */
    uint64_t head;  /* of the consumer, as last seen, and found possible */
    uint64_t floor; /* what lies behind it may be written over: the head, or less, if `holds` */
    uint64_t told;  /* the consumer knows of everything before it, if it wanted to */
    bool holds;     /* the owner moves the floor, because it may still need what was released */
};

static inline uint64_t wsb_ring_stamp(uint64_t key, uint64_t position)
{
    return ((position ^ key) * UINT64_C(0x9e3779b97f4a7c15)) | 1;
}

/* Bytes that a body of so many takes in the ring. */
static inline uint64_t wsb_ring_size_of(size_t len)
{
    return ((uint64_t)len + WSB_RING_STAMP + WSB_RING_ALIGN - 1) & ~(uint64_t)(WSB_RING_ALIGN - 1);
}

/* Can a ring have so many bytes of data? */
static inline bool wsb_ring_is_size(uint64_t size)
{
    return size >= WSB_RING_MIN && size <= WSB_RING_MAX && (size & (size - 1)) == 0;
}

/* The longest body that a ring of `size` bytes takes. */
static inline size_t wsb_ring_body_max(uint64_t size)
{
    return (size_t)(size / 4 - WSB_RING_STAMP);
}

/* size: of the data, a power of two from WSB_RING_MIN to WSB_RING_MAX. Both ends begin at position 0. */
void wsb_ring_tx_init(struct wsb_ring_tx *t, uint8_t *data, uint64_t size, uint64_t key, struct wsb_ring_words *mine,
                      const struct wsb_ring_words *peers);

/**
 * See how far the consumer is.
 *
 * Returns  WSB_OK; WSB_ERR_PROTO it says what cannot be: back, beyond what was written, or not at a record's alignment
 */
WSB_MUST_CHECK wsb_err wsb_ring_look(struct wsb_ring_tx *t);

/* The owner needs nothing before this position any more (with `holds`); at most the head. */
static inline void wsb_ring_let_go(struct wsb_ring_tx *t, uint64_t position)
{
    t->floor = position;
}

/* Bytes that may be written now, as far as known. */
static inline uint64_t wsb_ring_room(const struct wsb_ring_tx *t)
{
    return t->size - (t->tail - t->floor);
}

/* Room for a body of `len` bytes (len >= WSB_RING_BODY_MIN, its size in the ring at most a quarter of the ring's); NULL: none as far
 * as known, see wsb_ring_look(). A second call before the commit gives the same place. */
static inline uint8_t *wsb_ring_reserve(struct wsb_ring_tx *t, size_t len)
{
    uint64_t need = wsb_ring_size_of(len);
    if (need > wsb_ring_room(t))
        return NULL;
    return t->data + (t->tail & (t->size - 1)) + WSB_RING_STAMP;
}

/* The body that was reserved is written, its length in front: from now on the consumer may see it. */
static inline void wsb_ring_commit(struct wsb_ring_tx *t, size_t len)
{
    _Atomic uint64_t *stamp = (_Atomic uint64_t *)(void *)(t->data + (t->tail & (t->size - 1)));
    atomic_store_explicit(stamp, htole64(wsb_ring_stamp(t->key, t->tail)), memory_order_release);
    t->tail += wsb_ring_size_of(len);
}

/* After one commit or many: must the consumer be woken? */
static inline bool wsb_ring_tell(struct wsb_ring_tx *t)
{
    if (t->told == t->tail)
        return false;
    atomic_store_explicit(&t->mine->tail, t->tail, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    uint64_t at = atomic_load_explicit(&t->peers->wake_at, memory_order_relaxed);
    bool wakes = t->tail - at - 1 < t->tail - t->told;
    t->told = t->tail;
    return wakes;
}

/**
 * Full: ask to be woken when the consumer has released enough for a body of `len` bytes.
 *
 * Returns  WSB_AGAIN it will be told (with `holds`: that it is released; room comes when the owner lets go); WSB_OK there
 *          is room by now; WSB_ERR_PROTO as wsb_ring_look()
 */
WSB_MUST_CHECK wsb_err wsb_ring_want_room(struct wsb_ring_tx *t, size_t len);

/* ------------------------------------------------------------------- consuming */

struct wsb_ring_rx {
    const uint8_t *data;                /* borrowed */
    struct wsb_ring_words *mine;        /* borrowed */
    const struct wsb_ring_words *peers; /* borrowed */
    uint64_t size, key;
    uint64_t at;       /* the next record */
    uint64_t released; /* the producer was told */
};

void wsb_ring_rx_init(struct wsb_ring_rx *r, const uint8_t *data, uint64_t size, uint64_t key,
                      struct wsb_ring_words *mine, const struct wsb_ring_words *peers);

static inline bool wsb_ring_has_next(const struct wsb_ring_rx *r)
{
    const _Atomic uint64_t *stamp = (const _Atomic uint64_t *)(const void *)(r->data + (r->at & (r->size - 1)));
    return atomic_load_explicit(stamp, memory_order_acquire) == htole64(wsb_ring_stamp(r->key, r->at));
}

/**
 * The next record's body, where it lies: valid until it is released, and not to be trusted to stay as it is.
 *
 * Returns  WSB_OK; WSB_AGAIN none is there; WSB_ERR_PROTO a length that cannot be, or more than was released: nothing
 *          behind it can be read
 */
static inline wsb_err wsb_ring_next(struct wsb_ring_rx *r, struct wsb_span *ret)
{
    const uint8_t *p = r->data + (r->at & (r->size - 1));
    uint32_t len;
    if (!wsb_ring_has_next(r))
        return WSB_AGAIN;
    memcpy(&len, p + WSB_RING_STAMP, sizeof len); /* once: it may change under our eyes */
    __asm__ volatile("" ::: "memory");
    len = le32toh(len);
    uint64_t end = r->at + wsb_ring_size_of(len);
    if (len < WSB_RING_BODY_MIN || len > wsb_ring_body_max(r->size) || end - r->released > r->size)
        return WSB_ERR_PROTO;
    *ret = wsb_span(p + WSB_RING_STAMP, len);
    r->at = end;
    return WSB_OK;
}

/* Everything before the position may be written over. True: the producer waits for that, and must be woken. */
bool wsb_ring_release(struct wsb_ring_rx *r, uint64_t position);

/* Ask to be woken for the next record. True: there is none, the caller may sleep. Costs a fence: only before a real sleep. */
static inline bool wsb_ring_may_sleep(struct wsb_ring_rx *r)
{
    atomic_store_explicit(&r->mine->wake_at, r->at, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    return !wsb_ring_has_next(r);
}

#endif
