#include "base/trust_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static wsb_err check_mode(const struct stat *st, mode_t not_wanted, const char *can, const char *advice,
                          struct wsb_fault *fault)
{
    if (!(st->st_mode & not_wanted))
        return WSB_OK;
    return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "others than its owner can %s it (mode %04o): chmod %s it", can,
                         (unsigned)st->st_mode & 07777, advice);
}

/* What others can do with a secret. */
static const char *reach(const struct stat *st)
{
    return st->st_mode & (S_IRGRP | S_IROTH) ? "read" : "open";
}

wsb_err wsb_trust_check(const struct stat *st, uid_t self, enum wsb_trust trust, struct wsb_fault *fault)
{
    bool is_ours = st->st_uid == self;
    if (!S_ISREG(st->st_mode))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "not a file");
    if (!is_ours && st->st_uid != 0)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "it belongs to somebody else (uid %u)", (unsigned)st->st_uid);
    if (trust == WSB_TRUST_PUBLIC)
        return check_mode(st, S_IWGRP | S_IWOTH, "write", "go-w", fault);
    if (is_ours)
        return check_mode(st, S_IRWXG | S_IRWXO, reach(st), "0600", fault);
    return check_mode(st, S_IWGRP | S_IXGRP | S_IRWXO, reach(st), "0640", fault);
}

/* `inner` behind the path. */
static wsb_err blame(const char *path, const struct wsb_fault *inner, struct wsb_fault *fault)
{
    return wsb_fault_set(fault, inner->err, inner->os_code, "%.100s: %.120s", path, inner->text);
}

static wsb_err cannot_read(int code, struct wsb_fault *fault)
{
    return wsb_fault_set(fault, WSB_ERR_IO, code, "cannot be read: %s", strerror(code));
}

/* Until its end, or until it is larger than it may be. */
static wsb_err read_all(int fd, size_t max, struct wsb_trust_file *f, struct wsb_fault *fault)
{
    ssize_t n = 1;
    f->data = malloc(max + 1);
    if (!f->data)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    while (n != 0 && f->len <= max) {
        n = read(fd, f->data + f->len, max + 1 - f->len);
        if (n < 0 && errno != EINTR)
            return cannot_read(errno, fault);
        f->len += n > 0 ? (size_t)n : 0;
    }
    if (f->len <= max)
        return WSB_OK;
    return wsb_fault_set(fault, WSB_ERR_LIMIT, 0, "larger than %zu %s",
                         max >> 20   ? max >> 20
                         : max >> 10 ? max >> 10
                                     : max,
                         max >> 20   ? "MiB"
                         : max >> 10 ? "KiB"
                                     : "bytes");
}

wsb_err wsb_trust_file_read(const char *path, enum wsb_trust trust, size_t max, struct wsb_trust_file *ret,
                            struct wsb_fault *fault)
{
    struct wsb_trust_file f = {0};
    struct wsb_fault own = {0};
    wsb_err err = WSB_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would make us wait before we can refuse it */
    if (fd < 0 || fstat(fd, &f.st) != 0)
        err = cannot_read(errno, &own);
    if (!err)
        err = wsb_trust_check(&f.st, geteuid(), trust, &own);
    if (!err)
        err = read_all(fd, max, &f, &own);
    if (fd >= 0)
        (void)close(fd);
    if (err) {
        wsb_trust_file_wipe(&f);
        return blame(path, &own, fault);
    }
    *ret = f;
    return WSB_OK;
}

wsb_err wsb_trust_file_check(const struct wsb_trust_file *f, const char *path, enum wsb_trust trust,
                             struct wsb_fault *fault)
{
    struct wsb_fault own = {0};
    wsb_err err = wsb_trust_check(&f->st, geteuid(), trust, &own);
    return err ? blame(path, &own, fault) : WSB_OK;
}

void wsb_trust_file_wipe(struct wsb_trust_file *f)
{
    if (f->data)
        explicit_bzero(f->data, f->len);
    free(f->data);
    *f = (struct wsb_trust_file){0};
}
