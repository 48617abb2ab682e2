#ifndef WSL_CONN_H
#define WSL_CONN_H

/*
 * One connection of the client: its socket, what is half read and half written, and how far it is.
 *
 *   NEW ─▶ CONNECTING ─▶ SECURING ─▶ SHAKING ─▶ OPEN ─▶ CLOSING ─▶ DEAD      SECURING only with TLS; DEAD from everywhere
 *
 * Threads: its worker's.
 */

#include "reader.h"
#include "shake.h"
#include "stream.h"
#include "ws/deflate.h"

enum wsl_conn_state {
    WSL_NEW,
    WSL_CONNECTING,
    WSL_SECURING,
    WSL_SHAKING,
    WSL_OPEN,
    WSL_CLOSING, /* our Close frame is sent */
    WSL_DEAD,
};

/* A message that waits for its answer. */
struct wsl_slot {
    uint64_t sent_ns; /* as in its stamp */
    uint64_t due_ns;  /* when the schedule wanted it sent */
};

struct wsl_conn {
    enum wsl_conn_state state;
    bool publishes;   /* fan-out: it is the one */
    bool wants_write; /* epoll waits for room */
    uint32_t number;
    uint64_t began_ns;
    struct wsl_stream stream;
    struct wsl_reader reader;
    struct wsb_deflate *deflate; /* owned; NULL: not compressed */
    struct wsb_buf in;           /* what is left of the last reads: less than a frame, or less than the answer's head */
    size_t in_need;              /* bytes of the frame at its front; 0: not known */
    struct wsb_buf out;
    size_t out_sent;
    char key[WSL_KEY_SIZE];
    uint32_t sent;          /* messages; those from `answered` on wait for their answers */
    uint32_t answered;      /* fan-out: the number expected next */
    uint32_t slot_count;    /* a power of two */
    struct wsl_slot *slots; /* owned */
};

void wsl_conn_init(struct wsl_conn *c, uint32_t number, size_t max_message);

/* Free what it holds; it is DEAD. */
void wsl_conn_deinit(struct wsl_conn *c);

/* Send: at once as far as the socket takes it, the rest when it can be written. WSB_OK; WSB_CLOSED; WSB_ERR_LIMIT it holds as
 * much as it may; WSB_ERR_NOMEM. After a failure the connection is of no use. */
WSB_MUST_CHECK wsb_err wsl_conn_send(struct wsl_conn *c, int epoll, struct wsb_span data);

/* Go on sending what could not be sent. WSB_OK; WSB_CLOSED. */
WSB_MUST_CHECK wsb_err wsl_conn_flush(struct wsl_conn *c, int epoll);

/* One read behind what is left of the last one, into scratch, or for a frame that is too large for that into the connection.
 * ret_in: all there is; wsl_conn_keep() must be told what is left of it. WSB_OK; WSB_AGAIN; WSB_CLOSED; WSB_ERR_NOMEM. */
WSB_MUST_CHECK wsb_err wsl_conn_read(struct wsl_conn *c, uint8_t *scratch, size_t scratch_len, struct wsb_span *ret_in);
WSB_MUST_CHECK wsb_err wsl_conn_keep(struct wsl_conn *c, struct wsb_span rest, size_t need);

/* Bytes that wait to be sent. */
static inline size_t wsl_conn_waiting(const struct wsl_conn *c)
{
    return c->out.len - c->out_sent;
}

#endif
