#ifndef WSB_ZMTP_CURVEZMQ_H
#define WSB_ZMTP_CURVEZMQ_H

/*
 * CurveZMQ, the server's side: HELLO is answered with WELCOME, INITIATE proves who the client is, and MESSAGEs are boxes with
 * nonces that only grow. Between WELCOME and INITIATE nothing is kept of the session: its secret key is in the cookie that the
 * client brings back. Pure: the caller brings random bytes. Source: RFC 26, RFC 25.
 */

#include "base/span.h"
#include "wsbus/err.h"
#include "zmtp/box.h"
#include "zmtp/why.h"

enum {
    WSB_CURVEZMQ_KEY = 32,
    WSB_CURVEZMQ_HELLO = 200,
    WSB_CURVEZMQ_WELCOME = 168,
    WSB_CURVEZMQ_INITIATE_MIN = 257,
    WSB_CURVEZMQ_RANDOM = 64, /* that one WELCOME takes */
    /* Of a MESSAGE: name and nonce, the tag; and in the box the flags in front of the data. */
    WSB_CURVEZMQ_HEAD = 16,
    WSB_CURVEZMQ_FRONT = WSB_CURVEZMQ_HEAD + WSB_BOX_TAG,
    WSB_CURVEZMQ_OVERHEAD = WSB_CURVEZMQ_FRONT + 1,
    WSB_CURVEZMQ_READY_OVERHEAD = 6 + 8 + WSB_BOX_TAG
};

/* Who the server is, and what it makes cookies with. */
struct wsb_curvezmq_server {
    uint8_t public_key[WSB_CURVEZMQ_KEY], secret_key[WSB_CURVEZMQ_KEY];
    uint8_t cookie_secrets[2][WSB_CURVEZMQ_KEY]; /* now, and before the last rotation */
    unsigned cookie_count;
};

/* What a client does after a rotation with a cookie from before the one before is in vain. */
void wsb_curvezmq_rotate(struct wsb_curvezmq_server *s, const uint8_t fresh[WSB_CURVEZMQ_KEY]);
/* Nobody is in the middle of a handshake: cookies that somebody has recorded can never be opened again. */
void wsb_curvezmq_forget(struct wsb_curvezmq_server *s);

/* What both ends agreed on. */
struct wsb_curvezmq_session {
    uint8_t key[WSB_BOX_KEY];
    uint64_t sent; /* our last nonce */
    uint64_t seen; /* the client's last nonce */
};

void wsb_curvezmq_session_wipe(struct wsb_curvezmq_session *s);

/*
 * Answer a HELLO.
 *
 * @connection  its number, never used twice: a cookie is good for the connection that it was made for
 * @random      bytes that were used for nothing else
 * @ret_nonce   the client's
 *
 * Returns      WSB_OK; WSB_ERR_PROTO, and why
 */
WSB_MUST_CHECK wsb_err wsb_curvezmq_welcome(const struct wsb_curvezmq_server *s, uint64_t connection,
                                            struct wsb_span hello, const uint8_t random[WSB_CURVEZMQ_RANDOM],
                                            uint8_t ret_welcome[WSB_CURVEZMQ_WELCOME], uint64_t *ret_nonce,
                                            enum wsb_zmtp_why *ret_why);

/*
 * Check an INITIATE. The box is opened where it lies.
 *
 * @ret           the session; its nonce must be above `hello_nonce`
 * @ret_client    the client's public key: it has proved to have the secret one
 * @ret_metadata  lies in `initiate`
 */
WSB_MUST_CHECK wsb_err wsb_curvezmq_initiate(const struct wsb_curvezmq_server *s, uint64_t connection,
                                             uint64_t hello_nonce, uint8_t *initiate, size_t len,
                                             struct wsb_curvezmq_session *ret, uint8_t ret_client[WSB_CURVEZMQ_KEY],
                                             struct wsb_span *ret_metadata, enum wsb_zmtp_why *ret_why);

/* Write READY with our metadata; out has its length and WSB_CURVEZMQ_READY_OVERHEAD. Returns its length. */
size_t wsb_curvezmq_ready(struct wsb_curvezmq_session *s, struct wsb_span metadata, uint8_t *out);

/* Begin to open a MESSAGE of the client, of which at least the first WSB_CURVEZMQ_FRONT bytes are there. */
WSB_MUST_CHECK wsb_err wsb_curvezmq_open_begin(struct wsb_curvezmq_session *s, const uint8_t *message,
                                               struct wsb_box *ret, enum wsb_zmtp_why *ret_why);
/* Begin to seal one: writes name and nonce, WSB_CURVEZMQ_HEAD bytes; the tag follows them. */
void wsb_curvezmq_seal_begin(struct wsb_curvezmq_session *s, uint8_t *out, struct wsb_box *ret);

#endif
