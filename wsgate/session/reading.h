#ifndef WSG_SESSION_READING_H
#define WSG_SESSION_READING_H

/*
 * What clients sent is used in turns. A round does so much work for them: what is dear (a request, a message that was compressed, a
 * signature) is charged where it is done, in units of about a quarter of a microsecond. A session whose turn is over keeps the
 * bytes that it has not used, is not read, and stands in line; the next rounds go on with it. So a client that sends very much work
 * in few bytes delays itself, and nobody else for long.
 *
 * Threads   the worker's
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "loop/loop.h"

struct wsg_session;
struct wsg_env;

enum {
    WSG_WORK_A_US = 4, /* units of a microsecond */
    WSG_WORK_EVENTS = 4000,
    WSG_WORK_LINE = 4000,
    WSG_WORK_DEBT = 80000, /* no more is paid for later: what took longer was a machine that stood still */
    WSG_WORK_TURN = 250,   /* of one session in its turn */
    WSG_WORK_MESSAGE = 1,
    WSG_WORK_CONTROL = 4, /* a ping is answered */
    WSG_WORK_RECORD = 4,  /* of TLS, beside its bytes */
    WSG_WORK_HTTP = 8,    /* an event of the parser */
    WSG_WORK_ERROR = 12,  /* a response of the gate's own */
    WSG_WORK_FILE = 40
};

/* Bytes that came and were not used yet. */
struct wsg_unread {
    struct wsb_buf bytes;
    struct wsg_session *owner;      /* borrowed */
    struct wsg_unread *prev, *next; /* while is_in_line */
    bool is_in_line;
    bool is_held;      /* is_in_line: in `held`, and not in `line` */
    bool is_quiet_due; /* wsg_session_quiet() waits until they are used */
    bool *is_dropped;  /* borrowed: while it is being used; set when it goes */
    const char *end;   /* static: why nothing follows these bytes; NULL: something may */
};

struct wsg_turns {
    struct wsg_unread *line; /* borrowed list: sessions whose turn is over, first over, first gone on */
    struct wsg_unread *held; /* the same, of whom a message is half unpacked: one after the other, a step a round */
    bool is_finishing;       /* the first of `held` has its step */
    size_t count;            /* of both */
    int64_t line_debt;       /* what those in line have used beyond theirs; not above 0 */
    int64_t left;            /* units of work; what was dearer than what was left is paid for by the next rounds */
};

static inline void wsg_turns_charge(struct wsg_turns *t, size_t units)
{
    t->left -= (int64_t)units;
}

void wsg_session_on_socket(struct wsg_watch *w, uint32_t events);
void wsg_session_watch(struct wsg_session *s); /* bring what epoll waits for in line with the state */
/* For a reason (enum wsg_pause) it is not read, or is again, unless there are others. */
void wsg_session_set_paused(struct wsg_session *s, uint8_t reason, bool on);
void wsg_session_end_pause(struct wsg_session *s); /* of the handler, if there is one */

/* What a read brought, in plain. */
void wsg_session_take_bytes(struct wsg_session *s, const uint8_t *data, size_t len);
void wsg_session_keep_unread(struct wsg_session *s, const uint8_t *data, size_t len);
void wsg_session_drop_unread(struct wsg_session *s);

/* An orderly end of what the client says; it may still be waiting for what it has been promised. */
void wsg_session_half_close(struct wsg_session *s, const char *why);
/* The client is gone, or will send no more. */
void wsg_session_end_of_input(struct wsg_session *s, const char *why);
/* The session ends: nobody goes on with it. */
void wsg_session_stop_reading(struct wsg_session *s);

/* The bus has caught up: read some of those again that had stopped. */
void wsg_sessions_unstall(struct wsg_env *env);
/* Go on with those that stand in line, and give the events of the next round their work. Sessions may end. */
void wsg_sessions_go_on(struct wsg_env *env);

#endif
