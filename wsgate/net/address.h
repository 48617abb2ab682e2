#ifndef WSG_NET_ADDRESS_H
#define WSG_NET_ADDRESS_H

/* Socket addresses as text: "127.0.0.1:8080", "[::1]:8080", "*:8080", "unix:/run/app.sock". Numeric only: the gate never
 * waits for a name server. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fault.h"

enum { WSG_ADDRESS_TEXT = 128 };

struct wsg_address {
    struct sockaddr_storage storage;
    socklen_t len;
};

WSB_MUST_CHECK wsb_err wsg_address_parse(const char *text, struct wsg_address *ret, struct wsb_fault *fault);
/* The text form; a Unix socket's peer has no name, so "unix:" stands for it. */
void wsg_address_format(const struct wsg_address *a, char out[WSG_ADDRESS_TEXT]);
bool wsg_address_is_unix(const struct wsg_address *a);
/* NAME of "fd:NAME", a socket that the service manager opens and passes; NULL: it is an address. */
const char *wsg_address_passed_name(const char *text);

#endif
