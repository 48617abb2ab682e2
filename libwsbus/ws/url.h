#ifndef WSB_WS_URL_H
#define WSB_WS_URL_H

/* ws:// and wss:// URLs taken apart, RFC 6455 §3: no user, no fragment, nothing that would have to be encoded. Pure. */

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"

enum { WSB_URL_HOST = 256, WSB_URL_PATH = 8000 };

struct wsb_url {
    bool is_tls;
    bool is_ip6;
    uint16_t port;
    char host[WSB_URL_HOST];           /* without the brackets of an IPv6 address */
    char authority[WSB_URL_HOST + 16]; /* as Host wants it: the port only where it is not the scheme's */
    char path[WSB_URL_PATH];           /* with the query; at least "/" */
};

/* WSB_ERR_CONFIG: the fault says what is wrong with it. */
WSB_MUST_CHECK wsb_err wsb_url_parse(const char *text, struct wsb_url *ret, struct wsb_fault *fault);

#endif
