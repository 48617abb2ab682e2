/*
 * A TLS stream and what a stranger sends it. Input: one byte (which of two, and the size of the pieces), then the stranger's
 * bytes. They come either first, instead of a handshake, or on an open connection, before and behind a true record.
 * Properties: input is used up or the stream has failed, for good; pieces come to the same as the whole; nothing is read
 * that was not written; what it says fits in its room.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tls/context.h"
#include "tls/stream.h"
#include "unit/tls/pki.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROOM = 40 << 10 };

static struct wsb_tls_context *server, *client;

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void begin(void)
{
    struct pki pki;
    pki_open(&pki);
    pki_make(&pki, &(struct pki_ask){.file = "a", .names = "DNS:a", .common_name = "a", .days = 30});
    struct wsb_tls_files files = {pki_path(&pki, "a.pem"), pki_path(&pki, "a.key")};
    require(wsb_tls_server_new(&(struct wsb_tls_server_config){.files = &files, .file_count = 1, .alpn = "http/1.1"},
                               &server, NULL) == WSB_OK);
    require(wsb_tls_client_new(&(struct wsb_tls_client_config){.insecure = true}, &client, NULL) == WSB_OK);
    pki_close(&pki);
}

static struct wsb_tls_stream *stream_of(struct wsb_tls_context *context)
{
    struct wsb_tls_stream *s = NULL;
    require(wsb_tls_stream_new(context, context == client ? "a" : NULL, &s, NULL) == WSB_OK);
    return s;
}

/* A stranger's hello to a new server: how that ends, and why. */
static wsb_err greet(const uint8_t *data, size_t size, size_t piece, enum wsb_tls_reason *ret_reason)
{
    static uint8_t out[ROOM];
    struct wsb_tls_stream *s = stream_of(server);
    struct wsb_fault fault = {0};
    wsb_err err = WSB_MORE;
    for (size_t at = 0; at < size && err == WSB_MORE; at += piece) {
        size_t left = size - at;
        struct wsb_tls_io io = {wsb_span(data + at, left < piece ? left : piece), out, ROOM, 0};
        err = wsb_tls_stream_handshake(s, &io, &fault);
        require(io.len <= ROOM);
        require(err != WSB_MORE || io.in.len == 0);
        if (err != WSB_MORE && err != WSB_OK) {
            require(fault.text[0] && !wsb_tls_stream_is_open(s));
            require(wsb_tls_stream_handshake(s, &io, &fault) == WSB_ERR_GONE);
        }
    }
    *ret_reason = wsb_tls_stream_reason(s);
    wsb_tls_stream_free(s);
    return err;
}

static void turn(struct wsb_tls_stream *to, wsb_err *state, const uint8_t *in, size_t in_len, uint8_t *out,
                 size_t *out_len)
{
    struct wsb_tls_io io = {wsb_span(in, in_len), out, ROOM, 0};
    uint8_t byte;
    size_t len;
    if (*state == WSB_MORE)
        *state = wsb_tls_stream_handshake(to, &io, NULL);
    if (*state == WSB_OK && io.in.len)
        require(wsb_tls_stream_read(to, &io, &byte, 1, &len, NULL) == WSB_MORE);
    *out_len = io.len;
}

/* A stranger's bytes around a record of the true client. */
static void intrude(const uint8_t *data, size_t size, size_t before)
{
    static uint8_t ours[ROOM], theirs[ROOM], wire[ROOM];
    static const char text[] = "true";
    size_t ours_len = 0, theirs_len = 0, used = 0, got = 0;
    wsb_err c = WSB_MORE, s = WSB_MORE;
    uint8_t read[64];
    struct wsb_tls_stream *a = stream_of(client), *b = stream_of(server);
    for (int i = 0; i < 4; i++) {
        turn(a, &c, theirs, theirs_len, ours, &ours_len);
        turn(b, &s, ours, ours_len, theirs, &theirs_len);
    }
    require(c == WSB_OK && s == WSB_OK);
    struct wsb_tls_io out = {.out = ours, .room = ROOM};
    require(wsb_tls_stream_write(a, &out, wsb_span(text, 4), &used, NULL) == WSB_OK && used == 4);
    before = before < size ? before : size;
    memcpy(wire, data, before);
    memcpy(wire + before, ours, out.len);
    memcpy(wire + before + out.len, data + before, size - before);
    struct wsb_tls_io in = {wsb_span(wire, size + out.len), theirs, ROOM, 0};
    wsb_err err;
    while ((err = wsb_tls_stream_read(b, &in, read + got, sizeof read - got, &used, NULL)) == WSB_OK)
        got += used;
    require(got == 0 || (got == 4 && memcmp(read, text, 4) == 0));
    require(err != WSB_CLOSED); /* nobody has said so */
    require(err != WSB_MORE || in.in.len == 0);
    wsb_tls_stream_free(a);
    wsb_tls_stream_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!server)
        begin();
    if (size < 2 || size > ROOM / 2)
        return 0;
    size_t piece = 1 + (data[0] >> 1);
    if (data[0] & 1) {
        intrude(data + 1, size - 1, piece - 1);
    } else {
        enum wsb_tls_reason whole_reason, reason;
        wsb_err whole = greet(data + 1, size - 1, size, &whole_reason);
        wsb_err err = greet(data + 1, size - 1, piece, &reason);
        require(whole == err && whole_reason == reason);
    }
    return 0;
}
