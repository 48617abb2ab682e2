/* Names of results. Kept complete by -Wswitch: a new value without a name does not compile cleanly. */
#include "wsbus/err.h"

const char *wsb_err_name(wsb_err err)
{
    switch (err) {
    case WSB_OK:
        return "ok";
    case WSB_MORE:
        return "more input needed";
    case WSB_AGAIN:
        return "try again";
    case WSB_CLOSED:
        return "closed";
    case WSB_ERR_MISUSE:
        return "misuse";
    case WSB_ERR_NOMEM:
        return "out of memory";
    case WSB_ERR_PROTO:
        return "protocol error";
    case WSB_ERR_LIMIT:
        return "limit exceeded";
    case WSB_ERR_UTF8:
        return "invalid UTF-8";
    case WSB_ERR_IO:
        return "input/output error";
    case WSB_ERR_TIMEOUT:
        return "timeout";
    case WSB_ERR_STALE:
        return "stale id";
    case WSB_ERR_GONE:
        return "connection gone";
    case WSB_ERR_FULL:
        return "queue full";
    case WSB_ERR_REFUSED:
        return "refused";
    case WSB_ERR_NOT_FOUND:
        return "not found";
    case WSB_ERR_EXISTS:
        return "exists already";
    case WSB_ERR_CONFIG:
        return "configuration error";
    case WSB_ERR_UNSUPPORTED:
        return "unsupported";
    case WSB_ERR_INTERRUPTED:
        return "interrupted";
    case WSB_ERR_INTERNAL:
        return "internal error";
    }
    return "unknown";
}
