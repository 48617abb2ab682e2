/* Where the gate is, and the keys that it takes to get in: docs/protocol.md §1, the handler's side of it. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/handle.h"
#include "base/runtime_dir.h"

#define TCP "tcp://"
#define IPC "ipc://"

static wsb_err in_directory(const char *dir, struct wsb_buf *ret, struct wsb_fault *fault)
{
    const size_t room = sizeof((struct sockaddr_un *)0)->sun_path;
    size_t len = strlen(dir);
    while (len > 1 && dir[len - 1] == '/')
        len--;
    if (len + sizeof "/handlers" > room)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "%.100s…: the path is too long for a socket", dir);
    wsb_err err = wsb_runtime_dir_trust(dir, /*make=*/true, fault);
    if (err)
        return err;
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
    if (!named || !*named)
        named = getenv("WSBUS_RUNTIME_DIR"); /* a synonym */
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

static bool is_tcp(const char *address)
{
    return strncmp(address, TCP, strlen(TCP)) == 0;
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
    else if (is_tcp(address) && has_port(address))
        err = wsb_buf_append_str(ret, address);
    else
        err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                            "\"%.100s\" is not an address: ipc:///DIR, /DIR or tcp://HOST:PORT", address);
    return err ? err : wsb_buf_append(ret, "", 1);
}

/* ---------------------------------------------------------------------- link */

static bool is_local(const char *endpoint)
{
    return strncmp(endpoint, IPC, strlen(IPC)) == 0;
}

wsb_err wsb_link_kind_of(const char *endpoint, const struct wsb_handler_options *o, enum wsb_link_kind *ret,
                         struct wsb_fault *fault)
{
    const char *asked = getenv("WSBUS_LINK");
    *ret = o->link;
    if (*ret == WSB_LINK_KIND_AUTO && asked && *asked) {
        if (strcmp(asked, "zmq") == 0)
            *ret = WSB_LINK_KIND_ZMQ;
        else if (strcmp(asked, "shm") == 0 && is_local(endpoint)) /* it is for whatever the program opens */
            *ret = WSB_LINK_KIND_SHM;
        else if (strcmp(asked, "shm") != 0 && strcmp(asked, "auto") != 0)
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "WSBUS_LINK is \"%.40s\": it can be auto, shm or zmq",
                                 asked);
    }
    if (!is_local(endpoint) && *ret == WSB_LINK_KIND_SHM)
        return wsb_fault_set(fault, WSB_ERR_MISUSE, 0, "shared memory is for a gate on this host, not for %.100s",
                             endpoint);
    if (!is_local(endpoint))
        *ret = WSB_LINK_KIND_ZMQ;
    return WSB_OK;
}

wsb_err wsb_shm_path(const char *endpoint, struct wsb_buf *ret)
{
    const char *slash = strrchr(endpoint, '/');
    return wsb_buf_printf(ret, "%.*s/shm%c", (int)(slash - endpoint - (ptrdiff_t)strlen(IPC)), endpoint + strlen(IPC),
                          0);
}

/* ---------------------------------------------------------------------- keys */

static const char *or_environment(const char *option, const char *variable)
{
    const char *value = option ? NULL : getenv(variable);
    return value && *value ? value : option;
}

/* The environment is for whatever the program does on TCP, so it is no mistake that it says something to a local handle. */
wsb_err wsb_keys_read(const char *endpoint, const struct wsb_handler_options *o, struct wsb_keys *ret,
                      struct wsb_fault *fault)
{
    if (!is_tcp(endpoint)) {
        if (o->server_key || o->key_file)
            return wsb_fault_set(fault, WSB_ERR_MISUSE, 0, "server_key and key_file are for addresses with " TCP);
        return WSB_OK;
    }
    const char *server_key = or_environment(o->server_key, "WSBUS_SERVER_KEY");
    const char *key_file = or_environment(o->key_file, "WSBUS_KEY_FILE");
    if (!server_key && !key_file)
        return WSB_OK;
    if (!server_key)
        return wsb_fault_set(fault, WSB_ERR_MISUSE, 0,
                             "there is a key_file, but not the gate's public key: server_key or WSBUS_SERVER_KEY");
    if (!key_file)
        return wsb_fault_set(fault, WSB_ERR_MISUSE, 0,
                             "there is the gate's server_key, but no key of our own: key_file or WSBUS_KEY_FILE");
    if (wsb_key_read(key_file, &ret->own, fault) != WSB_OK)
        return fault->err == WSB_ERR_LIMIT ? WSB_ERR_CONFIG : fault->err;
    ret->server_key = server_key;
    return WSB_OK;
}
