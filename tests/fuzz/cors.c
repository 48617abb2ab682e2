/*
 * The fields of CORS. Input: lines, each a field "name: value".
 * Property: an origin that is allowed is the request's own, whole; who is let in by the strict policy is let in by the one
 * that is open to all; and what an answer names is made of tokens.
 */
#include <stdlib.h>

#include "fuzz/fields.h"
#include "http/cors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require_tokens(struct wsb_span list)
{
    struct wsb_span name;
    while (list.len && wsg_http_list_next(&list, &name))
        require(name.len == 0 || wsg_http_is_token(name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char *any[] = {"any"};
    static char *origins[] = {"https://app.example.org", "https://*.example.net"};
    static char *methods[] = {"GET", "PUT"};
    static char *headers[] = {"X-Token"};
    static const struct wsg_cors strict = {.origins = {origins, 2}, .methods = {methods, 2}, .headers = {headers, 1}};
    static const struct wsg_cors open_to_all = {.origins = {any, 1}, .methods = {methods, 2}, .headers = {any, 1}};
    static const struct wsg_texts all = {NULL, 0};
    struct wsg_http_header fields[FIELDS];
    struct wsg_http_head head = {.method = WSG_HTTP_OPTIONS, .host = wsb_span_str("h"), .headers = fields};
    struct wsb_buf out;
    head.header_count = fields_of(wsb_span(data, size), fields);
    struct wsb_span own = {NULL, 0};
    struct wsb_span allowed = wsg_cors_origin(&open_to_all, &head);
    (void)wsg_http_header_find(fields, head.header_count, "origin", &own);
    require(!allowed.ptr || (allowed.ptr == own.ptr && allowed.len == own.len));
    require(!wsg_cors_origin(&strict, &head).ptr || allowed.ptr);
    if (wsg_cors_refusal(&open_to_all, &all, &head)) {
        require(wsg_cors_refusal(&strict, &all, &head) != NULL);
        return 0;
    }
    wsb_buf_init(&out, 0);
    require(wsg_cors_headers_write(&out, &open_to_all, &head) == WSB_OK);
    require_tokens(wsb_buf_span(&out));
    wsb_buf_deinit(&out);
    return 0;
}
