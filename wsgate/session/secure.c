/*
 * TLS between the socket and the session. Records come into one scratch buffer of the worker's and leave by another, so
 * that a connection holds no bytes but those of a record that is not complete, and those that the kernel did not take.
 *
 * Handshakes cost a thousand times what a message costs, and anybody can ask for one: their work in a round is limited, and
 * who is not served in this round is in the next, since its socket stays readable.
 */
#include "session/secure.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/log.h"
#include "session/parts.h"

enum {
    IN_BYTES = 64 << 10,                                          /* one read */
    OUT_BYTES = 4 * (WSB_TLS_RECORD_BYTES + WSB_TLS_RECORD_ROOM), /* one write */
    FILE_BYTES = WSB_TLS_RECORD_BYTES,
    CAUTIOUS_BYTES = 4 << 10,
    ROOM_MIN = 512,                      /* less room is not worth a record */
    UNSENT_MAX = OUT_BYTES + (16 << 10), /* what the peer makes us say by itself is small, or it is up to something */
    HANDSHAKE_ROUND_US = 2000
};

struct wsg_secure {
    struct wsb_tls_context *context; /* a reference, until there is a stream */
    struct wsb_tls_stream *stream;   /* owned; NULL before the first byte, and after a handshake that failed */
    struct wsb_buf unsent;           /* records that the kernel did not take */
    size_t unsent_plain;             /* bytes at the front of the session's queue that are in them */
    uint64_t sent;                   /* bytes of records, ever */
    bool is_shaking;                 /* counted as a handshake under way */
    bool has_finished;               /* close_notify is said */
    bool has_ended;                  /* the client has said it */
    bool is_resumed;
    const char *version; /* static; NULL until the handshake is done */
    const char *cipher;  /* static */
    char *name;          /* owned; NULL: the client asked for none */
    char *subject;       /* owned; NULL: no certificate */
    char fingerprint[WSB_TLS_FINGERPRINT_TEXT];
};

const char *wsg_secure_failure_name(int failure)
{
    switch (failure) {
    case WSG_SECURE_TIMEOUT:
        return "timeout";
    case WSG_SECURE_LEFT:
        return "left";
    case WSG_SECURE_PLAIN:
        return "plain";
    default:
        return wsb_tls_reason_name((enum wsb_tls_reason)failure);
    }
}

/* ---------------------------------------------------------------- what is shared */

static uint8_t *in_of(const struct wsg_env *env)
{
    return env->secure.scratch;
}

static struct wsb_tls_io io_of(const struct wsg_env *env, struct wsb_span in)
{
    return (struct wsb_tls_io){.in = in, .out = env->secure.scratch + IN_BYTES, .room = OUT_BYTES};
}

static uint8_t *file_of(const struct wsg_env *env)
{
    return env->secure.scratch + IN_BYTES + OUT_BYTES;
}

void wsg_secure_env_deinit(struct wsg_secure_env *e)
{
    free(e->scratch);
    e->scratch = NULL;
}

/* ------------------------------------------------------------------ begin, end */

static struct wsg_secure *secure_new(struct wsg_env *env)
{
    struct wsg_secure_env *e = &env->secure;
    if (!e->scratch)
        e->scratch = malloc((size_t)IN_BYTES + OUT_BYTES + FILE_BYTES);
    struct wsg_secure *sec = e->scratch ? calloc(1, sizeof *sec) : NULL;
    if (sec)
        wsb_buf_init(&sec->unsent, UNSENT_MAX);
    return sec;
}

wsb_err wsg_secure_begin(struct wsg_session *s, struct wsb_tls_context *context)
{
    struct wsg_secure *sec = secure_new(s->env);
    if (!sec)
        return WSB_ERR_NOMEM;
    sec->context = wsb_tls_context_ref(context);
    sec->is_shaking = true;
    s->env->secure.handshakes++;
    s->secure = sec;
    return WSB_OK;
}

static bool keep_text(char **ret, const char *text)
{
    *ret = text ? strdup(text) : NULL;
    return *ret || !text;
}

/* What the handshake agreed on. False without memory. */
static bool keep_info(struct wsg_secure *sec, const struct wsb_tls_info *info)
{
    if (!keep_text(&sec->name, info->name) || !keep_text(&sec->subject, info->has_certificate ? info->subject : NULL))
        return false;
    memcpy(sec->fingerprint, info->fingerprint, sizeof sec->fingerprint);
    sec->version = info->version;
    sec->cipher = info->cipher;
    sec->is_resumed = info->is_resumed;
    return true;
}

wsb_err wsg_secure_adopt(struct wsg_session *s, struct wsb_tls_stream *stream)
{
    struct wsb_tls_info info;
    wsb_tls_stream_info(stream, &info);
    s->secure = secure_new(s->env);
    if (!s->secure)
        return WSB_ERR_NOMEM;
    if (!keep_info(s->secure, &info)) {
        wsg_secure_free(s);
        return WSB_ERR_NOMEM;
    }
    s->secure->stream = stream;
    return WSB_OK;
}

static void leave_handshake(struct wsg_session *s)
{
    if (s->secure->is_shaking)
        s->env->secure.handshakes--;
    s->secure->is_shaking = false;
}

void wsg_secure_free(struct wsg_session *s)
{
    struct wsg_secure *sec = s->secure;
    if (!sec)
        return;
    leave_handshake(s);
    wsb_tls_context_unref(sec->context);
    wsb_tls_stream_free(sec->stream);
    wsb_buf_deinit(&sec->unsent);
    free(sec->name);
    free(sec->subject);
    free(sec);
    s->secure = NULL;
}

static bool is_open(const struct wsg_secure *sec)
{
    return sec->stream && wsb_tls_stream_is_open(sec->stream);
}

/* A response that breaks off must not look as if that was all of it. */
static bool may_say_goodbye(const struct wsg_session *s)
{
    bool is_answering = s->exchange && s->exchange->response_begun && !s->exchange->response_complete;
    return is_open(s->secure) && !s->secure->has_finished && s->secure->unsent.len == 0 && s->out.bytes == 0 &&
           !is_answering;
}

void wsg_secure_end(struct wsg_session *s)
{
    size_t sent;
    if (s->secure->is_shaking && s->secure->stream)
        wsg_count(&s->env->secure.tally->failed[WSG_SECURE_LEFT], 1);
    leave_handshake(s);
    if (!may_say_goodbye(s))
        return;
    struct wsb_tls_io io = io_of(s->env, wsb_span(NULL, 0));
    wsb_tls_stream_finish(s->secure->stream, &io);
    if (io.len)
        (void)!wsg_socket_write(s->watch.fd, io.out, io.len, &sent);
}

/* --------------------------------------------------------------------- sending */

/* What OpenSSL has said leaves, or is kept. False: the session is dead. */
static bool send_records(struct wsg_session *s, struct wsb_tls_io *io)
{
    struct wsg_secure *sec = s->secure;
    size_t sent = 0;
    if (io->len == 0)
        return true;
    wsb_err err = sec->unsent.len ? WSB_AGAIN : wsg_socket_write(s->watch.fd, io->out, io->len, &sent);
    sec->sent += sent;
    if (err == WSB_ERR_IO) {
        wsg_session_end_of_input(s, "the connection was reset");
        return false;
    }
    if (sent < io->len && wsb_buf_append(&sec->unsent, io->out + sent, io->len - sent) != WSB_OK) {
        wsg_session_end_of_input(s, "does not take what TLS has to say");
        return false;
    }
    if (sent < io->len)
        wsg_session_mark_dirty(s);
    io->len = 0;
    return true;
}

static wsb_err send_unsent(struct wsg_session *s)
{
    struct wsg_secure *sec = s->secure;
    while (sec->unsent.len) {
        size_t sent = 0;
        wsb_err err = wsg_socket_write(s->watch.fd, sec->unsent.data, sec->unsent.len, &sent);
        if (err)
            return err;
        sec->sent += sent;
        wsb_buf_consume(&sec->unsent, sent);
    }
    wsb_buf_deinit(&sec->unsent); /* an idle connection holds none */
    wsg_outq_take(&s->out, &s->env->pool, sec->unsent_plain);
    sec->unsent_plain = 0;
    return WSB_OK;
}

/* Records of what is at the front of the queue, as many as there is room for. */
static wsb_err seal(struct wsg_session *s, struct wsb_tls_io *io, size_t *ret_plain)
{
    struct wsg_outq_walk walk = {0};
    struct wsb_span span;
    size_t plain = 0;
    while (io->room - io->len >= ROOM_MIN + WSB_TLS_RECORD_ROOM) {
        size_t used = 0;
        size_t max = io->room - io->len - WSB_TLS_RECORD_ROOM;
        max = max < WSB_TLS_RECORD_BYTES ? max : WSB_TLS_RECORD_BYTES;
        wsb_err err = wsg_outq_walk(&s->out, &walk, file_of(s->env), max, &span);
        if (err == WSB_MORE)
            break;
        if (!err)
            err = wsb_tls_stream_write(s->secure->stream, io, span, &used, NULL);
        if (err || used != span.len)
            return WSB_ERR_IO; /* as a connection that is lost: nothing more can be said on it */
        plain += used;
    }
    *ret_plain = plain;
    return WSB_OK;
}

/* Seal once and offer it to the kernel; what it does not take is kept. */
static wsb_err send_sealed(struct wsg_session *s, struct wsb_tls_io *io, size_t plain)
{
    struct wsg_secure *sec = s->secure;
    size_t sent = 0;
    wsb_err err = wsg_socket_write(s->watch.fd, io->out, io->len, &sent);
    if (err && err != WSB_AGAIN)
        return err;
    sec->sent += sent;
    sec->unsent_plain = plain;
    if (sent < io->len && wsb_buf_append(&sec->unsent, io->out + sent, io->len - sent) != WSB_OK)
        return WSB_ERR_IO; /* without memory the stream has a hole */
    return sec->unsent.len ? WSB_AGAIN : WSB_OK;
}

/* What is sealed cannot be dropped any more, and what is under way to a slow client is known as a whole: little at a time
 * then. */
static size_t room_for(const struct wsg_session *s)
{
    if (wsg_outq_droppable(&s->out)->count)
        return CAUTIOUS_BYTES;
    return s->wants_write ? WSB_TLS_RECORD_BYTES + WSB_TLS_RECORD_ROOM : OUT_BYTES;
}

wsb_err wsg_secure_flush(struct wsg_session *s, size_t budget)
{
    struct wsg_secure *sec = s->secure;
    for (;;) {
        struct wsb_tls_io io = io_of(s->env, wsb_span(NULL, 0));
        size_t plain = 0;
        wsb_err err = send_unsent(s);
        if (err || !is_open(sec))
            return err;
        if (s->out.head) {
            if (budget == 0)
                return WSB_MORE;
            io.room = room_for(s);
            err = seal(s, &io, &plain);
        } else if (s->state == WSG_SESSION_LINGER && !sec->has_finished) {
            sec->has_finished = true;
            wsb_tls_stream_finish(sec->stream, &io);
        }
        if (err || io.len == 0)
            return err;
        budget = plain < budget ? budget - plain : 0;
        err = send_sealed(s, &io, plain);
        if (err)
            return err;
    }
}

uint64_t wsg_secure_sent(const struct wsg_session *s)
{
    return s->secure->sent;
}

/* ------------------------------------------------------------------ handshaking */

static bool may_shake(struct wsg_env *env)
{
    struct wsg_secure_env *e = &env->secure;
    uint64_t round_us = wsg_loop_now_us(env->loop);
    if (e->round_us != round_us) {
        e->round_us = round_us;
        e->spent_us = 0;
    }
    return e->spent_us < HANDSHAKE_ROUND_US;
}

static void count_failure(struct wsg_session *s, int failure, const char *why)
{
    wsg_count(&s->env->secure.tally->failed[failure], 1);
    leave_handshake(s);
    WSB_LOG_FEW(&s->env->lines.tls, WSG_REFUSED_LINES, wsg_loop_now_ms(s->env->loop), WSB_LOG_HTTP, WSB_LOG_INFO,
                "TLS handshake failed", WSB_KID("conn", s->id), WSB_KS("reason", wsg_secure_failure_name(failure)),
                WSB_KS("why", why), WSB_KS("peer", s->peer));
}

/* Our alert leaves first, if there is one. */
static void fail(struct wsg_session *s, int failure, const char *why)
{
    count_failure(s, failure, why);
    wsb_tls_stream_free(s->secure->stream);
    s->secure->stream = NULL;
    wsg_session_linger(s);
}

void wsg_secure_timeout(struct wsg_session *s)
{
    uint64_t elapsed_ms = wsg_loop_now_ms(s->env->loop) - s->opened_ms;
    uint32_t timeout_ms = wsg_session_entrance(s)->handshake_timeout_ms;
    if (elapsed_ms < timeout_ms) {
        if (!s->secure->stream) /* who says nothing must not keep others from shaking hands */
            leave_handshake(s);
        wsg_session_set_timer(s, (uint32_t)(timeout_ms - elapsed_ms));
        return;
    }
    count_failure(s, WSG_SECURE_TIMEOUT, "it did not come about in time");
    wsg_session_kill(s, "no TLS handshake in time");
}

/* Whoever speaks plain HTTP here is told so, in plain HTTP. */
static void answer_plain(struct wsg_session *s)
{
    count_failure(s, WSG_SECURE_PLAIN, "plain HTTP where TLS is spoken");
    wsg_secure_free(s);
    s->state = WSG_SESSION_HTTP;
    wsg_exchange_error(s, 400, "plain HTTP where TLS is spoken", NULL, 0);
}

/* Among those under way: it has been since it came, or it was silent, and then there must be a place for it. */
static bool take_turn(struct wsg_session *s)
{
    struct wsg_secure_env *e = &s->env->secure;
    if (s->secure->is_shaking)
        return true;
    if (e->handshakes >= e->handshakes_max)
        return false;
    s->secure->is_shaking = true;
    e->handshakes++;
    return true;
}

/* The stream is made when the first byte is there: who only connects costs no more than that. */
static bool begin_stream(struct wsg_session *s, uint8_t first)
{
    struct wsg_secure *sec = s->secure;
    struct wsb_fault fault;
    if (first >= 'A' && first <= 'Z') {
        answer_plain(s);
        return false;
    }
    if (!wsb_tls_is_hello(first)) {
        fail(s, WSB_TLS_GARBAGE, "the first byte is not of TLS");
        return false;
    }
    if (!take_turn(s)) {
        fail(s, WSB_TLS_OTHER, "too many handshakes are under way");
        return false;
    }
    if (wsb_tls_stream_new(sec->context, NULL, &sec->stream, &fault) != WSB_OK) {
        fail(s, WSB_TLS_OTHER, fault.text);
        return false;
    }
    wsb_tls_context_unref(sec->context);
    sec->context = NULL;
    return true;
}

static void established(struct wsg_session *s)
{
    struct wsg_secure *sec = s->secure;
    struct wsg_secure_tally *tally = s->env->secure.tally;
    struct wsb_tls_info info;
    wsb_tls_stream_info(sec->stream, &info);
    if (!keep_info(sec, &info)) {
        fail(s, WSB_TLS_OTHER, "out of memory");
        return;
    }
    leave_handshake(s);
    wsg_count(&tally->done[strcmp(info.version, "TLSv1.2") == 0 ? WSB_TLS_1_2 : WSB_TLS_1_3], 1);
    wsg_count(&tally->resumed, info.is_resumed);
    WSB_LOG(WSB_LOG_HTTP, WSB_LOG_DEBUG, "TLS", WSB_KID("conn", s->id), WSB_KS("version", info.version),
            WSB_KS("cipher", info.cipher), WSB_KS("name", info.name ? info.name : ""), WSB_KS("client", info.subject),
            WSB_KS("peer", s->peer));
    s->state = WSG_SESSION_HTTP;
    s->active_ms = wsg_loop_now_ms(s->env->loop);
    wsg_session_set_timer(s, wsg_session_entrance(s)->head_timeout_ms);
}

/* False: not yet, or never. */
static bool shake(struct wsg_session *s, struct wsb_tls_io *io)
{
    struct wsg_secure *sec = s->secure;
    struct wsb_fault fault;
    if (!sec->stream && !begin_stream(s, io->in.ptr[0]))
        return false;
    uint64_t before_us = wsg_loop_read_us(s->env->loop);
    wsb_err err = wsb_tls_stream_handshake(sec->stream, io, &fault);
    s->env->secure.spent_us += wsg_loop_read_us(s->env->loop) - before_us;
    if (!send_records(s, io) || err == WSB_MORE)
        return false;
    if (err)
        fail(s, (int)wsb_tls_stream_reason(sec->stream), fault.text);
    else
        established(s);
    return s->state == WSG_SESSION_HTTP;
}

/* --------------------------------------------------------------------- reading */

static void use(struct wsg_session *s, struct wsb_span in)
{
    struct wsb_tls_io io = io_of(s->env, in);
    struct wsb_fault fault;
    if (s->state == WSG_SESSION_SECURING && !shake(s, &io))
        return;
    for (;;) {
        size_t len = 0;
        wsb_err err = wsb_tls_stream_read(s->secure->stream, &io, s->env->scratch, WSG_SCRATCH_BYTES, &len, &fault);
        wsg_turns_charge(&s->env->turns, WSG_WORK_RECORD + (len >> 10)); /* whatever becomes of it */
        if (!send_records(s, &io) || err == WSB_MORE)
            return;
        s->secure->has_ended = err == WSB_CLOSED;
        if (err == WSB_CLOSED)
            wsg_session_half_close(s, "the client closed the connection");
        else if (err)
            wsg_session_end_of_input(s, fault.text);
        else
            wsg_session_take_bytes(s, s->env->scratch, len); /* may write, by the scratch that is free again */
        if (err || s->state == WSG_SESSION_DEAD)
            return;
    }
}

static void end_of_input(struct wsg_session *s, wsb_err err)
{
    if (is_open(s->secure) && s->state != WSG_SESSION_LINGER) /* after our goodbye many do not bother */
        wsg_count(&s->env->secure.tally->truncated, 1);
    if (err == WSB_CLOSED)
        wsg_session_half_close(s, "the client cut the connection: no close_notify");
    else
        wsg_session_end_of_input(s, "the connection was reset");
}

void wsg_secure_read(struct wsg_session *s)
{
    size_t len;
    if (s->state == WSG_SESSION_SECURING && !may_shake(s->env))
        return;
    wsb_err err = wsg_socket_read(s->watch.fd, in_of(s->env), IN_BYTES, &len);
    if (err == WSB_AGAIN)
        return;
    if (err)
        end_of_input(s, err);
    else if (s->secure->stream || s->state == WSG_SESSION_SECURING)
        use(s, wsb_span(in_of(s->env), len));
    else
        wsg_session_take_bytes(s, in_of(s->env), len); /* after a handshake that failed: nothing is done with it */
}

/* --------------------------------------------------------------------- showing */

bool wsg_secure_has_ended(const struct wsg_session *s)
{
    return s->secure && s->secure->has_ended;
}

bool wsg_secure_has_begun(const struct wsg_session *s)
{
    return s->secure && s->secure->stream;
}

bool wsg_secure_info(const struct wsg_session *s, struct wsg_secure_info *ret)
{
    const struct wsg_secure *sec = s->secure;
    if (!sec || !sec->version)
        return false;
    *ret = (struct wsg_secure_info){
        .version = sec->version,
        .cipher = sec->cipher,
        .name = sec->name,
        .subject = sec->subject,
        .fingerprint = sec->subject ? sec->fingerprint : NULL,
        .is_resumed = sec->is_resumed,
    };
    return true;
}

void wsg_secure_write_meta(const struct wsg_session *s, struct wsb_json *j)
{
    struct wsg_secure_info info;
    if (!wsg_secure_info(s, &info))
        return;
    wsb_json_key(j, "tls");
    wsb_json_object(j);
    wsb_json_kcstr(j, "version", info.version);
    wsb_json_kcstr(j, "cipher", info.cipher);
    wsb_json_kbool(j, "resumed", info.is_resumed);
    if (info.name)
        wsb_json_kcstr(j, "name", info.name);
    if (info.subject) {
        wsb_json_key(j, s->is_dialed ? "server" : "client");
        wsb_json_object(j);
        wsb_json_kcstr(j, "subject", info.subject);
        wsb_json_kcstr(j, "fingerprint", info.fingerprint);
        wsb_json_object_end(j);
    }
    wsb_json_object_end(j);
}
