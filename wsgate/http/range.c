/* Conditions in the order of RFC 9110 §13.2.2, then the range. */
#include "http/range.h"

#include <inttypes.h>
#include <stdio.h>

#include "http/date.h"

/* The value of a field that may be there only once; a repeated one is as good as malformed, and so ignored. */
static bool get_single(const struct wsg_http_head *head, const char *name, struct wsb_span *ret)
{
    return wsg_http_header_find(head->headers, head->header_count, name, ret) == 1;
}

static bool get_date(const struct wsg_http_head *head, const char *name, int64_t now_s, int64_t *ret)
{
    struct wsb_span value;
    return get_single(head, name, &value) && wsg_http_date_parse(value, now_s, ret) == WSB_OK;
}

/* Take one entity-tag off the front: W/"…" or "…". */
static bool take_etag(struct wsb_span *rest, struct wsb_span *ret_opaque, bool *ret_is_weak)
{
    const uint8_t *p = rest->ptr;
    size_t n = rest->len;
    bool is_weak = n >= 2 && p[0] == 'W' && p[1] == '/';
    size_t begin = is_weak ? 2 : 0;
    if (begin >= n || p[begin] != '"')
        return false;
    size_t end = begin + 1;
    while (end < n && p[end] != '"')
        end++;
    if (end == n)
        return false;
    *ret_opaque = wsb_span(p + begin, end + 1 - begin);
    *ret_is_weak = is_weak;
    *rest = wsb_span(p + end + 1, n - end - 1);
    return true;
}

/* Does the list name our tag? A malformed rest of a list names nothing. */
static bool list_has_etag(struct wsb_span rest, const char *etag, bool allow_weak)
{
    rest = wsg_http_trim(rest);
    if (wsb_span_eq_str(rest, "*"))
        return true; /* the file is there */
    while (rest.len) {
        struct wsb_span opaque;
        bool is_weak;
        if (rest.ptr[0] == ',') {
            rest = wsg_http_trim(wsb_span(rest.ptr + 1, rest.len - 1));
            continue;
        }
        if (!take_etag(&rest, &opaque, &is_weak))
            return false;
        if (wsb_span_eq_str(opaque, etag) && (allow_weak || !is_weak))
            return true;
        rest = wsg_http_trim(rest);
        if (rest.len && rest.ptr[0] != ',')
            return false;
    }
    return false;
}

/* How often the field is there; ret_match when any of its lines names our tag. */
static size_t match_etags(const struct wsg_http_head *head, const char *name, const char *etag, bool allow_weak,
                          bool *ret_match)
{
    size_t count = 0;
    *ret_match = false;
    for (size_t i = 0; i < head->header_count; i++) {
        if (!wsb_span_ieq_str(head->headers[i].name, name))
            continue;
        count++;
        *ret_match = *ret_match || list_has_etag(head->headers[i].value, etag, allow_weak);
    }
    return count;
}

/* RFC 9110 §13.2.2, steps 1 to 4: 412, 304, or 0 to go on. */
static int check_conditions(const struct wsg_http_head *head, const struct wsg_file_facts *file)
{
    int64_t date_s;
    bool is_match;
    if (match_etags(head, "If-Match", file->etag, /*allow_weak=*/false, &is_match)) {
        if (!is_match)
            return 412;
    } else if (get_date(head, "If-Unmodified-Since", file->now_s, &date_s) && file->mtime_s > date_s) {
        return 412;
    }
    if (match_etags(head, "If-None-Match", file->etag, /*allow_weak=*/true, &is_match))
        return is_match ? 304 : 0;
    if (get_date(head, "If-Modified-Since", file->now_s, &date_s) && file->mtime_s <= date_s)
        return 304;
    return 0;
}

/*
 * Step 5: is the range meant for the file as it is now? A date counts only when it is exactly ours and old enough that
 * the file cannot have changed twice within that second (RFC 9110 §8.8.2.2).
 */
static bool is_range_current(const struct wsg_http_head *head, const struct wsg_file_facts *file)
{
    struct wsb_span value;
    size_t count = wsg_http_header_find(head->headers, head->header_count, "If-Range", &value);
    if (count != 1)
        return count == 0;
    if (wsb_span_eq_str(value, file->etag))
        return true;
    int64_t date_s;
    return wsg_http_date_parse(value, file->now_s, &date_s) == WSB_OK && date_s == file->mtime_s &&
           file->now_s - file->mtime_s >= 2;
}

/* Digits; a number too large to represent becomes the largest one, which is past the end of any file. */
static bool take_number(struct wsb_span *s, uint64_t *ret)
{
    size_t n = 0;
    uint64_t v = 0;
    bool is_huge = false;
    while (n < s->len && s->ptr[n] >= '0' && s->ptr[n] <= '9') {
        unsigned digit = s->ptr[n] - (unsigned)'0';
        is_huge = is_huge || __builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, digit, &v);
        n++;
    }
    *s = wsb_span(s->ptr + n, s->len - n);
    *ret = is_huge ? UINT64_MAX : v;
    return n > 0;
}

/* RFC 9110 §14.1.2. Anything that is not exactly one byte range leaves the plan as it is: the whole file. */
static void apply_range(struct wsb_span s, uint64_t size, struct wsg_static_plan *plan)
{
    uint64_t first;
    uint64_t last;
    if (s.len < 6 || strncasecmp((const char *)s.ptr, "bytes=", 6) != 0)
        return;
    s = wsg_http_trim(wsb_span(s.ptr + 6, s.len - 6));
    bool has_first = take_number(&s, &first);
    if (s.len == 0 || s.ptr[0] != '-')
        return;
    s = wsb_span(s.ptr + 1, s.len - 1);
    bool has_last = take_number(&s, &last);
    if (s.len != 0 || (!has_first && !has_last) || (has_first && has_last && first > last))
        return;
    if (!has_first && last > 0 && size == 0)
        return; /* the last bytes of an empty file are all of it, and no Content-Range can say so */
    if (has_first ? first >= size : last == 0) {
        *plan = (struct wsg_static_plan){.status = 416};
        return;
    }
    if (!has_first) {
        first = last < size ? size - last : 0;
        last = size - 1;
    } else if (!has_last || last >= size) {
        last = size - 1;
    }
    *plan = (struct wsg_static_plan){.status = 206, .offset = first, .length = last - first + 1};
}

void wsg_static_plan(const struct wsg_http_head *head, const struct wsg_file_facts *file,
                     struct wsg_static_plan *ret_plan)
{
    struct wsb_span range;
    if (head->method != WSG_HTTP_GET && head->method != WSG_HTTP_HEAD) {
        *ret_plan = (struct wsg_static_plan){.status = 405};
        return;
    }
    int status = check_conditions(head, file);
    if (status) {
        *ret_plan = (struct wsg_static_plan){.status = status};
        return;
    }
    *ret_plan = (struct wsg_static_plan){.status = 200, .length = file->size};
    /* RFC 9110 §14.2: a Range means something to GET only */
    if (head->method == WSG_HTTP_GET && get_single(head, "Range", &range) && is_range_current(head, file))
        apply_range(range, file->size, ret_plan);
}

void wsg_content_range_format(const struct wsg_static_plan *plan, uint64_t file_size,
                              char ret_text[static WSG_CONTENT_RANGE_SIZE])
{
    ret_text[0] = 0;
    if (plan->status == 206)
        (void)snprintf(ret_text, WSG_CONTENT_RANGE_SIZE, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, plan->offset,
                       plan->offset + plan->length - 1, file_size);
    else if (plan->status == 416)
        (void)snprintf(ret_text, WSG_CONTENT_RANGE_SIZE, "bytes */%" PRIu64, file_size);
}
