/*
 * A peer of the bench: echo and fan-out in one process with libwebsockets. bench/run compiles it where that is installed.
 *
 *   lws_echo PORT      what comes on /pub goes to all on /sub, everything else back
 */
#include <libwebsockets.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* LWS_PRE bytes in front of the payload are for lws_write(). */
struct message {
    size_t len;
    int owners;
    enum lws_write_protocol opcode;
    unsigned char bytes[];
};

struct waiting {
    struct waiting *next;
    struct message *message; /* shared, counted */
};

struct session {
    struct lws *wsi;
    struct waiting *first, **last;
    struct message *partial;         /* owned; fragments so far */
    struct session *next, *previous; /* among the subscribers */
    bool publishes, subscribes;
};

static struct session *subscribers;
static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static void release(struct message *m)
{
    if (--m->owners == 0)
        free(m);
}

static void queue(struct session *s, struct message *m)
{
    struct waiting *w = malloc(sizeof *w);
    if (!w)
        exit(1);
    *w = (struct waiting){.message = m};
    m->owners++;
    *s->last = w;
    s->last = &w->next;
    lws_callback_on_writable(s->wsi);
}

static void opened(struct session *s, struct lws *wsi)
{
    char path[16] = "";
    (void)lws_hdr_copy(wsi, path, sizeof path, WSI_TOKEN_GET_URI);
    *s = (struct session){.wsi = wsi, .publishes = !strcmp(path, "/pub"), .subscribes = !strcmp(path, "/sub")};
    s->last = &s->first;
    if (!s->subscribes)
        return;
    s->next = subscribers;
    if (subscribers)
        subscribers->previous = s;
    subscribers = s;
}

static void received(struct session *s, struct lws *wsi, const void *data, size_t len)
{
    size_t before = s->partial ? s->partial->len : 0;
    struct message *m = realloc(s->partial, sizeof *m + LWS_PRE + before + len);
    if (!m)
        exit(1);
    if (!s->partial)
        m->opcode = lws_frame_is_binary(wsi) ? LWS_WRITE_BINARY : LWS_WRITE_TEXT;
    memcpy(m->bytes + LWS_PRE + before, data, len);
    m->len = before + len;
    s->partial = m;
    if (lws_remaining_packet_payload(wsi) || !lws_is_final_fragment(wsi))
        return;
    s->partial = NULL;
    m->owners = 1;
    for (struct session *to = s->publishes ? subscribers : NULL; to; to = to->next)
        queue(to, m);
    if (!s->publishes)
        queue(s, m);
    release(m);
}

static int write_waiting(struct session *s, struct lws *wsi)
{
    while (s->first) {
        struct waiting *w = s->first;
        struct message *m = w->message;
        if (lws_write(wsi, m->bytes + LWS_PRE, m->len, m->opcode) < (int)m->len)
            return -1;
        s->first = w->next;
        if (!s->first)
            s->last = &s->first;
        free(w);
        release(m);
        if (s->first && lws_send_pipe_choked(wsi)) {
            lws_callback_on_writable(wsi);
            break;
        }
    }
    return 0;
}

static void closed(struct session *s)
{
    while (s->first) {
        struct waiting *w = s->first;
        s->first = w->next;
        release(w->message);
        free(w);
    }
    free(s->partial);
    if (!s->subscribes)
        return;
    if (s->next)
        s->next->previous = s->previous;
    if (s->previous)
        s->previous->next = s->next;
    else
        subscribers = s->next;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *session, void *data, size_t len)
{
    if (reason == LWS_CALLBACK_ESTABLISHED)
        opened(session, wsi);
    else if (reason == LWS_CALLBACK_RECEIVE)
        received(session, wsi, data, len);
    else if (reason == LWS_CALLBACK_SERVER_WRITEABLE)
        return write_waiting(session, wsi);
    else if (reason == LWS_CALLBACK_CLOSED)
        closed(session);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct lws_protocols protocols[] = {{.name = "bench",
                                                      .callback = on_event,
                                                      .per_session_data_size = sizeof(struct session),
                                                      .rx_buffer_size = 65536},
                                                     {0}};
    const struct lws_context_creation_info info = {
        .port = argc == 2 ? atoi(argv[1]) : 0, .iface = "127.0.0.1", .protocols = protocols, .pt_serv_buf_size = 65536};
    (void)signal(SIGTERM, on_signal);
    lws_set_log_level(LLL_ERR, NULL);
    struct lws_context *context = lws_create_context(&info);
    if (!context)
        return 1;
    while (!stop && lws_service(context, 0) >= 0)
        ;
    lws_context_destroy(context);
    return 0;
}
