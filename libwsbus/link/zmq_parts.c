/* Parts of ZeroMQ messages. EINTR stops here, and so does errno. */
#include "link/zmq_parts.h"

#include <errno.h>

/* libzmq hands a block from our thread to its own, by means that ThreadSanitizer cannot see. */
#if defined(__SANITIZE_THREAD__)
void __tsan_acquire(void *at);
void __tsan_release(void *at);
#define GIVEN_AWAY(block) __tsan_release(block)
#define TAKEN_OVER(block) __tsan_acquire(block)
#else
#define GIVEN_AWAY(block) ((void)0)
#define TAKEN_OVER(block) ((void)0)
#endif

static wsb_err error_of(int code)
{
    return code == EAGAIN ? WSB_AGAIN : code == EHOSTUNREACH ? WSB_CLOSED : WSB_ERR_IO;
}

wsb_err wsb_zmq_recv_part(void *socket, zmq_msg_t *part)
{
    int n;
    do {
        n = zmq_msg_recv(part, socket, ZMQ_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? error_of(errno) : WSB_OK;
}

static void free_block(void *data, void *hint)
{
    (void)data;
    TAKEN_OVER(hint);
    wsb_block_free(hint);
}

static wsb_err send_part(void *socket, zmq_msg_t *m, int flags)
{
    int n;
    do {
        n = zmq_msg_send(m, socket, flags | ZMQ_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n >= 0)
        return WSB_OK;
    wsb_err err = error_of(errno);
    zmq_msg_close(m);
    return err;
}

wsb_err wsb_zmq_send_bytes(void *socket, const void *data, size_t len, int flags)
{
    zmq_msg_t m;
    if (zmq_msg_init_size(&m, len) != 0)
        return WSB_ERR_NOMEM;
    if (len)
        memcpy(zmq_msg_data(&m), data, len);
    return send_part(socket, &m, flags);
}

wsb_err wsb_zmq_send_block(void *socket, struct wsb_block *b, int flags)
{
    zmq_msg_t m;
    if (zmq_msg_init_data(&m, b->data, b->len, free_block, b) != 0) {
        wsb_block_free(b);
        return WSB_ERR_NOMEM;
    }
    GIVEN_AWAY(b);
    return send_part(socket, &m, flags); /* a failure frees the block as well */
}

wsb_err wsb_zmq_send_envelope(void *socket, const struct wsb_header *h, struct wsb_block *payload, struct wsb_span meta)
{
    uint8_t header[WSB_HEADER_SIZE];
    wsb_header_write(header, h);
    wsb_err err = wsb_zmq_send_bytes(socket, header, sizeof header, ZMQ_SNDMORE);
    if (err) {
        wsb_block_free(payload);
        return err;
    }
    err = wsb_zmq_send_block(socket, payload, meta.len ? ZMQ_SNDMORE : 0);
    wsb_err err2 = meta.len ? wsb_zmq_send_bytes(socket, meta.ptr, meta.len, 0) : WSB_OK;
    return err ? err : err2;
}

void wsb_zmq_set_int(void *socket, int option, int value)
{
    (void)zmq_setsockopt(socket, option, &value, sizeof value);
}

void wsb_zmq_terminate(void *context)
{
    while (context && zmq_ctx_term(context) != 0 && errno == EINTR)
        ;
}
