/*
 * Static files. The kernel keeps us below the directory (RESOLVE_BENEATH), so that a link that is swapped in between
 * two steps cannot lead out of it. O_NONBLOCK because opening a FIFO would otherwise wait for a writer; what is not a
 * regular file or a directory is closed again and was never there.
 */
#include "http/static_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
    SEGMENT_SIZE = 256, /* NAME_MAX and its 0 */
    EAGAIN_TRIES = 8,
};

static wsb_err err_of(int os_code)
{
    switch (os_code) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
    case ELOOP:
    case EXDEV: /* outside of the directory */
    case ENXIO: /* a socket or a device without a driver */
    case ENODEV:
        return WSB_ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
        return WSB_ERR_REFUSED;
    case ENOMEM:
        return WSB_ERR_NOMEM;
    default:
        return WSB_ERR_IO;
    }
}

/* Takes fd in any case. */
static wsb_err describe(int fd, struct wsg_static_file *ret_file)
{
    wsb_err err = WSB_OK;
    struct wsg_static_file file = {.fd = -1};
    struct stat st;
    if (fstat(fd, &st) < 0) {
        err = err_of(errno);
        goto out;
    }
    if (S_ISDIR(st.st_mode)) {
        file.is_directory = true;
    } else if (S_ISREG(st.st_mode)) {
        file.size = (uint64_t)st.st_size;
        file.mtime_s = st.st_mtim.tv_sec;
        uint64_t mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
        /* Not its inode: that tells of the disk, and differs from host to host where the file is the same. */
        (void)snprintf(file.etag, sizeof file.etag, "\"%" PRIx64 "-%" PRIx64 "\"", file.size, mtime_ns);
        file.fd = fd; /* the caller's from here on */
        fd = -1;
    } else {
        err = WSB_ERR_NOT_FOUND;
        goto out;
    }
    *ret_file = file;
out:
    if (fd >= 0)
        (void)close(fd);
    return err;
}

/* The end of the next component. A name is walked only forward: no empty ones, no "." and no "..". */
static bool next_segment(const char **name, char ret_segment[SEGMENT_SIZE])
{
    size_t len = strcspn(*name, "/");
    if (len == 0 || len >= SEGMENT_SIZE || (len == 1 && **name == '.') || (len == 2 && strncmp(*name, "..", 2) == 0))
        return false;
    memcpy(ret_segment, *name, len);
    ret_segment[len] = 0;
    *name += len;
    return true;
}

wsb_err wsg_static_open_stepwise(int root_dirfd, const char *name, struct wsg_static_file *ret_file)
{
    wsb_err err = WSB_ERR_NOT_FOUND;
    int dirfd = root_dirfd; /* ours to close when it is not root_dirfd */
    char segment[SEGMENT_SIZE];
    while (next_segment(&name, segment)) {
        bool is_last = *name == 0;
        int flags = is_last ? OPEN_FLAGS | O_NOFOLLOW : O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
        int fd = openat(dirfd, segment, flags);
        if (fd < 0) {
            err = err_of(errno);
            break;
        }
        if (is_last) {
            err = describe(fd, ret_file);
            break;
        }
        if (dirfd != root_dirfd)
            (void)close(dirfd);
        dirfd = fd;
        name++; /* the slash */
    }
    if (dirfd != root_dirfd)
        (void)close(dirfd);
    return err;
}

wsb_err wsg_static_open(int root_dirfd, const char *name, struct wsg_static_file *ret_file)
{
    struct open_how how = {.flags = OPEN_FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    /* EAGAIN: something was renamed while the kernel looked, and it cannot rule out that we left. */
    for (int i = 0; i < EAGAIN_TRIES; i++) {
        long fd = syscall(SYS_openat2, root_dirfd, name, &how, sizeof how);
        if (fd >= 0)
            return describe((int)fd, ret_file);
        if (errno == ENOSYS || errno == EPERM) /* EPERM is how system call filters answer what they do not know */
            return wsg_static_open_stepwise(root_dirfd, name, ret_file);
        if (errno != EAGAIN && errno != EINTR)
            return err_of(errno);
    }
    return WSB_ERR_IO;
}
