#ifndef WSG_ACCESS_LOG_H
#define WSG_ACCESS_LOG_H

/*
 * The access log: a file, a thread of its own that writes it, and a lane from each worker to that thread, a ring of bytes
 * with whole lines in it. A worker never waits: a line for which its lane has no room is lost, and counted, as is one that
 * the disk does not take. Lines of one worker are in order; those of several stand as they came.
 *
 *   worker ──▶ lane ──▶ ┐
 *   worker ──▶ lane ──▶ ├─ thread ──▶ file
 *
 * Threads   as each function says
 */

#include "access/line.h"
#include "base/fault.h"

struct wsg_access_log;
struct wsg_access_lane;

struct wsg_access_stats {
    uint64_t lines; /* that were to be written */
    uint64_t lost;  /* of them */
};

/**
 * Open the file for appending, made with mode 0640 where it is not there, and start the thread.
 *
 * @path   borrowed for the log's life; a pipe somebody reads from will do as well
 * @lanes  as many as there are workers
 *
 * Returns  WSB_OK; WSB_ERR_IO, WSB_ERR_NOMEM, and the fault says why
 * Threads  one that has signals blocked, or does not mind
 */
WSB_MUST_CHECK wsb_err wsg_access_log_open(struct wsg_access_log **ret, const char *path, enum wsg_access_format format,
                                           size_t lanes, struct wsb_fault *fault);
/* Write what is queued, waiting at most a second for a pipe that stalls, and stop. NULL is nothing to close. */
void wsg_access_log_close(struct wsg_access_log *l);

/*
 * Open the path anew and go on there: the old file was moved away. On failure everything stays as it is. Any thread, one
 * at a time.
 */
WSB_MUST_CHECK wsb_err wsg_access_log_reopen(struct wsg_access_log *l, struct wsb_fault *fault);

/* Borrowed; one thread's each. */
struct wsg_access_lane *wsg_access_log_lane(struct wsg_access_log *l, size_t index);
void wsg_access_write(struct wsg_access_lane *lane, const struct wsg_access_record *r);

/* Any thread. */
void wsg_access_log_stats(const struct wsg_access_log *l, struct wsg_access_stats *ret);

#endif
