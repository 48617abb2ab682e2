/* Where the gate is: docs/protocol.md §1, the handler's side of it. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/handle.h"

static wsb_err in_directory(const char *dir, struct wsb_buf *ret, struct wsb_fault *fault)
{
    const size_t room = sizeof((struct sockaddr_un *)0)->sun_path;
    size_t len = strlen(dir);
    while (len > 1 && dir[len - 1] == '/')
        len--;
    if (len + sizeof "/handlers" > room)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "%.100s…: the path is too long for a socket", dir);
    return wsb_buf_printf(ret, "ipc://%.*s/handlers", (int)len, dir);
}

/* Everybody can make a directory in /tmp: one that is not ours could be a trap. Made now, nobody else can make it later. */
static wsb_err in_tmp(struct wsb_buf *ret, struct wsb_fault *fault)
{
    char dir[64];
    struct stat st;
    (void)snprintf(dir, sizeof dir, "/tmp/wsbus-%lu", (unsigned long)getuid());
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return wsb_fault_set(fault, WSB_ERR_IO, errno, "cannot make %s: %s", dir, strerror(errno));
    if (lstat(dir, &st) != 0)
        return wsb_fault_set(fault, WSB_ERR_IO, errno, "%s: %s", dir, strerror(errno));
    if (!S_ISDIR(st.st_mode) || st.st_uid != getuid())
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "%s is not a directory of our own", dir);
    return in_directory(dir, ret, fault);
}

static wsb_err in_default(struct wsb_buf *ret, struct wsb_fault *fault)
{
    char dir[sizeof((struct sockaddr_un *)0)->sun_path];
    const char *named = getenv("WSBUS_DIR");
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (named && *named)
        return in_directory(named, ret, fault);
    if (access("/run/wsbus", X_OK) == 0)
        return in_directory("/run/wsbus", ret, fault);
    if (!runtime || !*runtime)
        return in_tmp(ret, fault);
    if ((size_t)snprintf(dir, sizeof dir, "%s/wsbus", runtime) >= sizeof dir)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "XDG_RUNTIME_DIR: the path is too long for a socket");
    return in_directory(dir, ret, fault);
}

/* ZeroMQ takes 99999 for a port, and means another one. */
static bool has_port(const char *address)
{
    const char *colon = strrchr(address, ':');
    size_t digits = strspn(colon + 1, "0123456789");
    long port = digits && digits <= 5 && !colon[1 + digits] ? strtol(colon + 1, NULL, 10) : 0;
    return port > 0 && port <= 65535;
}

wsb_err wsb_endpoint(const char *address, struct wsb_buf *ret, struct wsb_fault *fault)
{
    wsb_err err;
    if (!address)
        err = in_default(ret, fault);
    else if (address[0] == '/')
        err = in_directory(address, ret, fault);
    else if (strncmp(address, "ipc:///", 7) == 0)
        err = in_directory(address + 6, ret, fault);
    else if (strncmp(address, "tcp://", 6) == 0 && has_port(address))
        err = wsb_buf_append_str(ret, address);
    else
        err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                            "\"%.100s\" is not an address: ipc:///DIR, /DIR or tcp://HOST:PORT", address);
    return err ? err : wsb_buf_append(ret, "", 1);
}
