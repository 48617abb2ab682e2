#ifndef WSB_BASE_BLOCK_H
#define WSB_BASE_BLOCK_H

#include <stddef.h>
#include <stdint.h>

/* A block of bytes on its way to a peer. Whoever fills it gives it to the link, which frees it when the bytes are gone and
 * takes its size off the peer's account, so that the sender knows how much is still under way. */
struct wsb_block {
    struct wsb_account *account; /* referenced */
    size_t charge;
    uint32_t refs; /* more than one only within one thread */
    size_t len;
    size_t cap;
    uint8_t data[];
};

/* What is under way to one peer; outlives the peer until the last block is gone. */
struct wsb_account;
struct wsb_account *wsb_account_new(void);
struct wsb_account *wsb_account_ref(struct wsb_account *a);
void wsb_account_unref(struct wsb_account *a);
size_t wsb_account_bytes(const struct wsb_account *a);

struct wsb_block *wsb_block_new(struct wsb_account *a, size_t cap);
/* A block with more room and the same bytes; NULL without memory, and then the old one is still good. */
struct wsb_block *wsb_block_grow(struct wsb_block *b, size_t cap);
/* One more holder, in the same thread: nobody writes to it any more, and each holder frees it. */
struct wsb_block *wsb_block_ref(struct wsb_block *b);
void wsb_block_free(struct wsb_block *b);

#endif
