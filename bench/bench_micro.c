/*
 * What the pure cores cost: nanoseconds of CPU time of one operation, the median of some runs of a fixed amount of work,
 * one line of key=value pairs each. Everything lies in the cache and every branch is foretold, so this is the floor, not what a
 * message costs; it is there to compare two versions of one function.
 */
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "bench/common.h"
#include "http/request.h"
#include "wire/envelope.h"
#include "ws/frame.h"
#include "ws/mask.h"

enum { RUNS = 5, LARGEST = 1 << 20, BATCH = 64, SMALL = 125, MIDDLE = 16 << 10 };

struct work {
    uint8_t *src; /* owned; LARGEST bytes */
    uint8_t *dst; /* owned; LARGEST bytes */
    size_t len;   /* of this row */
    struct wsb_buf out;
};

static const uint8_t MASK[4] = {0x37, 0xfa, 0x21, 0x3d};

/* The compiler may not know what lies in memory, nor that nobody looks at it. */
static inline void forget(void)
{
    __asm__ volatile("" ::: "memory");
}

static void need(bool ok, const char *what)
{
    if (!ok)
        bench_die("%s went wrong", what);
}

/* --- payload ------------------------------------------------------------------------------------------------------ */

static void mask_copy(struct work *w, unsigned count)
{
    while (count--)
        wsb_mask_copy(w->dst, w->src, w->len, MASK, 0);
}

static void mask_copy_ascii(struct work *w, unsigned count)
{
    while (count--)
        need(wsb_mask_copy_ascii(w->dst, w->src, w->len, MASK, 0), "ASCII");
}

static void mask_naive(struct work *w, unsigned count)
{
    while (count--) {
        for (size_t i = 0; i < w->len; i++)
            w->dst[i] = w->src[i] ^ MASK[i & 3];
        forget();
    }
}

static void copy_only(struct work *w, unsigned count)
{
    while (count--) {
        memcpy(w->dst, w->src, w->len);
        forget();
    }
}

static void utf8(struct work *w, unsigned count)
{
    while (count--)
        need(wsb_utf8_is_valid(w->src, w->len), "UTF-8");
}

/* --- frames and envelopes ----------------------------------------------------------------------------------------- */

static void frame_parse(struct work *w, unsigned count)
{
    struct wsb_frame_hdr hdr = {.opcode = WSB_OP_TEXT, .fin = true, .masked = true, .payload_len = w->len};
    uint8_t head[WSB_FRAME_HDR_MAX];
    size_t len = wsb_frame_hdr_write(head, &hdr), used;
    while (count--)
        need(wsb_frame_hdr_parse(head, len, WSB_ROLE_SERVER, 0, &hdr, &used) == WSB_OK, "frame");
}

static void record_write(struct work *w, unsigned count)
{
    struct wsb_envelope e = {.header = {.type = WSB_DATA, .code = WSB_OP_TEXT, .conn = 1, .seq = 1, .time_ns = 1},
                             .payload = wsb_span(w->src, w->len)};
    for (; count; count -= BATCH) {
        wsb_buf_clear(&w->out);
        for (unsigned i = 0; i < BATCH; i++)
            need(wsb_record_append(&w->out, &e) == WSB_OK, "record");
    }
}

/* Of the batch that record_write() has left. */
static void record_parse(struct work *w, unsigned count)
{
    struct wsb_envelope e;
    for (; count; count -= BATCH) {
        struct wsb_span batch = wsb_buf_span(&w->out);
        for (unsigned i = 0; i < BATCH; i++)
            need(wsb_record_next(&batch, &e) == WSB_OK && e.payload.len == w->len, "record");
    }
}

/* --- HTTP and JSON ------------------------------------------------------------------------------------------------ */

/* Of the length and shape that browsers send. */
static const char UPGRADE[] =
    "GET /chat/kitchen?token=5f0c HTTP/1.1\r\nHost: www.example.org:8080\r\nConnection: Upgrade\r\nPragma: no-cache\r\n"
    "Cache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/120.0.0.0 Safari/537.36\r\nUpgrade: websocket\r\nOrigin: http://www.example.org:8080\r\n"
    "Sec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: en-GB,en;q=0.9,nb;q=0.8\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nSec-WebSocket-Protocol: chat.v2, "
    "chat.v1\r\n\r\n";

static void http_head(struct work *w, unsigned count)
{
    static const struct wsg_http_limits limits = WSG_HTTP_LIMITS_DEFAULT;
    while (count--) {
        struct wsg_http_in in;
        struct wsg_http_event event;
        size_t used;
        wsg_http_in_init(&in, &limits);
        wsb_err err = wsg_http_in_next(&in, (const uint8_t *)UPGRADE, w->len, &used, &event);
        need(err == WSB_OK && event.kind == WSG_HTTP_EV_HEAD && event.head->is_upgrade, "HTTP head");
        wsg_http_in_deinit(&in);
    }
}

/* As much as an OPEN event tells a handler. */
static void json_meta(struct work *w, unsigned count)
{
    struct wsb_json j;
    while (count--) {
        wsb_buf_clear(&w->out);
        wsb_json_begin(&j, &w->out);
        wsb_json_object(&j);
        wsb_json_kcstr(&j, "route", "chat");
        wsb_json_kcstr(&j, "path", "/chat/kitchen");
        wsb_json_kcstr(&j, "query", "token=5f0c");
        wsb_json_kcstr(&j, "peer", "127.0.0.1:51422");
        wsb_json_kcstr(&j, "origin", "http://www.example.org:8080");
        wsb_json_key(&j, "params");
        wsb_json_object(&j);
        wsb_json_kcstr(&j, "room", "kitchen");
        wsb_json_object_end(&j);
        wsb_json_key(&j, "headers");
        wsb_json_array(&j);
        for (unsigned i = 0; i < 8; i++) {
            wsb_json_array(&j);
            wsb_json_cstr(&j, "Accept-Language");
            wsb_json_latin1(&j, wsb_span_str("en-GB,en;q=0.9,nb;q=0.8"));
            wsb_json_array_end(&j);
        }
        wsb_json_array_end(&j);
        wsb_json_ku64(&j, "opened_ms", 1700000000000);
        wsb_json_object_end(&j);
        need(wsb_json_end(&j) == WSB_OK, "JSON");
    }
}

/* --- the rows ----------------------------------------------------------------------------------------------------- */

static void fill(uint8_t *out, const char *text)
{
    size_t period = strlen(text);
    for (size_t i = 0; i < LARGEST; i++)
        out[i] = (uint8_t)text[i % period];
}

/* ASCII and characters of two, three and four bytes: 24 bytes, and the lengths of the rows end between two characters. */
static const char MIXED[] = "Blåb\xc3\xa6r \xe2\x82\xac 5 \xf0\x9f\x98\x80 \xd0\xb4\xd0\xb0 ";

/* Scripts whose characters have two bytes, and three. */
static const char CYRILLIC[] = "\xd0\xb4\xd0\xb0\xd1\x8f\xd0\xbd\xd0\xb5";
static const char HAN[] = "\xe6\xbc\xa2\xe5\xad\x97\xe4\xbb\xae\xe5\x90\x8d";

static const struct row {
    const char *name;
    size_t len;
    unsigned count; /* operations of one run: some ten milliseconds */
    void (*fn)(struct work *w, unsigned count);
    const char *text; /* what src is filled with; NULL: bytes that are ASCII behind the mask */
} rows[] = {
    {"mask_copy", SMALL, 1000000, mask_copy, NULL},
    {"mask_copy", MIDDLE, 40000, mask_copy, NULL},
    {"mask_copy", LARGEST, 200, mask_copy, NULL},
    {"mask_copy_ascii", SMALL, 1000000, mask_copy_ascii, NULL},
    {"mask_copy_ascii", MIDDLE, 40000, mask_copy_ascii, NULL},
    {"mask_copy_ascii", LARGEST, 200, mask_copy_ascii, NULL},
    {"mask_naive", SMALL, 200000, mask_naive, NULL},
    {"mask_naive", MIDDLE, 2000, mask_naive, NULL},
    {"mask_naive", LARGEST, 30, mask_naive, NULL},
    {"memcpy", SMALL, 1000000, copy_only, NULL},
    {"memcpy", MIDDLE, 40000, copy_only, NULL},
    {"memcpy", LARGEST, 200, copy_only, NULL},
    {"utf8_ascii", SMALL, 1000000, utf8, "plain text "},
    {"utf8_ascii", MIDDLE, 40000, utf8, "plain text "},
    {"utf8_mixed", 5 * (sizeof MIXED - 1), 100000, utf8, MIXED},
    {"utf8_mixed", 500 * (sizeof MIXED - 1), 1000, utf8, MIXED},
    {"utf8_2_bytes", 1200 * (sizeof CYRILLIC - 1), 1000, utf8, CYRILLIC},
    {"utf8_3_bytes", 1000 * (sizeof HAN - 1), 1000, utf8, HAN},
    {"frame_hdr_parse", SMALL, 2000000, frame_parse, NULL},
    {"frame_hdr_parse", MIDDLE, 2000000, frame_parse, NULL},
    {"record_write", SMALL, 640000, record_write, NULL},
    {"record_parse", SMALL, 640000, record_parse, NULL},
    {"http_head_parse", sizeof UPGRADE - 1, 5000, http_head, NULL},
    {"json_meta_write", 0, 10000, json_meta, NULL},
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of this thread: what others do on the same core meanwhile does not count. */
static uint64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double median_ns(const struct row *row, struct work *w)
{
    double ns[RUNS];
    row->fn(w, row->count); /* not measured: caches, branches, pages */
    for (int i = 0; i < RUNS; i++) {
        uint64_t start_ns = cpu_ns();
        row->fn(w, row->count);
        ns[i] = (double)(cpu_ns() - start_ns) / row->count;
    }
    qsort(ns, RUNS, sizeof *ns, by_value);
    return ns[RUNS / 2];
}

int main(void)
{
    struct work w = {.src = malloc(LARGEST), .dst = malloc(LARGEST)};
    if (!w.src || !w.dst)
        bench_die("out of memory");
    wsb_buf_init(&w.out, LARGEST);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        w.len = row->len;
        if (row->text) {
            fill(w.src, row->text);
        } else {
            for (size_t k = 0; k < LARGEST; k++)
                w.src[k] = MASK[k & 3] ^ 'a';
        }
        double ns = median_ns(row, &w);
        (void)printf("name=%s bytes=%zu ns=%.2f\n", row->name, row->len, ns);
        (void)fflush(stdout);
    }
    wsb_buf_deinit(&w.out);
    free(w.dst);
    free(w.src);
    return 0;
}
