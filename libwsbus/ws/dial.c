/* Only as much of HTTP as an answer to an upgrade has: a status line and field lines, no folding, CR LF and nothing else. */
#include "ws/dial.h"

#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "ws/field.h"
#include "ws/handshake.h"

/* ---------------------------------------------------------------- the request */

void wsb_dial_key(const uint8_t random[16], char ret_key[WSB_DIAL_KEY_SIZE])
{
    ret_key[wsb_base64_encode(wsb_span(random, 16), ret_key)] = 0;
}

static bool is_field_value(struct wsb_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((s.ptr[i] < ' ' && s.ptr[i] != '\t') || s.ptr[i] == 0x7f)
            return false;
    }
    return true;
}

static bool is_ours(struct wsb_span name)
{
    static const char *const ours[] = {"host",   "upgrade", "connection", "content-length", "transfer-encoding",
                                       "origin", "te",      "trailer",    "keep-alive",     "expect"};
    static const char prefix[] = "sec-websocket-";
    if (name.len >= sizeof prefix - 1 && strncasecmp((const char *)name.ptr, prefix, sizeof prefix - 1) == 0)
        return true;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        if (wsb_span_ieq_str(name, ours[i]))
            return true;
    }
    return false;
}

static wsb_err header_write(struct wsb_buf *out, const char *line, struct wsb_fault *fault)
{
    const char *colon = strchr(line, ':');
    struct wsb_span name = wsb_span(line, colon ? (size_t)(colon - line) : 0);
    struct wsb_span value = colon ? wsb_field_trim(wsb_span_str(colon + 1)) : wsb_span(NULL, 0);
    if (!wsb_field_is_token(name) || !is_field_value(value))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "header '%.60s': it is not \"Name: value\" on one line", line);
    if (is_ours(name))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "header '%.60s': it is the handshake's own; there are options for it", line);
    return wsb_buf_printf(out, "%.*s: %.*s\r\n", (int)name.len, (const char *)name.ptr, (int)value.len,
                          (const char *)value.ptr);
}

static wsb_err subprotocols_write(struct wsb_buf *out, const struct wsb_dial_request *r, struct wsb_fault *fault)
{
    wsb_err err = r->subprotocol_count ? wsb_buf_append_str(out, "Sec-WebSocket-Protocol: ") : WSB_OK;
    if (r->subprotocol_count > WSB_MAX_SUBPROTOCOLS)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "more than %d subprotocols", WSB_MAX_SUBPROTOCOLS);
    for (size_t i = 0; i < r->subprotocol_count && !err; i++) {
        const char *name = r->subprotocols[i];
        if (!wsb_subprotocol_is_valid(wsb_span_str(name)))
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "'%.60s' is not the name of a subprotocol", name);
        for (size_t k = 0; k < i; k++) {
            if (strcmp(name, r->subprotocols[k]) == 0)
                return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "subprotocol '%.60s' is there twice", name);
        }
        err = wsb_buf_printf(out, "%s%s", i ? ", " : "", name);
    }
    return err || !r->subprotocol_count ? err : wsb_buf_append_str(out, "\r\n");
}

wsb_err wsb_dial_write(struct wsb_buf *out, const struct wsb_dial_request *r, const char key[WSB_DIAL_KEY_SIZE],
                       struct wsb_fault *fault)
{
    char offer[WSB_DEFLATE_TEXT_SIZE];
    wsb_err err = wsb_buf_printf(out,
                                 "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                 "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n",
                                 r->url->path, r->url->authority, key);
    if (r->origin && !is_field_value(wsb_span_str(r->origin)))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "origin '%.60s' cannot be sent", r->origin);
    if (!err && r->origin)
        err = wsb_buf_printf(out, "Origin: %s\r\n", r->origin);
    if (!err && r->offer) {
        wsb_deflate_offer_format(r->offer, offer);
        err = wsb_buf_printf(out, "Sec-WebSocket-Extensions: %s\r\n", offer);
    }
    if (!err)
        err = subprotocols_write(out, r, fault);
    for (size_t i = 0; i < r->header_count && !err; i++)
        err = header_write(out, r->headers[i], fault);
    if (!err)
        err = wsb_buf_append_str(out, "\r\n");
    return err == WSB_ERR_NOMEM ? wsb_fault_set(fault, err, 0, "out of memory") : err;
}

/* ----------------------------------------------------------------- the answer */

bool wsb_dial_next_field(struct wsb_span *rest, struct wsb_span *ret_name, struct wsb_span *ret_value)
{
    const uint8_t *end = rest->len ? memmem(rest->ptr, rest->len, "\r\n", 2) : NULL;
    const uint8_t *colon = end ? memchr(rest->ptr, ':', (size_t)(end - rest->ptr)) : NULL;
    if (!colon)
        return false;
    *ret_name = wsb_span(rest->ptr, (size_t)(colon - rest->ptr));
    *ret_value = wsb_field_trim(wsb_span(colon + 1, (size_t)(end - colon) - 1));
    *rest = wsb_span(end + 2, rest->len - (size_t)(end + 2 - rest->ptr));
    return true;
}

static size_t count_fields(struct wsb_span fields, const char *name, struct wsb_span *ret_first)
{
    struct wsb_span n, v;
    size_t count = 0;
    while (wsb_dial_next_field(&fields, &n, &v)) {
        if (wsb_span_ieq_str(n, name) && count++ == 0)
            *ret_first = v;
    }
    return count;
}

bool wsb_dial_find_field(struct wsb_span fields, const char *name, struct wsb_span *ret_value)
{
    return count_fields(fields, name, ret_value) > 0;
}

static wsb_err broken(struct wsb_fault *fault, const char *why)
{
    return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "%s", why);
}

/* RFC 9112 §5: each a name without blanks, a colon, a value; a line that begins with a blank is of old. */
static wsb_err fields_check(struct wsb_span fields, struct wsb_fault *fault)
{
    struct wsb_span name, value;
    size_t count = 0;
    while (fields.len) {
        if (!wsb_dial_next_field(&fields, &name, &value) || !wsb_field_is_token(name) || !is_field_value(value))
            return broken(fault, "the answer has a line that is no header field");
        if (++count > WSB_DIAL_FIELDS_MAX)
            return broken(fault, "the answer has too many header fields");
    }
    return WSB_OK;
}

/* "HTTP/1.1 101 Switching Protocols": the reason may be empty, and some leave out the blank before it then. */
static bool status_parse(struct wsb_span line, unsigned *ret_status, bool *ret_is_1_1)
{
    const uint8_t *p = line.ptr;
    if (line.len < 12 || memcmp(p, "HTTP/1.", 7) != 0 || (p[7] != '0' && p[7] != '1') || p[8] != ' ')
        return false;
    for (int i = 9; i < 12; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
    }
    *ret_is_1_1 = p[7] == '1';
    *ret_status = (unsigned)((p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0'));
    return *ret_status >= 100 && (line.len == 12 || p[12] == ' ') && is_field_value(line);
}

static bool lists_upgrade(struct wsb_span fields)
{
    struct wsb_span name, value, element;
    while (wsb_dial_next_field(&fields, &name, &value)) {
        while (wsb_span_ieq_str(name, "connection") && wsb_field_next_element(&value, &element)) {
            if (wsb_span_ieq_str(element, "upgrade"))
                return true;
        }
    }
    return false;
}

static bool was_offered(const struct wsb_dial_request *r, struct wsb_span name)
{
    for (size_t i = 0; i < r->subprotocol_count; i++) {
        if (wsb_span_eq_str(name, r->subprotocols[i]))
            return true;
    }
    return false;
}

/* RFC 6455 §4.1, what a client has to check of a 101, in its order. */
static wsb_err check_101(struct wsb_dial_answer *a, const struct wsb_dial_request *r, const char *key,
                         struct wsb_fault *fault)
{
    char accept[WSB_ACCEPT_KEY_SIZE];
    struct wsb_span value = {NULL, 0};
    struct wsb_span extensions = {NULL, 0};
    if (wsb_handshake_accept_key(wsb_span_str(key), accept) != WSB_OK)
        return wsb_fault_set(fault, WSB_ERR_INTERNAL, 0, "no SHA-1 to be had");
    if (count_fields(a->fields, "upgrade", &value) != 1 || !wsb_span_ieq_str(value, "websocket"))
        return broken(fault, "101, but not Upgrade: websocket");
    if (!lists_upgrade(a->fields))
        return broken(fault, "101, but not Connection: Upgrade");
    if (count_fields(a->fields, "sec-websocket-accept", &value) != 1 || !wsb_span_eq_str(value, accept))
        return broken(fault, "Sec-WebSocket-Accept is missing or wrong");
    if (count_fields(a->fields, "sec-websocket-extensions", &extensions) > 1 ||
        wsb_deflate_answer_check(extensions, r->offer, &a->is_packed, &a->params) != WSB_OK)
        return broken(fault, "Sec-WebSocket-Extensions is no answer to what was offered");
    size_t chosen = count_fields(a->fields, "sec-websocket-protocol", &a->subprotocol);
    if (chosen > 1 || (chosen && !was_offered(r, a->subprotocol)))
        return broken(fault, "the server chose a subprotocol that was not offered");
    return WSB_OK;
}

static bool length_parse(struct wsb_span text, uint64_t *ret)
{
    uint64_t length = 0;
    if (text.len == 0 || text.len > 18)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        length = length * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    *ret = length;
    return true;
}

/* RFC 9112 §6.3. */
static wsb_err body_find(struct wsb_dial_answer *a, struct wsb_fault *fault)
{
    struct wsb_span value = {NULL, 0};
    size_t lengths = count_fields(a->fields, "content-length", &value);
    uint64_t length = 0;
    if (lengths > 1 || (lengths && !length_parse(value, &length)))
        return broken(fault, "Content-Length makes no sense");
    a->body = lengths ? WSB_DIAL_BODY_LENGTH : WSB_DIAL_BODY_TO_END;
    a->body_len = length;
    if (count_fields(a->fields, "transfer-encoding", &value)) {
        if (lengths || !wsb_span_ieq_str(value, "chunked"))
            return broken(fault, "Transfer-Encoding makes no sense");
        a->body = WSB_DIAL_BODY_CHUNKED;
    }
    if (a->status == 204 || a->status == 304)
        a->body = WSB_DIAL_BODY_NONE;
    return WSB_OK;
}

wsb_err wsb_dial_read(struct wsb_span in, const struct wsb_dial_request *r, const char *key, size_t *ret_used,
                      struct wsb_dial_answer *ret, struct wsb_fault *fault)
{
    size_t begin = 0;
    for (;;) {
        struct wsb_dial_answer a = {0};
        struct wsb_span rest = wsb_span(in.ptr + begin, in.len - begin);
        const uint8_t *end = rest.len ? memmem(rest.ptr, rest.len, "\r\n\r\n", 4) : NULL;
        bool is_1_1 = false;
        if (!end && in.len >= WSB_DIAL_HEAD_MAX)
            return broken(fault, "the head of the answer does not end");
        if (!end)
            return WSB_MORE;
        const uint8_t *line = memmem(rest.ptr, rest.len, "\r\n", 2);
        if (!status_parse(wsb_span(rest.ptr, (size_t)(line - rest.ptr)), &a.status, &is_1_1))
            return broken(fault, "the answer is not HTTP/1.1");
        a.fields = wsb_span(line + 2, (size_t)(end - line));
        begin += (size_t)(end + 4 - rest.ptr);
        wsb_err err = fields_check(a.fields, fault);
        if (!err && a.status >= 200)
            err = body_find(&a, fault);
        else if (!err && a.status == 101)
            err = is_1_1 ? check_101(&a, r, key, fault) : broken(fault, "101, but not HTTP/1.1");
        else if (!err)
            continue; /* interim: a final one follows */
        if (err)
            return err;
        *ret_used = begin;
        *ret = a;
        if (a.status == 101)
            return WSB_OK;
        return wsb_fault_set(fault, WSB_ERR_REFUSED, 0, "the server answered %u", a.status);
    }
}
