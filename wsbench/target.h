#ifndef WSL_TARGET_H
#define WSL_TARGET_H

/* Where to connect: a URL taken apart, and the address that it leads to. */

#include <stdbool.h>
#include <sys/socket.h>

#include "base/fault.h"

struct wsl_target {
    bool is_tls;
    char host[256]; /* without the brackets of an IPv6 address */
    char port[6];
    char authority[264]; /* for the Host header: host, and the port when it is not the scheme's */
    char path[2048];     /* with the query */
    struct sockaddr_storage address;
    socklen_t address_len;
};

/* Take a ws:// or wss:// URL apart, RFC 6455 §3. WSB_ERR_CONFIG what is wrong with it. Pure. */
WSB_MUST_CHECK wsb_err wsl_target_parse(const char *url, struct wsl_target *ret, struct wsb_fault *fault);

/* Find the address of the host, or of the socket when unix_path is not NULL. WSB_ERR_NOT_FOUND, WSB_ERR_CONFIG. */
WSB_MUST_CHECK wsb_err wsl_target_resolve(struct wsl_target *t, const char *unix_path, struct wsb_fault *fault);

/* May this be the path of a request: does it begin with a slash and is it made of printable characters only? */
bool wsl_path_is_valid(const char *path);

#endif
