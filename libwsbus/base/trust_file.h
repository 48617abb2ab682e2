#ifndef WSB_BASE_TRUST_FILE_H
#define WSB_BASE_TRUST_FILE_H

/*
 * Files that are believed: keys, and lists of who may come in. Whoever else can write one decides in its owner's place, so
 * none is read that belongs to somebody else or that others can write. Secret ones must not be readable by others either.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "wsbus/err.h"

#include "base/fault.h"

struct wsb_trust_file {
    uint8_t *data; /* owned */
    size_t len;
    struct stat st;
};

enum wsb_trust {
    WSB_TRUST_PUBLIC, /* others may read it */
    WSB_TRUST_SECRET
};

/* Pure: may a process of user `self` believe a file like that? A secret of root's may be its group's to read: root says so.
 * The fault has no name in it. WSB_OK or WSB_ERR_CONFIG. */
WSB_MUST_CHECK wsb_err wsb_trust_check(const struct stat *st, uid_t self, enum wsb_trust trust,
                                       struct wsb_fault *fault);

/**
 * Read a whole file, when it can be believed.
 *
 * @max  bytes that it may have
 *
 * Returns  WSB_OK, and *ret is the caller's to wipe
 *          WSB_ERR_IO, WSB_ERR_CONFIG not to be believed, WSB_ERR_LIMIT too large, WSB_ERR_NOMEM: the fault says what, behind
 *          the path and ": "
 */
WSB_MUST_CHECK wsb_err wsb_trust_file_read(const char *path, enum wsb_trust trust, size_t max,
                                           struct wsb_trust_file *ret, struct wsb_fault *fault);
/* The same check of a file that was read as a public one, and turned out to have a secret in it. */
WSB_MUST_CHECK wsb_err wsb_trust_file_check(const struct wsb_trust_file *f, const char *path, enum wsb_trust trust,
                                            struct wsb_fault *fault);
/* Overwrite and free what was read; accepts one that is empty. */
void wsb_trust_file_wipe(struct wsb_trust_file *f);

#endif
