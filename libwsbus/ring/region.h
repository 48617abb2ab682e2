#ifndef WSB_RING_REGION_H
#define WSB_RING_REGION_H

/*
 * Memory that two processes share: a control page and, behind it, data that is mapped twice back to back, so that what
 * begins near its end goes on without a break. It has no name, so nothing is left of it when both have gone.
 *
 * Threads   any, one at a time for each region
 */

#include "base/fault.h"
#include "ring/ring.h"

struct wsb_region {
    uint8_t *base;    /* the control page; NULL: none */
    size_t ring_size; /* bytes of the data */
    int fd;           /* owned; -1: given up, the mapping lives on */
};

static inline struct wsb_ring_words *wsb_region_words(const struct wsb_region *r)
{
    return (struct wsb_ring_words *)(void *)r->base;
}

static inline uint8_t *wsb_region_data(const struct wsb_region *r)
{
    return r->base + WSB_RING_CONTROL;
}

/**
 * New memory, mapped for reading and writing. All its pages are there: what is short is refused now and does not kill later.
 *
 * @name       for /proc/PID/maps
 * @ring_size  bytes, a power of two from WSB_RING_MIN to WSB_RING_MAX
 *
 * Returns     WSB_OK; WSB_ERR_NOMEM there is not enough memory; WSB_ERR_LIMIT no descriptor is left, or
 *             files of this process may not be so large; WSB_ERR_MISUSE the size; WSB_ERR_UNSUPPORTED larger pages than
 *             the control page; WSB_ERR_IO otherwise; in words in *fault
 */
WSB_MUST_CHECK wsb_err wsb_region_new(const char *name, size_t ring_size, struct wsb_region *ret,
                                      struct wsb_fault *fault);

/* Who is given the descriptor from now on may only read; our own mapping still writes. Nobody changes the size any more. */
WSB_MUST_CHECK wsb_err wsb_region_seal_content(struct wsb_region *r, struct wsb_fault *fault);
/* Who is given the descriptor may write; nobody changes the size. Our own mapping is made read-only. */
WSB_MUST_CHECK wsb_err wsb_region_seal_size(struct wsb_region *r, struct wsb_fault *fault);

/**
 * Map what somebody else has made, after a look at it: size and seals must be what they should be.
 *
 * @fd         borrowed; the region gets a descriptor of its own only if it is kept: ret->fd is -1
 * @writable   it is sealed in size only; otherwise it is sealed in content as well, and mapped for reading
 *
 * Returns     WSB_OK; WSB_ERR_PROTO it is not such a region, or no ring has such a size; WSB_ERR_NOMEM, WSB_ERR_IO,
 *             WSB_ERR_UNSUPPORTED it cannot be mapped; in words in *fault
 */
WSB_MUST_CHECK wsb_err wsb_region_map(int fd, size_t ring_size, bool writable, struct wsb_region *ret,
                                      struct wsb_fault *fault);

/* Give the descriptor up; the mapping stays. */
void wsb_region_close_fd(struct wsb_region *r);
/* The pages go back to the system even if somebody else still maps them (not with sealed content). Needs the
 * descriptor. Who looks there afterwards finds zeros: an empty ring. */
void wsb_region_punch(struct wsb_region *r);
void wsb_region_deinit(struct wsb_region *r);

#endif
