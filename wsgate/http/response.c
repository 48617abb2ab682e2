/* Response writers. A head is written whole or not at all: on any failure the buffer is cut back to where it was. */
#include "http/response.h"

#include <inttypes.h>
#include <stdio.h>

static const struct phrase_row {
    int status;
    const char *phrase;
} phrases[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
    {511, "Network Authentication Required"},
};

const char *wsg_http_reason_phrase(int status)
{
    static const char *const classes[] = {"Informational", "Success", "Redirection", "Client Error", "Server Error"};
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++) {
        if (phrases[i].status == status)
            return phrases[i].phrase;
    }
    return status >= 100 && status <= 599 ? classes[status / 100 - 1] : "Unknown";
}

bool wsg_http_response_is_reserved(struct wsb_span name)
{
    static const char *const reserved[] = {
        "Connection", "Content-Length", "Date",    "Keep-Alive",        "Proxy-Connection",
        "TE",         "Trailer",        "Upgrade", "Transfer-Encoding",
    };
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
        if (wsb_span_ieq_str(name, reserved[i]))
            return true;
    }
    return false;
}

static wsb_err field_write(struct wsb_buf *out, const struct wsg_http_header *h)
{
    if (!wsg_http_is_token(h->name) || !wsg_http_is_field_value(h->value) || wsg_http_response_is_reserved(h->name))
        return WSB_ERR_PROTO;
    struct wsb_span value = wsg_http_trim(h->value);
    wsb_err err = wsb_buf_append(out, h->name.ptr, h->name.len);
    if (!err)
        err = wsb_buf_append_str(out, ": ");
    if (!err)
        err = wsb_buf_append(out, value.ptr, value.len);
    if (!err)
        err = wsb_buf_append_str(out, "\r\n");
    return err;
}

static struct wsg_http_framing framing_of(const struct wsg_http_response *r)
{
    /* RFC 9110 §8.6: 1xx, 204 and 304 end with their head. 205 has an empty body, which needs its length said. */
    bool has_body = r->status >= 200 && r->status != 204 && r->status != 304;
    bool is_unknown = has_body && r->body == WSG_HTTP_BODY_UNKNOWN && r->status != 205;
    return (struct wsg_http_framing){
        .has_body = has_body && r->status != 205,
        .is_chunked = is_unknown && r->request_minor >= 1,
        .keep_alive = r->keep_alive && !(is_unknown && r->request_minor == 0),
    };
}

static wsb_err framing_write(struct wsb_buf *out, const struct wsg_http_response *r, const struct wsg_http_framing *f)
{
    if (f->is_chunked)
        return wsb_buf_append_str(out, "Transfer-Encoding: chunked\r\n");
    if (r->status == 205)
        return wsb_buf_append_str(out, "Content-Length: 0\r\n");
    if (f->has_body && r->body == WSG_HTTP_BODY_LENGTH)
        return wsb_buf_printf(out, "Content-Length: %" PRIu64 "\r\n", r->length);
    return WSB_OK;
}

static wsb_err connection_write(struct wsb_buf *out, const struct wsg_http_response *r,
                                const struct wsg_http_framing *f)
{
    if (r->status == 101)
        return wsb_buf_append_str(out, "Upgrade: websocket\r\nConnection: Upgrade\r\n");
    if (r->status < 200)
        return WSB_OK;
    if (r->status == 426) /* RFC 9110 §15.5.22: it has to say which protocol */
        return wsb_buf_append_str(out, f->keep_alive ? "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                                                     : "Upgrade: websocket\r\nConnection: Upgrade, close\r\n");
    if (!f->keep_alive)
        return wsb_buf_append_str(out, "Connection: close\r\n");
    return r->request_minor == 0 ? wsb_buf_append_str(out, "Connection: keep-alive\r\n") : WSB_OK;
}

/* RFC 9110 §15.5.6: a 405 has to say what is allowed. Where nobody has said so it is what the gate knows, less what was refused. */
static wsb_err allow_write(struct wsb_buf *out, const char *refused)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"};
    const char *joint = "Allow: ";
    wsb_err err = WSB_OK;
    for (size_t i = 0; i < sizeof methods / sizeof *methods && !err; i++) {
        if (refused && strcmp(methods[i], refused) == 0)
            continue;
        err = wsb_buf_printf(out, "%s%s", joint, methods[i]);
        joint = ", ";
    }
    return err ? err : wsb_buf_append_str(out, "\r\n");
}

static wsb_err head_write(struct wsb_buf *out, const struct wsg_http_response *r, const struct wsg_http_framing *f)
{
    wsb_err err = wsb_buf_printf(out, "HTTP/1.1 %d %s\r\n", r->status, wsg_http_reason_phrase(r->status));
    if (!err && r->date && r->status >= 200)
        err = wsb_buf_printf(out, "Date: %s\r\n", r->date);
    if (!err)
        err = framing_write(out, r, f);
    if (!err)
        err = connection_write(out, r, f);
    for (size_t i = 0; !err && i < r->header_count; i++)
        err = field_write(out, &r->headers[i]);
    for (size_t i = 0; !err && i < r->added_count; i++)
        err = field_write(out, &r->added[i]);
    if (!err && r->status == 405 && wsg_http_header_find(r->headers, r->header_count, "Allow", NULL) == 0)
        err = allow_write(out, r->method);
    if (!err)
        err = wsb_buf_append_str(out, "\r\n");
    return err;
}

wsb_err wsg_http_response_head_write(struct wsb_buf *out, const struct wsg_http_response *response,
                                     struct wsg_http_framing *ret_framing)
{
    if (response->status < 100 || response->status > 999 || (response->status < 200 && response->request_minor == 0))
        return WSB_ERR_MISUSE; /* RFC 9110 §15.2: no 1xx to a 1.0 client */
    size_t begin = out->len;
    struct wsg_http_framing framing = framing_of(response);
    wsb_err err = head_write(out, response, &framing);
    if (err) {
        out->len = begin;
        return err;
    }
    *ret_framing = framing;
    return WSB_OK;
}

wsb_err wsg_http_continue_write(struct wsb_buf *out)
{
    return wsb_buf_append_str(out, "HTTP/1.1 100 Continue\r\n\r\n");
}

wsb_err wsg_http_chunk_head_write(struct wsb_buf *out, size_t len)
{
    if (len == 0)
        return WSB_ERR_MISUSE;
    return wsb_buf_printf(out, "%zx\r\n", len);
}

wsb_err wsg_http_chunk_tail_write(struct wsb_buf *out)
{
    return wsb_buf_append_str(out, "\r\n");
}

wsb_err wsg_http_chunk_last_write(struct wsb_buf *out)
{
    return wsb_buf_append_str(out, "0\r\n\r\n");
}

enum { ERROR_HEADERS_MAX = 16 };

wsb_err wsg_http_error_response_write(struct wsb_buf *out, const struct wsg_http_error *error,
                                      struct wsg_http_framing *ret_framing)
{
    struct wsg_http_header headers[ERROR_HEADERS_MAX];
    char text[64];
    if (error->status < 300 || error->header_count >= ERROR_HEADERS_MAX)
        return WSB_ERR_MISUSE;
    int n = snprintf(text, sizeof text, "%d %s\n", error->status, wsg_http_reason_phrase(error->status));
    size_t text_len = n > 0 && (size_t)n < sizeof text ? (size_t)n : 0;
    headers[0] = (struct wsg_http_header){wsb_span_str("Content-Type"), wsb_span_str("text/plain; charset=utf-8")};
    for (size_t i = 0; i < error->header_count; i++)
        headers[i + 1] = error->headers[i];
    bool is_head = error->method && strcmp(error->method, "HEAD") == 0;
    struct wsg_http_response response = {
        .method = error->method,
        .status = error->status,
        .date = error->date,
        .body = WSG_HTTP_BODY_LENGTH,
        .length = text_len,
        .request_minor = error->request_minor,
        .keep_alive = error->keep_alive,
        .headers = headers,
        .header_count = error->header_count + 1,
        .added = error->added,
        .added_count = error->added_count,
    };
    size_t begin = out->len;
    struct wsg_http_framing framing;
    wsb_err err = wsg_http_response_head_write(out, &response, &framing);
    if (!err && framing.has_body && !is_head) {
        framing.body_len = text_len;
        err = wsb_buf_append(out, text, text_len);
    }
    if (err) {
        out->len = begin;
        return err;
    }
    *ret_framing = framing;
    return WSB_OK;
}
