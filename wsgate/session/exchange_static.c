/*
 * Requests that a static directory answers: which file, or redirect, or refusal. Relies on http/ for what may be opened and
 * for ranges and conditions; the exchange does the rest.
 */
#include <unistd.h>

#include "http/mime.h"
#include "http/range.h"
#include "http/static.h"
#include "http/static_file.h"
#include "session/parts.h"

static void redirect(struct wsg_session *s, const struct wsg_http_head *head)
{
    struct wsg_http_header location = {.name = wsb_span_str("Location")};
    wsb_buf_clear(&s->env->text2);
    if (wsg_static_location_write(&s->env->text2, head->path, head->query) != WSB_OK) {
        wsg_exchange_error(s, 500, "out of memory", NULL, 0);
        return;
    }
    location.value = wsb_buf_span(&s->env->text2);
    wsg_exchange_error(s, 301, "redirect to the directory", &location, 1);
}

static void send_file(struct wsg_session *s, const struct wsg_http_head *head, const char *name,
                      struct wsg_static_file *file)
{
    char modified[WSG_HTTP_DATE_SIZE];
    char range[WSG_CONTENT_RANGE_SIZE];
    struct wsg_static_plan plan;
    struct wsg_http_header headers[6];
    size_t count = 0;
    wsg_static_plan(head,
                    &(struct wsg_file_facts){file->size, file->mtime_s, file->etag,
                                             (int64_t)(wsg_loop_wall_ns(s->env->loop) / 1000000000u)},
                    &plan);
    wsg_http_date_format(file->mtime_s, modified);
    wsg_content_range_format(&plan, file->size, range);
    bool is_success = plan.status == 200 || plan.status == 206;
    if (is_success)
        headers[count++] =
            (struct wsg_http_header){wsb_span_str("Content-Type"), wsb_span_str(wsg_mime_type(wsb_span_str(name)))};
    headers[count++] = (struct wsg_http_header){wsb_span_str("ETag"), wsb_span_str(file->etag)};
    headers[count++] = (struct wsg_http_header){wsb_span_str("Last-Modified"), wsb_span_str(modified)};
    headers[count++] = (struct wsg_http_header){wsb_span_str("Accept-Ranges"), wsb_span_str("bytes")};
    headers[count++] = (struct wsg_http_header){wsb_span_str("X-Content-Type-Options"), wsb_span_str("nosniff")};
    if (range[0])
        headers[count++] = (struct wsg_http_header){wsb_span_str("Content-Range"), wsb_span_str(range)};
    struct wsg_answer a = {plan.status, WSG_HTTP_BODY_LENGTH, is_success ? plan.length : 0, headers, count};
    if (wsg_exchange_begin_response(s, &a) != WSB_OK) {
        close(file->fd);
        wsg_session_kill(s, "out of memory");
        return;
    }
    if (is_success && s->exchange->has_body && plan.length &&
        wsg_outq_append_file(&s->out, &s->env->pool, file->fd, (off_t)plan.offset, plan.length) == WSB_OK)
        file->fd = -1;
    if (file->fd >= 0)
        close(file->fd);
    s->exchange->response_complete = true;
}

static void serve_static(struct wsg_session *s, const struct wsg_http_head *head, const struct wsg_static_root *root,
                         const char *name)
{
    static const struct wsg_http_header allow = {{(const uint8_t *)"Allow", 5}, {(const uint8_t *)"GET, HEAD", 9}};
    struct wsg_static_file file;
    if (head->method != WSG_HTTP_GET && head->method != WSG_HTTP_HEAD) {
        wsg_exchange_error(s, 405, "static files are for GET and HEAD", &allow, 1);
        return;
    }
    wsb_err err = wsg_static_open(root->dirfd, name, &file);
    if (err)
        wsg_exchange_error(s,
                           err == WSB_ERR_NOT_FOUND ? 404
                           : err == WSB_ERR_REFUSED ? 403
                                                    : 500,
                           wsb_err_name(err), NULL, 0);
    else if (file.is_directory)
        redirect(s, head);
    else
        send_file(s, head, name, &file);
}

bool wsg_exchange_try_static(struct wsg_session *s, const struct wsg_http_head *head)
{
    char name[WSG_STATIC_NAME_SIZE];
    for (size_t i = 0; i < s->env->static_count; i++) {
        const struct wsg_static_root *root = &s->env->statics[i];
        switch (wsg_static_map(head->path, root->prefix, name)) {
        case WSG_STATIC_OUTSIDE:
            continue;
        case WSG_STATIC_FILE:
            serve_static(s, head, root, name);
            return true;
        case WSG_STATIC_REDIRECT:
            redirect(s, head);
            return true;
        case WSG_STATIC_REFUSED:
            wsg_exchange_error(s, 404, "the path is never served", NULL, 0);
            return true;
        }
    }
    return false;
}
