#ifndef WSBUS_ERR_H
#define WSBUS_ERR_H

/*
 * The one result type of wsbus. WSB_OK is 0. Outcomes are normal results that every caller handles by itself;
 * failures travel up unchanged to whoever decides what they mean.
 */

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define WSB_API        __attribute__((visibility("default")))
#define WSB_MUST_CHECK __attribute__((warn_unused_result))
#else
#define WSB_API
#define WSB_MUST_CHECK
#endif

typedef enum wsb_err {
    WSB_OK = 0,

    /* outcomes */
    WSB_MORE,   /* not enough input yet: call again with more */
    WSB_AGAIN,  /* nothing now, or no room now: try again later */
    WSB_CLOSED, /* the other side is gone, in an orderly way */

    /* failures */
    WSB_ERR_MISUSE = 16, /* the caller broke the contract: bad argument, wrong state, closed handle, wrong thread */
    WSB_ERR_NOMEM,       /* out of memory */
    WSB_ERR_PROTO,       /* the peer broke the protocol */
    WSB_ERR_LIMIT,       /* larger or more than a configured limit */
    WSB_ERR_UTF8,        /* text that is not UTF-8 */
    WSB_ERR_IO,          /* the operating system refused; see the fault's os_code */
    WSB_ERR_TIMEOUT,     /* a deadline passed */
    WSB_ERR_STALE,       /* an id of an earlier epoch, or of something closed */
    WSB_ERR_GONE,        /* the connection is closed or closing */
    WSB_ERR_FULL,        /* a bounded queue is full */
    WSB_ERR_REFUSED,     /* not allowed, or rejected by the other side */
    WSB_ERR_NOT_FOUND,   /* no such thing */
    WSB_ERR_EXISTS,      /* there already, or in use */
    WSB_ERR_CONFIG,      /* a configuration error; the fault says where */
    WSB_ERR_UNSUPPORTED, /* known, but not offered here */
    WSB_ERR_INTERRUPTED, /* a signal arrived */
    WSB_ERR_INTERNAL     /* a bug in wsbus */
} wsb_err;

/**
 * The name of a result, for logs and messages: "ok", "timeout", "protocol error", …
 *
 * @err      any value, also one that is not in the enum
 *
 * Returns   a static string, never NULL
 * Threads   any
 */
WSB_API const char *wsb_err_name(wsb_err err);

#ifdef __cplusplus
}
#endif
#endif
