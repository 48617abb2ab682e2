/*
 * Two formats. JSON has everything by name. "combined" is the format that web servers have in common, with pairs of a name
 * and a value behind it, which programs that know the format pass over; it escapes bytes as nginx does, \xHH, so that
 * whoever splits at quotes splits right.
 */
#include "access/line.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/json.h"

static struct wsb_span cut(struct wsb_span s, size_t max)
{
    return wsb_span(s.ptr, s.len < max ? s.len : max);
}

/* -------------------------------------------------------------------- combined */

static bool is_plain(uint8_t c)
{
    return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

static wsb_err put_escaped(struct wsb_buf *out, struct wsb_span s)
{
    static const char hex[] = "0123456789ABCDEF";
    wsb_err err = WSB_OK;
    for (size_t i = 0; i < s.len && !err; i++) {
        size_t begin = i;
        while (i < s.len && is_plain(s.ptr[i]))
            i++;
        err = wsb_buf_append(out, s.ptr + begin, i - begin);
        if (i == s.len || err)
            break;
        const char escape[] = {'\\', 'x', hex[s.ptr[i] >> 4], hex[s.ptr[i] & 15]};
        err = wsb_buf_append(out, escape, sizeof escape);
    }
    return err;
}

/* In quotes; a dash where there is nothing. */
static wsb_err put_quoted(struct wsb_buf *out, struct wsb_span s)
{
    wsb_err err = wsb_buf_append_str(out, " \"");
    if (!err)
        err = s.len ? put_escaped(out, s) : wsb_buf_append_str(out, "-");
    return err ? err : wsb_buf_append_str(out, "\"");
}

static wsb_err put_request_line(struct wsb_buf *out, const struct wsg_access_record *r)
{
    if (r->method.len == 0)
        return wsb_buf_append_str(out, " \"-\"");
    wsb_err err = wsb_buf_append_str(out, " \"");
    if (!err)
        err = put_escaped(out, r->method);
    if (!err)
        err = wsb_buf_append_str(out, " ");
    if (!err)
        err = put_escaped(out, cut(r->target, WSG_ACCESS_TARGET_MAX));
    return err ? err : wsb_buf_printf(out, " HTTP/1.%u\"", r->minor);
}

/* "192.0.2.1" of "192.0.2.1:80", "::1" of "[::1]:80"; "unix:1000" as it is. */
static struct wsb_span host_of(const char *peer)
{
    struct wsb_span s = wsb_span_str(peer);
    const char *colon = strrchr(peer, ':');
    if (peer[0] == '[') {
        const char *end = strchr(peer, ']');
        return end ? wsb_span(peer + 1, (size_t)(end - peer) - 1) : s;
    }
    bool has_port = colon && strncmp(peer, "unix:", 5) != 0;
    return has_port ? wsb_span(peer, (size_t)(colon - peer)) : s;
}

/* The names of months are those of the format, not those of a locale. */
static void time_format(uint64_t time_ns, char out[80])
{
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm tm = {0};
    time_t s = (time_t)(time_ns / 1000000000u);
    gmtime_r(&s, &tm);
    (void)snprintf(out, 80, "%02d/%s/%d:%02d:%02d:%02d +0000", tm.tm_mday, months[(unsigned)tm.tm_mon % 12],
                   tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static wsb_err put_pairs(struct wsb_buf *out, const struct wsg_access_record *r)
{
    const struct wsg_access_ending *e = r->ending;
    wsb_err err = wsb_buf_printf(out, " us=%" PRIu64 " conn=%016" PRIx64 " route=%s id=%s%s", r->duration_us, r->conn,
                                 r->route[0] ? r->route : "-", r->request_id[0] ? r->request_id : "-",
                                 r->is_complete ? "" : " incomplete=1");
    if (!err && e)
        err = wsb_buf_printf(
            out, " close=%u by=%s clean=%d messages_in=%" PRIu64 " bytes_in=%" PRIu64 " messages_out=%" PRIu64, e->code,
            e->by, e->clean, e->messages_in, e->bytes_in, e->messages_out);
    return err;
}

static wsb_err combined_write(struct wsb_buf *out, const struct wsg_access_record *r)
{
    char when[80];
    struct wsb_span host = host_of(r->peer);
    time_format(r->time_ns, when);
    wsb_err err = wsb_buf_printf(out, "%.*s - - [%s]", (int)host.len, (const char *)host.ptr, when);
    if (!err)
        err = put_request_line(out, r);
    if (!err)
        err = wsb_buf_printf(out, " %03u %" PRIu64, r->status, r->bytes);
    if (!err)
        err = put_quoted(out, cut(r->referer, WSG_ACCESS_REFERER_MAX));
    if (!err)
        err = put_quoted(out, cut(r->agent, WSG_ACCESS_AGENT_MAX));
    return err ? err : put_pairs(out, r);
}

/* ------------------------------------------------------------------------ JSON */

static void put_time(struct wsb_json *j, uint64_t time_ns)
{
    char text[40];
    struct tm tm = {0};
    time_t s = (time_t)(time_ns / 1000000000u);
    gmtime_r(&s, &tm);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(text + n, sizeof text - n, ".%06uZ", (unsigned)(time_ns % 1000000000u / 1000));
    wsb_json_kcstr(j, "time", text);
}

static void put_ending(struct wsb_json *j, const struct wsg_access_ending *e)
{
    wsb_json_key(j, "websocket");
    wsb_json_object(j);
    wsb_json_kcstr(j, "by", e->by);
    wsb_json_ku64(j, "code", e->code);
    wsb_json_kbool(j, "clean", e->clean);
    wsb_json_ku64(j, "messages_in", e->messages_in);
    wsb_json_ku64(j, "bytes_in", e->bytes_in);
    wsb_json_ku64(j, "messages_out", e->messages_out);
    wsb_json_ku64(j, "bytes_out", e->bytes_out);
    wsb_json_object_end(j);
}

/* What came in a header: bytes above 127 are ISO 8859-1, whatever else they look like. */
static void put_header(struct wsb_json *j, const char *key, struct wsb_span value)
{
    wsb_json_key(j, key);
    wsb_json_latin1(j, value);
}

static wsb_err json_write(struct wsb_buf *out, const struct wsg_access_record *r)
{
    struct wsb_json j;
    wsb_json_begin(&j, out);
    wsb_json_object(&j);
    put_time(&j, r->time_ns);
    wsb_json_kcstr(&j, "peer", r->peer);
    put_header(&j, "method", r->method);
    put_header(&j, "target", cut(r->target, WSG_ACCESS_TARGET_MAX));
    wsb_json_kcstr(&j, "version", r->method.len == 0 ? "" : r->minor ? "1.1" : "1.0");
    wsb_json_ku64(&j, "status", r->status);
    wsb_json_ku64(&j, "bytes", r->bytes);
    wsb_json_ku64(&j, "us", r->duration_us);
    put_header(&j, "referer", cut(r->referer, WSG_ACCESS_REFERER_MAX));
    put_header(&j, "agent", cut(r->agent, WSG_ACCESS_AGENT_MAX));
    wsb_json_kcstr(&j, "request_id", r->request_id);
    wsb_json_kcstr(&j, "route", r->route);
    wsb_json_key(&j, "conn");
    wsb_json_id(&j, r->conn);
    wsb_json_kbool(&j, "complete", r->is_complete);
    if (r->ending)
        put_ending(&j, r->ending);
    wsb_json_object_end(&j);
    return wsb_json_end(&j);
}

wsb_err wsg_access_line_write(struct wsb_buf *out, enum wsg_access_format format, const struct wsg_access_record *r)
{
    size_t begin = out->len;
    wsb_err err = format == WSG_ACCESS_JSON ? json_write(out, r) : combined_write(out, r);
    if (!err)
        err = wsb_buf_append_str(out, "\n");
    if (err)
        out->len = begin;
    return err;
}
