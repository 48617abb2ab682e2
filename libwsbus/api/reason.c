/* Reasons in words. */
#include "wsbus/handler.h"

const char *wsb_reason_name(enum wsb_reason reason)
{
    static const char *const names[] = {
        [WSB_REASON_OK] = "ok",
        [WSB_REASON_TIMEOUT] = "timeout",
        [WSB_REASON_CLOSED] = "closed",
        [WSB_REASON_GATE_GONE] = "gate gone",
        [WSB_REASON_MISUSE] = "misuse",
        [WSB_REASON_SIGNAL] = "signal",
        [WSB_REASON_GONE] = "gone",
        [WSB_REASON_STALE] = "stale",
        [WSB_REASON_FULL] = "full",
        [WSB_REASON_TOO_BIG] = "too big",
        [WSB_REASON_UTF8] = "not UTF-8",
        [WSB_REASON_REFUSED] = "refused",
        [WSB_REASON_INVALID] = "invalid",
        [WSB_REASON_DROPPED] = "dropped",
        [WSB_REASON_ADDRESS] = "address",
        [WSB_REASON_NOMEM] = "out of memory",
        [WSB_REASON_IO] = "input/output",
        [WSB_REASON_TLS] = "TLS",
        [WSB_REASON_PROTOCOL] = "protocol",
        [WSB_REASON_DRAINED] = "drained",
    };
    return (unsigned)reason < sizeof names / sizeof *names ? names[reason] : "unknown";
}
