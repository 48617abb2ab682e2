/*
 * The head guard. It relies on nothing: one byte, one state, one verdict, so that the way the bytes were cut into
 * packets can never change the answer. What it lets through is a request line of exactly three parts and field lines
 * "name: value", each ended by CRLF; what these mean is judged in request.c.
 */
#include "http/scan.h"

#include <assert.h>

#include "http/header.h"

enum {
    EMPTY_LINES_MAX = 2, /* RFC 9112 §2.2 asks to ignore at least one CRLF before the request line */
    METHOD_MAX = 32,
};

static const char VERSION_SHAPE[] = "HTTP/#.#\r"; /* '#': one digit */

void wsg_http_scan_init(struct wsg_http_scan *s)
{
    *s = (struct wsg_http_scan){.state = WSG_SCAN_START};
}

void wsg_http_scan_init_trailer(struct wsg_http_scan *s)
{
    *s = (struct wsg_http_scan){.state = WSG_SCAN_LINE};
}

static wsb_err refuse(struct wsg_http_scan *s, wsb_err err, uint16_t status, const char *reason)
{
    s->status = status;
    s->reason = reason;
    return err;
}

static wsb_err refuse_bytes(struct wsg_http_scan *s, const char *reason)
{
    return refuse(s, WSB_ERR_PROTO, 400, reason);
}

static wsb_err on_start(struct wsg_http_scan *s, uint8_t c)
{
    if (c == '\r') {
        if (s->empty_lines == EMPTY_LINES_MAX)
            return refuse_bytes(s, "too many empty lines before the request line");
        s->state = WSG_SCAN_EMPTY_LF;
        return WSB_OK;
    }
    if (!wsg_http_is_class(c, WSG_HTTP_TOKEN))
        return refuse_bytes(s, "request line does not start with a method");
    s->method[0] = (char)c;
    s->method_len = 1;
    s->state = WSG_SCAN_METHOD;
    return WSB_OK;
}

static wsb_err on_empty_lf(struct wsg_http_scan *s, uint8_t c)
{
    if (c != '\n')
        return refuse_bytes(s, "CR without LF");
    s->empty_lines++;
    s->state = WSG_SCAN_START;
    return WSB_OK;
}

static wsb_err on_method(struct wsg_http_scan *s, uint8_t c)
{
    if (c == ' ') {
        s->state = WSG_SCAN_TARGET;
        return WSB_OK;
    }
    if (!wsg_http_is_class(c, WSG_HTTP_TOKEN))
        return refuse_bytes(s, "invalid character in the method");
    if (s->method_len == METHOD_MAX)
        return refuse_bytes(s, "method too long");
    if (s->method_len < sizeof s->method)
        s->method[s->method_len] = (char)c;
    s->method_len++;
    return WSB_OK;
}

static wsb_err on_target(struct wsg_http_scan *s, const struct wsg_http_limits *limits, uint8_t c)
{
    if (c == ' ') {
        if (s->target_len == 0)
            return refuse_bytes(s, "two spaces after the method");
        s->state = WSG_SCAN_VERSION;
        return WSB_OK;
    }
    if (!wsg_http_is_class(c, WSG_HTTP_TARGET))
        return refuse_bytes(s, c == '#' ? "fragment in the request target" : "invalid character in the request target");
    if (s->target_len == limits->max_target)
        return refuse(s, WSB_ERR_LIMIT, 414, "request target too long");
    s->target_len++;
    return WSB_OK;
}

/* The shape first: what only looks like HTTP/0.9 or has a third space is malformed, not a version we lack. */
static wsb_err on_version(struct wsg_http_scan *s, uint8_t c)
{
    char want = VERSION_SHAPE[s->version_pos];
    bool fits = want == '#' ? c >= '0' && c <= '9' : c == (uint8_t)want;
    if (!fits)
        return refuse_bytes(s, "malformed HTTP version");
    if (want == '#')
        *(s->version_pos == 5 ? &s->major : &s->minor) = (uint8_t)(c - '0');
    s->version_pos++;
    if (c != '\r')
        return WSB_OK;
    if (s->major != 1) /* RFC 9110 §15.6.6; every minor version of ours is read */
        return refuse(s, WSB_ERR_PROTO, 505, "HTTP version other than 1.x");
    s->state = WSG_SCAN_LINE_LF;
    return WSB_OK;
}

static wsb_err on_line_lf(struct wsg_http_scan *s, uint8_t c)
{
    if (c != '\n')
        return refuse_bytes(s, "CR without LF");
    s->state = WSG_SCAN_LINE;
    return WSB_OK;
}

static wsb_err on_line(struct wsg_http_scan *s, const struct wsg_http_limits *limits, uint8_t c)
{
    if (c == '\r') {
        s->state = WSG_SCAN_END_LF;
        return WSB_OK;
    }
    if (c == ' ' || c == '\t')
        return refuse_bytes(s, "folded header line"); /* it can hide a Content-Length from the next reader */
    if (!wsg_http_is_class(c, WSG_HTTP_TOKEN))
        return refuse_bytes(s, c == ':' ? "empty header name" : "invalid character in a header name");
    if (s->headers == limits->max_headers)
        return refuse(s, WSB_ERR_LIMIT, 431, "too many header fields");
    s->headers++;
    s->state = WSG_SCAN_NAME;
    return WSB_OK;
}

static wsb_err on_name(struct wsg_http_scan *s, uint8_t c)
{
    if (c == ':') {
        s->state = WSG_SCAN_VALUE;
        return WSB_OK;
    }
    if (wsg_http_is_class(c, WSG_HTTP_TOKEN))
        return WSB_OK;
    return refuse_bytes(s, c == ' ' || c == '\t' ? "white space before the colon of a header"
                                                 : "invalid character in a header name");
}

static wsb_err on_value(struct wsg_http_scan *s, uint8_t c)
{
    if (c == '\r') {
        s->state = WSG_SCAN_LINE_LF;
        return WSB_OK;
    }
    if (wsg_http_is_class(c, WSG_HTTP_FIELD))
        return WSB_OK;
    return refuse_bytes(s, c == '\n' ? "LF without CR" : "control character in a header value");
}

static wsb_err on_end_lf(struct wsg_http_scan *s, uint8_t c)
{
    if (c != '\n')
        return refuse_bytes(s, "CR without LF");
    s->state = WSG_SCAN_DONE;
    return WSB_OK;
}

static wsb_err on_byte(struct wsg_http_scan *s, const struct wsg_http_limits *limits, uint8_t c)
{
    switch ((enum wsg_http_scan_state)s->state) {
    case WSG_SCAN_START:
        return on_start(s, c);
    case WSG_SCAN_EMPTY_LF:
        return on_empty_lf(s, c);
    case WSG_SCAN_METHOD:
        return on_method(s, c);
    case WSG_SCAN_TARGET:
        return on_target(s, limits, c);
    case WSG_SCAN_VERSION:
        return on_version(s, c);
    case WSG_SCAN_LINE_LF:
        return on_line_lf(s, c);
    case WSG_SCAN_LINE:
        return on_line(s, limits, c);
    case WSG_SCAN_NAME:
        return on_name(s, c);
    case WSG_SCAN_VALUE:
        return on_value(s, c);
    case WSG_SCAN_END_LF:
        return on_end_lf(s, c);
    case WSG_SCAN_DONE:
        break;
    }
    assert(0 && "a finished head takes no more bytes");
    return WSB_ERR_INTERNAL;
}

wsb_err wsg_http_scan_feed(struct wsg_http_scan *s, const struct wsg_http_limits *limits, const uint8_t *data,
                           size_t len, size_t *ret_used)
{
    size_t i = 0;
    while (i < len && s->bytes < limits->max_head_bytes) {
        wsb_err err = on_byte(s, limits, data[i]);
        if (err)
            return err;
        i++;
        s->bytes++;
        if (s->state == WSG_SCAN_DONE) {
            *ret_used = i;
            return WSB_OK;
        }
        /* Most of a head is field values: do not go through the switch for each of their bytes. */
        if (s->state == WSG_SCAN_VALUE) {
            size_t from = i;
            while (i < len && wsg_http_is_class(data[i], WSG_HTTP_FIELD))
                i++;
            s->bytes += i - from;
        }
    }
    if (s->bytes >= limits->max_head_bytes)
        return refuse(s, WSB_ERR_LIMIT, 431, "request head too large");
    *ret_used = i;
    return WSB_MORE;
}
