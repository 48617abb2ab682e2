#include "session/flush.h"

#include <sys/socket.h>

#include "session/compress.h"
#include "session/parts.h"

enum {
    SESSION_BYTES = 1 << 20, /* that one session writes in its turn */
    STEP = 128,              /* sessions that a round writes to, or ends: a millisecond or two */
    STEP_BYTES = 1 << 20,    /* and about as much as it writes */
    FAN_MANY = 64,
    FAN_PAUSE_US = 200,
    FAN_HOLD_US = 5000, /* at most, for the rest of what is being published */
    FAN_STEP = 128,
    FAN_BYTES = 1 << 20
};

/* -------------------------------------------------------------------- lines */

static void join(struct wsg_line *line, struct wsg_session *s)
{
    s->is_dirty = true;
    s->next_dirty = NULL;
    *(line->count ? &line->last->next_dirty : &line->first) = s;
    line->last = s;
    line->count++;
}

static struct wsg_session *leave(struct wsg_line *line)
{
    struct wsg_session *s = line->first;
    line->first = s->next_dirty;
    line->count--;
    s->is_dirty = false;
    return s;
}

void wsg_session_mark_dirty(struct wsg_session *s)
{
    if (!s->is_dirty && s->state != WSG_SESSION_DEAD)
        join(&s->env->flushing.dirty, s);
}

void wsg_session_mark_fanned(struct wsg_session *s)
{
    if (!s->is_dirty && s->state != WSG_SESSION_DEAD)
        join(&s->env->flushing.fan.line, s);
}

/* -------------------------------------------------------------- one session */

/* After the kernel was offered something. */
static void settle(struct wsg_session *s)
{
    while (s->receipts && s->receipts->end <= s->out.written)
        wsg_session_end_receipt(s, s->receipts, WSB_OUTCOME_WRITTEN, NULL);
    wsg_deliver_settle(s);
}

static wsb_err write_out(struct wsg_session *s)
{
    return s->secure ? wsg_secure_flush(s, SESSION_BYTES)
                     : wsg_outq_flush(&s->out, &s->env->pool, s->watch.fd, SESSION_BYTES);
}

/* Ask the kernel before a client is called slow: within a round nothing has been offered to it yet. A lost connection is
 * noticed by the flush that ends the round. */
void wsg_session_make_room(struct wsg_session *s)
{
    (void)!write_out(s);
    settle(s);
    wsg_session_mark_dirty(s);
}

static void on_drained(struct wsg_session *s)
{
    if (s->state == WSG_SESSION_LINGER && s->read_ended) {
        wsg_session_kill(s, "both sides are done");
    } else if (s->state == WSG_SESSION_LINGER && !s->shut) {
        s->shut = true;
        s->env->flushing.ended++;
        (void)shutdown(s->watch.fd, SHUT_WR); /* then read to the end, so that no reset destroys what we said last */
        wsg_session_set_timer(s, wsg_session_linger_ms(s));
    }
}

static void flush(struct wsg_session *s)
{
    wsb_err err = write_out(s);
    settle(s);
    if (err == WSB_ERR_IO) {
        wsg_session_end_of_input(s, "the connection was reset");
        return;
    }
    s->wants_write = err == WSB_AGAIN || err == WSB_MORE;
    wsg_deliver_check_writable(s);
    if (s->exchange)
        wsg_exchange_check_writable(s);
    if (!err)
        on_drained(s);
    if ((s->paused & WSG_PAUSE_OUTPUT) && s->out.bytes <= WSG_HTTP_OUTPUT_MAX / 2 && !wsg_outq_has_file(&s->out))
        wsg_session_set_paused(s, WSG_PAUSE_OUTPUT, false);
    wsg_session_watch(s);
}

/* ------------------------------------------------------------------- a round */

static bool has_end(const struct wsg_env *env)
{
    return env->slots.used == 0; /* they are all dead, and nobody waits */
}

static bool is_left(const struct wsg_env *env, const struct wsg_allowance *left)
{
    return (left->sessions && left->bytes) || has_end(env);
}

static void flush_next(struct wsg_line *line, struct wsg_allowance *left)
{
    struct wsg_session *s = leave(line);
    uint64_t before = s->out.written;
    uint32_t ended = s->env->flushing.ended;
    if (s->state != WSG_SESSION_DEAD)
        flush(s);
    uint64_t written = s->out.written - before;
    uint32_t turns = 1 + s->env->flushing.ended - ended;
    left->sessions -= turns < left->sessions ? turns : left->sessions;
    left->bytes -= written < left->bytes ? (size_t)written : left->bytes;
}

static void flush_dirty(struct wsg_env *env)
{
    struct wsg_flushing *f = &env->flushing;
    for (uint32_t count = f->dirty.count; count && is_left(env, &f->left);
         count--) /* and not who is marked meanwhile */
        flush_next(&f->dirty, &f->left);
}

/* Publishes that follow each other leave together, though each takes some rounds until all its clients have it. */
static uint64_t held_until(struct wsg_env *env)
{
    struct wsg_fan *fan = &env->flushing.fan;
    if (!fan->more_comes)
        return 0;
    if (fan->held_us == 0)
        fan->held_us = wsg_loop_now_us(env->loop);
    return fan->held_us + FAN_HOLD_US;
}

/* 0: nothing keeps it. What is published leaves at once, unless it is much, and as much has just left or is about to follow. */
static uint64_t fan_due_us(struct wsg_env *env)
{
    struct wsg_fan *fan = &env->flushing.fan;
    if (fan->leaving || fan->line.count < FAN_MANY || has_end(env))
        return 0;
    uint64_t held_us = held_until(env);
    if (held_us > wsg_loop_now_us(env->loop))
        return held_us;
    return fan->flushed_us + FAN_PAUSE_US;
}

/*
 * What is for very many leaves in steps: those who were marked first leave first, and who is marked meanwhile leaves with the
 * next ones.
 */
static void flush_fan(struct wsg_env *env)
{
    struct wsg_fan *fan = &env->flushing.fan;
    struct wsg_allowance left = {FAN_STEP, FAN_BYTES};
    if (fan->line.count == 0 || fan_due_us(env) > wsg_loop_now_us(env->loop))
        return;
    if (!fan->leaving) {
        fan->is_large = fan->line.count >= FAN_MANY && !has_end(env);
        fan->leaving = fan->line.count;
        fan->held_us = 0;
    }
    for (; fan->leaving && is_left(env, &left); fan->leaving--)
        flush_next(&fan->line, &left);
    if (fan->is_large && !fan->leaving)
        fan->flushed_us = wsg_loop_read_us(env->loop);
}

static void wake_for_the_rest(struct wsg_env *env)
{
    const struct wsg_flushing *f = &env->flushing;
    uint64_t now_us = wsg_loop_now_us(env->loop);
    uint64_t fan_us = f->fan.line.count ? fan_due_us(env) : 0;
    bool has_rest =
        f->dirty.count || wsg_packings_wait(env) || ((env->turns.line || env->turns.held) && !env->outbox_full);
    if (has_rest || (f->fan.line.count && fan_us < now_us))
        wsg_loop_wake_by(env->loop, now_us);
    else
        wsg_loop_wake_by(env->loop, fan_us); /* 0 where there is none */
}

/* Those that have ended since were work as well; who ended while the last one wrote counts in both. */
static void begin_round(struct wsg_flushing *f)
{
    uint32_t ended = f->ended < STEP / 2 ? f->ended : STEP / 2;
    f->left = (struct wsg_allowance){STEP - ended, STEP_BYTES};
    f->ended = 0;
}

void wsg_sessions_flush(struct wsg_env *env)
{
    wsg_sessions_go_on(env);
    wsg_sessions_count(env); /* before anybody hears of what it counts */
    wsg_packings_step(env);
    begin_round(&env->flushing);
    flush_dirty(env);
    flush_fan(env);
    wsg_compress_round_end(env);
    wake_for_the_rest(env);
}

bool wsg_sessions_are_in_line(const struct wsg_env *env)
{
    return env->flushing.dirty.count || env->flushing.fan.line.count;
}

void wsg_sessions_flush_more(struct wsg_env *env)
{
    wsg_sessions_count(env);
    while (env->flushing.dirty.count && is_left(env, &env->flushing.left))
        flush_dirty(env);
    wsg_compress_round_end(env);
    wake_for_the_rest(env);
}
