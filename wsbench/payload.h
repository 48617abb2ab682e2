#ifndef WSL_PAYLOAD_H
#define WSL_PAYLOAD_H

/*
 * What is in a message, so that a wrong one is seen: a stamp that no other message has, and a piece of a pattern that begins
 * somewhere else for each. Short messages have less of a stamp: of 8 bytes the number, below that only the pattern.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "wsbus/err.h"

struct wsl_stamp {
    uint64_t time_ns;
    uint32_t sender; /* a connection; of what is published, the run */
    uint32_t number; /* counts the sender's messages */
};

struct wsl_payload {
    size_t size;
    uint8_t *pattern; /* owned */
};

enum wsl_pattern {
    WSL_LETTERS, /* and digits */
    WSL_BYTES,   /* of all values */
    WSL_RECORDS  /* of JSON: as compressible as what services send */
};

/* WSB_ERR_NOMEM. */
WSB_MUST_CHECK wsb_err wsl_payload_init(struct wsl_payload *p, size_t size, enum wsl_pattern pattern);
void wsl_payload_deinit(struct wsl_payload *p);

/* Write bytes offset to offset + len of a message, masked as a frame of its own is. */
void wsl_payload_write_masked(const struct wsl_payload *p, const struct wsl_stamp *stamp, size_t offset, size_t len,
                              const uint8_t mask[4], uint8_t *out);

/* Is it this message, byte by byte? */
bool wsl_payload_is(const struct wsl_payload *p, const struct wsl_stamp *stamp, struct wsb_span message);

/* The stamp of a message that has a whole one. False: it is none. */
bool wsl_stamp_read(struct wsb_span message, struct wsl_stamp *ret);

#endif
