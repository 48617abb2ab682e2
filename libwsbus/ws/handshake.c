/*
 * The opening handshake. It relies on HTTP for the framing of the head: names are tokens, values have no CR, LF or NUL.
 * What it writes itself it checks again, so that nothing a client or a handler says can start a header line of its own.
 * SHA-1 and base64 are OpenSSL's; neither protects anything here (RFC 6455 §10.8).
 */
#include "ws/handshake.h"

#include <openssl/evp.h>
#include <string.h>

#include "ws/field.h"

static const char ws_guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 §1.3 */

enum {
    KEY_LEN = 24, /* base64 of 16 bytes */
    SHA1_LEN = 20,
};

/* --- header values --- */

/* How often a header is there, and the value of the first. */
static size_t find_header(const struct wsb_handshake_request *req, const char *name, struct wsb_span *ret_value)
{
    size_t count = 0;
    for (size_t i = 0; i < req->header_count; i++) {
        if (!wsb_span_ieq_str(req->headers[i].name, name))
            continue;
        if (count++ == 0)
            *ret_value = wsb_field_trim(req->headers[i].value);
    }
    return count;
}

static bool has_header(const struct wsb_handshake_request *req, const char *name)
{
    struct wsb_span unused;
    return find_header(req, name, &unused) > 0;
}

/* Is a token in a list header, which may come in several lines? Tokens are compared without regard to case. */
static bool lists_token(const struct wsb_handshake_request *req, const char *name, const char *token)
{
    for (size_t i = 0; i < req->header_count; i++) {
        if (!wsb_span_ieq_str(req->headers[i].name, name))
            continue;
        struct wsb_span rest = req->headers[i].value;
        struct wsb_span element;
        while (wsb_field_next_element(&rest, &element)) {
            if (wsb_span_ieq_str(element, token))
                return true;
        }
    }
    return false;
}

/* --- the key --- */

/* Base64 of 16 bytes: 22 characters and "==". The last character has four bits that decode to nothing; RFC 4648 §3.5
 * leaves it to us to insist on zeros, and there is nothing to be won by it. */
static bool is_key(struct wsb_span s)
{
    if (s.len != KEY_LEN || s.ptr[KEY_LEN - 2] != '=' || s.ptr[KEY_LEN - 1] != '=')
        return false;
    for (size_t i = 0; i < KEY_LEN - 2; i++) {
        if (!wsb_field_is_alnum(s.ptr[i]) && s.ptr[i] != '+' && s.ptr[i] != '/')
            return false;
    }
    return true;
}

wsb_err wsb_handshake_accept_key(struct wsb_span key, char ret_accept[WSB_ACCEPT_KEY_SIZE])
{
    if (!is_key(key))
        return WSB_ERR_PROTO;
    uint8_t text[KEY_LEN + sizeof ws_guid - 1];
    memcpy(text, key.ptr, KEY_LEN);
    memcpy(text + KEY_LEN, ws_guid, sizeof ws_guid - 1);

    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned hash_len = 0;
    if (EVP_Digest(text, sizeof text, hash, &hash_len, EVP_sha1(), NULL) != 1 || hash_len != SHA1_LEN)
        return WSB_ERR_UNSUPPORTED;
    (void)EVP_EncodeBlock((unsigned char *)ret_accept, hash, SHA1_LEN); /* 28 characters and a 0 */
    return WSB_OK;
}

/* --- subprotocols --- */

/*
 * RFC 6455 §4.1 item 10 asks for a token. We let '/' pass too: names such as "my.server/json" are in use, with clients that
 * do not check, and it means nothing in a list of tokens.
 */
bool wsb_subprotocol_is_valid(struct wsb_span name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (!wsb_field_is_token_char(name.ptr[i]) && name.ptr[i] != '/')
            return false;
    }
    return name.len > 0;
}

/* The next name, whatever it is. */
static bool next_name(struct wsb_subprotocol_iter *it, struct wsb_span *ret_name)
{
    while (!wsb_field_next_element(&it->rest, ret_name)) {
        while (it->header < it->req->header_count &&
               !wsb_span_ieq_str(it->req->headers[it->header].name, "Sec-WebSocket-Protocol"))
            it->header++;
        if (it->header == it->req->header_count)
            return false;
        it->rest = it->req->headers[it->header++].value;
    }
    return true;
}

bool wsb_handshake_next_subprotocol(struct wsb_subprotocol_iter *it, struct wsb_span *ret_name)
{
    struct wsb_span secret;
    while (next_name(it, ret_name)) {
        if (!it->req->token_mark || !wsb_span_eq_str(*ret_name, it->req->token_mark))
            return true;
        (void)next_name(it, &secret);
    }
    return false;
}

/* NULL when the offer is good or there is none, else what is wrong with it. */
static const char *check_subprotocols(const struct wsb_handshake_request *req)
{
    struct wsb_span seen[WSB_MAX_SUBPROTOCOLS];
    size_t count = 0;
    struct wsb_subprotocol_iter it = {.req = req};
    struct wsb_span name;
    while (next_name(&it, &name)) {
        if (!wsb_subprotocol_is_valid(name))
            return "Sec-WebSocket-Protocol has a name that is not a token";
        if (count == WSB_MAX_SUBPROTOCOLS)
            return "Sec-WebSocket-Protocol offers too many names";
        for (size_t i = 0; i < count; i++) {
            if (wsb_span_eq(seen[i], name))
                return "Sec-WebSocket-Protocol has a name twice"; /* §4.1 item 10: all unique */
        }
        seen[count++] = name;
    }
    if (count == 0 && has_header(req, "Sec-WebSocket-Protocol"))
        return "Sec-WebSocket-Protocol is empty"; /* §11.3.4: 1#token */
    return NULL;
}

bool wsb_handshake_choose_subprotocol(const struct wsb_handshake_request *req, const struct wsb_span *allowed,
                                      size_t allowed_count, struct wsb_span *ret_name)
{
    struct wsb_subprotocol_iter it = {.req = req};
    struct wsb_span name;
    while (wsb_handshake_next_subprotocol(&it, &name)) {
        for (size_t i = 0; i < allowed_count; i++) {
            if (wsb_span_eq(name, allowed[i])) {
                *ret_name = allowed[i];
                return true;
            }
        }
    }
    return false;
}

/* --- extensions --- */

static const char extensions_header[] = "Sec-WebSocket-Extensions";

/* NULL when the offers keep to the grammar or there are none; which of them we know is another question. */
static const char *check_extensions(const struct wsb_handshake_request *req)
{
    struct wsb_extension e;
    size_t count = 0;
    for (size_t i = 0; i < req->header_count; i++) {
        struct wsb_span rest = req->headers[i].value;
        wsb_err err = WSB_CLOSED;
        if (!wsb_span_ieq_str(req->headers[i].name, extensions_header))
            continue;
        while ((err = wsb_extension_next(&rest, &e)) == WSB_OK)
            count++;
        if (err != WSB_CLOSED)
            return "Sec-WebSocket-Extensions is malformed"; /* RFC 6455 §9.1 */
    }
    if (count == 0 && has_header(req, extensions_header))
        return "Sec-WebSocket-Extensions is empty"; /* §9.1: 1#extension */
    return NULL;
}

bool wsb_handshake_choose_deflate(const struct wsb_handshake_request *req, const struct wsb_deflate_policy *policy,
                                  struct wsb_deflate_params *ret)
{
    struct wsb_extension offer;
    for (size_t i = 0; i < req->header_count; i++) {
        struct wsb_span rest = req->headers[i].value;
        if (!wsb_span_ieq_str(req->headers[i].name, extensions_header))
            continue;
        while (wsb_extension_next(&rest, &offer) == WSB_OK) {
            if (wsb_deflate_accept(&offer, policy, ret))
                return true;
        }
    }
    return false;
}

/* --- the verdict --- */

static const char lines_405[] = "Allow: GET\r\n";
/* RFC 9110 §15.5.22 wants Upgrade in a 426, RFC 6455 §4.4 the versions we speak. */
static const char lines_426[] = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";
static const char lines_version[] = "Sec-WebSocket-Version: 13\r\n";

static void refuse(struct wsb_handshake *ret, int status, const char *reason, const char *headers)
{
    ret->status = status;
    ret->reason = reason;
    ret->headers = headers;
}

bool wsb_handshake_is_upgrade(const struct wsb_handshake_request *req)
{
    /* RFC 9110 §7.8: Upgrade in an HTTP/1.0 request is to be ignored. */
    return req->http_minor >= 1 && lists_token(req, "Upgrade", "websocket");
}

/* A length of 0, however it is written, RFC 9110 §8.6. */
static bool is_zero(struct wsb_span length)
{
    for (size_t i = 0; i < length.len; i++) {
        if (length.ptr[i] != '0')
            return false;
    }
    return length.len > 0;
}

/* What makes it an HTTP request that may become something else. True when it is good. */
static bool check_http(const struct wsb_handshake_request *req, struct wsb_handshake *ret)
{
    struct wsb_span length = wsb_span(NULL, 0);
    size_t lengths = find_header(req, "Content-Length", &length);

    if (!wsb_span_eq_str(req->method, "GET"))
        refuse(ret, 405, "the method is not GET", lines_405); /* §4.2.1 item 1 */
    else if (req->http_minor < 1)
        refuse(ret, 400, "the handshake needs HTTP/1.1", ""); /* §4.2.1 item 1 */
    else if (req->host.len == 0)
        refuse(ret, 400, "Host is missing", ""); /* §4.2.1 item 2 */
    else if (!lists_token(req, "Upgrade", "websocket"))
        refuse(ret, 426, "Upgrade does not say websocket", lines_426); /* §4.2.1 item 3 */
    else if (!lists_token(req, "Connection", "upgrade"))
        refuse(ret, 400, "Connection does not say Upgrade", ""); /* §4.2.1 item 4 */
    else if (has_header(req, "Transfer-Encoding") || (lengths && !is_zero(length)) || lengths > 1)
        /* What follows would be a body to a proxy in front of us, and frames to us. */
        refuse(ret, 400, "the handshake has a body", "");
    else
        return true;
    return false;
}

/* The Sec-WebSocket headers and the origin. True when they are good. */
static bool check_websocket(const struct wsb_handshake_request *req, struct wsb_handshake *ret)
{
    struct wsb_span version = wsb_span(NULL, 0);
    struct wsb_span key = wsb_span(NULL, 0);
    size_t versions = find_header(req, "Sec-WebSocket-Version", &version);
    size_t keys = find_header(req, "Sec-WebSocket-Key", &key);
    size_t origins = find_header(req, "Origin", &ret->origin);
    const char *fault;

    if (versions == 0) /* §4.2.1 item 6: not a handshake at all; 426 is for a version that was named and is another */
        refuse(ret, 400, "Sec-WebSocket-Version is missing", lines_version);
    else if (versions > 1)
        refuse(ret, 400, "Sec-WebSocket-Version is there twice", lines_version); /* §11.3.5 */
    else if (!wsb_span_eq_str(version, "13"))
        refuse(ret, 426, "Sec-WebSocket-Version is not 13", lines_426); /* §4.2.2 item 4, §4.4 */
    else if (keys == 0)
        refuse(ret, 400, "Sec-WebSocket-Key is missing", ""); /* §4.2.1 item 5 */
    else if (keys > 1)
        refuse(ret, 400, "Sec-WebSocket-Key is there twice", ""); /* §11.3.1 */
    else if (!is_key(key))
        refuse(ret, 400, "Sec-WebSocket-Key is not 16 bytes in base64", ""); /* §4.2.1 item 5 */
    else if (origins > 1)
        refuse(ret, 400, "Origin is there twice", ""); /* RFC 6454 §7.3; else a policy could read the wrong one */
    else if ((fault = check_subprotocols(req)) || (fault = check_extensions(req)))
        refuse(ret, 400, fault, "");
    else if (wsb_handshake_accept_key(key, ret->accept))
        refuse(ret, 500, "SHA-1 is not available", "");
    else
        return true;
    return false;
}

void wsb_handshake_check(const struct wsb_handshake_request *req, struct wsb_handshake *ret)
{
    *ret = (struct wsb_handshake){.status = 101, .reason = "Switching Protocols", .headers = ""};
    if (check_http(req, ret))
        (void)check_websocket(req, ret); /* a refusal has been written to ret */
}

/* --- the response --- */

static bool starts_with(struct wsb_span s, const char *prefix)
{
    size_t len = strlen(prefix);
    return s.len >= len && wsb_span_ieq_str(wsb_span(s.ptr, len), prefix);
}

static bool is_ours(struct wsb_span name)
{
    return wsb_span_ieq_str(name, "Connection") || wsb_span_ieq_str(name, "Upgrade") ||
           wsb_span_ieq_str(name, "Content-Length") || wsb_span_ieq_str(name, "Transfer-Encoding") ||
           starts_with(name, "Sec-WebSocket-");
}

/* RFC 9110 §5.5: visible characters, spaces, tabs and bytes above ASCII. */
static bool is_field_value(struct wsb_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((s.ptr[i] < 0x20 && s.ptr[i] != '\t') || s.ptr[i] == 0x7f)
            return false;
    }
    return true;
}

static bool is_extra_line(struct wsb_span line)
{
    const uint8_t *colon = memchr(line.ptr, ':', line.len);
    if (!colon)
        return false;
    size_t name_len = (size_t)(colon - line.ptr);
    struct wsb_span name = wsb_span(line.ptr, name_len);
    return wsb_field_is_token(name) && !is_ours(name) && is_field_value(wsb_span(colon + 1, line.len - name_len - 1));
}

static bool are_extra_lines(struct wsb_span lines)
{
    while (lines.len) {
        const uint8_t *end = memmem(lines.ptr, lines.len, "\r\n", 2);
        if (!end)
            return false;
        size_t len = (size_t)(end - lines.ptr);
        if (!is_extra_line(wsb_span(lines.ptr, len)))
            return false;
        lines.ptr += len + 2;
        lines.len -= len + 2;
    }
    return true;
}

wsb_err wsb_handshake_response_write(struct wsb_buf *out, const char accept[WSB_ACCEPT_KEY_SIZE],
                                     struct wsb_span subprotocol, const struct wsb_deflate_params *deflate,
                                     struct wsb_span extra)
{
    if ((subprotocol.len && !wsb_subprotocol_is_valid(subprotocol)) || !are_extra_lines(extra))
        return WSB_ERR_REFUSED;

    size_t before = out->len;
    wsb_err err = wsb_buf_printf(out,
                                 "HTTP/1.1 101 Switching Protocols\r\n"
                                 "Upgrade: websocket\r\n"
                                 "Connection: Upgrade\r\n"
                                 "Sec-WebSocket-Accept: %s\r\n",
                                 accept);
    if (!err && subprotocol.len)
        err = wsb_buf_printf(out, "Sec-WebSocket-Protocol: %.*s\r\n", (int)subprotocol.len,
                             (const char *)subprotocol.ptr);
    if (!err && deflate) {
        char text[WSB_DEFLATE_TEXT_SIZE];
        wsb_deflate_params_format(deflate, text);
        err = wsb_buf_printf(out, "%s: %s\r\n", extensions_header, text);
    }
    if (!err)
        err = wsb_buf_append(out, extra.ptr, extra.len);
    if (!err)
        err = wsb_buf_append_str(out, "\r\n");
    if (err)
        out->len = before;
    return err;
}
