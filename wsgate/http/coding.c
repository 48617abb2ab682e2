/* See the header. */
#include "http/coding.h"

enum { WEIGHT_MAX = 1000 };

/* RFC 9110 §12.4.2: 0, 1, and up to three digits between. -1: it is not a weight. */
static int weight_parse(struct wsb_span s)
{
    if (s.len == 0 || s.len > 5 || (s.ptr[0] != '0' && s.ptr[0] != '1') || (s.len > 1 && s.ptr[1] != '.'))
        return -1;
    int weight = (s.ptr[0] - '0') * WEIGHT_MAX;
    int place = WEIGHT_MAX;
    for (size_t i = 2; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return -1;
        place /= 10;
        weight += (s.ptr[i] - '0') * place;
    }
    return weight <= WEIGHT_MAX ? weight : -1;
}

/* What stands behind the first ';'. There are no other parameters than the weight. */
static int parameter_parse(struct wsb_span s)
{
    s = wsg_http_trim(s);
    if (s.len < 2 || (s.ptr[0] | 0x20) != 'q' || s.ptr[1] != '=')
        return -1;
    return weight_parse(wsb_span(s.ptr + 2, s.len - 2));
}

static void note(int *weight, int found)
{
    if (*weight < 0 || found < *weight)
        *weight = found;
}

static void element_parse(struct wsb_span item, struct wsg_codings *ret)
{
    const uint8_t *semicolon = item.len ? memchr(item.ptr, ';', item.len) : NULL;
    size_t name_len = semicolon ? (size_t)(semicolon - item.ptr) : item.len;
    struct wsb_span name = wsg_http_trim(wsb_span(item.ptr, name_len));
    int weight = semicolon ? parameter_parse(wsb_span(semicolon + 1, item.len - name_len - 1)) : WEIGHT_MAX;
    if (weight < 0)
        weight = 0;
    if (wsb_span_ieq_str(name, "gzip") || wsb_span_ieq_str(name, "x-gzip")) /* RFC 9110 §8.4.1.3 */
        note(&ret->gzip, weight);
    else if (wsb_span_ieq_str(name, "identity"))
        note(&ret->identity, weight);
    else if (wsb_span_eq_str(name, "*"))
        note(&ret->any, weight);
}

void wsg_codings_parse(const struct wsg_http_header *headers, size_t count, struct wsg_codings *ret)
{
    *ret = (struct wsg_codings){-1, -1, -1};
    for (size_t i = 0; i < count; i++) {
        struct wsb_span rest = headers[i].value;
        struct wsb_span item;
        if (!wsb_span_ieq_str(headers[i].name, "accept-encoding"))
            continue;
        while (wsg_http_list_next(&rest, &item))
            element_parse(item, ret);
    }
}

bool wsg_codings_want_gzip(const struct wsg_codings *c)
{
    int weight = c->gzip >= 0 ? c->gzip : c->any;
    return weight > 0 && weight >= c->identity;
}

/* ------------------------------------------------------------------- responses */

/* RFC 9110 §8.3.1: type "/" subtype, and parameters that do not matter here. */
static struct wsb_span essence_of(struct wsb_span type)
{
    const uint8_t *semicolon = type.len ? memchr(type.ptr, ';', type.len) : NULL;
    return wsg_http_trim(wsb_span(type.ptr, semicolon ? (size_t)(semicolon - type.ptr) : type.len));
}

static bool ends_with(struct wsb_span s, const char *end)
{
    size_t len = strlen(end);
    return s.len > len && wsb_span_ieq_str(wsb_span(s.ptr + s.len - len, len), end);
}

/* Text, whatever it is called. Images, sound, films and archives are packed as they are. */
static bool type_gains(struct wsb_span type)
{
    static const char *const types[] = {
        "application/json",
        "application/javascript",
        "application/x-javascript",
        "application/xml",
        "application/x-ndjson",
        "application/yaml",
        "application/toml",
        "application/wasm",
        "application/ecmascript",
        "image/bmp",
        "font/ttf",
        "font/otf",
    };
    struct wsb_span essence = essence_of(type);
    if (essence.len > 5 && wsb_span_ieq_str(wsb_span(essence.ptr, 5), "text/"))
        return true;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (wsb_span_ieq_str(essence, types[i]))
            return true;
    }
    return ends_with(essence, "+json") || ends_with(essence, "+xml");
}

/* A coding would make them untrue: of its own bytes they speak, or of another coding. */
static bool is_bound_to_bytes(struct wsb_span name)
{
    static const char *const names[] = {"content-encoding", "content-range", "content-md5",
                                        "content-digest",   "repr-digest",   "digest"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (wsb_span_ieq_str(name, names[i]))
            return true;
    }
    return false;
}

bool wsg_coding_is_allowed(const struct wsg_http_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (is_bound_to_bytes(headers[i].name))
            return false;
    }
    /* RFC 9111 §5.2.2.6: the one word by which a response forbids it. */
    return !wsg_http_header_has_token(headers, count, "cache-control", "no-transform");
}

bool wsg_coding_suits(int status, const struct wsg_http_header *headers, size_t count)
{
    struct wsb_span type = {NULL, 0};
    if (status < 200 || status == 204 || status == 205 || status == 206 || status == 304)
        return false;
    return wsg_http_header_find(headers, count, "content-type", &type) == 1 && type_gains(type) &&
           wsg_coding_is_allowed(headers, count);
}

/* RFC 9110 §8.8.3.3: other bytes, so not the same strong validator. */
static wsb_err etag_weaken(struct wsg_http_header *headers, size_t count, struct wsb_buf *etag)
{
    for (size_t i = 0; i < count; i++) {
        struct wsb_span value = wsg_http_trim(headers[i].value);
        if (!wsb_span_ieq_str(headers[i].name, "etag") || value.len == 0 || value.ptr[0] != '"')
            continue;
        wsb_buf_clear(etag);
        wsb_err err = wsb_buf_append_str(etag, "W/");
        if (!err)
            err = wsb_buf_append(etag, value.ptr, value.len);
        if (err)
            return err;
        headers[i].value = wsb_buf_span(etag);
        return WSB_OK; /* there is one, or the response is wrong as it is */
    }
    return WSB_OK;
}

static size_t drop(struct wsg_http_header *headers, size_t count, const char *name)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (!wsb_span_ieq_str(headers[i].name, name))
            headers[kept++] = headers[i];
    }
    return kept;
}

wsb_err wsg_coding_apply(struct wsg_http_header *headers, size_t *count, enum wsg_coding_change change,
                         struct wsb_buf *etag)
{
    wsb_err err = change == WSG_CODING_VARIES ? WSB_OK : etag_weaken(headers, *count, etag);
    if (err)
        return err;
    if (change == WSG_CODING_GZIP) {
        *count = drop(headers, *count, "accept-ranges"); /* those of other bytes */
        headers[(*count)++] = (struct wsg_http_header){wsb_span_str("Content-Encoding"), wsb_span_str("gzip")};
    }
    if (!wsg_http_header_has_token(headers, *count, "vary", "accept-encoding") &&
        !wsg_http_header_has_token(headers, *count, "vary", "*"))
        headers[(*count)++] = (struct wsg_http_header){wsb_span_str("Vary"), wsb_span_str("Accept-Encoding")};
    return WSB_OK;
}
