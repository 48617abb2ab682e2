#ifndef WSB_LINK_SHM_PEER_H
#define WSB_LINK_SHM_PEER_H

/*
 * One handler at the other end of shared memory, from its first word on the socket to the last byte that it left in its ring.
 *
 *   HELLO ──WELCOME sent──▶ READY ──mapped──▶ RUNNING ──hung up, or ended──▶ LEAVING ──read to the end──▶ gone
 *
 * It is not trusted: it can write what it likes to its own region and to the socket, ring the bell without end, or do nothing
 * any more. All that the gate believes is in memory of its own.
 *
 * Threads   the server's
 */

#include "link/life.h"
#include "link/link.h"
#include "link/shm_receiver.h"
#include "link/shm_sender.h"
#include "link/shm_wire.h"
#include "ring/region.h"

enum wsb_shm_state { WSB_SHM_PEER_HELLO, WSB_SHM_PEER_READY, WSB_SHM_PEER_RUNNING, WSB_SHM_PEER_LEAVING };

enum { WSB_SHM_PEER_NAME = 9 /* the door, and the link's number */ };

struct wsb_shm_debt;

/* What an event of the server's epoll is about. */
struct wsb_shm_source {
    enum { WSB_SHM_LISTENER, WSB_SHM_TIMER, WSB_SHM_SOCKET, WSB_SHM_PROCESS, WSB_SHM_BELL, WSB_SHM_DEBT } what;
    struct wsb_shm_peer *peer;
    struct wsb_shm_debt *debt;
};

struct shm_server;

struct wsb_shm_peer {
    struct wsb_direct direct;
    struct shm_server *server;                    /* borrowed */
    struct wsb_shm_peer *next, *prev;             /* of all */
    struct wsb_shm_peer *next_awake, *prev_awake; /* of those whose rings are looked at */
    struct wsb_shm_peer *next_dirty;              /* of those that have been written to */
    struct wsb_shm_source of_socket, of_process, of_bell;
    enum wsb_shm_state state;
    bool is_awake, is_dirty, is_masked;
    bool is_watched; /* whether it runs is of interest */
    struct wsb_life life;
    bool is_over; /* whoever it belongs to has been told that it is gone */
    uint8_t name[WSB_SHM_PEER_NAME];
    int socket, process,
        bell; /* owned; process: a pidfd, -1 where there are none; bell: the pipe's end that we write */
    int gate; /* owned: the eventfd that wakes us; only ever waited for, never read */
    int32_t pid;
    struct wsb_region down, up;
    struct wsb_sender sender;
    struct wsb_receiver receiver;
    uint64_t since_ms;
    uint64_t memory; /* bytes that were charged for it */
    uint64_t wakes_in, wakes_out, arms, records_in;
    uint64_t left_at;                              /* while it is LEAVING: where its ring was read to when it left */
    uint64_t window_ms, window_wakes, window_arms; /* of this second: is it a flood? */
};

/* What it may have. */
struct wsb_shm_grant {
    uint64_t ring_down, ring_up, features, link_id;
    size_t max_message;
};

/* Takes the socket, also on failure. NULL without memory. */
struct wsb_shm_peer *wsb_shm_peer_new(int socket, uint64_t now_ms);
/* Its rings and bells are made, and go to it with the WELCOME. */
WSB_MUST_CHECK wsb_err wsb_shm_peer_welcome(struct wsb_shm_peer *p, const struct wsb_shm_grant *g,
                                            struct wsb_fault *fault);
/* Tell it why not; it may have gone. */
void wsb_shm_peer_refuse(struct wsb_shm_peer *p, const char *reason);
/* It was given memory, and its process still runs, as far as we know. */
bool wsb_shm_holds_on(const struct wsb_shm_peer *p);
/* Wake it, if it sleeps and something is there that it waits for. */
void wsb_shm_peer_tell(struct wsb_shm_peer *p);
void wsb_shm_peer_wake(struct wsb_shm_peer *p);
/* Its descriptors are closed, what was lent is recalled. False: without memory some of it could not be, and it must be kept. */
bool wsb_shm_peer_end(struct wsb_shm_peer *p);
void wsb_shm_peer_free(struct wsb_shm_peer *p); /* after the end */

#endif
