#ifndef WSB_BASE_LOAN_H
#define WSB_BASE_LOAN_H

/*
 * Bytes that were sent and still lie where they were written: they may be read there until the place is needed. Embedded in
 * whatever reads them, which ends the loan when it is done, or copies the bytes away when they are recalled.
 *
 * Threads   that of the sender
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wsb_loan {
    struct wsb_loan *prev, *next;       /* the sender's list */
    struct wsb_loan **oldest, **newest; /* its ends; NULL: not lent */
    uint64_t place;
    /* Copy the bytes away: they are gone when this returns true. False: not possible now, without memory. */
    bool (*recall)(struct wsb_loan *l);
};

static inline bool wsb_loan_is_out(const struct wsb_loan *l)
{
    return l->oldest != NULL;
}

static inline void wsb_loan_begin(struct wsb_loan *l, struct wsb_loan **oldest, struct wsb_loan **newest,
                                  uint64_t place)
{
    l->oldest = oldest;
    l->newest = newest;
    l->place = place;
    l->next = NULL;
    l->prev = *newest;
    if (*newest)
        (*newest)->next = l;
    else
        *oldest = l;
    *newest = l;
}

/* Nobody reads them any more. May be said twice. */
static inline void wsb_loan_end(struct wsb_loan *l)
{
    if (!l->oldest)
        return;
    if (l->prev)
        l->prev->next = l->next;
    else
        *l->oldest = l->next;
    if (l->next)
        l->next->prev = l->prev;
    else
        *l->newest = l->prev;
    l->oldest = l->newest = NULL;
}

#endif
