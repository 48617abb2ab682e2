/*
 * Requests that a static directory answers: which file, or redirect, or refusal. Relies on http/ for what may be opened and
 * for ranges and conditions; the exchange does the rest.
 */
#include <stdio.h>
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

/* What is sent, and how. */
struct sending {
    struct wsg_static_file file;
    const char *name; /* of which its type is told */
    bool varies;      /* other clients may be sent the same in another coding */
    bool is_gzip;
};

static void send_file(struct wsg_session *s, const struct wsg_http_head *head, struct sending *what)
{
    struct wsg_static_file *file = &what->file;
    char modified[WSG_HTTP_DATE_SIZE];
    char range[WSG_CONTENT_RANGE_SIZE];
    struct wsg_static_plan plan;
    struct wsg_http_header headers[6 + WSG_CODING_FIELDS];
    size_t count = 0;
    int64_t now_s = (int64_t)(wsg_loop_wall_ns(s->env->loop) / 1000000000u);
    int64_t modified_s = file->mtime_s < now_s ? file->mtime_s : now_s; /* RFC 9110 §8.8.2.1: not later than Date */
    wsg_static_plan(head, &(struct wsg_file_facts){file->size, modified_s, file->etag, now_s}, &plan);
    wsg_http_date_format(modified_s, modified);
    wsg_content_range_format(&plan, file->size, range);
    bool is_success = plan.status == 200 || plan.status == 206;
    if (is_success)
        headers[count++] = (struct wsg_http_header){wsb_span_str("Content-Type"),
                                                    wsb_span_str(wsg_mime_type(wsb_span_str(what->name)))};
    headers[count++] = (struct wsg_http_header){wsb_span_str("ETag"), wsb_span_str(file->etag)};
    headers[count++] = (struct wsg_http_header){wsb_span_str("Last-Modified"), wsb_span_str(modified)};
    headers[count++] = (struct wsg_http_header){wsb_span_str("Accept-Ranges"), wsb_span_str("bytes")};
    headers[count++] = (struct wsg_http_header){wsb_span_str("X-Content-Type-Options"), wsb_span_str("nosniff")};
    if (range[0])
        headers[count++] = (struct wsg_http_header){wsb_span_str("Content-Range"), wsb_span_str(range)};
    /* RFC 9110 §14.1.2: ranges are of the representation that was chosen, coded as it is. */
    if (what->is_gzip && is_success)
        headers[count++] = (struct wsg_http_header){wsb_span_str("Content-Encoding"), wsb_span_str("gzip")};
    if (what->varies)
        headers[count++] = (struct wsg_http_header){wsb_span_str("Vary"), wsb_span_str("Accept-Encoding")};
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

/* The same file lies beside it as gzip: who takes that, and what stands for it, depends on the client. */
static void choose_gzip(const struct wsg_static_root *root, const struct wsg_http_head *head, struct sending *what)
{
    char name[WSG_STATIC_NAME_SIZE];
    struct wsg_codings codings;
    struct wsg_static_file packed;
    int n = snprintf(name, sizeof name, "%s.gz", what->name);
    if (!root->has_gzip || n < 0 || (size_t)n >= sizeof name || wsg_static_open(root->dirfd, name, &packed) != WSB_OK)
        return;
    if (packed.is_directory)
        return;
    wsg_codings_parse(head->headers, head->header_count, &codings);
    what->varies = true;
    what->is_gzip = wsg_codings_want_gzip(&codings);
    close(what->is_gzip ? what->file.fd : packed.fd);
    if (what->is_gzip)
        what->file = packed;
}

static void answer(struct wsg_session *s, const struct wsg_http_head *head, const struct wsg_static_root *root,
                   const char *name)
{
    static char *served[] = {"GET", "HEAD"};
    const struct wsg_texts methods = {served, sizeof served / sizeof *served};
    struct sending what = {.name = name};
    if (wsg_exchange_answer_method(s, head, &methods))
        return;
    wsb_err err = wsg_static_open(root->dirfd, name, &what.file);
    if (!err && !what.file.is_directory)
        choose_gzip(root, head, &what);
    if (err)
        wsg_exchange_error(s,
                           err == WSB_ERR_NOT_FOUND ? 404
                           : err == WSB_ERR_REFUSED ? 403
                                                    : 500,
                           wsb_err_name(err), NULL, 0);
    else if (what.file.is_directory)
        redirect(s, head);
    else
        send_file(s, head, &what);
}

static bool is_there(const struct wsg_static_root *root, const char *name)
{
    struct wsg_static_file file;
    wsb_err err = wsg_static_open(root->dirfd, name, &file);
    if (!err && !file.is_directory)
        close(file.fd);
    return err != WSB_ERR_NOT_FOUND;
}

bool wsg_exchange_try_static(struct wsg_session *s, const struct wsg_http_head *head, bool has_route)
{
    char name[WSG_STATIC_NAME_SIZE];
    for (size_t i = 0; i < s->env->static_count; i++) {
        const struct wsg_static_root *root = &s->env->statics[i];
        enum wsg_static_what where = wsg_static_map(head->path, root->prefix, name);
        if (where == WSG_STATIC_OUTSIDE)
            continue;
        if (has_route && (where == WSG_STATIC_REFUSED || (where == WSG_STATIC_FILE && !is_there(root, name))))
            return false; /* nothing lies there: it is the route's */
        if (!wsg_exchange_note_origin(s, head, root->cors)) {
            wsg_session_kill(s, "out of memory");
            return true;
        }
        wsg_turns_charge(&s->env->turns, WSG_WORK_FILE);
        switch (where) {
        case WSG_STATIC_OUTSIDE:
        case WSG_STATIC_FILE:
            answer(s, head, root, name);
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
