#ifndef WSL_TALLY_H
#define WSL_TALLY_H

/* What happened besides good answers, counted by kind; and the first thing that went wrong, in words. */

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"

enum wsl_count {
    WSL_CORRUPT,              /* an answer that is not the message that was due next */
    WSL_UNEXPECTED,           /* an answer when none was due */
    WSL_LOST,                 /* fan-out: gaps in what a subscriber got */
    WSL_DUPLICATE,            /* fan-out: got twice, or too late */
    WSL_OTHER_OPCODE,         /* text came back as binary, or the other way round */
    WSL_PROTOCOL,             /* the server broke RFC 6455 */
    WSL_SKIPPED,              /* the schedule wanted it sent, and it could not be */
    WSL_SERVER_CLOSED,        /* a Close frame that we did not ask for */
    WSL_DISCONNECTED,         /* gone without a Close frame */
    WSL_REFUSED,              /* connect() was */
    WSL_TIMED_OUT,            /* not connected in time */
    WSL_HANDSHAKE,            /* the opening handshake, or TLS, was not accepted */
    WSL_NOT_CONNECTED,        /* any other reason */
    WSL_FAILURES,             /* --- up to here: something is wrong --- */
    WSL_PINGS = WSL_FAILURES, /* that we answered */
    WSL_PONGS,
    WSL_FOREIGN,      /* fan-out, idle: a message that nobody here has sent, a greeting for example */
    WSL_CLEAN_CLOSES, /* our Close frame was answered */
    WSL_STALLS,       /* fan-out: nothing came for a second, and the next was published nevertheless */
    WSL_READS,        /* system calls, or TLS reads */
    WSL_COUNTS
};

struct wsl_tally {
    uint64_t counts[WSL_COUNTS];
    int http_status;        /* of the last refused handshake; 0: none */
    struct wsb_fault first; /* text "" while nothing went wrong */
};

/* As they are called in JSON and in the table. */
const char *wsl_count_name(enum wsl_count count);

/* Count it, and keep the words if nothing has gone wrong before. */
void wsl_tally_fault(struct wsl_tally *t, enum wsl_count count, const struct wsb_fault *fault);

void wsl_tally_merge(struct wsl_tally *t, const struct wsl_tally *other);

/* Has nothing gone wrong? */
bool wsl_tally_is_clean(const struct wsl_tally *t);

#endif
