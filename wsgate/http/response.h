#ifndef WSG_HTTP_RESPONSE_H
#define WSG_HTTP_RESPONSE_H

/*
 * The sending half of HTTP/1: heads, chunks and error answers written into a buffer. How a message is framed is decided
 * here and nowhere else, from the request's version and the status; fields that handlers give can neither change the
 * framing nor break out of their line. No Server field: the version of the gate is nobody's business. Pure.
 */

#include "base/buf.h"
#include "http/header.h"

enum wsg_http_body {
    WSG_HTTP_BODY_LENGTH,  /* `length` bytes follow, or would if this were not the answer to a HEAD */
    WSG_HTTP_BODY_UNKNOWN, /* chunked; to an HTTP/1.0 client everything until the connection is closed */
};

struct wsg_http_response {
    const char *date;                      /* from wsg_http_date_format; NULL: no Date, for a gate without a clock */
    const struct wsg_http_header *headers; /* extra ones; borrowed */
    size_t header_count;
    const struct wsg_http_header *added; /* besides those: what the gate adds to whatever it answers; borrowed */
    size_t added_count;
    uint64_t length;
    enum wsg_http_body body;
    const char *method;    /* of the request; NULL: nobody knows it. The Allow of a 405 does not name it */
    int status;            /* 100 to 999 */
    uint8_t request_minor; /* the HTTP/1.x version of the request */
    bool keep_alive;       /* wanted by the request and by us */
};

/* What the head that was written means for what comes after it. */
struct wsg_http_framing {
    bool has_body;   /* the status allows one; the answer to a HEAD has none all the same */
    bool is_chunked; /* write it with the chunk writers */
    bool keep_alive; /* false: close after the response */
    size_t body_len; /* of an error answer: its text, which is written already */
};

/* The reason phrase of a status; of the class for one we do not know. */
const char *wsg_http_reason_phrase(int status);

/*
 * Is this one of the fields that are the gate's: framing, connection options, Date? A response that has one is
 * refused; whoever passes on fields of a handler drops these first.
 */
bool wsg_http_response_is_reserved(struct wsb_span name);

/**
 * Append a response head. 101 gets "Upgrade: websocket", 426 likewise, 405 an Allow unless headers have one.
 *
 * Returns   WSB_OK; WSB_ERR_MISUSE status outside of 100 to 999, or 101 to HTTP/1.0; WSB_ERR_PROTO a field that is
 *           malformed or reserved; WSB_ERR_LIMIT, WSB_ERR_NOMEM of the buffer. On failure the buffer is as it was.
 * Source    RFC 9110 §6.6.1, §7.6.1, §15; RFC 9112 §6
 */
WSB_MUST_CHECK wsb_err wsg_http_response_head_write(struct wsb_buf *out, const struct wsg_http_response *response,
                                                    struct wsg_http_framing *ret_framing);

/* "HTTP/1.1 100 Continue" and nothing else. */
WSB_MUST_CHECK wsb_err wsg_http_continue_write(struct wsb_buf *out);

/*
 * A chunk is head, `len` bytes of data, tail. A length of 0 is refused (WSB_ERR_MISUSE): it would end the body.
 * The last chunk ends the body.
 */
WSB_MUST_CHECK wsb_err wsg_http_chunk_head_write(struct wsb_buf *out, size_t len);
WSB_MUST_CHECK wsb_err wsg_http_chunk_tail_write(struct wsb_buf *out);
WSB_MUST_CHECK wsb_err wsg_http_chunk_last_write(struct wsb_buf *out);

struct wsg_http_error {
    const char *date;
    const struct wsg_http_header *headers; /* extra ones, at most 15; borrowed */
    size_t header_count;
    const struct wsg_http_header *added; /* borrowed */
    size_t added_count;
    const char *method; /* of the request, as above; the answer to a HEAD has no body */
    int status;         /* 300 to 999 */
    uint8_t request_minor;
    bool keep_alive; /* false after anything that wsg_http_in refused */
};

/*
 * Append a whole answer: the head and one line of text, "404 Not Found". Nothing of the request is echoed. Results as
 * for a head; WSB_ERR_MISUSE too for a status below 300 or too many headers.
 */
WSB_MUST_CHECK wsb_err wsg_http_error_response_write(struct wsb_buf *out, const struct wsg_http_error *error,
                                                     struct wsg_http_framing *ret_framing);

#endif
