/*
 * Where the endpoints are. Whoever can plant a directory there could take the gate's place or read its traffic, so the
 * gate uses none that is not its own, and looks at what it opened and never at a name twice.
 */
#include "base/runtime_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *env_get(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* WSBUS_RUNTIME_DIR is a synonym that is not documented: it is what --runtime-dir makes one guess. */
static const char *named_by_env(void)
{
    const char *name = env_get("WSBUS_DIR");
    return name ? name : env_get("WSBUS_RUNTIME_DIR");
}

/* access_mode: of access(2), what makes the usual place usable */
static wsb_err choose(const char *wanted, int access_mode, char *ret, struct wsb_fault *fault)
{
    static const char usual[] = "/run/wsbus";
    const char *said = wanted && *wanted ? wanted : named_by_env();
    const char *session = env_get("XDG_RUNTIME_DIR");
    char text[WSB_RUNTIME_DIR_MAX];
    int n;
    if (said)
        n = snprintf(text, sizeof text, "%s", said);
    else if (access(usual, access_mode) == 0)
        n = snprintf(text, sizeof text, "%s", usual);
    else if (session)
        n = snprintf(text, sizeof text, "%s/wsbus", session);
    else
        n = snprintf(text, sizeof text, "/tmp/wsbus-%lu", (unsigned long)geteuid());
    if (n < 0 || (size_t)n >= sizeof text)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "runtime directory '%.60s...' is longer than %d bytes, and a socket's address has no room "
                             "for that",
                             text, (int)WSB_RUNTIME_DIR_MAX - 1);
    memcpy(ret, text, (size_t)n + 1);
    return WSB_OK;
}

wsb_err wsb_runtime_dir_resolve(const char *wanted, char ret[WSB_RUNTIME_DIR_MAX], struct wsb_fault *fault)
{
    return choose(wanted, W_OK | X_OK, ret, fault);
}

/* ------------------------------------------------------------------------- trust */

static wsb_err cannot_look(const char *path, struct wsb_fault *fault)
{
    return errno == ENOENT ? WSB_ERR_NOT_FOUND
                           : wsb_fault_set(fault, WSB_ERR_IO, errno, "runtime directory %s cannot be looked at: %s",
                                           path, strerror(errno));
}

/* What lies at path, which is a directory or a link to one; parent is where it lies. */
static wsb_err trust_step(const char *parent, const char *path, bool make, struct wsb_fault *fault)
{
    struct stat above, st;
    if (stat(parent, &above) != 0)
        return cannot_look(parent, fault);
    if (!(above.st_mode & S_IWOTH))
        return WSB_OK;
    if (make)
        (void)mkdir(path, 0700);
    if (lstat(path, &st) != 0)
        return cannot_look(path, fault);
    if (st.st_uid == 0 || st.st_uid == geteuid())
        return WSB_OK;
    return wsb_fault_set(
        fault, WSB_ERR_REFUSED, 0,
        "%s belongs to user %lu, and everybody can make one in %s: name a directory that only root, or "
        "this user, can have made",
        path, (unsigned long)st.st_uid, parent);
}

static wsb_err trust_way(const char *dir, bool make, struct wsb_fault *fault)
{
    char path[PATH_MAX];
    char parent[PATH_MAX] = {dir[0] == '/' ? '/' : '.'};
    wsb_err err = WSB_OK;
    size_t len = strlen(dir);
    if (len >= sizeof path)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "runtime directory %.60s...: the path is too long", dir);
    for (size_t at = strspn(dir, "/"); at < len && !err; at += strspn(dir + at, "/")) {
        at += strcspn(dir + at, "/");
        memcpy(path, dir, at);
        path[at] = 0;
        err = trust_step(parent, path, make, fault);
        memcpy(parent, path, at + 1);
    }
    return err;
}

wsb_err wsb_runtime_dir_trust(const char *dir, bool make, struct wsb_fault *fault)
{
    struct stat st;
    wsb_err err = trust_way(dir, make, fault);
    if (!err && stat(dir, &st) != 0)
        err = cannot_look(dir, fault);
    if (err == WSB_ERR_NOT_FOUND)
        return WSB_OK;
    if (!err && st.st_mode & (S_IWGRP | S_IWOTH))
        err = wsb_fault_set(fault, WSB_ERR_REFUSED, 0,
                            "runtime directory %s can be written by others than its owner (mode %04o)", dir,
                            (unsigned)st.st_mode & 07777);
    return err;
}

/* ---------------------------------------------------------------------- for tools */

/* Everybody can make a directory in /tmp: one that nobody has named and that is not ours could be a trap. */
static bool is_trap(const char *dir)
{
    struct stat st;
    if (strncmp(dir, "/tmp/wsbus-", 11) != 0 || lstat(dir, &st) != 0)
        return false;
    return !S_ISDIR(st.st_mode) || st.st_uid != geteuid();
}

wsb_err wsb_runtime_dir_find(const char *wanted, char ret[WSB_RUNTIME_DIR_MAX], struct wsb_fault *fault)
{
    char dir[WSB_RUNTIME_DIR_MAX];
    bool is_named = (wanted && *wanted) || named_by_env();
    wsb_err err = choose(wanted, X_OK, dir, fault);
    if (!err && !is_named && is_trap(dir))
        err = wsb_fault_set(fault, WSB_ERR_REFUSED, 0, "%s is not a directory of our own", dir);
    if (!err)
        err = wsb_runtime_dir_trust(dir, /*make=*/false, fault);
    if (!err)
        memcpy(ret, dir, sizeof dir);
    return err;
}

/* ----------------------------------------------------------------------- the gate's */

static wsb_err owner_check(const char *dir, const struct stat *st, struct wsb_fault *fault)
{
    if (st->st_uid != geteuid())
        return wsb_fault_set(
            fault, WSB_ERR_REFUSED, 0,
            "runtime directory %s belongs to user %lu and not to user %lu, who runs this (mode %04o): remove it, or "
            "use another one",
            dir, (unsigned long)st->st_uid, (unsigned long)geteuid(), (unsigned)(st->st_mode & 07777));
    if (st->st_mode & (S_IWGRP | S_IWOTH)) /* no advice to change it: others may count on it, as on /tmp */
        return wsb_fault_set(fault, WSB_ERR_REFUSED, 0,
                             "runtime directory %s can be written by others (mode %04o): name one that is the gate's "
                             "alone, like /run/wsbus",
                             dir, (unsigned)(st->st_mode & 07777));
    return WSB_OK;
}

/* One that is there; WSB_ERR_NOT_FOUND: none is. */
static wsb_err look_at(const char *dir, struct wsb_fault *fault)
{
    struct stat st;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int code = errno;
    if (fd < 0 && code == ENOENT)
        return WSB_ERR_NOT_FOUND;
    if (fd < 0 && (code == ENOTDIR || code == ELOOP))
        return wsb_fault_set(fault, WSB_ERR_REFUSED, code,
                             "runtime directory %s is not a directory, or a link to one: remove it, or use another one",
                             dir);
    if (fd < 0 || fstat(fd, &st) != 0) {
        code = errno;
        if (fd >= 0)
            (void)close(fd);
        return wsb_fault_set(fault, WSB_ERR_IO, code, "runtime directory %s cannot be opened: %s", dir, strerror(code));
    }
    (void)close(fd);
    return owner_check(dir, &st, fault);
}

static wsb_err cannot_be_made(const char *dir, int code, struct wsb_fault *fault)
{
    return wsb_fault_set(fault, WSB_ERR_IO, code, "runtime directory %s cannot be made: %s", dir, strerror(code));
}

wsb_err wsb_runtime_dir_prepare(const char *dir, struct wsb_fault *fault)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return cannot_be_made(dir, errno, fault);
    wsb_err err = look_at(dir, fault);
    return err == WSB_ERR_NOT_FOUND ? cannot_be_made(dir, ENOENT, fault) : err;
}

wsb_err wsb_runtime_dir_check(const char *dir, struct wsb_fault *fault)
{
    char parent[WSB_RUNTIME_DIR_MAX];
    wsb_err err = look_at(dir, fault);
    if (err != WSB_ERR_NOT_FOUND)
        return err;
    size_t len = strlen(dir);
    while (len > 1 && dir[len - 1] == '/')
        len--;
    while (len > 0 && dir[len - 1] != '/')
        len--;
    (void)snprintf(parent, sizeof parent, "%.*s", len ? (int)len : 1, len ? dir : ".");
    return faccessat(AT_FDCWD, parent, W_OK | X_OK, AT_EACCESS) == 0 ? WSB_OK : cannot_be_made(dir, errno, fault);
}
