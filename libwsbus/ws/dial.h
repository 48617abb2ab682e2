#ifndef WSB_WS_DIAL_H
#define WSB_WS_DIAL_H

/*
 * The client's side of the opening handshake, RFC 6455 §4.1: the request, and whether the answer is one to it. Strict both
 * ways: what we send cannot be split into more, and an answer that breaks a rule fails the connection. Pure.
 */

#include "base/buf.h"
#include "base/fault.h"
#include "ws/deflate_params.h"
#include "ws/url.h"

enum {
    WSB_DIAL_KEY_SIZE = 25,       /* 24 characters and a final 0 */
    WSB_DIAL_HEAD_MAX = 64 << 10, /* of an answer */
    WSB_DIAL_FIELDS_MAX = 200,    /* of an answer */
};

/* Everything is borrowed. */
struct wsb_dial_request {
    const struct wsb_url *url;
    const char *const *headers; /* "Name: value" */
    size_t header_count;
    const char *const *subprotocols; /* in the order of preference */
    size_t subprotocol_count;
    const char *origin;                    /* NULL: none, as programs that are no browsers do */
    const struct wsb_deflate_offer *offer; /* NULL: no compression */
};

/* Where the body of an answer that is not 101 ends. */
enum wsb_dial_body { WSB_DIAL_BODY_NONE, WSB_DIAL_BODY_LENGTH, WSB_DIAL_BODY_CHUNKED, WSB_DIAL_BODY_TO_END };

struct wsb_dial_answer {
    unsigned status;
    struct wsb_span fields;      /* the lines behind the status line, each with its CR LF */
    struct wsb_span subprotocol; /* 101: that was chosen; len 0: none */
    bool is_packed;              /* 101: permessage-deflate was agreed on */
    struct wsb_deflate_params params;
    enum wsb_dial_body body; /* otherwise */
    uint64_t body_len;
};

/* A Sec-WebSocket-Key of 16 random bytes. */
void wsb_dial_key(const uint8_t random[16], char ret_key[WSB_DIAL_KEY_SIZE]);

/**
 * Append the request.
 *
 * Returns   WSB_OK; WSB_ERR_CONFIG: a header, a subprotocol or the origin cannot be sent, or is not the caller's to set, and
 *           the fault says which; WSB_ERR_NOMEM
 */
WSB_MUST_CHECK wsb_err wsb_dial_write(struct wsb_buf *out, const struct wsb_dial_request *r,
                                      const char key[WSB_DIAL_KEY_SIZE], struct wsb_fault *fault);

/**
 * Read the head of the answer. Interim answers (1xx other than 101) are passed over.
 *
 * @ret_used  bytes up to the end of the head: what follows is frames, or the body
 *
 * Returns   WSB_OK it is a 101, and a good one; WSB_MORE; WSB_ERR_REFUSED any other final status, ret says which;
 *           WSB_ERR_PROTO it breaks a rule, and the fault says which
 * Lifetime  ret as long as the bytes
 * Source    RFC 6455 §4.1; RFC 9112 §4, §5, §6.3; RFC 9110 §15.2
 */
WSB_MUST_CHECK wsb_err wsb_dial_read(struct wsb_span in, const struct wsb_dial_request *r, const char *key,
                                     size_t *ret_used, struct wsb_dial_answer *ret, struct wsb_fault *fault);

/* The next field of an answer; false at the end. */
bool wsb_dial_next_field(struct wsb_span *rest, struct wsb_span *ret_name, struct wsb_span *ret_value);
/* The first field of that name, in any case; false: there is none. */
bool wsb_dial_find_field(struct wsb_span fields, const char *name, struct wsb_span *ret_value);

#endif
