/*
 * Static files without the files: a path, a prefix, a file's size and the conditions of a request. A name that comes
 * out never leaves the directory, a range never leaves the file, a date that was read is written back the same, what a
 * pattern takes lies in the path, and a Location stays on this host.
 *
 * Input: one line each of path, prefix, size, pattern, then "Name: value" lines.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pattern.h"
#include "http/date.h"
#include "http/mime.h"
#include "http/range.h"
#include "http/response.h"
#include "http/static.h"
#include "http/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            (void)fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

enum { HEADERS_MAX = 8 };

static struct wsb_span take_line(struct wsb_span *rest)
{
    const uint8_t *lf = rest->len ? memchr(rest->ptr, '\n', rest->len) : NULL;
    struct wsb_span line = wsb_span(rest->ptr, lf ? (size_t)(lf - rest->ptr) : rest->len);
    *rest = lf ? wsb_span(lf + 1, rest->len - line.len - 1) : wsb_span(rest->ptr, 0);
    return line;
}

static void check_name(const char *name)
{
    REQUIRE(*name && *name != '/' && !strchr(name, '\\') && !strstr(name, "//") && strlen(name) < WSG_STATIC_NAME_SIZE);
    for (const char *p = name; p; p = strchr(p, '/')) {
        p += *p == '/';
        REQUIRE(*p != '.' && *p != '/' && *p);
    }
    (void)wsg_mime_type(wsb_span_str(name));
}

static void check_location(struct wsb_span path)
{
    struct wsb_buf out = {0};
    REQUIRE(wsg_static_location_write(&out, path, wsb_span(NULL, 0)) == WSB_OK);
    REQUIRE(out.len >= 2 && out.data[0] == '/' && out.data[1] != '/' && out.data[1] != '\\');
    struct wsg_http_header h = {wsb_span_str("Location"), wsb_buf_span(&out)};
    struct wsg_http_error e = {.status = 301, .request_minor = 1, .headers = &h, .header_count = 1};
    struct wsg_http_framing framing;
    struct wsb_buf response = {0};
    REQUIRE(wsg_http_error_response_write(&response, &e, &framing) == WSB_OK);
    wsb_buf_deinit(&response);

    uint8_t *back = malloc(out.len);
    size_t back_len;
    REQUIRE(back && wsg_http_percent_decode(wsb_buf_span(&out), back, &back_len) == WSB_OK);
    REQUIRE(back_len == path.len + 1 && memcmp(back, path.ptr, path.len) == 0 && back[path.len] == '/');
    free(back);
    wsb_buf_deinit(&out);
}

static void check_path(struct wsb_span raw, struct wsb_span prefix)
{
    struct wsg_http_target target;
    const char *reason;
    char name[WSG_STATIC_NAME_SIZE];
    uint8_t *scratch = malloc(raw.len ? raw.len : 1);
    REQUIRE(scratch);
    if (wsg_static_map(raw, prefix, name) == WSG_STATIC_FILE) /* safe on its own, whoever asks */
        check_name(name);
    if (wsg_http_target_parse(raw, /*is_options=*/false, scratch, &target, &reason) == WSB_OK) {
        REQUIRE(target.path.len && target.path.ptr[0] == '/');
        enum wsg_static_what what = wsg_static_map(target.path, wsb_span_str("/"), name);
        if (what == WSG_STATIC_FILE)
            check_name(name);
        if (what == WSG_STATIC_FILE && target.path.len > 1 && target.path.ptr[target.path.len - 1] != '/')
            check_location(target.path);
    }
    free(scratch);
}

static void check_pattern(struct wsb_span text, struct wsb_span path)
{
    struct wsb_pattern *p = NULL;
    struct wsb_fault fault;
    struct wsb_span params[WSB_PATTERN_PARAMS_MAX];
    char *copy = malloc(text.len + 1); /* not strndup: it would look for a NUL behind the bytes */
    REQUIRE(copy);
    if (text.len)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    if (wsb_pattern_new(&p, copy, &fault) == WSB_OK) {
        REQUIRE(wsb_pattern_compare(p, p) == 0);
        bool matches = wsb_pattern_match(p, path, params);
        const uint8_t *after = path.ptr;
        for (size_t i = 0; matches && i < wsb_pattern_param_count(p); i++) {
            REQUIRE(params[i].ptr > after && params[i].ptr + params[i].len <= path.ptr + path.len);
            after = params[i].ptr + params[i].len - (params[i].len == 0);
        }
        if (wsb_pattern_param_count(p) == 0)
            REQUIRE(matches == wsb_span_eq_str(path, wsb_pattern_text(p)));
    } else {
        REQUIRE(fault.err == WSB_ERR_CONFIG && fault.text[0]);
    }
    wsb_pattern_free(p);
    free(copy);
}

static void check_date(struct wsb_span text)
{
    int64_t t;
    int64_t back;
    char again[WSG_HTTP_DATE_SIZE];
    if (wsg_http_date_parse(text, 1700000000, &t))
        return;
    wsg_http_date_format(t, again);
    REQUIRE(wsg_http_date_parse(wsb_span_str(again), 0, &back) == WSB_OK);
    REQUIRE(back == t || t == 253402300800); /* the leap second that ends the year 9999 has no name */
}

static void check_plan(const struct wsg_http_head *head, const struct wsg_file_facts *file)
{
    struct wsg_static_plan plan = {.status = -1};
    char text[WSG_CONTENT_RANGE_SIZE];
    wsg_static_plan(head, file, &plan);
    wsg_content_range_format(&plan, file->size, text);
    REQUIRE(strlen(text) + 1 < sizeof text);
    switch (plan.status) {
    case 200:
        REQUIRE(plan.offset == 0 && plan.length == file->size);
        break;
    case 206:
        REQUIRE(head->method == WSG_HTTP_GET && plan.length > 0 && plan.offset < file->size);
        REQUIRE(plan.length <= file->size - plan.offset);
        break;
    case 304:
    case 412:
    case 416:
        REQUIRE(head->header_count > 0 && plan.offset == 0 && plan.length == 0);
        break;
    default:
        REQUIRE(0 && "a status that is not in the plan");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wsg_http_header headers[HEADERS_MAX];
    struct wsg_http_head head = {.minor = 1, .headers = headers};
    struct wsg_file_facts file = {.mtime_s = 784111777, .etag = "\"e\"", .now_s = 784111778};
    uint8_t *copy = malloc(size ? size : 1);
    REQUIRE(copy);
    if (size)
        memcpy(copy, data, size);
    struct wsb_span rest = wsb_span(copy, size);
    struct wsb_span path = take_line(&rest);
    struct wsb_span prefix = take_line(&rest);
    struct wsb_span number = take_line(&rest);
    for (size_t i = 0; i < number.len; i++)
        file.size = file.size * 16 + (number.ptr[i] & 15u);
    check_path(path, prefix);
    check_pattern(take_line(&rest), path);
    while (rest.len && head.header_count < HEADERS_MAX) {
        struct wsb_span line = take_line(&rest);
        const uint8_t *colon = line.len ? memchr(line.ptr, ':', line.len) : NULL;
        size_t name_len = colon ? (size_t)(colon - line.ptr) : 0;
        struct wsb_span value = colon ? wsg_http_trim(wsb_span(colon + 1, line.len - name_len - 1)) : line;
        headers[head.header_count++] = (struct wsg_http_header){wsb_span(line.ptr, name_len), value};
        check_date(value);
    }
    head.method = WSG_HTTP_GET;
    check_plan(&head, &file);
    head.method = WSG_HTTP_HEAD;
    check_plan(&head, &file);
    free(copy);
    return 0;
}
