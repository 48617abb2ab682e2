/* Buffers hold what is left over only: a connection that is idle has none. */
#include "conn.h"

#include <stdlib.h>
#include <sys/epoll.h>

enum { READ_MIN = 4096 };

void wsl_conn_init(struct wsl_conn *c, uint32_t number, size_t max_message)
{
    *c = (struct wsl_conn){.state = WSL_NEW, .number = number, .stream = {.fd = -1}};
    wsl_reader_init(&c->reader, max_message);
    wsb_buf_init(&c->in, 0);
    wsb_buf_init(&c->out, WSL_IN_FLIGHT_BYTES_MAX);
}

void wsl_conn_deinit(struct wsl_conn *c)
{
    c->state = WSL_DEAD;
    wsl_stream_close(&c->stream);
    wsl_reader_deinit(&c->reader);
    wsb_deflate_free(c->deflate);
    c->deflate = NULL;
    wsb_buf_deinit(&c->in);
    wsb_buf_deinit(&c->out);
    c->out_sent = 0;
}

static wsb_err wait_for(struct wsl_conn *c, int epoll, bool write)
{
    if (c->wants_write == write)
        return WSB_OK;
    struct epoll_event event = {.events = EPOLLIN | (write ? EPOLLOUT : 0u), .data.ptr = c};
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, c->stream.fd, &event))
        return WSB_CLOSED;
    c->wants_write = write;
    return WSB_OK;
}

wsb_err wsl_conn_flush(struct wsl_conn *c, int epoll)
{
    while (wsl_conn_waiting(c)) {
        size_t len;
        wsb_err err = wsl_stream_write(&c->stream, c->out.data + c->out_sent, wsl_conn_waiting(c), &len);
        if (err)
            return err == WSB_AGAIN ? wait_for(c, epoll, /*write=*/true) : err;
        c->out_sent += len;
    }
    wsb_buf_deinit(&c->out);
    c->out_sent = 0;
    return wait_for(c, epoll, /*write=*/false);
}

wsb_err wsl_conn_send(struct wsl_conn *c, int epoll, struct wsb_span data)
{
    while (!wsl_conn_waiting(c) && data.len) {
        size_t len;
        wsb_err err = wsl_stream_write(&c->stream, data.ptr, data.len, &len);
        if (err == WSB_AGAIN)
            break;
        if (err)
            return err;
        data = wsb_span(data.ptr + len, data.len - len);
    }
    if (!data.len)
        return WSB_OK;
    wsb_err err = wsb_buf_append(&c->out, data.ptr, data.len);
    return err ? err : wait_for(c, epoll, /*write=*/true);
}

wsb_err wsl_conn_read(struct wsl_conn *c, uint8_t *scratch, size_t scratch_len, struct wsb_span *ret_in)
{
    size_t kept = c->in.len, len;
    bool in_scratch = kept + READ_MIN <= scratch_len && c->in_need <= scratch_len / 2;
    uint8_t *at = scratch;
    size_t room = scratch_len;
    if (in_scratch) {
        if (kept)
            memcpy(scratch, c->in.data, kept);
    } else {
        size_t more = c->in_need > kept ? c->in_need - kept : READ_MIN;
        wsb_err err = wsb_buf_reserve(&c->in, more);
        if (err)
            return err;
        at = c->in.data;
        room = c->in.cap;
    }
    wsb_err err = wsl_stream_read(&c->stream, at + kept, room - kept, &len);
    if (err)
        return err;
    if (!in_scratch)
        c->in.len += len;
    *ret_in = wsb_span(at, kept + len);
    return WSB_OK;
}

wsb_err wsl_conn_keep(struct wsl_conn *c, struct wsb_span rest, size_t need)
{
    c->in_need = need;
    if (!rest.len) {
        wsb_buf_deinit(&c->in);
        return WSB_OK;
    }
    bool is_ours = c->in.data && rest.ptr >= c->in.data && rest.ptr < c->in.data + c->in.cap;
    if (is_ours) {
        wsb_buf_consume(&c->in, (size_t)(rest.ptr - c->in.data));
        return WSB_OK;
    }
    wsb_buf_clear(&c->in);
    return wsb_buf_append(&c->in, rest.ptr, rest.len);
}
