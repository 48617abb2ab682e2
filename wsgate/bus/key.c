/* Sources and templates: small languages of the configuration, and what they find. Values come from strangers. */
#include "bus/key.h"

#include <assert.h>

#include "base/utf8.h"

#define DIGITS  "0123456789"
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/* ------------------------------------------------------------------ sources */

static const struct source_word {
    const char *prefix;
    enum wsg_source_kind kind;
    const char *chars; /* that a name may have */
    const char *what;
} words[] = {
    /* a query's names are compared as they are sent, so one that would be encoded is never found */
    {"query:", WSG_SOURCE_QUERY, LETTERS DIGITS "-._~", "a query parameter that needs no encoding"},
    {"param:", WSG_SOURCE_PARAM, LETTERS DIGITS "_", "a path parameter"},
    {"header:", WSG_SOURCE_HEADER, LETTERS DIGITS "!#$%&'*+-.^_`|~", "a header"},
    {"cookie:", WSG_SOURCE_COOKIE, LETTERS DIGITS "!#$%&'*+-.^_`|~", "a cookie"},
    {"subprotocol:", WSG_SOURCE_SUBPROTOCOL, LETTERS DIGITS "!#$%&'*+-./^_`|~", "a subprotocol"},
    {"claim:", WSG_SOURCE_CLAIM, LETTERS DIGITS "-._~:/#", "a claim"},
};

static bool param_find(const struct wsb_pattern *path, struct wsb_span name, size_t *ret_index)
{
    for (size_t i = 0; path && i < wsb_pattern_param_count(path); i++) {
        if (wsb_span_eq_str(name, wsb_pattern_param_name(path, i))) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

static wsb_err param_refuse(const char *text, const struct wsb_pattern *path, struct wsb_span name,
                            struct wsb_fault *fault)
{
    return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "'%.60s': the path %.60s has no parameter '%.*s'", text,
                         path ? wsb_pattern_text(path) : "(none)", (int)(name.len < 40 ? name.len : 40),
                         (const char *)name.ptr);
}

static wsb_err named_parse(const char *text, const struct source_word *w, const struct wsb_pattern *path,
                           struct wsg_source *ret, struct wsb_fault *fault)
{
    struct wsg_source found = {.kind = w->kind, .name = text + strlen(w->prefix)};
    if (*found.name == 0 || found.name[strspn(found.name, w->chars)] != 0)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "'%.60s': '%.40s' is not the name of %s", text, found.name,
                             w->what);
    if (w->kind == WSG_SOURCE_PARAM && !param_find(path, wsb_span_str(found.name), &found.param))
        return param_refuse(text, path, wsb_span_str(found.name), fault);
    *ret = found;
    return WSB_OK;
}

wsb_err wsg_source_parse(const char *text, const struct wsb_pattern *path, struct wsg_source *ret,
                         struct wsb_fault *fault)
{
    if (!text || strcmp(text, "address") == 0) {
        *ret = (struct wsg_source){.kind = text ? WSG_SOURCE_ADDRESS : WSG_SOURCE_NONE};
        return WSB_OK;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strncmp(text, words[i].prefix, strlen(words[i].prefix)) == 0)
            return named_parse(text, &words[i], path, ret, fault);
    }
    return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                         "'%.60s' is not one of query:NAME, param:NAME, header:NAME, cookie:NAME, claim:NAME, "
                         "address, or of a token subprotocol:NAME",
                         text);
}

/* ---------------------------------------------------------------- templates */

/* One part of a template: literal text, or the name between braces. */
struct part {
    bool is_param;
    struct wsb_span text;
};

/* WSB_CLOSED at the end; WSB_ERR_CONFIG at a brace that has no other. */
static wsb_err part_next(const char **at, struct part *ret)
{
    const char *p = *at;
    if (*p == 0)
        return WSB_CLOSED;
    if (*p == '}')
        return WSB_ERR_CONFIG;
    ret->is_param = *p == '{';
    p += ret->is_param;
    size_t len = strcspn(p, "{}");
    if (ret->is_param && p[len] != '}')
        return WSB_ERR_CONFIG;
    ret->text = wsb_span(p, len);
    *at = p + len + ret->is_param;
    return WSB_OK;
}

wsb_err wsg_template_check(const char *text, const struct wsb_pattern *path, struct wsb_fault *fault)
{
    const char *at = text;
    size_t literal = 0;
    size_t ignored;
    struct part part;
    wsb_err err;
    while ((err = part_next(&at, &part)) == WSB_OK) {
        if (part.is_param && !param_find(path, part.text, &ignored))
            return param_refuse(text, path, part.text, fault);
        literal += part.is_param ? 0 : part.text.len;
    }
    if (err != WSB_CLOSED)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "'%.60s': a brace without the other; a parameter is written {name}", text);
    if (literal > WSG_NAME_MAX)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "'%.60s' is longer than the %d bytes of a name", text,
                             WSG_NAME_MAX);
    if (*text == 0 || !wsb_utf8_is_valid((const uint8_t *)text, strlen(text)))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "'%.60s' is %s", text, *text ? "not UTF-8" : "empty");
    return WSB_OK;
}

static wsb_err template_append(const char *text, const struct wsb_pattern *path, const struct wsb_span *params,
                               struct wsb_buf *out)
{
    struct part part;
    size_t index = 0;
    while (part_next(&text, &part) == WSB_OK) {
        bool found = !part.is_param || param_find(path, part.text, &index);
        assert(found); /* the template was checked */
        struct wsb_span add = part.is_param && found ? params[index] : part.text;
        if (add.len && wsb_buf_append(out, add.ptr, add.len) != WSB_OK)
            return WSB_ERR_NOMEM;
    }
    return WSB_OK;
}

wsb_err wsg_template_expand(const char *text, const struct wsb_pattern *path, const struct wsb_span *params,
                            struct wsb_buf *out)
{
    size_t before = out->len;
    wsb_err err = template_append(text, path, params, out);
    bool is_name = !err && out->len > before && wsg_is_name(wsb_span(out->data + before, out->len - before));
    if (!err && !is_name) /* the buffer may have no memory yet */
        err = WSB_ERR_REFUSED;
    if (err)
        out->len = before;
    return err;
}

/* ------------------------------------------------------------------- values */

bool wsg_is_name(struct wsb_span s)
{
    return s.len > 0 && s.len <= WSG_NAME_MAX && !memchr(s.ptr, 0, s.len) && wsb_utf8_is_valid(s.ptr, s.len);
}

static struct wsb_span trim(struct wsb_span s)
{
    while (s.len && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = wsb_span(s.ptr + 1, s.len - 1);
    while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* "a=1; b=2", one at a time off the front. */
static bool pair_next(struct wsb_span *rest, struct wsb_span *ret)
{
    if (rest->len == 0)
        return false;
    const uint8_t *end = memchr(rest->ptr, ';', rest->len);
    size_t len = end ? (size_t)(end - rest->ptr) : rest->len;
    *ret = trim(wsb_span(rest->ptr, len));
    *rest = end ? wsb_span(end + 1, rest->len - len - 1) : wsb_span(rest->ptr + len, 0);
    return true;
}

bool wsg_cookie_find(struct wsb_span header, const char *name, struct wsb_span *ret_value)
{
    size_t len = strlen(name);
    struct wsb_span pair;
    while (pair_next(&header, &pair)) {
        if (pair.len <= len || memcmp(pair.ptr, name, len) != 0 || pair.ptr[len] != '=')
            continue;
        struct wsb_span value = wsb_span(pair.ptr + len + 1, pair.len - len - 1);
        bool is_quoted = value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"';
        *ret_value = is_quoted ? wsb_span(value.ptr + 1, value.len - 2) : value;
        return true;
    }
    return false;
}

struct wsb_span wsg_address_of_peer(struct wsb_span peer)
{
    if (peer.len >= 5 && memcmp(peer.ptr, "unix:", 5) == 0)
        return wsb_span(NULL, 0);
    size_t len = peer.len;
    while (len && peer.ptr[len - 1] != ':')
        len--;
    return wsb_span(peer.ptr, len ? len - 1 : peer.len);
}

uint64_t wsg_key_hash(const struct wsb_seed *seed, struct wsb_span key)
{
    uint64_t hash = wsb_siphash(seed, key);
    return hash ? hash : 1;
}
