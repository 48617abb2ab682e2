#ifndef WSG_ACCESS_LINE_H
#define WSG_ACCESS_LINE_H

/*
 * A line of the access log: what became of one HTTP request, or of one WebSocket connection from its handshake to its end.
 * What clients chose is bounded and escaped, so that a line is always one line, and what a program makes of it is what it
 * was. Pure.
 */

#include "base/buf.h"
#include "policy/policy.h"

enum {
    WSG_ACCESS_TARGET_MAX = 4096, /* bytes of each that a line has; what is longer is cut */
    WSG_ACCESS_REFERER_MAX = 1024,
    WSG_ACCESS_AGENT_MAX = 512
};

/* How a WebSocket connection ended. */
struct wsg_access_ending {
    const char *by;
    uint16_t code;
    bool clean;
    uint64_t messages_in, bytes_in, messages_out, bytes_out;
};

struct wsg_access_record {
    uint64_t time_ns;       /* since the Unix epoch: when the head of the request had come */
    uint64_t duration_us;   /* from then on */
    const char *peer;       /* "192.0.2.1:80", "unix:1000" */
    struct wsb_span method; /* empty: the request could not be read, and the next two say nothing */
    struct wsb_span target;
    uint8_t minor;   /* HTTP/1.minor */
    uint16_t status; /* 0: none was sent */
    uint64_t bytes;  /* behind the head of the response */
    struct wsb_span referer, agent;
    const char *request_id; /* "": it has none */
    const char *route;      /* "": none */
    uint64_t conn;
    bool is_complete;                       /* the response is; of a WebSocket: it opened */
    const struct wsg_access_ending *ending; /* NULL: no WebSocket */
};

/*
 * Append a line with its line feed.
 *
 * Returns  WSB_OK; WSB_ERR_LIMIT, WSB_ERR_NOMEM of the buffer, which is as it was then
 */
WSB_MUST_CHECK wsb_err wsg_access_line_write(struct wsb_buf *out, enum wsg_access_format format,
                                             const struct wsg_access_record *r);

#endif
