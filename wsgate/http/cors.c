/* Origins are judged by base/origin.h; the rest is lists of names. */
#include "http/cors.h"

#include "base/origin.h"
#include "http/methods.h"

static const char asked_method[] = "access-control-request-method";
static const char asked_headers[] = "access-control-request-headers";

struct wsb_span wsg_cors_origin(const struct wsg_cors *c, const struct wsg_http_head *head)
{
    struct wsb_span origin = {NULL, 0};
    bool is_one = wsg_http_header_find(head->headers, head->header_count, "origin", &origin) == 1;
    bool is_allowed = is_one && origin.len && c->origins.count &&
                      wsb_origin_is_allowed(c->origins.at, c->origins.count, origin, head->host);
    return is_allowed ? origin : wsb_span(NULL, 0);
}

bool wsg_cors_is_preflight(const struct wsg_http_head *head)
{
    return head->method == WSG_HTTP_OPTIONS &&
           wsg_http_header_find(head->headers, head->header_count, "origin", NULL) > 0 &&
           wsg_http_header_find(head->headers, head->header_count, asked_method, NULL) > 0;
}

/* Fetch, CORS-safelisted method: those that forms send as well. */
static bool is_safelisted(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 || strcmp(method, "POST") == 0;
}

static bool may_use(const struct wsg_cors *c, const struct wsg_texts *served, const char *method)
{
    bool is_named = c->methods.count && wsg_methods_have(&c->methods, method);
    bool is_default = c->methods.count == 0 && served->count;
    return wsg_methods_have(served, method) && (is_named || is_default || is_safelisted(method));
}

static bool method_is_allowed(const struct wsg_cors *c, const struct wsg_texts *served,
                              const struct wsg_http_head *preflight)
{
    char method[16]; /* those that the gate knows are shorter */
    struct wsb_span asked = {NULL, 0};
    if (wsg_http_header_find(preflight->headers, preflight->header_count, asked_method, &asked) != 1 ||
        asked.len >= sizeof method || !wsg_http_is_token(asked))
        return false;
    memcpy(method, asked.ptr, asked.len);
    method[asked.len] = 0;
    return may_use(c, served, method);
}

static bool has_any(const struct wsg_texts *names)
{
    return names->count == 1 && strcmp(names->at[0], "any") == 0;
}

static bool header_is_allowed(const struct wsg_cors *c, struct wsb_span name)
{
    bool is_allowed = has_any(&c->headers) && wsg_http_is_token(name);
    for (size_t i = 0; i < c->headers.count && !is_allowed; i++)
        is_allowed = wsb_span_ieq_str(name, c->headers.at[i]);
    return is_allowed;
}

static bool headers_are_allowed(const struct wsg_cors *c, const struct wsg_http_head *preflight)
{
    struct wsb_span rest = {NULL, 0};
    struct wsb_span name;
    size_t count = wsg_http_header_find(preflight->headers, preflight->header_count, asked_headers, &rest);
    if (count > 1)
        return false; /* browsers send one */
    while (rest.len && wsg_http_list_next(&rest, &name)) {
        if (name.len && !header_is_allowed(c, name)) /* RFC 9110 §5.6.1.2: empty elements mean nothing */
            return false;
    }
    return true;
}

const char *wsg_cors_refusal(const struct wsg_cors *c, const struct wsg_texts *served,
                             const struct wsg_http_head *preflight)
{
    return !wsg_cors_origin(c, preflight).ptr         ? "pages of the origin may not"
           : !method_is_allowed(c, served, preflight) ? "pages may not use the method"
           : !headers_are_allowed(c, preflight)       ? "pages may not send the headers"
                                                      : NULL;
}

static wsb_err names_write(struct wsb_buf *out, const struct wsg_texts *names)
{
    wsb_err err = WSB_OK;
    for (size_t i = 0; i < names->count && !err; i++)
        err = wsb_buf_printf(out, "%s%s", i ? ", " : "", names->at[i]);
    return err;
}

wsb_err wsg_cors_methods_write(struct wsb_buf *out, const struct wsg_cors *c, const struct wsg_texts *served)
{
    return names_write(out, c->methods.count ? &c->methods : served);
}

/* What was asked for, where anything may be: "*" would not do with credentials, nor for Authorization. It has been checked. */
wsb_err wsg_cors_headers_write(struct wsb_buf *out, const struct wsg_cors *c, const struct wsg_http_head *preflight)
{
    struct wsb_span asked = {NULL, 0};
    if (!has_any(&c->headers))
        return names_write(out, &c->headers);
    (void)wsg_http_header_find(preflight->headers, preflight->header_count, asked_headers, &asked);
    return wsb_buf_append(out, asked.ptr, asked.len);
}

wsb_err wsg_cors_exposed_write(struct wsb_buf *out, const struct wsg_cors *c)
{
    return names_write(out, &c->expose);
}

bool wsg_cors_is_field(struct wsb_span name)
{
    static const char *const fields[] = {
        "access-control-allow-origin",          "access-control-allow-credentials", "access-control-allow-methods",
        "access-control-allow-headers",         "access-control-expose-headers",    "access-control-max-age",
        "access-control-allow-private-network",
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (wsb_span_ieq_str(name, fields[i]))
            return true;
    }
    return false;
}
