#ifndef WSG_HTTP_STATIC_FILE_H
#define WSG_HTTP_STATIC_FILE_H

/*
 * Opens a static file below a directory and nowhere else. The one place of this folder that asks the operating system;
 * it may block on a slow disk.
 */

#include <stdbool.h>
#include <stdint.h>

#include "wsbus/err.h"

enum { WSG_ETAG_SIZE = 56 };

struct wsg_static_file {
    int fd;            /* owned by the caller once returned; -1 for a directory */
    bool is_directory; /* then nothing below is set: redirect to the name with a slash */
    uint64_t size;
    int64_t mtime_s;
    char etag[WSG_ETAG_SIZE]; /* strong: of inode, size and modification time in nanoseconds */
};

/**
 * Open a regular file for reading.
 *
 * @root_dirfd  the directory that must not be left
 * @name        relative, as wsg_static_map returns it
 *
 * Symbolic links are followed as long as they stay below the directory. On kernels without openat2 (before 5.6, or
 * behind a filter) none is followed at all.
 *
 * Returns   WSB_OK; WSB_ERR_NOT_FOUND not there, not a file, or outside of the directory; WSB_ERR_REFUSED no
 *           permission; WSB_ERR_IO anything else, errno is kept
 */
WSB_MUST_CHECK wsb_err wsg_static_open(int root_dirfd, const char *name, struct wsg_static_file *ret_file);

/* The same without openat2: component by component, following no symbolic link. What wsg_static_open falls back to. */
WSB_MUST_CHECK wsb_err wsg_static_open_stepwise(int root_dirfd, const char *name, struct wsg_static_file *ret_file);

#endif
