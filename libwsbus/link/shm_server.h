#ifndef WSB_LINK_SHM_SERVER_H
#define WSB_LINK_SHM_SERVER_H

/*
 * What shm_server.c (rings at work) and shm_attach.c (who comes in, and who has to go) share, and nobody else uses.
 *
 * Threads   the server's
 */

#include "link/shm_peer.h"

enum {
    DEBT_SHARE = 4, /* a process may owe one fourth of all memory */
    GROUPS_MAX = 256,
    PENDING_MAX = 8,   /* that have not said READY */
    PENDING_MS = 2000, /* and so long at most */
    TICK_MS = 10,      /* while somebody is pending or masked */
    EVENTS = 64,       /* a call of epoll */
    LOOKS = 16,        /* calls of it in a round */
    ACCEPTS = 16,
    TURN_RECORDS = 256,    /* of one handler, while others wait */
    FLOOD_A_SECOND = 1000, /* wakes more than we had asked for */
    MASK_MS = 10,
    SCRATCH = 4096,  /* bytes of records that are copied out before they are looked at */
    RING_RELEASE = 8 /* one eighth of a ring */
};

/* Memory that a process may still map after its link has ended. */
struct wsb_shm_debt {
    struct wsb_shm_debt *next;
    struct wsb_shm_source source;
    int process; /* owned: its pidfd */
    int32_t pid;
    uint64_t bytes;
};

struct shm_server {
    struct wsb_server base;
    int listener, poll, timer; /* owned */
    struct wsb_shm_source of_listener, of_timer;
    char *path; /* owned */
    struct wsb_shm_options o;
    struct wsb_shm_peer *peers; /* owned: all */
    struct wsb_shm_peer *awake; /* those whose rings are looked at */
    struct wsb_shm_peer *dirty; /* written to since the last flush */
    struct wsb_shm_peer *kept;  /* owned: gone, but something of theirs is still lent */
    struct wsb_shm_peer *turn;  /* whose turn it is; NULL: the first */
    uint32_t turn_left;
    uint32_t pending, links, masked;
    bool is_ticking;
    bool has_events; /* that have not been looked at */
    bool has_made;   /* rings for somebody, in this round: that takes time */
    bool is_listener_masked;
    uint64_t complaints, complained_ms;
    struct wsb_shm_debt *debts; /* owned */
    uint64_t last_link;
    struct wsb_server_stats stats;
    uint8_t scratch[SCRATCH];
    struct wsb_buf large; /* a larger record that was copied out */
};

/* Look at its ring, until it says that it wakes us. */
void wsb_shm_wake_up(struct shm_server *s, struct wsb_shm_peer *p);
void wsb_shm_fall_asleep(struct shm_server *s, struct wsb_shm_peer *p);
/* It has been written to, or something waits for room: the next flush tells, or tries. */
void wsb_shm_note_dirty(struct shm_server *s, struct wsb_shm_peer *p);

bool wsb_shm_watch_fd(struct shm_server *s, int fd, uint32_t events, struct wsb_shm_source *source);
/* Time passes in ticks as long as somebody is pending or masked. */
void wsb_shm_tick(struct shm_server *s);

void wsb_shm_on_listener(struct shm_server *s);
void wsb_shm_unmask_listener(struct shm_server *s);
/* Its process has ended. */
void wsb_shm_settle(struct shm_server *s, struct wsb_shm_debt *d);
void wsb_shm_on_socket(struct shm_server *s, struct wsb_shm_peer *p);
/* Before it has said READY: why not, and the end. */
void wsb_shm_refuse(struct shm_server *s, struct wsb_shm_peer *p, const char *why);
/* What it has written is still read; then whoever it belongs to is told that it is gone. */
void wsb_shm_let_go(struct shm_server *s, struct wsb_shm_peer *p);
/* It has done what it must not do: nothing of it is read any more. */
void wsb_shm_put_out(struct shm_server *s, struct wsb_shm_peer *p, const char *why);
void wsb_shm_remove(struct shm_server *s, struct wsb_shm_peer *p);
/* Those that could not be freed for want of memory; now and then. */
void wsb_shm_free_kept(struct shm_server *s);

uint64_t wsb_shm_now_ms(void);

#endif
