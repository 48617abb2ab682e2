/* Only as much of HTTP as an answer to an upgrade has: a status line and header lines, no continuations. */
#include "shake.h"

#include <ctype.h>
#include <string.h>

#include "ws/handshake.h"

static const struct wsb_deflate_offer offer = {.client_bits = WSB_DEFLATE_BITS_MAX}; /* as browsers do */

void wsl_shake_key(uint64_t random[2], char ret_key[WSL_KEY_SIZE])
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    /* 16 bytes are 21 characters, one of 2 bits, and two of padding */
    for (int i = 0; i < 21; i++) {
        ret_key[i] = alphabet[random[0] & 63];
        random[0] = random[0] >> 6 | random[1] << 58;
        random[1] >>= 6;
    }
    ret_key[21] = "AQgw"[random[0] & 3];
    memcpy(ret_key + 22, "==", 3);
}

wsb_err wsl_shake_write(struct wsb_buf *out, const struct wsl_options *o, const struct wsl_target *t, const char *path,
                        uint32_t number, const char *key)
{
    const char *at = strstr(path, "%d");
    wsb_err err = at ? wsb_buf_printf(out, "GET %.*s%u%s", (int)(at - path), path, number, at + 2)
                     : wsb_buf_printf(out, "GET %s", path);
    if (!err)
        err = wsb_buf_printf(out,
                             " HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n",
                             o->host ? o->host : t->authority, key);
    if (!err && o->subprotocol)
        err = wsb_buf_printf(out, "Sec-WebSocket-Protocol: %s\r\n", o->subprotocol);
    if (!err && o->deflate) {
        char text[WSB_DEFLATE_TEXT_SIZE];
        wsb_deflate_offer_format(&offer, text);
        err = wsb_buf_printf(out, "Sec-WebSocket-Extensions: %s\r\n", text);
    }
    for (size_t i = 0; i < o->header_count && !err; i++)
        err = wsb_buf_printf(out, "%s\r\n", o->headers[i]);
    return err ? err : wsb_buf_append_str(out, "\r\n");
}

/* The value of a header, without the white space around it; ptr NULL when there is none. `head` ends behind its last CRLF. */
static struct wsb_span header(struct wsb_span head, const char *name)
{
    const uint8_t *end = head.ptr + head.len;
    size_t name_len = strlen(name);
    for (const uint8_t *line = head.ptr; line < end;) {
        const uint8_t *next = memmem(line, (size_t)(end - line), "\r\n", 2);
        if (!next)
            break;
        size_t len = (size_t)(next - line);
        if (len > name_len && line[name_len] == ':' && wsb_span_ieq_str(wsb_span(line, name_len), name)) {
            const uint8_t *value = line + name_len + 1, *value_end = next;
            while (value < value_end && isblank(*value))
                value++;
            while (value < value_end && isblank(value_end[-1]))
                value_end--;
            return wsb_span(value, (size_t)(value_end - value));
        }
        line = next + 2;
    }
    return wsb_span(NULL, 0);
}

static int status_of(struct wsb_span head)
{
    const uint8_t *p = head.ptr;
    if (head.len < 12 || memcmp(p, "HTTP/1.1 ", 9) != 0 || !isdigit(p[9]) || !isdigit(p[10]) || !isdigit(p[11]))
        return 0;
    return (p[9] - '0') * 100 + (p[10] - '0') * 10 + p[11] - '0';
}

static wsb_err check_extensions(struct wsb_span head, const struct wsl_options *o, struct wsb_deflate_params *ret,
                                struct wsb_fault *fault)
{
    struct wsb_span answer = header(head, "Sec-WebSocket-Extensions");
    bool agreed = false;
    if (wsb_deflate_answer_check(answer, o->deflate ? &offer : NULL, &agreed, ret))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "the server chose an extension that was not offered");
    if (o->deflate && !agreed)
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "the server does not compress");
    return WSB_OK;
}

static wsb_err check(struct wsb_span head, const struct wsl_options *o, const char *key,
                     struct wsb_deflate_params *ret_deflate, struct wsb_fault *fault)
{
    char accept[WSB_ACCEPT_KEY_SIZE];
    wsb_err err = wsb_handshake_accept_key(wsb_span_str(key), accept);
    if (err)
        return wsb_fault_set(fault, err, 0, "no SHA-1 to be had");
    if (!wsb_span_eq_str(header(head, "Sec-WebSocket-Accept"), accept))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "Sec-WebSocket-Accept is missing or wrong");
    if (!wsb_span_ieq_str(header(head, "Upgrade"), "websocket"))
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "101, but not Upgrade: websocket");
    if (header(head, "Sec-WebSocket-Protocol").len && !o->subprotocol)
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "the server chose a subprotocol that was not offered");
    return check_extensions(head, o, ret_deflate, fault);
}

wsb_err wsl_shake_read(struct wsb_span in, const struct wsl_options *o, const char *key, size_t *ret_used,
                       int *ret_status, struct wsb_deflate_params *ret_deflate, struct wsb_fault *fault)
{
    const uint8_t *end = in.len ? memmem(in.ptr, in.len, "\r\n\r\n", 4) : NULL;
    if (!end)
        return in.len < WSL_HEAD_MAX ? WSB_MORE
                                     : wsb_fault_set(fault, WSB_ERR_PROTO, 0, "the answer's head does not end");
    struct wsb_span head = wsb_span(in.ptr, (size_t)(end + 2 - in.ptr));
    int status = status_of(head);
    *ret_status = status;
    if (!status)
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "the answer is not HTTP/1.1");
    if (status != 101)
        return wsb_fault_set(fault, WSB_ERR_REFUSED, 0, "the server answered %d", status);
    wsb_err err = check(head, o, key, ret_deflate, fault);
    if (!err)
        *ret_used = head.len + 2;
    return err;
}
