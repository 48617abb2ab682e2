#ifndef WSB_BASE_ENDPOINT_H
#define WSB_BASE_ENDPOINT_H

/*
 * A ZeroMQ endpoint on TCP as text: "tcp://127.0.0.1:5555", "tcp://[::1]:*", "tcp://localhost:0". The host is numeric but
 * for localhost, since the gate never waits for a name server; '*' is every IPv4 address. Pure.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"

enum { WSB_ENDPOINT_HOST = 48, WSB_ENDPOINT_TEXT = 64 };

struct wsb_endpoint {
    char host[WSB_ENDPOINT_HOST]; /* numeric; IPv6 without brackets */
    uint16_t port;                /* 0: the kernel chooses */
    bool is_v6;
    bool is_loopback; /* only this machine can reach it */
};

/* WSB_ERR_CONFIG: it is none, and the fault says why. */
WSB_MUST_CHECK wsb_err wsb_endpoint_parse(const char *text, struct wsb_endpoint *ret, struct wsb_fault *fault);
/* As zmq_bind wants it, and as parse reads it. */
void wsb_endpoint_format(const struct wsb_endpoint *e, char out[WSB_ENDPOINT_TEXT]);

#endif
