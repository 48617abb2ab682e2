/*
 * Sources and templates of a route, and the values that clients give them. What is refused says why; a template that was
 * accepted expands to a name or to nothing; a value that is found lies in what it was found in.
 *
 * Input: one line each of pattern, path, source, template; the rest is a Cookie header.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bus/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            (void)fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

static struct wsb_span take_line(struct wsb_span *rest)
{
    const uint8_t *lf = rest->len ? memchr(rest->ptr, '\n', rest->len) : NULL;
    struct wsb_span line = wsb_span(rest->ptr, lf ? (size_t)(lf - rest->ptr) : rest->len);
    *rest = lf ? wsb_span(lf + 1, rest->len - line.len - 1) : wsb_span(rest->ptr, 0);
    return line;
}

static char *text_of(struct wsb_span s)
{
    char *text = calloc(1, s.len + 1);
    REQUIRE(text);
    if (s.len)
        memcpy(text, s.ptr, s.len);
    return text;
}

static void check_source(const char *text, const struct wsb_pattern *pattern, struct wsb_span cookies)
{
    struct wsg_source source;
    struct wsb_fault fault = {0};
    struct wsb_span value;
    if (wsg_source_parse(text, pattern, &source, &fault) != WSB_OK) {
        REQUIRE(fault.err == WSB_ERR_CONFIG && fault.text[0]);
        return;
    }
    if (source.kind == WSG_SOURCE_PARAM)
        REQUIRE(strcmp(source.name, wsb_pattern_param_name(pattern, source.param)) == 0);
    if (source.kind == WSG_SOURCE_COOKIE && wsg_cookie_find(cookies, source.name, &value)) {
        REQUIRE(value.ptr >= cookies.ptr && value.ptr + value.len <= cookies.ptr + cookies.len);
        REQUIRE(!value.len || !memchr(value.ptr, ';', value.len));
    }
}

static void check_template(const char *text, const struct wsb_pattern *pattern, struct wsb_span path)
{
    struct wsb_span params[WSB_PATTERN_PARAMS_MAX];
    struct wsb_fault fault = {0};
    struct wsb_buf out = {0};
    if (wsg_template_check(text, pattern, &fault) != WSB_OK) {
        REQUIRE(fault.err == WSB_ERR_CONFIG && fault.text[0]);
        return;
    }
    if (!wsb_pattern_match(pattern, path, params))
        return;
    wsb_err err = wsg_template_expand(text, pattern, params, &out);
    REQUIRE(err ? out.len == 0 : wsg_is_name(wsb_buf_span(&out)));
    wsb_buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wsb_span rest = wsb_span(data, size);
    struct wsb_pattern *pattern = NULL;
    char *pattern_text = text_of(take_line(&rest));
    struct wsb_span path = take_line(&rest);
    char *source = text_of(take_line(&rest));
    char *template = text_of(take_line(&rest));
    if (wsb_pattern_new(&pattern, pattern_text, NULL) == WSB_OK) {
        check_source(source, pattern, rest);
        check_template(template, pattern, path);
    }
    struct wsb_span address = wsg_address_of_peer(rest);
    REQUIRE(address.len <= rest.len);
    wsb_pattern_free(pattern);
    free(pattern_text);
    free(source);
    free(template);
    return 0;
}
