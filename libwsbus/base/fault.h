#ifndef WSB_BASE_FAULT_H
#define WSB_BASE_FAULT_H

/*
 * What went wrong, in words: a result, the foreign code behind it, and where. Owned by whoever keeps it; filled by the
 * call that failed, logged once by the one that handles it.
 */

#include "wsbus/err.h"

struct wsb_fault {
    wsb_err err;
    int os_code; /* errno, a ZeroMQ or an OpenSSL code; 0 when there is none */
    int line;    /* of a configuration file; 0 when there is none */
    int column;
    char text[240];
};

/* Fill a fault (which may be NULL) and return its err, so that a failure is one statement. */
wsb_err wsb_fault_set(struct wsb_fault *fault, wsb_err err, int os_code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
