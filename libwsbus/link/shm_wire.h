#ifndef WSB_LINK_SHM_WIRE_H
#define WSB_LINK_SHM_WIRE_H

/*
 * What a handler and the gate say to each other on the socket `shm` of the runtime directory (SOCK_SEQPACKET) before they share
 * memory. After that the socket only tells that the other end is alive.
 *
 *     handler                          gate
 *        │ ── HELLO ─────────────────▶ │   who may come in, and is there memory for it?
 *        │ ◀───────── WELCOME + fds ── │   or REFUSED, with the reason in words, and the end
 *        │ ── READY ─────────────────▶ │   mapped, and found as it should be
 *
 * All numbers are the machine's own: both ends are on it. A message may be longer than the reader knows: what is behind is of
 * a later minor version. Source: docs/shm.md.
 */

#include <stdint.h>

#define WSB_SHM_MAGIC UINT64_C(0x0100005355425357) /* "WSBUS", 0, 0, 1 */
#define WSB_SHM_FILE  "shm"

enum { WSB_SHM_MAJOR = 1, WSB_SHM_MINOR = 0, WSB_SHM_REASON_MAX = 160 };

enum wsb_shm_kind { WSB_SHM_HELLO = 1, WSB_SHM_WELCOME = 2, WSB_SHM_REFUSED = 3, WSB_SHM_READY = 4 };

enum wsb_shm_feature {
    WSB_SHM_PARTS = 1 /* a message that is larger than a record may be goes in several */
};

struct wsb_shm_hello {
    uint64_t magic;
    uint16_t kind;
    uint16_t major_min, major_max;
    uint16_t minor;
    uint64_t features;
    uint64_t ring_down, ring_up; /* wanted sizes, bytes; 0: whatever the gate usually gives */
};

struct wsb_shm_welcome {
    uint64_t magic;
    uint16_t kind; /* or REFUSED: then only the reason counts */
    uint16_t major;
    uint16_t minor;
    uint16_t unused;
    uint64_t features; /* of those that were asked for */
    uint64_t ring_down, ring_up;
    uint64_t key_down, key_up; /* of the stamps */
    uint64_t link_id;
    char reason[WSB_SHM_REASON_MAX];
};

struct wsb_shm_ready {
    uint64_t magic;
    uint16_t kind;
    uint16_t unused[3];
};

/* The descriptors that come with WELCOME, in this order. */
enum wsb_shm_fd {
    WSB_SHM_FD_DOWN, /* region that the gate writes; sealed, to be mapped for reading */
    WSB_SHM_FD_UP,   /* region that the handler writes */
    WSB_SHM_FD_BELL, /* pipe: readable when the gate wakes the handler */
    WSB_SHM_FD_GATE, /* eventfd: written to wake the gate */
    WSB_SHM_FDS
};

/* How the consumer wants to be woken, in `state` of its words. */
enum wsb_shm_sleep { WSB_SHM_BY_BELL = 0, WSB_SHM_BY_FUTEX = 1 };

/* In the second word of a record's body, which is the length of its metadata: the record is a part of a message. Behind the
 * two words come bytes of a whole record, which may be larger than the ring. */
#define WSB_SHM_PART      UINT32_C(0x80000000)
#define WSB_SHM_PART_LAST UINT32_C(0x40000000)

#endif
