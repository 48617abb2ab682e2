/*
 * What TLS costs by itself, without sockets: the cipher alone, our core around it, a handshake of both sides, and the
 * memory of a connection that is idle. Lines as bench_micro writes them; "idle" is bytes of memory, not time.
 */
#include <malloc.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <unistd.h>

#include "bench/common.h"
#include "tls/context.h"
#include "tls/stream.h"

enum { RUNS = 5, ROOM = 80 << 10, IDLE = 1000 };

struct pair {
    struct wsb_tls_stream *client, *server;
};

static struct wsb_tls_context *server, *client;
static uint8_t plain[1 << 20], wire[ROOM], back[ROOM];

static void need(bool ok, const char *what)
{
    if (!ok)
        bench_die("%s went wrong", what);
}

/* A certificate that signs itself, with its key, in a file that is gone when it has been read. */
static void make_contexts(void)
{
    char path[] = "/tmp/wsbus-bench-XXXXXX";
    int fd = mkstemp(path);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    need(f && key && x, "a certificate");
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_set_pubkey(x, key);
    need(X509_sign(x, key, EVP_sha256()) > 0 && PEM_write_X509(f, x) == 1 &&
             PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1,
         "a certificate");
    (void)fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
    struct wsb_tls_files files = {path, NULL};
    struct wsb_fault fault = {0};
    wsb_err err =
        wsb_tls_server_new(&(struct wsb_tls_server_config){.files = &files, .file_count = 1}, &server, &fault);
    if (!err)
        err = wsb_tls_client_new(&(struct wsb_tls_client_config){.insecure = true}, &client, &fault);
    (void)unlink(path);
    if (err)
        bench_die("%s", fault.text);
}

static void step(struct wsb_tls_stream *to, wsb_err *state, const uint8_t *in, size_t in_len, uint8_t *out,
                 size_t *out_len)
{
    struct wsb_tls_io io = {wsb_span(in, in_len), out, ROOM, 0};
    uint8_t none;
    size_t len;
    if (*state == WSB_MORE)
        *state = wsb_tls_stream_handshake(to, &io, NULL);
    if (*state == WSB_OK && io.in.len)
        need(wsb_tls_stream_read(to, &io, &none, 1, &len, NULL) == WSB_MORE, "a ticket");
    *out_len = io.len;
}

static struct pair connect_pair(void)
{
    struct pair p = {0};
    wsb_err c = WSB_MORE, s = WSB_MORE;
    size_t there = 0, here = 0;
    need(wsb_tls_stream_new(client, "bench", &p.client, NULL) == WSB_OK &&
             wsb_tls_stream_new(server, NULL, &p.server, NULL) == WSB_OK,
         "a stream");
    for (int i = 0; i < 4; i++) {
        step(p.client, &c, back, here, wire, &there);
        step(p.server, &s, wire, there, back, &here);
    }
    need(c == WSB_OK && s == WSB_OK, "a handshake");
    return p;
}

static void free_pair(struct pair *p)
{
    wsb_tls_stream_free(p->client);
    wsb_tls_stream_free(p->server);
}

/* --- the rows ----------------------------------------------------------------------------------------------------- */

/* AES-256-GCM of one record, the key being set: nothing that speaks TLS can be faster. */
static void cipher_only(struct pair *p, size_t len, unsigned count)
{
    static const uint8_t key[32], iv[12];
    uint8_t tag[16];
    int out;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    (void)p;
    need(ctx && EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, iv) == 1, "a cipher");
    while (count--)
        need(EVP_EncryptInit_ex(ctx, NULL, NULL, NULL, iv) == 1 &&
                 EVP_EncryptUpdate(ctx, wire, &out, plain, (int)len) == 1 &&
                 EVP_EncryptFinal_ex(ctx, wire + out, &out) == 1 &&
                 EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, sizeof tag, tag) == 1,
             "a cipher");
    EVP_CIPHER_CTX_free(ctx);
}

static void seal(struct pair *p, size_t len, unsigned count)
{
    while (count--) {
        size_t used;
        struct wsb_tls_io io = {.out = wire, .room = ROOM};
        need(wsb_tls_stream_write(p->client, &io, wsb_span(plain, len), &used, NULL) == WSB_OK && used == len,
             "sealing");
    }
}

/* There, and opened: one way of a message. */
static void pass(struct pair *p, size_t len, unsigned count)
{
    while (count--) {
        size_t used, got;
        struct wsb_tls_io out = {.out = wire, .room = ROOM};
        need(wsb_tls_stream_write(p->client, &out, wsb_span(plain, len), &used, NULL) == WSB_OK && used == len,
             "sealing");
        struct wsb_tls_io in = {wsb_span(wire, out.len), back, ROOM, 0};
        need(wsb_tls_stream_read(p->server, &in, plain, sizeof plain, &got, NULL) == WSB_OK && got == len, "opening");
    }
}

static void shake(struct pair *p, size_t len, unsigned count)
{
    (void)p;
    (void)len;
    while (count--) {
        struct pair one = connect_pair();
        free_pair(&one);
    }
}

static const struct row {
    const char *name;
    size_t len;
    unsigned count;
    void (*fn)(struct pair *p, size_t len, unsigned count);
} rows[] = {
    {"aes_256_gcm", 125, 100000, cipher_only},
    {"aes_256_gcm", 16384, 5000, cipher_only},
    {"tls_seal", 125, 30000, seal},
    {"tls_seal", 16384, 4000, seal},
    {"tls_seal_and_open", 125, 20000, pass},
    {"tls_seal_and_open", 16384, 2000, pass},
    {"tls_handshake_both", 0, 50, shake},
};

static uint64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const struct row *row)
{
    double ns[RUNS];
    for (int i = 0; i < RUNS; i++) {
        struct pair p = connect_pair(); /* sealing without opening would not stay in step */
        uint64_t start_ns = cpu_ns();
        row->fn(&p, row->len, row->count);
        ns[i] = (double)(cpu_ns() - start_ns) / row->count;
        free_pair(&p);
    }
    qsort(ns, RUNS, sizeof *ns, by_value);
    (void)printf("name=%s bytes=%zu ns=%.2f\n", row->name, row->len, ns[RUNS / 2]);
}

/* What is left of the heap in use by servers whose clients are elsewhere. */
static void measure_idle(void)
{
    static struct pair pairs[IDLE];
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < IDLE; i++) {
        pairs[i] = connect_pair();
        wsb_tls_stream_free(pairs[i].client);
    }
    (void)printf("name=tls_idle_server bytes=%zu ns=0\n", (mallinfo2().uordblks - before) / IDLE);
    for (int i = 0; i < IDLE; i++)
        wsb_tls_stream_free(pairs[i].server);
}

int main(void)
{
    make_contexts();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        measure(&rows[i]);
    measure_idle();
    wsb_tls_context_unref(server);
    wsb_tls_context_unref(client);
    return 0;
}
