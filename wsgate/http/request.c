/*
 * Requests, pulled out of a byte stream. The guards (scan.c, chunk.c) find the end of a head or of a chunk line and
 * refuse what llhttp would let pass; llhttp parses exactly those bytes; the rules about what the fields mean together
 * are here. Where guard and llhttp read the same number they have to agree: a message that two parsers understand
 * differently is how requests are smuggled.
 *
 * llhttp is only ever given slices that end where something ends, so that nothing behind a head, a chunk or a message
 * is touched before the caller asks for it. A verdict never depends on how the bytes were cut: each check is made at
 * the byte that decides it or at the end of the line or head that contains it.
 */
#include "http/request.h"

#include <assert.h>
#include <llhttp.h>
#include <stdlib.h>

#include "base/size.h"
#include "http/chunk.h"
#include "http/target.h"

#if LLHTTP_VERSION_MAJOR < 9 && !LLHTTP_STRICT_MODE
#error "llhttp has to be built with LLHTTP_STRICT_MODE=1"
#endif

/* One request. Allocated when its head is complete, freed when its END was reported. */
struct wsg_http_msg {
    llhttp_t parser;
    struct wsg_http_head head;
    struct wsg_http_chunk chunk;
    uint64_t body_left;     /* of the Content-Length or of the current chunk */
    uint64_t body_seen;     /* decoded bytes of all chunks so far */
    struct wsb_span name;   /* of the field llhttp is reading */
    struct wsb_span value;  /* likewise */
    struct wsb_span target; /* as llhttp saw it */
    struct wsb_host host;
    uint8_t *path_scratch; /* behind headers, target_len bytes */
    size_t header_cap;
    size_t header_count;
    bool is_chunk_line;               /* llhttp has just read one */
    bool is_complete;                 /* llhttp says that the message ends here */
    struct wsg_http_header headers[]; /* header_cap of them */
};

/* ---- llhttp's callbacks: they note what was seen, nothing else ---- */

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    struct wsg_http_msg *m = parser->data;
    m->target = wsb_span(at, len);
    return 0;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t len)
{
    struct wsg_http_msg *m = parser->data;
    m->name = wsb_span(at, len);
    m->value = wsb_span(at + len, 0);
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len)
{
    struct wsg_http_msg *m = parser->data;
    m->value = wsb_span(at, len);
    return 0;
}

static int on_header_value_complete(llhttp_t *parser)
{
    struct wsg_http_msg *m = parser->data;
    if (m->header_count == m->header_cap)
        return -1; /* more fields than the guard counted */
    m->headers[m->header_count++] = (struct wsg_http_header){m->name, wsg_http_trim(m->value)};
    return 0;
}

static int on_chunk_header(llhttp_t *parser)
{
    struct wsg_http_msg *m = parser->data;
    m->is_chunk_line = true;
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    struct wsg_http_msg *m = parser->data;
    m->is_complete = true;
    return HPE_PAUSED; /* it must not begin another message by itself */
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_chunk_header = on_chunk_header,
    .on_message_complete = on_message_complete,
};

/* True when llhttp took all of the slice. */
static bool execute(struct wsg_http_msg *m, const uint8_t *data, size_t len)
{
    llhttp_errno_t e = llhttp_execute(&m->parser, (const char *)data, len);
    if (e == HPE_OK)
        return true;
    return m->is_complete && e == HPE_PAUSED && llhttp_get_error_pos(&m->parser) == (const char *)data + len;
}

/* ---- failure ---- */

static wsb_err fail(struct wsg_http_in *in, wsb_err err, int status, const char *reason)
{
    in->state = WSG_HTTP_IN_FAILED;
    in->err = err;
    in->status = (uint16_t)status;
    in->reason = reason;
    free(in->msg);
    in->msg = NULL;
    wsb_buf_deinit(&in->head);
    return err;
}

static wsb_err fail_proto(struct wsg_http_in *in, const char *reason)
{
    return fail(in, WSB_ERR_PROTO, 400, reason);
}

/* ---- the rules of a head ---- */

static const struct method_row {
    const char *name;
    enum wsg_http_method method;
} methods[] = {
    {"GET", WSG_HTTP_GET},       {"HEAD", WSG_HTTP_HEAD},   {"POST", WSG_HTTP_POST},       {"PUT", WSG_HTTP_PUT},
    {"DELETE", WSG_HTTP_DELETE}, {"PATCH", WSG_HTTP_PATCH}, {"OPTIONS", WSG_HTTP_OPTIONS},
};

static struct wsb_span scanned_method(const struct wsg_http_scan *scan)
{
    size_t len = scan->method_len;
    return wsb_span(scan->method, len <= sizeof scan->method ? len : 0);
}

static enum wsg_http_method method_of(const struct wsg_http_scan *scan)
{
    struct wsb_span name = scanned_method(scan);
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (wsb_span_eq_str(name, methods[i].name)) /* methods are case-sensitive, RFC 9110 §9.1 */
            return methods[i].method;
    }
    return WSG_HTTP_UNKNOWN;
}

/* RFC 9110 §15.5.6, §15.6.2: 405 for a method we know and do not allow, 501 for one that we do not know. */
static wsb_err check_method(struct wsg_http_in *in)
{
    if (in->method != WSG_HTTP_UNKNOWN)
        return WSB_OK;
    struct wsb_span name = scanned_method(&in->scan);
    if (wsb_span_eq_str(name, "CONNECT") || wsb_span_eq_str(name, "TRACE"))
        return fail(in, WSB_ERR_PROTO, 405, "method not allowed");
    return fail(in, WSB_ERR_PROTO, 501, "method not implemented");
}

static void set_host(struct wsg_http_msg *m, const struct wsb_host *host)
{
    m->host = *host;
    m->head.host = wsb_host_text(&m->host);
    m->head.host_name = wsb_host_name(&m->host);
}

static void replace_host(struct wsg_http_msg *m)
{
    for (size_t i = 0; i < m->header_count; i++) {
        if (wsb_span_ieq_str(m->headers[i].name, "Host"))
            m->headers[i].value = m->head.host;
    }
}

static wsb_err check_target(struct wsg_http_in *in, struct wsg_http_msg *m)
{
    struct wsg_http_head *h = &m->head;
    struct wsg_http_target target;
    const char *reason = NULL;
    wsb_err err = wsg_http_target_parse(m->target, h->method == WSG_HTTP_OPTIONS, m->path_scratch, &target, &reason);
    if (err)
        return fail(in, err, 400, reason);
    h->target = m->target;
    h->path = target.path;
    h->query = target.query;
    if (target.has_authority)
        set_host(m, &target.authority);
    return WSB_OK;
}

/*
 * RFC 9110 §7.2, RFC 9112 §3.2.2: in the absolute form the target says the host, whatever Host says. It has to be there all
 * the same, and to be a host. Handlers are told the one host that the gate goes by.
 */
static wsb_err check_host(struct wsg_http_in *in, struct wsg_http_msg *m)
{
    struct wsg_http_head *h = &m->head;
    struct wsb_span value;
    struct wsb_host host;
    size_t count = wsg_http_header_find(h->headers, h->header_count, "Host", &value);
    if (count == 0)
        return h->minor == 0 ? WSB_OK : fail_proto(in, "no Host");
    if (count > 1)
        return fail_proto(in, "more than one Host");
    if (wsb_host_parse(value, &host) != WSB_OK)
        return fail_proto(in, "invalid Host");
    if (h->host.ptr)
        replace_host(m);
    else
        set_host(m, &host);
    return WSB_OK;
}

/* Exactly "chunked" is understood. RFC 9112 §6.1, §6.3: anything before it is 501, chunked not last is 400. */
static wsb_err check_transfer_encoding(struct wsg_http_in *in, struct wsg_http_msg *m)
{
    struct wsg_http_head *h = &m->head;
    bool is_last_chunked = false;
    bool has_unknown = false;
    bool has_field = false;
    for (size_t i = 0; i < h->header_count; i++) {
        if (!wsb_span_ieq_str(h->headers[i].name, "Transfer-Encoding"))
            continue;
        has_field = true;
        struct wsb_span rest = h->headers[i].value;
        struct wsb_span item;
        while (wsg_http_list_next(&rest, &item)) {
            if (item.len == 0 || is_last_chunked)
                return fail_proto(in, "malformed Transfer-Encoding, or chunked is not last");
            is_last_chunked = wsb_span_ieq_str(item, "chunked");
            has_unknown = has_unknown || !is_last_chunked;
        }
    }
    if (!has_field)
        return WSB_OK;
    if (h->minor == 0)
        return fail_proto(in, "Transfer-Encoding in HTTP/1.0");
    if (!is_last_chunked)
        return fail_proto(in, "Transfer-Encoding does not end with chunked");
    if (has_unknown)
        return fail(in, WSB_ERR_PROTO, 501, "unknown transfer coding");
    h->is_chunked = true;
    return WSB_OK;
}

static bool parse_length(struct wsb_span s, uint64_t *ret)
{
    uint64_t v = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9' || __builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, s.ptr[i] - (unsigned)'0', &v))
            return false;
    }
    if (s.len == 0 || v > INT64_MAX)
        return false;
    *ret = v;
    return true;
}

static wsb_err check_content_length(struct wsg_http_in *in, struct wsg_http_msg *m)
{
    struct wsg_http_head *h = &m->head;
    struct wsb_span value;
    size_t count = wsg_http_header_find(h->headers, h->header_count, "Content-Length", &value);
    if (count == 0)
        return WSB_OK;
    if (h->is_chunked)
        return fail_proto(in, "Content-Length with Transfer-Encoding");
    if (count > 1) /* RFC 9110 §8.6 allows equal ones to be merged; nobody honest sends them */
        return fail_proto(in, "more than one Content-Length");
    if (!parse_length(value, &h->content_length))
        return fail_proto(in, "invalid Content-Length");
    return WSB_OK;
}

/* The two parsers must have understood the same framing, or one of them is wrong about where the message ends. */
static wsb_err check_agreement(struct wsg_http_in *in, struct wsg_http_msg *m)
{
    const struct wsg_http_head *h = &m->head;
    bool is_chunked = (m->parser.flags & F_CHUNKED) != 0;
    uint64_t length = m->parser.flags & F_CONTENT_LENGTH ? m->parser.content_length : 0;
    bool has_body = h->is_chunked || h->content_length > 0;
    if (is_chunked != h->is_chunked || length != h->content_length || m->is_complete == has_body)
        return fail_proto(in, "ambiguous message framing");
    return WSB_OK;
}

static wsb_err check_expect(struct wsg_http_in *in, struct wsg_http_msg *m)
{
    struct wsg_http_head *h = &m->head;
    bool has_expect = false;
    for (size_t i = 0; i < h->header_count; i++) {
        if (!wsb_span_ieq_str(h->headers[i].name, "Expect"))
            continue;
        if (!wsb_span_ieq_str(h->headers[i].value, "100-continue"))
            return fail(in, WSB_ERR_PROTO, 417, "unknown expectation");
        has_expect = true;
    }
    /* RFC 9110 §10.1.1: a 1.0 client cannot be sent an interim response; without a body there is nothing to wait for */
    h->expect_continue = has_expect && h->minor == 1 && (h->is_chunked || h->content_length > 0);
    return WSB_OK;
}

/* An upgrade with a body has two ends: where HTTP says it ends, and where the new protocol begins. */
static wsb_err check_connection(struct wsg_http_in *in, struct wsg_http_msg *m)
{
    struct wsg_http_head *h = &m->head;
    bool has_close = wsg_http_header_has_token(h->headers, h->header_count, "Connection", "close");
    bool has_keep = wsg_http_header_has_token(h->headers, h->header_count, "Connection", "keep-alive");
    h->keep_alive = !has_close && (h->minor == 1 || has_keep);
    h->is_upgrade = h->minor == 1 && /* RFC 9110 §7.8: ignored in HTTP/1.0 */
                    wsg_http_header_has_token(h->headers, h->header_count, "Connection", "upgrade") &&
                    wsg_http_header_has_token(h->headers, h->header_count, "Upgrade", "websocket");
    if (h->is_upgrade && (h->is_chunked || h->content_length)) /* a length of 0 is no body, RFC 9110 §8.6 */
        return fail_proto(in, "Upgrade with a body");
    return WSB_OK;
}

static wsb_err check_head(struct wsg_http_in *in, struct wsg_http_msg *m)
{
    static wsb_err (*const checks[])(struct wsg_http_in *, struct wsg_http_msg *) = {
        check_target,     check_host,   check_transfer_encoding, check_content_length, check_agreement,
        check_connection, check_expect,
    };
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        wsb_err err = checks[i](in, m);
        if (err)
            return err;
    }
    if (m->head.content_length > in->limits->max_body)
        return fail(in, WSB_ERR_LIMIT, 413, "Content-Length over the limit");
    return WSB_OK;
}

/* ---- the states ---- */

static wsb_err msg_new(struct wsg_http_msg **ret, const struct wsg_http_scan *scan)
{
    size_t size;
    if (!wsb_size_mul(scan->headers, sizeof(struct wsg_http_header), &size) ||
        !wsb_size_add(size, sizeof(struct wsg_http_msg), &size) || !wsb_size_add(size, scan->target_len, &size))
        return WSB_ERR_NOMEM;
    struct wsg_http_msg *m = malloc(size);
    if (!m)
        return WSB_ERR_NOMEM;
    memset(m, 0, sizeof *m);
    m->header_cap = scan->headers;
    m->path_scratch = (uint8_t *)(m->headers + m->header_cap);
    llhttp_init(&m->parser, HTTP_REQUEST, &settings);
    m->parser.data = m;
    *ret = m;
    return WSB_OK;
}

/* RFC 9110 §2.5: a later minor version than ours is read as ours. llhttp knows no other, so it is shown a 1 in its place. */
static bool execute_head(struct wsg_http_msg *m, const uint8_t *data, size_t len, const struct wsg_http_scan *scan)
{
    static const uint8_t ours = '1';
    size_t at = scan->method_len + 1 + scan->target_len + 1 + sizeof "HTTP/1." - 1;
    if (scan->minor <= 1)
        return execute(m, data, len);
    return execute(m, data, at) && execute(m, &ours, 1) && execute(m, data + at + 1, len - at - 1);
}

/* A complete head that the guard let through, from its method to its last LF. */
static wsb_err head_parse(struct wsg_http_in *in, const uint8_t *data, size_t len)
{
    wsb_err err = check_method(in);
    if (err)
        return err;
    err = msg_new(&in->msg, &in->scan);
    if (err)
        return fail(in, err, 503, "out of memory");
    struct wsg_http_msg *m = in->msg;
    if (!execute_head(m, data, len, &in->scan))
        return fail_proto(in, "malformed request head");
    if (m->header_count != in->scan.headers || m->target.len != in->scan.target_len)
        return fail_proto(in, "ambiguous request head");
    m->head.method = (enum wsg_http_method)in->method;
    m->head.minor = in->scan.minor ? 1 : 0;
    m->head.headers = m->headers;
    m->head.header_count = m->header_count;
    return check_head(in, m);
}

static wsb_err next_head(struct wsg_http_in *in, const uint8_t *data, size_t len, size_t *ret_used,
                         struct wsg_http_event *ret_event)
{
    size_t used = 0;
    wsb_err err = wsg_http_scan_feed(&in->scan, in->limits, data, len, &used);
    if (in->method == WSG_HTTP_UNKNOWN && in->scan.state >= WSG_SCAN_TARGET)
        in->method = (uint8_t)method_of(&in->scan);
    if (err && err != WSB_MORE)
        return fail(in, err, in->scan.status, in->scan.reason);
    struct wsb_span head = wsb_span(data, used);
    if (err == WSB_MORE || in->head.len > 0) {
        wsb_err grown = wsb_buf_append(&in->head, data, used);
        if (grown)
            return fail(in, grown, 503, "out of memory");
        head = wsb_buf_span(&in->head);
    }
    if (err == WSB_MORE) {
        *ret_used = used;
        return WSB_MORE;
    }
    size_t skip = (size_t)2 * in->scan.empty_lines;
    err = head_parse(in, head.ptr + skip, head.len - skip);
    if (err)
        return err;
    struct wsg_http_msg *m = in->msg;
    m->body_left = m->head.content_length;
    in->state = m->head.is_chunked ? WSG_HTTP_IN_CHUNK_LINE : m->body_left ? WSG_HTTP_IN_LENGTH : WSG_HTTP_IN_END;
    *ret_used = used;
    *ret_event = (struct wsg_http_event){.kind = WSG_HTTP_EV_HEAD, .head = &m->head};
    return WSB_OK;
}

/* Body bytes: at most to the end of the body or of the chunk, so that llhttp sees nothing behind it. */
static wsb_err next_data(struct wsg_http_in *in, const uint8_t *data, size_t len, size_t *ret_used,
                         struct wsg_http_event *ret_event)
{
    struct wsg_http_msg *m = in->msg;
    size_t n = len < m->body_left ? len : (size_t)m->body_left;
    if (!execute(m, data, n))
        return fail_proto(in, "malformed body");
    m->body_left -= n;
    bool is_end = m->body_left == 0;
    if (m->is_complete != (is_end && in->state == WSG_HTTP_IN_LENGTH))
        return fail_proto(in, "ambiguous body length");
    if (is_end && in->state == WSG_HTTP_IN_CHUNK_DATA) {
        wsg_http_chunk_next(&m->chunk);
        in->state = WSG_HTTP_IN_CHUNK_LINE;
    } else if (is_end) {
        in->state = WSG_HTTP_IN_END;
    }
    *ret_used = n;
    *ret_event = (struct wsg_http_event){.kind = WSG_HTTP_EV_BODY, .body = wsb_span(data, n)};
    return WSB_OK;
}

/* Take a chunk line or a part of it; on WSB_OK the state says what follows. */
static wsb_err take_chunk_line(struct wsg_http_in *in, const uint8_t *data, size_t len, size_t *ret_used)
{
    struct wsg_http_msg *m = in->msg;
    size_t used = 0;
    wsb_err err = wsg_http_chunk_feed(&m->chunk, data, len, &used);
    if (err && err != WSB_MORE)
        return fail(in, err, 400, m->chunk.reason);
    /* Without the extensions: llhttp 8 refuses some that are valid, and nobody wants them. */
    size_t ext_end = m->chunk.ext_end;
    if (!execute(m, data, ext_end ? m->chunk.ext_begin : used) ||
        !execute(m, data + ext_end, ext_end ? used - ext_end : 0))
        return fail_proto(in, "malformed chunk line");
    *ret_used = used;
    if (m->is_chunk_line != (err == WSB_OK))
        return fail_proto(in, "ambiguous chunk line");
    if (err)
        return err;
    m->is_chunk_line = false;
    if (m->parser.content_length != m->chunk.size)
        return fail_proto(in, "ambiguous chunk size");
    uint64_t max = in->limits->max_body;
    if (m->chunk.size > max || m->body_seen > max - m->chunk.size)
        return fail(in, WSB_ERR_LIMIT, 413, "chunked body over the limit");
    m->body_seen += m->chunk.size;
    m->body_left = m->chunk.size;
    in->state = m->chunk.size ? WSG_HTTP_IN_CHUNK_DATA : WSG_HTTP_IN_TRAILER;
    if (in->state == WSG_HTTP_IN_TRAILER)
        wsg_http_scan_init_trailer(&in->scan);
    return WSB_OK;
}

/*
 * Trailers are read, bounded and thrown away, as RFC 9110 §6.5.1 allows: a field that arrives after the decision was
 * made must not change it. llhttp is shown an empty trailer section instead.
 */
static wsb_err take_trailer(struct wsg_http_in *in, const uint8_t *data, size_t len, size_t *ret_used)
{
    size_t used = 0;
    wsb_err err = wsg_http_scan_feed(&in->scan, in->limits, data, len, &used);
    if (err && err != WSB_MORE)
        return fail(in, err, in->scan.status, in->scan.reason);
    *ret_used = used;
    if (err)
        return err;
    if (!execute(in->msg, (const uint8_t *)"\r\n", 2) || !in->msg->is_complete)
        return fail_proto(in, "ambiguous end of a chunked body");
    in->state = WSG_HTTP_IN_END;
    return WSB_OK;
}

static wsb_err next_end(struct wsg_http_in *in, struct wsg_http_event *ret_event)
{
    free(in->msg);
    in->msg = NULL;
    wsg_http_scan_init(&in->scan);
    in->method = WSG_HTTP_UNKNOWN;
    in->state = WSG_HTTP_IN_HEAD;
    *ret_event = (struct wsg_http_event){.kind = WSG_HTTP_EV_END};
    return WSB_OK;
}

void wsg_http_in_init(struct wsg_http_in *in, const struct wsg_http_limits *limits)
{
    *in = (struct wsg_http_in){.limits = limits, .state = WSG_HTTP_IN_HEAD};
    wsb_buf_init(&in->head, 0); /* the guard counts the bytes */
    wsg_http_scan_init(&in->scan);
}

void wsg_http_in_deinit(struct wsg_http_in *in)
{
    if (!in)
        return;
    free(in->msg);
    in->msg = NULL;
    wsb_buf_deinit(&in->head);
}

wsb_err wsg_http_in_next(struct wsg_http_in *in, const uint8_t *data, size_t len, size_t *ret_used,
                         struct wsg_http_event *ret_event)
{
    size_t total = 0;
    if (in->state != WSG_HTTP_IN_HEAD)
        wsb_buf_deinit(&in->head); /* the spans of the head have had their time */
    for (;;) {
        if (total == len && in->state != WSG_HTTP_IN_END && in->state != WSG_HTTP_IN_FAILED) {
            *ret_used = total;
            return WSB_MORE;
        }
        const uint8_t *at = total ? data + total : data; /* data may be NULL when there is none */
        size_t left = len - total;
        size_t used = 0;
        wsb_err err = WSB_OK;
        bool is_event = true;
        switch ((enum wsg_http_in_state)in->state) {
        case WSG_HTTP_IN_HEAD:
            err = next_head(in, at, left, &used, ret_event);
            break;
        case WSG_HTTP_IN_LENGTH:
        case WSG_HTTP_IN_CHUNK_DATA:
            err = next_data(in, at, left, &used, ret_event);
            break;
        case WSG_HTTP_IN_CHUNK_LINE:
            err = take_chunk_line(in, at, left, &used);
            is_event = false;
            break;
        case WSG_HTTP_IN_TRAILER:
            err = take_trailer(in, at, left, &used);
            is_event = false;
            break;
        case WSG_HTTP_IN_END:
            err = next_end(in, ret_event);
            break;
        case WSG_HTTP_IN_FAILED:
            return in->err;
        }
        total += used;
        if (err == WSB_OK && !is_event)
            continue;
        if (err == WSB_OK || err == WSB_MORE)
            *ret_used = total;
        return err;
    }
}

bool wsg_http_in_is_idle(const struct wsg_http_in *in)
{
    return in->state == WSG_HTTP_IN_HEAD && in->scan.bytes == 0;
}

int wsg_http_in_status(const struct wsg_http_in *in)
{
    return in->status;
}

const char *wsg_http_in_reason(const struct wsg_http_in *in)
{
    return in->reason ? in->reason : "";
}

enum wsg_http_method wsg_http_in_method(const struct wsg_http_in *in)
{
    return (enum wsg_http_method)in->method;
}

const char *wsg_http_method_name(enum wsg_http_method method)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (methods[i].method == method)
            return methods[i].name;
    }
    return "?";
}
