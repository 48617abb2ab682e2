/*
 * Commands: one function for each. They check what can be checked here, so that a mistake is told at once and to the
 * thread that made it; what only the gate can know comes back as OUTCOME or ERROR.
 */
#include "api/handle.h"
#include "api/sized.h"
#include "base/json.h"
#include "base/size.h"
#include "base/utf8.h"

enum {
    TARGETS_A_COMMAND = 1 << 16, /* what every gate takes at once */
    FIELDS_MAX = 128,
    GROUPS_MAX = 256, /* of a connection */
    TAGS_MAX = 64,    /* of a connection */
    LIST_MAX = 262144,
    LIST_DEFAULT = 1000,
    WORD_MAX = 255 /* bytes in the name of a group, a tag, a user, a key */
};

struct wsb_handle *wsb_begin(wsb_handler handler)
{
    struct wsb_handle *h = wsb_enter(handler);
    if (h)
        wsb_look(h);
    return h;
}

static struct wsb_json *begin_meta(struct wsb_handle *h, struct wsb_json *j)
{
    wsb_buf_clear(&h->scratch);
    wsb_json_begin(j, &h->scratch);
    wsb_json_object(j);
    return j;
}

static enum wsb_reason end_meta(struct wsb_json *j)
{
    wsb_json_object_end(j);
    return wsb_reason_of(wsb_json_end(j));
}

static struct wsb_span no_meta(void)
{
    return wsb_span(NULL, 0);
}

/* Does the program know of the registration that we have? Otherwise the connections that it names are those of the one before,
 * which other handlers have now. Before it has read the first WELCOME it has none that could be. */
static enum wsb_reason check_registration(const struct wsb_handle *h)
{
    bool is_told = !h->epoch || (h->epoch == h->given_epoch && h->id == h->given_id);
    return h->is_forgotten || !is_told ? WSB_REASON_STALE : WSB_REASON_OK;
}

static enum wsb_reason check_conn(const struct wsb_handle *h, wsb_conn conn)
{
    if (!conn)
        return WSB_REASON_MISUSE;
    enum wsb_conn_state state = wsb_conns_state(&h->conns, conn);
    if (state == WSB_CONN_GONE)
        return WSB_REASON_GONE;
    if (state == WSB_CONN_MOVED || wsb_fence_has(&h->fence, conn))
        return WSB_REASON_STALE;
    return check_registration(h);
}

static enum wsb_reason check_payload(const struct wsb_handle *h, const void *data, size_t len)
{
    if (len && !data)
        return WSB_REASON_MISUSE;
    return len > h->max_message ? WSB_REASON_TOO_BIG : WSB_REASON_OK;
}

static enum wsb_reason check_message(const struct wsb_handle *h, enum wsb_opcode op, const void *data, size_t len)
{
    if (op != WSB_TEXT && op != WSB_BINARY)
        return WSB_REASON_MISUSE;
    enum wsb_reason reason = check_payload(h, data, len);
    if (reason)
        return reason;
    return op == WSB_BINARY || wsb_utf8_is_valid(data, len) ? WSB_REASON_OK : WSB_REASON_UTF8;
}

/* A name or a value that goes into JSON: terminated, not endless, UTF-8. */
static enum wsb_reason check_text(const char *s, size_t min, size_t max)
{
    size_t len = s ? strnlen(s, max + 1) : 0;
    if (!s || len < min || len > max)
        return WSB_REASON_MISUSE;
    return wsb_utf8_is_valid((const uint8_t *)s, len) ? WSB_REASON_OK : WSB_REASON_UTF8;
}

/* ------------------------------------------------------------------- messages */

static enum wsb_reason write_one(struct wsb_handle *h, wsb_conn conn, enum wsb_opcode op, struct wsb_span data,
                                 uint8_t flags, uint64_t seq)
{
    enum wsb_reason reason = check_message(h, op, data.ptr, data.len);
    if (!reason)
        reason = check_conn(h, conn);
    if (reason)
        return reason;
    const struct wsb_header d = {.type = WSB_SEND, .code = (uint8_t)op, .flags = flags, .conn = conn, .seq = seq};
    return wsb_put(h, &d, data, no_meta());
}

static enum wsb_reason check_send_options(const struct wsb_send_options *o)
{
    if (!o)
        return WSB_REASON_OK;
    if ((unsigned)o->slow > WSB_SLOW_CONFLATE)
        return WSB_REASON_MISUSE;
    return o->key ? check_text(o->key, 1, WORD_MAX) : WSB_REASON_OK;
}

static bool has_words(const struct wsb_send_options *o)
{
    return o && (o->slow || o->key);
}

static void put_send_options(struct wsb_json *j, const struct wsb_send_options *o)
{
    static const char *const words[] = {
        [WSB_SLOW_CLOSE] = "close",
        [WSB_SLOW_DROP_NEW] = "drop-new",
        [WSB_SLOW_DROP_OLD] = "drop-old",
        [WSB_SLOW_CONFLATE] = "conflate",
    };
    if (o && o->slow)
        wsb_json_kcstr(j, "slow", words[o->slow]);
    if (o && o->key)
        wsb_json_kcstr(j, "key", o->key);
}

/* The header of a message with options, and its number. */
static struct wsb_header message_head(struct wsb_handle *h, enum wsb_type type, enum wsb_opcode op,
                                      const struct wsb_send_options *o)
{
    unsigned flags = (o && o->ret_seq ? WSB_FLAG_WANT_OUTCOME : 0u) | (o && o->plain ? WSB_FLAG_PLAIN : 0u);
    return (struct wsb_header){.type = (uint8_t)type, .code = (uint8_t)op, .flags = (uint8_t)flags, .seq = ++h->seq};
}

static bool done_sending(struct wsb_handle *h, enum wsb_reason reason, const struct wsb_header *d,
                         const struct wsb_send_options *o)
{
    if (!reason && o && o->ret_seq)
        *o->ret_seq = d->seq;
    return wsb_done(h, reason);
}

bool wsb_send(wsb_handler handler, wsb_conn conn, enum wsb_opcode op, const void *data, size_t len,
              const struct wsb_send_options *options)
{
    struct wsb_send_options room;
    struct wsb_json j;
    struct wsb_handle *h = wsb_begin(handler);
    if (!h)
        return false;
    if (!WSB_TAKE(options, &room, plain))
        return wsb_done(h, WSB_REASON_MISUSE);
    enum wsb_reason reason = check_message(h, op, data, len);
    if (!reason)
        reason = check_send_options(options);
    if (!reason)
        reason = check_conn(h, conn);
    if (reason)
        return wsb_done(h, reason);
    struct wsb_span meta = no_meta();
    if (has_words(options)) {
        put_send_options(begin_meta(h, &j), options);
        reason = end_meta(&j);
        meta = wsb_buf_span(&h->scratch);
    }
    struct wsb_header d = message_head(h, WSB_SEND, op, options);
    d.conn = conn;
    if (!reason)
        reason = wsb_put(h, &d, wsb_span(data, len), meta);
    return done_sending(h, reason, &d, options);
}

bool wsb_writeguarded(wsb_handler handler, wsb_conn conn, enum wsb_opcode op, const void *data, size_t len)
{
    struct wsb_handle *h = wsb_begin(handler);
    return h && wsb_done(h, write_one(h, conn, op, wsb_span(data, len), 0, ++h->seq));
}

static enum wsb_reason await(struct wsb_handle *h, const struct wsb_waiter *w, uint64_t until_ms)
{
    enum wsb_reason reason = wsb_pump(h);
    while (!reason && !w->done) {
        if (h->inbox_bytes >= h->in_limit)
            return WSB_REASON_FULL; /* the outcome is behind what nobody reads */
        reason = wsb_wait(h, until_ms);
    }
    return w->done ? w->reason : reason;
}

static void forget(struct wsb_handle *h, const struct wsb_waiter *w)
{
    struct wsb_waiter **at = &h->waiters;
    while (*at && *at != w)
        at = &(*at)->next;
    if (*at)
        *at = w->next;
}

bool wsb_sendwait(wsb_handler handler, wsb_conn conn, enum wsb_opcode op, const void *data, size_t len, int timeout_ms)
{
    struct wsb_handle *h = wsb_begin(handler);
    if (!h)
        return false;
    uint64_t until = wsb_deadline(timeout_ms);
    struct wsb_waiter w = {.next = h->waiters, .seq = ++h->seq | WSB_SEQ_WAITED};
    enum wsb_reason reason = write_one(h, conn, op, wsb_span(data, len), WSB_FLAG_WANT_OUTCOME, w.seq);
    if (!reason)
        reason = wsb_outbox_flush(h);
    if (!reason) {
        h->waiters = &w;
        reason = await(h, &w, until);
        forget(h, &w);
    }
    return wsb_done(h, reason);
}

static void put_ids(struct wsb_json *j, const char *key, const wsb_conn *conns, size_t count)
{
    wsb_json_key(j, key);
    wsb_json_array(j);
    for (size_t i = 0; i < count; i++)
        wsb_json_id(j, conns[i]);
    wsb_json_array_end(j);
}

static enum wsb_reason check_ids(const wsb_conn *conns, size_t count)
{
    if (count && !conns)
        return WSB_REASON_MISUSE;
    if (count > SIZE_MAX / sizeof *conns)
        return WSB_REASON_MISUSE;
    return WSB_REASON_OK;
}

static enum wsb_reason send_many(struct wsb_handle *h, const wsb_conn *conns, size_t count, const struct wsb_header *d,
                                 struct wsb_span data, const struct wsb_send_options *o)
{
    enum wsb_reason reason = WSB_REASON_OK;
    for (size_t at = 0; at < count && !reason; at += TARGETS_A_COMMAND) {
        struct wsb_json j;
        size_t some = count - at < TARGETS_A_COMMAND ? count - at : TARGETS_A_COMMAND;
        put_ids(begin_meta(h, &j), "to", conns + at, some);
        put_send_options(&j, o);
        reason = end_meta(&j);
        if (!reason)
            reason = wsb_put(h, d, data, wsb_buf_span(&h->scratch));
    }
    return reason;
}

bool wsb_send_many(wsb_handler handler, const wsb_conn *conns, size_t count, enum wsb_opcode op, const void *data,
                   size_t len, const struct wsb_send_options *options)
{
    struct wsb_send_options room;
    struct wsb_handle *h = wsb_begin(handler);
    if (!h)
        return false;
    if (!WSB_TAKE(options, &room, plain))
        return wsb_done(h, WSB_REASON_MISUSE);
    enum wsb_reason reason = check_message(h, op, data, len);
    if (!reason)
        reason = check_send_options(options);
    if (!reason)
        reason = check_ids(conns, count);
    if (!reason)
        reason = check_registration(h); /* of single ones that were taken away the gate knows */
    const struct wsb_header d = message_head(h, WSB_SEND, op, options);
    if (!reason)
        reason = send_many(h, conns, count, &d, wsb_span(data, len), options);
    return done_sending(h, reason, &d, options);
}

/* The word of an audience and its key in metadata. False: none, or more than one. */
static bool audience_word(const struct wsb_audience *to, const char **ret_key, const char **ret_word)
{
    const char *const keys[] = {"group", "route", "user", "tag"};
    const char *const words[] = {to->group, to->route, to->user, to->tag};
    size_t count = to->all;
    *ret_key = *ret_word = NULL;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (words[i]) {
            *ret_key = keys[i];
            *ret_word = words[i];
            count++;
        }
    }
    return count == 1;
}

static enum wsb_reason check_audience(const struct wsb_audience *to, const char **ret_key, const char **ret_word)
{
    if (!to || !audience_word(to, ret_key, ret_word))
        return WSB_REASON_MISUSE;
    enum wsb_reason reason = *ret_word ? check_text(*ret_word, 1, WORD_MAX) : WSB_REASON_OK;
    if (!reason && to->except_count > TARGETS_A_COMMAND)
        return WSB_REASON_TOO_BIG;
    return reason ? reason : check_ids(to->except, to->except_count);
}

bool wsb_publish(wsb_handler handler, const struct wsb_audience *to, enum wsb_opcode op, const void *data, size_t len,
                 const struct wsb_send_options *options)
{
    struct wsb_audience to_room;
    struct wsb_send_options room;
    const char *key;
    const char *word;
    struct wsb_json j;
    struct wsb_handle *h = wsb_begin(handler);
    if (!h)
        return false;
    if (!WSB_TAKE(to, &to_room, except_count) || !WSB_TAKE(options, &room, plain))
        return wsb_done(h, WSB_REASON_MISUSE);
    enum wsb_reason reason = check_message(h, op, data, len);
    if (!reason)
        reason = check_send_options(options);
    if (!reason)
        reason = check_audience(to, &key, &word);
    if (reason)
        return wsb_done(h, reason);
    begin_meta(h, &j);
    if (word)
        wsb_json_kcstr(&j, key, word);
    else
        wsb_json_kbool(&j, "all", true);
    if (to->except_count)
        put_ids(&j, "except", to->except, to->except_count);
    put_send_options(&j, options);
    reason = end_meta(&j);
    const struct wsb_header d = message_head(h, WSB_PUBLISH, op, options);
    if (!reason)
        reason = wsb_put(h, &d, wsb_span(data, len), wsb_buf_span(&h->scratch));
    return done_sending(h, reason, &d, options);
}

bool wsb_list(wsb_handler handler, const struct wsb_audience *of, unsigned limit, uint64_t *ret_seq)
{
    struct wsb_audience room;
    const char *key;
    const char *word;
    struct wsb_json j;
    struct wsb_handle *h = wsb_begin(handler);
    if (!h)
        return false;
    if (!WSB_TAKE(of, &room, except_count))
        return wsb_done(h, WSB_REASON_MISUSE);
    enum wsb_reason reason = check_audience(of, &key, &word);
    if (!reason && (!word || of->except_count || limit > LIST_MAX))
        reason = WSB_REASON_MISUSE;
    if (reason)
        return wsb_done(h, reason);
    wsb_json_kcstr(begin_meta(h, &j), key, word);
    wsb_json_ku64(&j, "limit", limit ? limit : LIST_DEFAULT);
    reason = end_meta(&j);
    const struct wsb_header d = {.type = WSB_LIST, .seq = ++h->seq};
    if (!reason)
        reason = wsb_put(h, &d, no_meta(), wsb_buf_span(&h->scratch));
    if (!reason && ret_seq)
        *ret_seq = d.seq;
    return wsb_done(h, reason);
}

/* --------------------------------------------------------------- the connection */

/* A command for one connection whose metadata is in the scratch buffer. */
static enum wsb_reason put_for(struct wsb_handle *h, wsb_conn conn, enum wsb_type type, uint8_t flags,
                               struct wsb_span data)
{
    const struct wsb_header d = {.type = (uint8_t)type, .flags = flags, .conn = conn, .seq = ++h->seq};
    return wsb_put(h, &d, data, wsb_buf_span(&h->scratch));
}

static enum wsb_reason check_words(const char *const *words, size_t count, size_t max)
{
    enum wsb_reason reason = WSB_REASON_OK;
    if (count > max || (count && !words))
        return WSB_REASON_MISUSE;
    for (size_t i = 0; i < count && !reason; i++)
        reason = check_text(words[i], 1, WORD_MAX);
    return reason;
}

static void put_words(struct wsb_json *j, const char *key, const char *const *words, size_t count)
{
    if (!count)
        return;
    wsb_json_key(j, key);
    wsb_json_array(j);
    for (size_t i = 0; i < count; i++)
        wsb_json_cstr(j, words[i]);
    wsb_json_array_end(j);
}

static bool change_group(wsb_handler handler, wsb_conn conn, const char *group, enum wsb_type type)
{
    struct wsb_json j;
    struct wsb_handle *h = wsb_begin(handler);
    if (!h)
        return false;
    enum wsb_reason reason = check_text(group, 1, WORD_MAX);
    if (!reason)
        reason = check_conn(h, conn);
    if (reason)
        return wsb_done(h, reason);
    put_words(begin_meta(h, &j), "groups", &group, 1);
    reason = end_meta(&j);
    return wsb_done(h, reason ? reason : put_for(h, conn, type, 0, no_meta()));
}

static enum wsb_reason check_marks(const struct wsb_marks *m)
{
    if (!m || (!m->set_count && !m->unset_count && !m->user))
        return WSB_REASON_MISUSE;
    enum wsb_reason reason = check_words(m->set, m->set_count, TAGS_MAX);
    if (!reason)
        reason = check_words(m->unset, m->unset_count, TAGS_MAX);
    return !reason && m->user ? check_text(m->user, 0, WORD_MAX) : reason;
}

bool wsb_tag(wsb_handler handler, wsb_conn conn, const struct wsb_marks *marks)
{
    struct wsb_marks room;
    struct wsb_json j;
    struct wsb_handle *h = wsb_begin(handler);
    if (!h)
        return false;
    if (!WSB_TAKE(marks, &room, user))
        return wsb_done(h, WSB_REASON_MISUSE);
    enum wsb_reason reason = check_marks(marks);
    if (!reason)
        reason = check_conn(h, conn);
    if (reason)
        return wsb_done(h, reason);
    put_words(begin_meta(h, &j), "set", marks->set, marks->set_count);
    put_words(&j, "unset", marks->unset, marks->unset_count);
    if (marks->user)
        wsb_json_kcstr(&j, "user", marks->user);
    reason = end_meta(&j);
    return wsb_done(h, reason ? reason : put_for(h, conn, WSB_TAG, 0, no_meta()));
}

bool wsb_join(wsb_handler h, wsb_conn conn, const char *group)
{
    return change_group(h, conn, group, WSB_JOIN);
}

bool wsb_leave(wsb_handler h, wsb_conn conn, const char *group)
{
    return change_group(h, conn, group, WSB_LEAVE);
}

/* What may stand in a head: RFC 9110 §5.6.2 for names, §5.5 for values; nothing that could end the line. */
static bool is_field(const struct wsb_field *f)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (!f->name || !*f->name || !f->value || f->name[strspn(f->name, token)])
        return false;
    for (const char *c = f->value; *c; c++) {
        if (((uint8_t)*c < 0x20 && *c != '\t') || *c == 0x7f)
            return false;
    }
    return true;
}

static enum wsb_reason check_fields(const struct wsb_field *fields, size_t count)
{
    if (count > FIELDS_MAX || (count && !fields))
        return WSB_REASON_MISUSE;
    for (size_t i = 0; i < count; i++) {
        if (!is_field(&fields[i]))
            return WSB_REASON_MISUSE;
    }
    return WSB_REASON_OK;
}

static bool is_first(const struct wsb_field *fields, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcasecmp(fields[i].name, fields[at].name) == 0)
            return false;
    }
    return true;
}

/* JSON has no repeated keys: fields of one name become one array. */
static void put_fields(struct wsb_json *j, const struct wsb_field *fields, size_t count)
{
    if (!count)
        return;
    wsb_json_key(j, "headers");
    wsb_json_object(j);
    for (size_t i = 0; i < count; i++) {
        if (!is_first(fields, i))
            continue;
        wsb_json_key(j, fields[i].name);
        wsb_json_array(j);
        for (size_t k = i; k < count; k++) {
            if (strcasecmp(fields[i].name, fields[k].name) == 0)
                wsb_json_cstr(j, fields[k].value);
        }
        wsb_json_array_end(j);
    }
    wsb_json_object_end(j);
}

static enum wsb_reason check_accept(const struct wsb_accept_options *o)
{
    enum wsb_reason reason = check_fields(o->headers, o->header_count);
    if (!reason && o->subprotocol)
        reason = check_text(o->subprotocol, 1, WORD_MAX);
    if (!reason && o->user)
        reason = check_text(o->user, 1, WORD_MAX);
    if (!reason)
        reason = check_words(o->groups, o->group_count, GROUPS_MAX);
    return reason ? reason : check_words(o->tags, o->tag_count, TAGS_MAX);
}

static void put_accept(struct wsb_json *j, const struct wsb_accept_options *o)
{
    if (o->subprotocol)
        wsb_json_kcstr(j, "subprotocol", o->subprotocol);
    put_fields(j, o->headers, o->header_count);
    put_words(j, "groups", o->groups, o->group_count);
    if (o->user)
        wsb_json_kcstr(j, "user", o->user);
    put_words(j, "tags", o->tags, o->tag_count);
}

bool wsb_accept(wsb_handler handler, wsb_conn conn, const struct wsb_accept_options *options)
{
    struct wsb_accept_options room;
    struct wsb_json j;
    struct wsb_handle *h = wsb_begin(handler);
    if (!h)
        return false;
    if (!WSB_TAKE(options, &room, tag_count))
        return wsb_done(h, WSB_REASON_MISUSE);
    enum wsb_reason reason = check_conn(h, conn);
    if (!reason && options)
        reason = check_accept(options);
    if (reason)
        return wsb_done(h, reason);
    begin_meta(h, &j);
    if (options)
        put_accept(&j, options);
    reason = end_meta(&j);
    return wsb_done(h, reason ? reason : put_for(h, conn, WSB_ACCEPT, 0, no_meta()));
}

bool wsb_reject(wsb_handler handler, wsb_conn conn, unsigned status, const char *body)
{
    struct wsb_json j;
    struct wsb_handle *h = wsb_begin(handler);
    if (!h)
        return false;
    struct wsb_span text = wsb_span_str(body);
    enum wsb_reason reason = status && (status < 300 || status > 599) ? WSB_REASON_MISUSE : check_conn(h, conn);
    if (!reason)
        reason = check_payload(h, text.ptr, text.len);
    if (reason)
        return wsb_done(h, reason);
    wsb_json_ku64(begin_meta(h, &j), "status", status ? status : 403);
    reason = end_meta(&j);
    return wsb_done(h, reason ? reason : put_for(h, conn, WSB_REJECT, 0, text));
}

/* RFC 6455 §7.4.1: 1004, 1005, 1006 and 1015 are never sent; 1016 to 2999 mean nothing yet. */
static bool is_close_code(unsigned code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

bool wsb_close(wsb_handler handler, wsb_conn conn, unsigned code, const char *why)
{
    struct wsb_json j;
    struct wsb_handle *h = wsb_begin(handler);
    if (!h)
        return false;
    size_t len = why ? strnlen(why, WSB_CLOSE_REASON_MAX + 1) : 0;
    enum wsb_reason reason = code && !is_close_code(code) ? WSB_REASON_MISUSE : check_conn(h, conn);
    if (!reason && len > WSB_CLOSE_REASON_MAX)
        reason = WSB_REASON_TOO_BIG;
    if (!reason && !wsb_utf8_is_valid((const uint8_t *)why, len))
        reason = WSB_REASON_UTF8;
    if (reason)
        return wsb_done(h, reason);
    wsb_json_ku64(begin_meta(h, &j), "code", code ? code : 1000);
    if (len)
        wsb_json_kcstr(&j, "reason", why);
    reason = end_meta(&j);
    return wsb_done(h, reason ? reason : put_for(h, conn, WSB_CLOSE, 0, no_meta()));
}

bool wsb_ping(wsb_handler handler, wsb_conn conn, const void *data, size_t len, uint64_t *ret_seq)
{
    struct wsb_handle *h = wsb_begin(handler);
    if (!h)
        return false;
    enum wsb_reason reason = check_payload(h, data, len);
    if (!reason && len > WSB_CONTROL_MAX)
        reason = WSB_REASON_TOO_BIG;
    if (!reason && conn)
        reason = check_conn(h, conn);
    const struct wsb_header d = {.type = WSB_PING, .conn = conn, .seq = ++h->seq};
    if (!reason)
        reason = wsb_put(h, &d, wsb_span(data, len), no_meta());
    if (!reason && ret_seq)
        *ret_seq = d.seq;
    return wsb_done(h, reason);
}

/* ----------------------------------------------------------------------- HTTP */

static enum wsb_reason check_response(const struct wsb_handle *h, const struct wsb_response *r)
{
    if (!r || (r->status && (r->status < 200 || r->status > 599)))
        return WSB_REASON_MISUSE;
    enum wsb_reason reason = check_fields(r->headers, r->header_count);
    return reason ? reason : check_payload(h, r->body, r->len);
}

bool wsb_respond(wsb_handler handler, wsb_conn conn, const struct wsb_response *r)
{
    struct wsb_response room;
    struct wsb_json j;
    struct wsb_handle *h = wsb_begin(handler);
    if (!h)
        return false;
    if (!WSB_TAKE(r, &room, more))
        return wsb_done(h, WSB_REASON_MISUSE);
    enum wsb_reason reason = check_response(h, r);
    if (!reason)
        reason = check_conn(h, conn);
    if (reason)
        return wsb_done(h, reason);
    wsb_json_ku64(begin_meta(h, &j), "status", r->status ? r->status : 200);
    put_fields(&j, r->headers, r->header_count);
    reason = end_meta(&j);
    if (!reason)
        reason = put_for(h, conn, WSB_RESPOND, r->more ? WSB_FLAG_MORE : 0, wsb_span(r->body, r->len));
    if (!reason && !r->more)
        wsb_conns_closed(&h->conns, conn); /* the gate says nothing more about it */
    return wsb_done(h, reason);
}

bool wsb_continue(wsb_handler handler, wsb_conn conn)
{
    struct wsb_json j;
    struct wsb_handle *h = wsb_begin(handler);
    if (!h)
        return false;
    enum wsb_reason reason = check_conn(h, conn);
    if (reason)
        return wsb_done(h, reason);
    wsb_json_ku64(begin_meta(h, &j), "status", 100);
    reason = end_meta(&j);
    return wsb_done(h, reason ? reason : put_for(h, conn, WSB_RESPOND, 0, no_meta()));
}

static enum wsb_reason check_part(const struct wsb_handle *h, wsb_conn conn, const struct wsb_part *p)
{
    if (!p || (p->at && *p->at > INT64_MAX))
        return WSB_REASON_MISUSE;
    enum wsb_reason reason = check_payload(h, p->data, p->len);
    return reason ? reason : check_conn(h, conn);
}

bool wsb_respond_part(wsb_handler handler, wsb_conn conn, const struct wsb_part *p)
{
    struct wsb_part room;
    struct wsb_json j;
    struct wsb_span meta = no_meta();
    struct wsb_handle *h = wsb_begin(handler);
    if (!h)
        return false;
    if (!WSB_TAKE(p, &room, ret_seq))
        return wsb_done(h, WSB_REASON_MISUSE);
    enum wsb_reason reason = check_part(h, conn, p);
    if (reason)
        return wsb_done(h, reason);
    if (p->at) {
        wsb_json_ku64(begin_meta(h, &j), "at", *p->at);
        reason = end_meta(&j);
        meta = wsb_buf_span(&h->scratch);
    }
    unsigned flags = (p->last ? 0u : WSB_FLAG_MORE) | (p->ret_seq ? WSB_FLAG_WANT_OUTCOME : 0u);
    const struct wsb_header d = {.type = WSB_BODY, .flags = (uint8_t)flags, .conn = conn, .seq = ++h->seq};
    if (!reason)
        reason = wsb_put(h, &d, wsb_span(p->data, p->len), meta);
    if (!reason && p->last)
        wsb_conns_closed(&h->conns, conn); /* unless it is refused: then WRITABLE says that it is not over */
    if (!reason && p->ret_seq)
        *p->ret_seq = d.seq;
    return wsb_done(h, reason);
}

bool wsb_respond_more(wsb_handler handler, wsb_conn conn, const void *data, size_t len, bool last)
{
    return wsb_respond_part(handler, conn, &(struct wsb_part){.data = data, .len = len, .last = last});
}

bool wsb_flush(wsb_handler handler)
{
    struct wsb_handle *h = wsb_begin(handler);
    if (!h)
        return false;
    enum wsb_reason reason = wsb_settle(h);
    return wsb_done(h, reason ? reason : wsb_outbox_flush(h));
}
