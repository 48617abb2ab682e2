#ifndef WSG_HTTP_REQUEST_H
#define WSG_HTTP_REQUEST_H

/*
 * The receiving half of an HTTP/1 connection: bytes in, events out, one request after the other. It wraps llhttp, whose
 * callbacks end here, and adds what llhttp does not check. Between requests it holds no memory but the struct itself.
 * Pure: no socket, no clock. One connection, one thread.
 *
 *     for (;;) {
 *         err = wsg_http_in_next(&in, data, len, &used, &event);
 *         if (err == WSB_MORE) break;                      everything was consumed: read more
 *         if (err) answer wsg_http_in_status(&in) and close
 *         data += used, len -= used;
 *         switch (event.kind) …
 *     }
 */

#include "http/header.h"
#include "http/scan.h"
#include "base/buf.h"

enum wsg_http_method {
    WSG_HTTP_UNKNOWN, /* none was read yet, or not one the gate serves */
    WSG_HTTP_GET,
    WSG_HTTP_HEAD,
    WSG_HTTP_POST,
    WSG_HTTP_PUT,
    WSG_HTTP_DELETE,
    WSG_HTTP_PATCH,
    WSG_HTTP_OPTIONS,
};

#define WSG_HTTP_ALLOW "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"

struct wsg_http_head {
    enum wsg_http_method method;
    uint8_t minor; /* HTTP/1.minor: 0, or 1 for 1 and all above it */
    bool keep_alive;
    bool expect_continue; /* a body will come and the client waits for 100 before it sends it */
    bool is_chunked;
    bool is_upgrade;         /* asks for the websocket protocol; other protocols are not offered and ignored */
    uint64_t content_length; /* 0 without one, and when is_chunked */
    struct wsb_span target;  /* raw, as in the request line */
    struct wsb_span path;    /* decoded, see http/target.h */
    struct wsb_span query;   /* raw; ptr NULL without a '?' */
    struct wsb_span host; /* Host, or the authority of an absolute target: canonical, base/host.h, with its port if any;
                                ptr NULL in HTTP/1.0 without one */
    struct wsb_span host_name; /* of it without the port */
    const struct wsg_http_header *headers;
    size_t header_count;
};

enum wsg_http_event_kind {
    WSG_HTTP_EV_HEAD, /* head */
    WSG_HTTP_EV_BODY, /* body: at least one byte, chunked coding removed */
    WSG_HTTP_EV_END,  /* the message is complete; the next one may follow at once */
};

struct wsg_http_event {
    enum wsg_http_event_kind kind;
    const struct wsg_http_head *head; /* borrowed, with all its spans, until the next call */
    struct wsb_span body;             /* borrowed from data */
};

struct wsg_http_msg;

/*
 *    HEAD ──► LENGTH ──────────────────► END ──► HEAD
 *      ├────► CHUNK_LINE ◄─► CHUNK_DATA   ▲
 *      │          └──────► TRAILER ───────┤      any ──► FAILED, and it stays there
 *      └──────────────────────────────────┘
 */
enum wsg_http_in_state {
    WSG_HTTP_IN_HEAD,
    WSG_HTTP_IN_LENGTH,
    WSG_HTTP_IN_CHUNK_LINE,
    WSG_HTTP_IN_CHUNK_DATA,
    WSG_HTTP_IN_TRAILER,
    WSG_HTTP_IN_END,
    WSG_HTTP_IN_FAILED,
};

struct wsg_http_in {
    const struct wsg_http_limits *limits; /* borrowed, outlives this */
    struct wsg_http_msg *msg;             /* owned; the request in progress, NULL while no head is complete */
    struct wsb_buf head;                  /* a head that came in pieces */
    struct wsg_http_scan scan;
    const char *reason; /* static text, once failed */
    wsb_err err;        /* why it failed */
    uint16_t status;    /* the answer to give, once failed */
    uint8_t state;      /* enum wsg_http_in_state */
    uint8_t method;     /* enum wsg_http_method of the request in progress */
};

void wsg_http_in_init(struct wsg_http_in *in, const struct wsg_http_limits *limits);
void wsg_http_in_deinit(struct wsg_http_in *in);

/**
 * The next event of the connection.
 *
 * @data      what was received and not yet consumed; may be empty
 * @ret_used  bytes consumed: all of them on WSB_MORE, up to the end of the head with HEAD
 *
 * Returns   WSB_OK an event; WSB_MORE nothing to report, read more; WSB_ERR_PROTO, WSB_ERR_LIMIT or WSB_ERR_NOMEM:
 *           answer wsg_http_in_status and close, what follows cannot be trusted. A failure is final and repeats itself.
 * Lifetime  an event is good until the next call or deinit, and while data is
 * Source    RFC 9112 §2–7, RFC 9110 §7.2, §7.8, §10.1.1
 */
WSB_MUST_CHECK wsb_err wsg_http_in_next(struct wsg_http_in *in, const uint8_t *data, size_t len, size_t *ret_used,
                                        struct wsg_http_event *ret_event);

/* No byte of a request was taken yet: to close now loses nothing. */
bool wsg_http_in_is_idle(const struct wsg_http_in *in);

/* After a failure: the status to answer, and why in words, for the log. 0 and "" before. */
int wsg_http_in_status(const struct wsg_http_in *in);
const char *wsg_http_in_reason(const struct wsg_http_in *in);

/* The method of the request in progress, also of one that failed: an answer to HEAD has no body. */
enum wsg_http_method wsg_http_in_method(const struct wsg_http_in *in);

const char *wsg_http_method_name(enum wsg_http_method method);

#endif
