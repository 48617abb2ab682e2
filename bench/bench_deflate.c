/*
 * What compression costs: nanoseconds of CPU time a message, the median of some runs, one line of key=value pairs each: our
 * core beside the bare library that it stands on, and beside igzip (libisal) where that is installed. The messages are
 * records of JSON as services send them, all different.
 */
#include <string.h>
#include <zlib.h>

#ifdef WSBUS_BENCH_ISAL
#include <isa-l/igzip_lib.h>
#endif

#include "bench/common.h"
#include "ws/deflate.h"

enum { RUNS = 5, MESSAGES = 64, LARGEST = 16 << 10, ROOM = 2 * LARGEST, LEVEL = 1 };

struct message {
    uint8_t text[LARGEST];
    uint8_t packed[ROOM];
    size_t packed_len;
};

struct work {
    struct message *messages; /* owned; MESSAGES of them */
    size_t len;               /* of this row's texts */
    size_t packed_bytes;      /* of what the row's function packed last, in sum */
    struct wsb_deflate_account account;
    struct wsb_deflate_shared *shared;
    struct wsb_deflate *alone, *keeps, *reader;
    z_stream packer, keeping_packer, small_packer, unpacker;
    uint8_t *out; /* owned; ROOM bytes */
};

static void need(bool ok, const char *what)
{
    if (!ok)
        bench_die("%s went wrong", what);
}

static void compose(uint8_t *out, unsigned seed)
{
    static const char *const names[] = {"temperature", "pressure", "speed", "position", "status", "message"};
    static const char *const words[] = {"kitchen", "garden", "ok", "changed", "north", "the quick brown fox"};
    char record[160];
    uint32_t x = seed * 2654435761u + 1;
    for (size_t at = 0; at < LARGEST;) {
        x = x * 1664525u + 1013904223u;
        int n = snprintf(record, sizeof record, "{\"id\":%u,\"%s\":%u.%02u,\"where\":\"%s\",\"user\":\"u%04x\"},",
                         x >> 12, names[(x >> 8) % 6], x >> 22, (x >> 4) % 100, words[(x >> 16) % 6], x >> 16);
        size_t take = LARGEST - at < (size_t)n ? LARGEST - at : (size_t)n;
        memcpy(out + at, record, take);
        at += take;
    }
}

/* ------------------------------------------------------------------ packing */

static void pack_core(struct work *w, struct wsb_deflate *d)
{
    for (int i = 0; i < MESSAGES; i++) {
        struct wsb_span packed;
        need(wsb_deflate_pack(d, WSB_DEFLATE_IN_ORDER, wsb_span(w->messages[i].text, w->len), &packed) == WSB_OK,
             "pack");
        w->packed_bytes += packed.len;
    }
}

static void pack_alone(struct work *w)
{
    pack_core(w, w->alone);
}

static void pack_keeping(struct work *w)
{
    pack_core(w, w->keeps);
}

static size_t zlib_pack(z_stream *z, const uint8_t *text, size_t len, uint8_t *out)
{
    z->next_in = (z_const Bytef *)text;
    z->avail_in = (unsigned)len;
    z->next_out = out;
    z->avail_out = ROOM;
    need(deflate(z, Z_SYNC_FLUSH) == Z_OK && !z->avail_in, "deflate");
    return ROOM - z->avail_out - 4;
}

static void pack_zlib_with(struct work *w, z_stream *z)
{
    for (int i = 0; i < MESSAGES; i++) {
        need(deflateReset(z) == Z_OK, "reset");
        w->packed_bytes += zlib_pack(z, w->messages[i].text, w->len, w->out);
    }
}

static void pack_zlib(struct work *w)
{
    pack_zlib_with(w, &w->packer);
}

static void pack_zlib_small(struct work *w)
{
    pack_zlib_with(w, &w->small_packer);
}

static void pack_zlib_keeping(struct work *w)
{
    for (int i = 0; i < MESSAGES; i++)
        w->packed_bytes += zlib_pack(&w->keeping_packer, w->messages[i].text, w->len, w->out);
}

/* ---------------------------------------------------------------- unpacking */

static void unpack_core(struct work *w)
{
    for (int i = 0; i < MESSAGES; i++) {
        struct wsb_ws_event ev = {.type = WSB_WS_MESSAGE,
                                  .opcode = WSB_OP_TEXT,
                                  .rsv = WSB_RSV1,
                                  .payload = w->messages[i].packed,
                                  .len = w->messages[i].packed_len};
        need(wsb_deflate_unpack(w->reader, &ev, LARGEST) == WSB_OK && ev.len == w->len, "unpack");
        w->packed_bytes += w->messages[i].packed_len;
    }
}

static void unpack_zlib(struct work *w)
{
    static uint8_t tail[] = {0, 0, 0xff, 0xff};
    z_stream *z = &w->unpacker;
    for (int i = 0; i < MESSAGES; i++) {
        need(inflateReset(z) == Z_OK, "reset");
        z->next_in = w->messages[i].packed;
        z->avail_in = (unsigned)w->messages[i].packed_len;
        z->next_out = w->out;
        z->avail_out = ROOM;
        need(inflate(z, Z_SYNC_FLUSH) == Z_OK, "inflate");
        z->next_in = tail;
        z->avail_in = sizeof tail;
        int result = inflate(z, Z_SYNC_FLUSH);
        need((result == Z_OK || result == Z_BUF_ERROR) && ROOM - z->avail_out == w->len, "inflate");
        w->packed_bytes += w->messages[i].packed_len;
    }
}

/* -------------------------------------------------------------------- igzip */

#ifdef WSBUS_BENCH_ISAL
static struct isal_zstream isal_packer;
static struct inflate_state isal_unpacker;
static uint8_t isal_level_buf[ISAL_DEF_LVL1_DEFAULT];

static void pack_isal(struct work *w)
{
    struct isal_zstream *z = &isal_packer;
    for (int i = 0; i < MESSAGES; i++) {
        isal_deflate_init(z);
        z->level = 1;
        z->level_buf = isal_level_buf;
        z->level_buf_size = sizeof isal_level_buf;
        z->flush = SYNC_FLUSH;
        z->next_in = w->messages[i].text;
        z->avail_in = (uint32_t)w->len;
        z->next_out = w->out;
        z->avail_out = ROOM;
        need(isal_deflate(z) == COMP_OK && !z->avail_in, "isal_deflate");
        w->packed_bytes += ROOM - z->avail_out - 4;
    }
}

static void unpack_isal(struct work *w)
{
    struct inflate_state *z = &isal_unpacker;
    for (int i = 0; i < MESSAGES; i++) {
        isal_inflate_init(z);
        z->next_in = w->messages[i].packed;
        z->avail_in = (uint32_t)w->messages[i].packed_len;
        z->next_out = w->out;
        z->avail_out = ROOM;
        need(isal_inflate(z) == ISAL_DECOMP_OK && ROOM - z->avail_out == w->len, "isal_inflate");
        w->packed_bytes += w->messages[i].packed_len;
    }
}
#endif

/* ----------------------------------------------------------------- the rows */

static const size_t lengths[] = {128, 1024, LARGEST};

static const struct row {
    const char *name;
    void (*fn)(struct work *w);
} rows[] = {
    {"deflate", pack_alone},
    {"deflate_takeover", pack_keeping},
    {"deflate_zlib", pack_zlib},
    {"deflate_zlib_12", pack_zlib_small},
    {"deflate_zlib_takeover", pack_zlib_keeping},
#ifdef WSBUS_BENCH_ISAL
    {"deflate_isal", pack_isal},
#endif
    {"inflate", unpack_core},
    {"inflate_zlib", unpack_zlib},
#ifdef WSBUS_BENCH_ISAL
    {"inflate_isal", unpack_isal},
#endif
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

static void measure(const struct row *row, struct work *w)
{
    int rounds = (int)(1 + (4 << 20) / MESSAGES / (w->len + 512));
    double ns[RUNS];
    row->fn(w); /* not measured: caches, branches, pages */
    for (int i = 0; i < RUNS; i++) {
        uint64_t start_ns = cpu_ns();
        for (int k = 0; k < rounds; k++) {
            w->packed_bytes = 0;
            row->fn(w);
        }
        ns[i] = (double)(cpu_ns() - start_ns) / rounds / MESSAGES;
    }
    qsort(ns, RUNS, sizeof *ns, by_value);
    (void)printf("name=%s bytes=%zu ns=%.0f ratio=%.2f\n", row->name, w->len, ns[RUNS / 2],
                 (double)w->packed_bytes / MESSAGES / (double)w->len);
    (void)fflush(stdout);
}

static void make(struct work *w)
{
    const struct wsb_deflate_params alone = {
        .server_no_takeover = true, .client_no_takeover = true, .server_bits = 15, .client_bits = 15};
    const struct wsb_deflate_params keeps = {.server_bits = 12, .client_bits = 12};
    w->account.max = 1 << 20;
    need(wsb_deflate_shared_new(&w->shared, &w->account) == WSB_OK, "memory");
    need(wsb_deflate_new(&w->alone, w->shared, WSB_ROLE_SERVER, &alone, LEVEL) == WSB_OK, "memory");
    need(wsb_deflate_new(&w->keeps, w->shared, WSB_ROLE_SERVER, &keeps, LEVEL) == WSB_OK, "memory");
    need(wsb_deflate_new(&w->reader, w->shared, WSB_ROLE_CLIENT, &alone, LEVEL) == WSB_OK, "memory");
    need(deflateInit2(&w->packer, LEVEL, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK, "zlib");
    need(deflateInit2(&w->small_packer, LEVEL, Z_DEFLATED, -12, 5, Z_DEFAULT_STRATEGY) == Z_OK, "zlib");
    need(deflateInit2(&w->keeping_packer, LEVEL, Z_DEFLATED, -12, 5, Z_DEFAULT_STRATEGY) == Z_OK, "zlib");
    need(inflateInit2(&w->unpacker, -15) == Z_OK, "zlib");
}

int main(void)
{
    struct work w = {.messages = malloc(MESSAGES * sizeof *w.messages), .out = malloc(ROOM)};
    need(w.messages && w.out, "memory");
    make(&w);
    for (unsigned i = 0; i < MESSAGES; i++)
        compose(w.messages[i].text, i);
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        w.len = lengths[l];
        for (int i = 0; i < MESSAGES; i++) {
            need(deflateReset(&w.packer) == Z_OK, "reset");
            w.messages[i].packed_len = zlib_pack(&w.packer, w.messages[i].text, w.len, w.messages[i].packed);
        }
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            measure(&rows[i], &w);
    }
    wsb_deflate_free(w.alone);
    wsb_deflate_free(w.keeps);
    wsb_deflate_free(w.reader);
    wsb_deflate_shared_free(w.shared);
    (void)deflateEnd(&w.packer);
    (void)deflateEnd(&w.small_packer);
    (void)deflateEnd(&w.keeping_packer);
    (void)inflateEnd(&w.unpacker);
    free(w.messages);
    free(w.out);
    return 0;
}
