/*
 * The doorkeeper. What asks is ZeroMQ itself, in this process: the form of a question can be relied on, what it quotes of
 * the peer cannot. A question that is not understood is answered with no.
 */
#include "link/zap.h"

#include <stdio.h>
#include <string.h>

#include "link/zmq_parts.h"

enum { QUESTIONS_PER_CALL = 32, KEY_BYTES = 32, FRAME_MAX = 255 };

/* The frames of a question, RFC 27. */
enum { VERSION, REQUEST_ID, DOMAIN, ADDRESS, IDENTITY, MECHANISM, CREDENTIALS, FRAMES };

struct question {
    uint8_t frames[FRAMES][FRAME_MAX + 1]; /* each with a NUL behind it */
    size_t lens[FRAMES];
    bool is_whole;
};

/* WSB_AGAIN: nobody asks. */
static wsb_err question_take(void *socket, struct question *q)
{
    size_t count = 0;
    bool fits = true;
    for (bool more = true; more; count++) {
        zmq_msg_t part;
        zmq_msg_init(&part);
        wsb_err err = wsb_zmq_recv_part(socket, &part);
        if (!err) {
            size_t len = zmq_msg_size(&part);
            more = zmq_msg_more(&part) != 0;
            fits = fits && count < FRAMES && len <= FRAME_MAX;
            if (fits) {
                memcpy(q->frames[count], zmq_msg_data(&part), len);
                q->frames[count][len] = 0;
                q->lens[count] = len;
            }
        }
        zmq_msg_close(&part);
        if (err)
            return err; /* parts of one message arrive together: this can only be the first */
    }
    q->is_whole = fits && count == FRAMES;
    return WSB_OK;
}

static struct wsb_span frame(const struct question *q, int at)
{
    return wsb_span(q->frames[at], q->lens[at]);
}

/* Is it a key on the list, for a door that it may use? */
static bool is_welcome(const struct wsb_zap *z, const struct question *q, char ret_key[WSB_KEY_TEXT])
{
    ret_key[0] = 0;
    if (!q->is_whole || !wsb_span_eq_str(frame(q, VERSION), "1.0") || !wsb_span_eq_str(frame(q, MECHANISM), "CURVE") ||
        q->lens[CREDENTIALS] != KEY_BYTES || !zmq_z85_encode(ret_key, q->frames[CREDENTIALS], KEY_BYTES))
        return false;
    const struct wsb_listed_key *key = wsb_key_list_find(&z->curve->clients, wsb_span_str(ret_key));
    return key && (key->route_count == 0 || wsb_span_eq_str(frame(q, DOMAIN), WSB_ZAP_ANY_KEY));
}

/* No is 300, a temporary failure, and not 400: at 400 ZeroMQ tells the peer, whose ZeroMQ then never tries again, and a handler
 * would have to be started anew when its key has been put on the list. At 300 the connection just ends. */
static void answer(void *socket, const struct question *q, bool yes, const char *user)
{
    struct wsb_span request_id = q->is_whole ? frame(q, REQUEST_ID) : wsb_span(NULL, 0);
    const struct wsb_span parts[] = {
        wsb_span_str("1.0"),
        request_id,
        wsb_span_str(yes ? "200" : "300"),
        wsb_span_str(yes ? "OK" : "not on the list"),
        wsb_span_str(yes ? user : ""),
        wsb_span_str(""),
    };
    const size_t count = sizeof parts / sizeof *parts;
    for (size_t i = 0; i < count; i++) {
        if (wsb_zmq_send_bytes(socket, parts[i].ptr, parts[i].len, i + 1 < count ? ZMQ_SNDMORE : 0) != WSB_OK)
            return; /* who asked has gone */
    }
}

void wsb_zap_serve(struct wsb_zap *z)
{
    struct question q;
    char key[WSB_KEY_TEXT];
    for (int i = 0; z->socket && i < QUESTIONS_PER_CALL && question_take(z->socket, &q) == WSB_OK; i++) {
        bool yes = is_welcome(z, &q, key);
        if (yes) {
            z->allowed++;
        } else {
            z->refused++;
            memcpy(z->last_key, key, sizeof key);
            (void)snprintf(z->last_address, sizeof z->last_address, "%.60s",
                           q.is_whole ? (const char *)q.frames[ADDRESS] : "");
        }
        answer(z->socket, &q, yes, key);
    }
}

wsb_err wsb_zap_open(struct wsb_zap *z, void *context, const struct wsb_curve *curve)
{
    *z = (struct wsb_zap){.socket = zmq_socket(context, ZMQ_REP), .curve = curve};
    if (!z->socket)
        return WSB_ERR_IO;
    wsb_zmq_set_int(z->socket, ZMQ_LINGER, 0);
    return zmq_bind(z->socket, "inproc://zeromq.zap.01") == 0 ? WSB_OK : WSB_ERR_IO;
}

void wsb_zap_close(struct wsb_zap *z)
{
    if (z->socket)
        zmq_close(z->socket);
    z->socket = NULL;
}
