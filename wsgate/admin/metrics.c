/*
 * The listener of metrics.
 *
 *   READING ──a request──▶ WAITING ──the page is done──▶ WRITING ──all is written──▶ CLOSING ──they close──▶ gone
 *      └──────────any other answer──────────────────────────▲
 *
 * Any of them ends when its time is up, or when a newer connection needs its place. Nothing is freed in a dispatch: a
 * connection that ends is taken out of everything, and freed by a deferred task.
 */
#include "admin/metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "admin/listener.h"
#include "admin/page.h"
#include "base/log.h"
#include "http/date.h"
#include "http/request.h"
#include "http/response.h"

enum {
    CONNECTIONS_MAX = 16,
    REFUSED_LINES = 20, /* a second */
    PAGES_MAX = 4,      /* written and not read yet; beyond it whoever asks gets the last one */
    SAMPLES_PER_STEP = 1000,
    TIME_MS = 10000, /* for all of a connection */
    CLOSING_MS = 1000,
    READ_BYTES = 4096,
    WRITE_BYTES = 256 << 10, /* a round */
    REASONS_MAX = 64 << 10   /* bytes of what /readyz says */
};

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

enum scrape_state { READING, WAITING, WRITING, CLOSING };

struct scrape {
    struct scrape *prev, *next;
    struct wsg_metrics *metrics; /* borrowed */
    struct wsg_watch watch;
    struct wsg_timer deadline;
    struct wsg_task task; /* frees it */
    enum scrape_state state;
    bool is_head;
    uint8_t minor; /* of the request's version */
    struct wsg_http_in in;
    struct wsb_buf out;    /* the head, and a short body */
    struct wsg_page *page; /* a reference: the body of /metrics; or NULL */
    size_t written;        /* of out, then of the page */
};

struct wsg_metrics {
    struct wsg_gate *gate; /* borrowed */
    struct wsg_loop *loop; /* borrowed */
    struct wsg_listener listener;
    char address[WSG_ADDRESS_TEXT];
    const char *path;       /* borrowed from the configuration: a Unix socket's; or NULL */
    struct scrape *scrapes; /* owned; oldest first */
    unsigned scrape_count;
    struct wsg_page *page; /* a reference: being written; or NULL */
    struct wsg_page *last; /* borrowed: the newest that is done, while somebody reads it; or NULL */
    struct wsg_task step;
    unsigned pages;             /* that are done and being read */
    struct wsb_log_limit lines; /* about scrapers that were refused */
};

static const struct wsg_http_limits limits = {.max_head_bytes = 8192,
                                              .max_headers = 64,
                                              .max_target = 1024,
                                              .max_body = UINT64_MAX /* not read: refused later */};

/* ------------------------------------------------------------------- ending */

static void on_free_task(struct wsg_task *t)
{
    struct scrape *s = CONTAINER(t, struct scrape, task);
    wsg_http_in_deinit(&s->in);
    wsb_buf_deinit(&s->out);
    free(s);
}

static void page_release(struct wsg_metrics *m, struct wsg_page *p)
{
    if (p && p->is_done && p->refs == 1) {
        m->pages--;
        if (m->last == p)
            m->last = NULL;
    }
    wsg_page_unref(p);
}

/* Out of everything; the memory goes by a task, or, when none will run any more, with the caller. */
static void scrape_take_out(struct scrape *s)
{
    struct wsg_metrics *m = s->metrics;
    wsg_loop_disarm(m->loop, &s->deadline);
    wsg_loop_unwatch(m->loop, &s->watch);
    close(s->watch.fd);
    DL_DELETE(m->scrapes, s);
    m->scrape_count--;
    page_release(m, s->page);
    s->page = NULL;
}

static void scrape_end(struct scrape *s)
{
    scrape_take_out(s);
    s->task.fn = on_free_task;
    wsg_loop_defer(s->metrics->loop, &s->task);
}

static void on_deadline(struct wsg_timer *t)
{
    scrape_end(CONTAINER(t, struct scrape, deadline));
}

/* ------------------------------------------------------------------ writing */

/* All is written. To close now would reset the connection if the client had sent more than it was read, and take the answer
 * back from it: say that no more comes, and wait for its end. */
static void scrape_close(struct scrape *s)
{
    s->state = CLOSING;
    (void)shutdown(s->watch.fd, SHUT_WR);
    wsg_loop_rewatch(s->metrics->loop, &s->watch, EPOLLIN);
    (void)!wsg_loop_arm(s->metrics->loop, &s->deadline, wsg_loop_now_ms(s->metrics->loop) + CLOSING_MS);
}

static struct wsb_span left_to_write(const struct scrape *s)
{
    if (s->written < s->out.len)
        return wsb_span(s->out.data + s->written, s->out.len - s->written);
    size_t at = s->written - s->out.len;
    if (s->page && !s->is_head && at < s->page->text.len)
        return wsb_span(s->page->text.data + at, s->page->text.len - at);
    return wsb_span(NULL, 0);
}

static void scrape_write(struct scrape *s)
{
    struct wsb_span left = left_to_write(s);
    for (size_t budget = WRITE_BYTES; left.len && budget; left = left_to_write(s)) {
        ssize_t n = send(s->watch.fd, left.ptr, left.len < budget ? left.len : budget, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n <= 0) {
            scrape_end(s);
            return;
        }
        s->written += (size_t)n;
        budget -= (size_t)n;
    }
    if (left.len)
        wsg_loop_rewatch(s->metrics->loop, &s->watch, EPOLLOUT);
    else
        scrape_close(s);
}

/* The head is in `out`, or err says why not. */
static void scrape_answer(struct scrape *s, wsb_err err)
{
    if (err) {
        scrape_end(s);
        return;
    }
    s->state = WRITING;
    s->written = 0;
    scrape_write(s);
}

static void date_of(const struct scrape *s, char date[static WSG_HTTP_DATE_SIZE])
{
    wsg_http_date_format((int64_t)(wsg_loop_wall_ns(s->metrics->loop) / 1000000000), date);
}

/* What an answer of that status has to say; NULL: nothing. */
static const struct wsg_http_header *header_of(int status)
{
    static const struct wsg_http_header allow = {{(const uint8_t *)"Allow", 5}, {(const uint8_t *)"GET, HEAD", 9}},
                                        challenge = {{(const uint8_t *)"WWW-Authenticate", 16},
                                                     {(const uint8_t *)"Bearer", 6}};
    return status == 405 ? &allow : status == 401 ? &challenge : NULL;
}

static void answer_error(struct scrape *s, int status)
{
    const struct wsg_http_header *header = header_of(status);
    char date[WSG_HTTP_DATE_SIZE];
    struct wsg_http_framing ignored;
    date_of(s, date);
    struct wsg_http_error error = {.date = date,
                                   .status = status,
                                   .headers = header,
                                   .header_count = header != NULL,
                                   .request_minor = s->minor,
                                   .method = s->is_head ? "HEAD" : NULL};
    scrape_answer(s, wsg_http_error_response_write(&s->out, &error, &ignored));
}

/* With `text` as the body, or a body of that length to come. */
static void answer_text(struct scrape *s, int status, const char *type, struct wsb_span text, size_t length)
{
    char date[WSG_HTTP_DATE_SIZE];
    struct wsg_http_framing ignored;
    const struct wsg_http_header headers[] = {{wsb_span_str("Content-Type"), wsb_span_str(type)},
                                              {wsb_span_str("Cache-Control"), wsb_span_str("no-store")}};
    date_of(s, date);
    struct wsg_http_response response = {.date = date,
                                         .headers = headers,
                                         .header_count = sizeof headers / sizeof *headers,
                                         .length = length,
                                         .status = status,
                                         .request_minor = s->minor};
    wsb_err err = wsg_http_response_head_write(&s->out, &response, &ignored);
    if (!err && !s->is_head && text.len)
        err = wsb_buf_append(&s->out, text.ptr, text.len);
    scrape_answer(s, err);
}

/* ------------------------------------------------------------------- /metrics */

static void answer_page(struct scrape *s)
{
    if (s->page->err)
        answer_error(s, 500);
    else
        answer_text(s, 200, WSG_EXPOSITION_TYPE, wsb_span(NULL, 0), s->page->text.len);
}

/* The page is done: it goes to all who waited for it. */
static void page_hand_out(struct wsg_metrics *m)
{
    struct wsg_page *p = m->page;
    struct scrape *s, *next;
    m->page = NULL;
    m->last = p;
    m->pages++;
    DL_FOREACH_SAFE (m->scrapes, s, next) {
        if (s->state == WAITING)
            answer_page(s);
    }
    page_release(m, p);
}

static void on_step(struct wsg_task *t)
{
    struct wsg_metrics *m = CONTAINER(t, struct wsg_metrics, step);
    if (wsg_page_step(m->page, SAMPLES_PER_STEP))
        page_hand_out(m);
    else
        wsg_loop_post(m->loop, &m->step);
}

static void on_metrics(struct scrape *s)
{
    struct wsg_metrics *m = s->metrics;
    bool is_new = !m->page && (m->pages < PAGES_MAX || !m->last);
    if (is_new) {
        m->page = wsg_page_new(m->gate);
        if (!m->page) {
            answer_error(s, 503);
            return;
        }
        wsg_loop_post(m->loop, &m->step);
    }
    s->page = m->page ? m->page : m->last;
    s->page->refs++;
    s->state = WAITING;
    wsg_loop_rewatch(m->loop, &s->watch, 0);
    if (s->page->is_done)
        answer_page(s);
}

/* What they tell, names of routes and handlers, is not for everybody where a token is wanted. */
static bool may_read(struct scrape *s, const struct wsg_http_head *head)
{
    const struct wsb_bearer *token = wsg_gate_metrics_token(s->metrics->gate);
    struct wsb_span said = {0};
    if (!token)
        return true;
    size_t count = wsg_http_header_find(head->headers, head->header_count, "Authorization", &said);
    if (count == 1 && wsb_bearer_is_good(token, said))
        return true;
    wsg_gate_count_refused(s->metrics->gate, WSG_REFUSED_TOKEN);
    WSB_LOG_FEW(&s->metrics->lines, REFUSED_LINES, wsg_loop_now_ms(s->metrics->loop), WSB_LOG_ADMIN, WSB_LOG_INFO,
                "metrics refused",
                WSB_KS("why", count == 0   ? "no token"
                              : count == 1 ? "not the token"
                                           : "more than one Authorization"));
    return false;
}

/* ------------------------------------------------------------------- health */

/* One line for each reason why the gate should get no clients now. */
static wsb_err reasons_write(struct wsg_gate *gate, bool with_handlers, struct wsb_buf *out)
{
    const struct wsg_routes *routes = wsg_gate_routes(gate);
    wsb_err err = wsg_gate_is_draining(gate) ? wsb_buf_append_str(out, "draining\n") : WSB_OK;
    for (size_t i = 0; with_handlers && i < routes->count && !err; i++) {
        const struct wsg_route *r = &routes->routes[i];
        if (!r->policy.publish && atomic_load_explicit(&r->handlers, memory_order_relaxed) == 0)
            err = wsb_buf_printf(out, "route %s: no handler\n", r->name);
    }
    return err == WSB_ERR_LIMIT ? WSB_OK : err; /* so many are reason enough */
}

static void on_ready(struct scrape *s, struct wsb_span query)
{
    struct wsb_buf reasons;
    wsb_buf_init(&reasons, REASONS_MAX);
    wsb_err err = reasons_write(s->metrics->gate, wsb_span_eq_str(query, "handlers"), &reasons);
    bool is_ready = !err && reasons.len == 0;
    if (!err && is_ready)
        err = wsb_buf_append_str(&reasons, "ok\n");
    if (err)
        answer_error(s, 503);
    else
        answer_text(s, is_ready ? 200 : 503, "text/plain; charset=utf-8", wsb_buf_span(&reasons), reasons.len);
    wsb_buf_deinit(&reasons);
}

/* ------------------------------------------------------------------ reading */

static void on_request(struct scrape *s, const struct wsg_http_head *head)
{
    static const char ok[] = "ok\n";
    s->minor = head->minor;
    s->is_head = head->method == WSG_HTTP_HEAD;
    if (head->method != WSG_HTTP_GET && head->method != WSG_HTTP_HEAD)
        answer_error(s, 405);
    else if (head->content_length || head->is_chunked)
        answer_error(s, 413);
    else if (wsb_span_eq_str(head->path, "/metrics") && !may_read(s, head))
        answer_error(s, 401);
    else if (wsb_span_eq_str(head->path, "/metrics"))
        on_metrics(s);
    else if (wsb_span_eq_str(head->path, "/healthz"))
        answer_text(s, 200, "text/plain; charset=utf-8", wsb_span_str(ok), sizeof ok - 1);
    else if (wsb_span_eq_str(head->path, "/readyz"))
        on_ready(s, head->query);
    else
        answer_error(s, 404);
}

/* A request, and then no other: what follows it is not looked at. */
static void scrape_take(struct scrape *s, const uint8_t *data, size_t len)
{
    struct wsg_http_event event;
    size_t used;
    wsb_err err = wsg_http_in_next(&s->in, data, len, &used, &event);
    if (err == WSB_MORE)
        return;
    if (err) {
        s->is_head = wsg_http_in_method(&s->in) == WSG_HTTP_HEAD;
        answer_error(s, wsg_http_in_status(&s->in));
    } else {
        on_request(s, event.head); /* nothing else can come first */
    }
}

static void scrape_read(struct scrape *s)
{
    uint8_t data[READ_BYTES];
    size_t len;
    wsb_err err = wsg_socket_read(s->watch.fd, data, sizeof data, &len);
    if (err == WSB_AGAIN)
        return;
    if (err)
        scrape_end(s);
    else if (s->state == READING)
        scrape_take(s, data, len);
}

static void on_scrape(struct wsg_watch *w, uint32_t events)
{
    struct scrape *s = CONTAINER(w, struct scrape, watch);
    if (s->state == WRITING && (events & EPOLLOUT))
        scrape_write(s);
    else if ((s->state == READING || s->state == CLOSING) && (events & EPOLLIN))
        scrape_read(s);
    else if (events & (EPOLLHUP | EPOLLERR))
        scrape_end(s);
}

/* ---------------------------------------------------------------- accepting */

static void welcome(void *ctx, int fd)
{
    struct wsg_metrics *m = ctx;
    if (m->scrape_count == CONNECTIONS_MAX)
        scrape_end(m->scrapes);
    struct scrape *s = calloc(1, sizeof *s);
    if (!s) {
        close(fd);
        return;
    }
    s->metrics = m;
    s->minor = 1;
    s->watch = (struct wsg_watch){.fd = fd, .fn = on_scrape};
    s->deadline.fn = on_deadline;
    wsg_http_in_init(&s->in, &limits);
    wsb_buf_init(&s->out, 0);
    if (wsg_loop_watch(m->loop, &s->watch, EPOLLIN) != WSB_OK) {
        close(fd);
        free(s);
        return;
    }
    DL_APPEND(m->scrapes, s);
    m->scrape_count++;
    if (wsg_loop_arm(m->loop, &s->deadline, wsg_loop_now_ms(m->loop) + TIME_MS) != WSB_OK)
        scrape_end(s);
}

/* --------------------------------------------------------------- begin, end */

static wsb_err listen_there(struct wsg_metrics *m, struct wsb_fault *fault)
{
    const struct wsg_config *config = wsg_gate_config(m->gate);
    struct wsg_address address, bound;
    wsb_err err = wsg_address_parse(config->metrics, &address, fault);
    if (!err)
        err = wsg_socket_check_free(&address, fault);
    if (!err)
        err = wsg_listener_open(&m->listener, &address, config->bus_mode, &bound, fault);
    if (m->listener.watch.fd >= 0 && wsg_address_is_unix(&address))
        m->path = config->metrics + strlen("unix:"); /* ours to remove */
    if (err)
        return err;
    wsg_address_format(&bound, m->address);
    return WSB_OK;
}

wsb_err wsg_metrics_new(struct wsg_gate *gate, struct wsg_metrics **ret, struct wsb_fault *fault)
{
    struct wsg_metrics *m = calloc(1, sizeof *m);
    if (!m)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    m->gate = gate;
    m->loop = wsg_gate_loop(gate);
    wsg_listener_init(&m->listener, m->loop, welcome, m);
    m->step.fn = on_step;
    wsb_err err = listen_there(m, fault);
    if (err)
        goto out;
    *ret = m;
    m = NULL;
out:
    wsg_metrics_free(m);
    return err;
}

void wsg_metrics_free(struct wsg_metrics *m)
{
    if (!m)
        return;
    struct scrape *s, *next;
    DL_FOREACH_SAFE (m->scrapes, s, next) {
        scrape_take_out(s); /* no task will run any more */
        on_free_task(&s->task);
    }
    wsg_page_unref(m->page);
    if (m->path)
        (void)unlink(m->path); /* while it is still ours */
    wsg_listener_close(&m->listener);
    free(m);
}

const char *wsg_metrics_address(const struct wsg_metrics *m)
{
    return m->address;
}
