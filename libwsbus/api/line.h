#ifndef WSB_API_LINE_H
#define WSB_API_LINE_H

/*
 * One WebSocket of a client: what has come and nobody has read, what waits to leave, how it ended. It never waits: that is
 * done in websocket.c, with the lock of its handle.
 *
 * Threads   one at a time
 */

#include <pthread.h>

#include "dial/peer.h"
#include "wsbus/websocket.h"

enum { WSB_LINE_OUT_BYTES = 16 << 20 };

#define WSB_LINE_FOREVER UINT64_MAX

/* A message that has come. */
struct wsb_line_message {
    struct wsb_line_message *next;
    uint8_t opcode;
    size_t len;
    uint8_t data[];
};

/* A ping that a call waits for; on the stack of that call. */
struct wsb_line_pong {
    struct wsb_line_pong *next;
    uint8_t data[WSB_FRAME_CONTROL_MAX];
    size_t len;
    bool is_there;
};

/*
 *   OPEN ──we close──▶ CLOSING ──the server's close──▶ OVER
 *   OPEN ──the server closes, or anything fails──────▶ OVER
 */
enum wsb_line_state { WSB_LINE_OPEN, WSB_LINE_CLOSING, WSB_LINE_OVER };

struct wsb_line {
    struct wsb_peer peer;
    enum wsb_line_state state;
    enum wsb_reason reason; /* WSB_LINE_OVER: why reads fail from then on */
    char why[256];          /* the latest failure, in words */
    struct wsb_websocket_close_info info;
    struct wsb_line_message *first, **end; /* owned; nobody has read them */
    size_t queued;
    struct wsb_line_message *current; /* owned; the one that was read last */
    struct wsb_line_pong *pongs;      /* borrowed from those who wait */
    bool is_reading;                  /* a thread is in wsb_websocket_read() */
    bool is_pumping;
    bool is_leaving; /* the handle is being closed */
    unsigned inside; /* calls under way */
    unsigned ping_interval_ms, ping_timeout_ms;
    uint64_t heard_ms; /* when anything came last */
    uint64_t asked_ms; /* when our own ping left that was not answered; 0: none */
    int wake_fd;       /* owned; to end a poll */
    int epoll_fd;      /* owned; what the program may wait for; -1 until asked for */
    pthread_cond_t changed;
};

/* NULL: no memory, or no descriptor. */
struct wsb_line *wsb_line_new(const struct wsb_open_options *o);
void wsb_line_free(struct wsb_line *c);

/* A failure of one call alone: the words are kept, and the reason is returned. */
enum wsb_reason wsb_line_because(struct wsb_line *c, enum wsb_reason reason, const char *why);
void wsb_line_wake(struct wsb_line *c); /* whoever polls for it */
/* It is over, unless it was; and because of an error. */
void wsb_line_end(struct wsb_line *c, enum wsb_reason reason, const char *why);
void wsb_line_lost(struct wsb_line *c, wsb_err err, const char *why);

bool wsb_line_has_room(const struct wsb_line *c); /* for more of what comes */
void wsb_line_fill(struct wsb_line *c);           /* the socket is readable */
void wsb_line_parse(struct wsb_line *c);          /* events out of what has come, as long as somebody may want them */
void wsb_line_flush(struct wsb_line *c);
/* The message that came first becomes the current one. */
bool wsb_line_take(struct wsb_line *c, struct wsb_message *ret);
/* Our own pings; returns when to look again. */
uint64_t wsb_line_keep_alive(struct wsb_line *c, uint64_t now_ms);

#endif
