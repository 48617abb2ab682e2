/*
 * Shared memory without a name (memfd). Seals make promises that the kernel keeps: a size that nobody can change cannot kill
 * the other end with SIGBUS, and content that only we can write cannot be forged. All pages are there from the beginning,
 * so a system without memory refuses a newcomer and does not kill somebody later.
 */
#include "ring/region.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010 /* Linux 5.1 */
#endif

#define SEALS_SIZE    (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define SEALS_CONTENT (SEALS_SIZE | F_SEAL_FUTURE_WRITE)
#define SEALS_JUDGED  (SEALS_CONTENT | F_SEAL_WRITE) /* others, such as "never executable", are welcome */

enum { ALLOCATE_STEP = 1 << 20 };

static size_t file_size(size_t ring_size)
{
    return WSB_RING_CONTROL + ring_size;
}

static size_t mapped_size(size_t ring_size)
{
    return WSB_RING_CONTROL + 2 * ring_size;
}

/* What the system said, as a result. */
static wsb_err refuse(struct wsb_fault *fault, const char *what)
{
    int code = errno;
    wsb_err err = WSB_ERR_IO;
    if (code == ENOMEM || code == ENOSPC)
        err = WSB_ERR_NOMEM;
    else if (code == EMFILE || code == ENFILE || code == EFBIG)
        err = WSB_ERR_LIMIT;
    return wsb_fault_set(fault, err, code, "%s: %s", what, strerror(code));
}

/* ------------------------------------------------------------------- the file */

static wsb_err open_memory(const char *name, int *ret, struct wsb_fault *fault)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) /* a kernel that does not know that flag */
        fd = memfd_create(name, flags);
    if (fd < 0)
        return refuse(fault, "shared memory cannot be made");
    *ret = fd;
    return WSB_OK;
}

/* A file beyond the process's limit is not only refused: SIGXFSZ kills who does not expect it. */
static wsb_err check_file_limit(size_t bytes, struct wsb_fault *fault)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < bytes)
        return wsb_fault_set(fault, WSB_ERR_LIMIT, EFBIG,
                             "shared memory of %zu bytes is larger than this process's limit for files, %llu bytes",
                             bytes, (unsigned long long)limit.rlim_cur);
    return WSB_OK;
}

/* In steps: a call that a signal interrupts has done nothing, and one long call might be interrupted each time. */
static wsb_err allocate(int fd, size_t bytes, struct wsb_fault *fault)
{
    if (ftruncate(fd, (off_t)bytes) != 0)
        return refuse(fault, "shared memory cannot get its size");
    for (size_t at = 0; at < bytes;) {
        size_t step = bytes - at < ALLOCATE_STEP ? bytes - at : ALLOCATE_STEP;
        if (fallocate(fd, 0, (off_t)at, (off_t)step) == 0)
            at += step;
        else if (errno != EINTR)
            return refuse(fault, "there is not enough shared memory");
    }
    return WSB_OK;
}

/* ------------------------------------------------------------------- the mapping */

static bool map_piece(uint8_t *where, size_t bytes, int protection, int fd, off_t offset)
{
    return mmap(where, bytes, protection, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, offset) != MAP_FAILED;
}

/* control page | data | the same data */
static wsb_err map_twice(int fd, size_t ring_size, int protection, uint8_t **ret, struct wsb_fault *fault)
{
    wsb_err err = WSB_OK;
    size_t bytes = mapped_size(ring_size), first = file_size(ring_size);
    uint8_t *base;
    if (sysconf(_SC_PAGESIZE) > WSB_RING_CONTROL)
        return wsb_fault_set(fault, WSB_ERR_UNSUPPORTED, 0, "shared memory needs a system with pages of %d bytes",
                             (int)WSB_RING_CONTROL);
    base = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return refuse(fault, "no room for shared memory");
    if (!map_piece(base, first, protection, fd, 0) ||
        !map_piece(base + first, ring_size, protection, fd, WSB_RING_CONTROL)) {
        err = refuse(fault, "shared memory cannot be mapped");
        (void)munmap(base, bytes);
        return err;
    }
    *ret = base;
    return WSB_OK;
}

/* ------------------------------------------------------------------- regions */

wsb_err wsb_region_new(const char *name, size_t ring_size, struct wsb_region *ret, struct wsb_fault *fault)
{
    wsb_err err;
    uint8_t *base = NULL;
    int fd = -1;
    if (!wsb_ring_is_size(ring_size))
        return wsb_fault_set(fault, WSB_ERR_MISUSE, 0, "a ring cannot have %zu bytes", ring_size);
    err = check_file_limit(file_size(ring_size), fault);
    if (err)
        return err;
    err = open_memory(name, &fd, fault);
    if (err)
        return err;
    err = allocate(fd, file_size(ring_size), fault);
    if (!err)
        err = map_twice(fd, ring_size, PROT_READ | PROT_WRITE, &base, fault);
    if (err)
        (void)close(fd);
    else
        *ret = (struct wsb_region){.base = base, .ring_size = ring_size, .fd = fd};
    return err;
}

wsb_err wsb_region_seal_content(struct wsb_region *r, struct wsb_fault *fault)
{
    return fcntl(r->fd, F_ADD_SEALS, SEALS_CONTENT) == 0 ? WSB_OK : refuse(fault, "shared memory cannot be sealed");
}

wsb_err wsb_region_seal_size(struct wsb_region *r, struct wsb_fault *fault)
{
    if (fcntl(r->fd, F_ADD_SEALS, SEALS_SIZE) != 0)
        return refuse(fault, "shared memory cannot be sealed");
    if (mprotect(r->base, mapped_size(r->ring_size), PROT_READ) != 0)
        return refuse(fault, "shared memory cannot be made read-only");
    return WSB_OK;
}

static wsb_err check_file(int fd, size_t ring_size, int want, struct wsb_fault *fault)
{
    struct stat st;
    int seals;
    if (!wsb_ring_is_size(ring_size))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "a ring cannot have %zu bytes", ring_size);
    if (fstat(fd, &st) != 0)
        return refuse(fault, "shared memory cannot be looked at");
    if (!S_ISREG(st.st_mode) || st.st_size != (off_t)file_size(ring_size))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0,
                             "shared memory has %lld bytes and not the %zu that were agreed on", (long long)st.st_size,
                             file_size(ring_size));
    seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS_JUDGED) != want)
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "shared memory is not sealed as it should be (0x%x, not 0x%x)",
                             (unsigned)seals, (unsigned)want);
    return WSB_OK;
}

wsb_err wsb_region_map(int fd, size_t ring_size, bool writable, struct wsb_region *ret, struct wsb_fault *fault)
{
    uint8_t *base = NULL;
    wsb_err err = check_file(fd, ring_size, writable ? SEALS_SIZE : SEALS_CONTENT, fault);
    if (!err)
        err = map_twice(fd, ring_size, writable ? PROT_READ | PROT_WRITE : PROT_READ, &base, fault);
    if (!err)
        *ret = (struct wsb_region){.base = base, .ring_size = ring_size, .fd = -1};
    return err;
}

void wsb_region_close_fd(struct wsb_region *r)
{
    if (r->base && r->fd >= 0)
        (void)close(r->fd);
    r->fd = -1;
}

void wsb_region_punch(struct wsb_region *r)
{
    if (r->base && r->fd >= 0)
        (void)fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)file_size(r->ring_size));
}

void wsb_region_deinit(struct wsb_region *r)
{
    wsb_region_close_fd(r);
    if (r->base)
        (void)munmap(r->base, mapped_size(r->ring_size));
    *r = (struct wsb_region){.fd = -1};
}
