/* Both sides of TLS talk in memory. Every promise of tls/stream.h and tls/context.h. */
#include "support/test.h"

#include <openssl/ssl.h>

#include "tls/context.h"
#include "tls/stream.h"
#include "unit/tls/pki.h"

enum { ROOM = 80 << 10 };

static struct pki pki;

/* One direction of the wire, and an end that speaks into it. */
struct end {
    struct wsb_tls_context *context;
    struct wsb_tls_stream *stream;
    uint8_t out[ROOM];
    size_t out_len;
    struct wsb_fault fault;
    wsb_err err; /* of the handshake */
};

static struct end client, server;

static void cert(const char *file, const char *names, const char *issuer, long days, bool is_rsa)
{
    pki_make(&pki, &(struct pki_ask){.file = file,
                                     .names = names,
                                     .issuer = issuer,
                                     .common_name = file,
                                     .days = days,
                                     .is_rsa = is_rsa,
                                     .is_authority = !issuer});
}

static int setup_all(void **state)
{
    (void)state;
    pki_open(&pki);
    cert("ca", NULL, NULL, 30, false);
    cert("ca2", NULL, NULL, 30, false);
    cert("a", "DNS:a.test,DNS:localhost,IP:127.0.0.1,IP:::1", "ca", 30, false);
    cert("a-rsa", "DNS:a.test", "ca", 30, true);
    cert("b", "DNS:b.test,DNS:*.b.test", "ca", 30, false);
    cert("old", "DNS:a.test", "ca", -2, false);
    cert("alice", NULL, "ca2", 30, false);
    cert("mallory", NULL, "ca", 30, false);
    return 0;
}

static int teardown_all(void **state)
{
    (void)state;
    pki_close(&pki);
    return 0;
}

static void end_close(struct end *e)
{
    wsb_tls_stream_free(e->stream);
    wsb_tls_context_unref(e->context);
    memset(e, 0, sizeof *e);
}

static int teardown(void **state)
{
    (void)state;
    end_close(&client);
    end_close(&server);
    return 0;
}

static struct wsb_tls_files files_of(const char *name)
{
    char cert_name[64], key_name[64];
    (void)snprintf(cert_name, sizeof cert_name, "%s.pem", name);
    (void)snprintf(key_name, sizeof key_name, "%s.key", name);
    return (struct wsb_tls_files){pki_path(&pki, cert_name), pki_path(&pki, key_name)};
}

static void serve(const struct wsb_tls_server_config *config)
{
    wsb_err err = wsb_tls_server_new(config, &server.context, &server.fault);
    if (err)
        fail_msg("%s", server.fault.text);
}

static void serve_file(const char *name)
{
    struct wsb_tls_files files = files_of(name);
    serve(&(struct wsb_tls_server_config){.files = &files, .file_count = 1, .alpn = "http/1.1"});
}

static void trust(const struct wsb_tls_client_config *config)
{
    wsb_err err = wsb_tls_client_new(config, &client.context, &client.fault);
    if (err)
        fail_msg("%s", client.fault.text);
}

static void trust_ca(void)
{
    trust(&(struct wsb_tls_client_config){.ca_file = pki_path(&pki, "ca.pem"), .alpn = "http/1.1"});
}

/* What `from` has said reaches `to` in pieces of `piece` bytes. */
static void step(struct end *to, struct end *from, size_t piece)
{
    static uint8_t wire[ROOM];
    size_t len = from->out_len;
    memcpy(wire, from->out, len);
    from->out_len = 0;
    for (size_t at = 0; at < len || (len == 0 && at == 0); at += piece) {
        size_t left = len - at;
        struct wsb_tls_io io = {wsb_span(wire + at, left < piece ? left : piece), to->out, ROOM, to->out_len};
        if (to->err == WSB_MORE)
            to->err = wsb_tls_stream_handshake(to->stream, &io, &to->fault);
        uint8_t none;
        size_t got = 0;
        if (to->err == WSB_OK && io.in.len) /* tickets, or an alert */
            to->err =
                wsb_tls_stream_read(to->stream, &io, &none, 1, &got, &to->fault) == WSB_MORE ? WSB_OK : WSB_ERR_PROTO;
        to->out_len = io.len;
        if (len == 0)
            break;
    }
}

static void connect_pieces(const char *host, size_t piece)
{
    assert_int_equal(wsb_tls_stream_new(server.context, NULL, &server.stream, &server.fault), WSB_OK);
    assert_int_equal(wsb_tls_stream_new(client.context, host, &client.stream, &client.fault), WSB_OK);
    client.err = server.err = WSB_MORE;
    for (int i = 0; i < 10; i++) {
        step(&client, &server, piece);
        step(&server, &client, piece);
    }
}

static void connect_to(const char *host)
{
    connect_pieces(host, ROOM);
}

static void assert_open(void)
{
    if (client.err || server.err)
        fail_msg("client %d %s, server %d %s", client.err, client.fault.text, server.err, server.fault.text);
    assert_true(wsb_tls_stream_is_open(client.stream) && wsb_tls_stream_is_open(server.stream));
}

static void assert_server_says(enum wsb_tls_reason reason, const char *says)
{
    assert_false(wsb_tls_stream_is_open(server.stream));
    if (wsb_tls_stream_reason(server.stream) != reason || !strstr(server.fault.text, says))
        fail_msg("%s: %s", wsb_tls_reason_name(wsb_tls_stream_reason(server.stream)), server.fault.text);
}

static void assert_client_says(enum wsb_tls_reason reason, const char *says)
{
    if (wsb_tls_stream_reason(client.stream) != reason || !strstr(client.fault.text, says))
        fail_msg("%s: %s", wsb_tls_reason_name(wsb_tls_stream_reason(client.stream)), client.fault.text);
}

/* Everything `from` says about `data` arrives at `to`, whatever the pieces. */
static void say(struct end *from, struct end *to, const uint8_t *data, size_t len, size_t piece)
{
    static uint8_t got[1 << 20];
    size_t got_len = 0;
    for (size_t sent = 0; sent < len;) {
        size_t used = 0;
        struct wsb_tls_io out = {.out = from->out, .room = ROOM};
        assert_int_equal(wsb_tls_stream_write(from->stream, &out, wsb_span(data + sent, len - sent), &used, NULL),
                         WSB_OK);
        assert_true(used > 0);
        sent += used;
        for (size_t at = 0; at < out.len; at += piece) {
            size_t left = out.len - at;
            struct wsb_tls_io in = {wsb_span(from->out + at, left < piece ? left : piece), to->out, ROOM, 0};
            wsb_err err;
            do {
                size_t count = 0;
                err = wsb_tls_stream_read(to->stream, &in, got + got_len, sizeof got - got_len, &count, &to->fault);
                got_len += count;
            } while (err == WSB_OK);
            assert_int_equal(err, WSB_MORE);
            assert_int_equal(in.in.len, 0);
        }
    }
    assert_int_equal(got_len, len);
    assert_memory_equal(got, data, len);
}

/* ----------------------------------------------------------------- handshakes */

static void test_both_sides_agree(void **state)
{
    (void)state;
    static const enum wsb_tls_version versions[] = {WSB_TLS_1_2, WSB_TLS_1_3};
    static const size_t pieces[] = {ROOM, 1, 7, 1000};
    for (size_t v = 0; v < COUNT(versions); v++) {
        for (size_t i = 0; i < COUNT(pieces); i++) {
            struct wsb_tls_info info;
            serve_file("a");
            trust(&(struct wsb_tls_client_config){
                .ca_file = pki_path(&pki, "ca.pem"), .alpn = "http/1.1", .min_version = versions[v]});
            connect_pieces("a.test", pieces[i]);
            assert_open();
            wsb_tls_stream_info(server.stream, &info);
            assert_string_equal(info.version, "TLSv1.3");
            assert_string_equal(info.name, "a.test");
            assert_true(wsb_span_eq_str(info.alpn, "http/1.1"));
            assert_false(info.is_resumed);
            assert_false(info.has_certificate);
            wsb_tls_stream_info(client.stream, &info);
            assert_true(info.has_certificate);
            assert_string_equal(info.subject, "CN=a");
            teardown(NULL);
        }
    }
}

static void test_certificate_is_chosen_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *host, *subject;
    } rows[] = {{"a.test", "CN=a"},     {"b.test", "CN=b"},       {"x.b.test", "CN=b"},
                {"x.y.b.test", "CN=a"}, {"unknown.test", "CN=a"}, {"127.0.0.1", "CN=a"}};
    struct wsb_tls_files files[] = {files_of("a"), files_of("b")};
    for (size_t i = 0; i < COUNT(rows); i++) {
        serve(&(struct wsb_tls_server_config){.files = files, .file_count = COUNT(files)});
        trust_ca();
        connect_to(rows[i].host);
        bool is_for_it = i < 3 || i == 5;
        if (is_for_it) {
            struct wsb_tls_info info;
            assert_open();
            wsb_tls_stream_info(client.stream, &info);
            assert_string_equal(info.subject, rows[i].subject);
        } else {
            assert_client_says(WSB_TLS_CERTIFICATE, "hostname mismatch"); /* it was shown the default */
        }
        teardown(NULL);
    }
}

static void test_client_believes_only_what_it_can_check(void **state)
{
    (void)state;
    static const struct {
        const char *file, *ca, *host, *says;
    } rows[] = {
        {"a", "ca.pem", "a.test", NULL},
        {"a", "ca.pem", "127.0.0.1", NULL},
        {"a", "ca.pem", "::1", NULL},
        {"a", "ca.pem", "127.0.0.2", "IP address mismatch"},
        {"a", "ca.pem", "b.test", "hostname mismatch"},
        {"a", "ca2.pem", "a.test", "unable to get local issuer certificate"},
        {"old", "ca.pem", "a.test", "certificate has expired"},
        {"ca2", "ca.pem", "a.test", "self-signed certificate"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        serve_file(rows[i].file);
        trust(&(struct wsb_tls_client_config){.ca_file = pki_path(&pki, rows[i].ca)});
        connect_to(rows[i].host);
        if (!rows[i].says) {
            assert_open();
        } else {
            assert_client_says(WSB_TLS_CERTIFICATE, rows[i].says);
            assert_int_equal(client.err, WSB_ERR_REFUSED);
            assert_server_says(WSB_TLS_ALERT, "alert");
        }
        teardown(NULL);
    }
}

static void test_insecure_takes_anything_and_says_so(void **state)
{
    (void)state;
    struct wsb_tls_info info;
    serve_file("old");
    trust(&(struct wsb_tls_client_config){.insecure = true});
    connect_to("whatever.test");
    assert_open();
    wsb_tls_stream_info(client.stream, &info);
    assert_false(info.has_certificate); /* nobody has checked it */
}

static void test_client_certificates_none_optional_required(void **state)
{
    (void)state;
    static const struct {
        enum wsb_tls_client_certificates ask;
        const char *own;
        const char *subject; /* that the server sees; NULL: none */
        const char *says;    /* NULL: connected */
    } rows[] = {
        {WSB_TLS_CLIENT_NONE, NULL, NULL, NULL},
        {WSB_TLS_CLIENT_NONE, "alice", NULL, NULL},
        {WSB_TLS_CLIENT_OPTIONAL, NULL, NULL, NULL},
        {WSB_TLS_CLIENT_OPTIONAL, "alice", "CN=alice", NULL},
        {WSB_TLS_CLIENT_OPTIONAL, "mallory", NULL, "unable to get local issuer certificate"},
        {WSB_TLS_CLIENT_REQUIRED, NULL, NULL, "peer did not return a certificate"},
        {WSB_TLS_CLIENT_REQUIRED, "alice", "CN=alice", NULL},
        {WSB_TLS_CLIENT_REQUIRED, "mallory", NULL, "unable to get local issuer certificate"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_tls_files files = files_of("a");
        serve(&(struct wsb_tls_server_config){.files = &files,
                                              .file_count = 1,
                                              .client_certificates = rows[i].ask,
                                              .client_ca = pki_path(&pki, "ca2.pem")});
        trust(&(struct wsb_tls_client_config){.ca_file = pki_path(&pki, "ca.pem"),
                                              .files = rows[i].own ? files_of(rows[i].own)
                                                                   : (struct wsb_tls_files){NULL, NULL}});
        connect_to("a.test");
        if (rows[i].says) {
            assert_server_says(WSB_TLS_CERTIFICATE, rows[i].says);
        } else {
            struct wsb_tls_info info;
            assert_open();
            wsb_tls_stream_info(server.stream, &info);
            assert_int_equal(info.has_certificate, rows[i].subject != NULL);
            assert_string_equal(info.subject, rows[i].subject ? rows[i].subject : "");
            assert_int_equal(strlen(info.fingerprint), rows[i].subject ? 64 : 0);
        }
        teardown(NULL);
    }
}

static void test_alpn_chooses_refuses_or_is_silent(void **state)
{
    (void)state;
    static const struct {
        const char *offer, *chosen; /* NULL: nothing is offered; refused */
    } rows[] = {{NULL, ""}, {"http/1.1", "http/1.1"}, {"h2,http/1.1", "http/1.1"}, {"h2", NULL}, {"h2,spdy/1", NULL}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_tls_info info;
        serve_file("a");
        trust(&(struct wsb_tls_client_config){.ca_file = pki_path(&pki, "ca.pem"), .alpn = rows[i].offer});
        connect_to("a.test");
        if (rows[i].chosen) {
            assert_open();
            wsb_tls_stream_info(client.stream, &info);
            assert_true(wsb_span_eq_str(info.alpn, rows[i].chosen));
        } else {
            assert_server_says(WSB_TLS_ALPN, "no application protocol");
            assert_client_says(WSB_TLS_ALERT, "no application protocol");
        }
        teardown(NULL);
    }
}

static void test_versions_have_a_floor(void **state)
{
    (void)state;
    struct wsb_tls_files files = files_of("a");
    serve(&(struct wsb_tls_server_config){.files = &files, .file_count = 1, .min_version = WSB_TLS_1_3});
    trust_ca();
    connect_to("a.test");
    assert_open();
    teardown(NULL);
    serve(&(struct wsb_tls_server_config){
        .files = &files, .file_count = 1, .ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256", .min_version = WSB_TLS_1_2});
    trust(&(struct wsb_tls_client_config){.ca_file = pki_path(&pki, "ca.pem"),
                                          .ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384:TLS_CHACHA20_POLY1305_SHA256"});
    connect_to("a.test");
    assert_open();
    struct wsb_tls_info info;
    wsb_tls_stream_info(server.stream, &info);
    assert_string_equal(info.cipher, "TLS_CHACHA20_POLY1305_SHA256");
}

/* A ClientHello of one version only, as OpenSSL writes it, answered by our server. */
static enum wsb_tls_reason answer_to(int version, struct wsb_fault *fault)
{
    static uint8_t hello[4096], out[ROOM];
    SSL_CTX *old = SSL_CTX_new(TLS_client_method());
    assert_non_null(old);
    SSL_CTX_set_security_level(old, 0);
    assert_int_equal(SSL_CTX_set_min_proto_version(old, version), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(old, version), 1);
    SSL *ssl = SSL_new(old);
    BIO *in = BIO_new(BIO_s_mem()), *sent = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, sent);
    SSL_set_connect_state(ssl);
    (void)SSL_do_handshake(ssl);
    int len = BIO_read(sent, hello, sizeof hello);
    assert_true(len > 0);
    SSL_free(ssl);
    SSL_CTX_free(old);
    struct wsb_tls_io io = {wsb_span(hello, (size_t)len), out, ROOM, 0};
    assert_int_equal(wsb_tls_stream_new(server.context, NULL, &server.stream, fault), WSB_OK);
    assert_int_equal(wsb_tls_stream_handshake(server.stream, &io, fault), WSB_ERR_PROTO);
    assert_true(io.len == 7 && out[0] == 21); /* told why: an alert */
    return wsb_tls_stream_reason(server.stream);
}

static void test_old_versions_are_refused(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_VERSION, TLS1_1_VERSION};
    for (size_t i = 0; i < COUNT(versions); i++) {
        struct wsb_fault fault = {0};
        serve_file("a");
        assert_int_equal(answer_to(versions[i], &fault), WSB_TLS_VERSION);
        assert_non_null(strstr(fault.text, "unsupported protocol"));
        teardown(NULL);
    }
}

static void test_garbage_is_refused_and_stays_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint8_t in[64];
        size_t len;
    } rows[] = {
        {"text", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27},
        {"zeros", {0}, 64},
        {"alert", {21, 3, 3, 0, 2, 2, 40}, 7},
        {"data before the handshake", {23, 3, 3, 0, 4, 1, 2, 3, 4}, 9},
        {"a record that is too long", {22, 3, 1, 0xff, 0xff, 1}, 64},
        {"a hello that is no hello", {22, 3, 1, 0, 5, 1, 0, 0, 1, 0}, 10},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        static uint8_t out[ROOM];
        struct wsb_tls_io io = {wsb_span(rows[i].in, rows[i].len), out, ROOM, 0};
        serve_file("a");
        assert_int_equal(wsb_tls_stream_new(server.context, NULL, &server.stream, &server.fault), WSB_OK);
        wsb_err err = wsb_tls_stream_handshake(server.stream, &io, &server.fault);
        if (err != WSB_ERR_PROTO && err != WSB_ERR_REFUSED)
            fail_msg("%s: %d", rows[i].name, err);
        assert_true(wsb_tls_stream_reason(server.stream) != WSB_TLS_OK);
        assert_int_equal(wsb_tls_stream_handshake(server.stream, &io, &server.fault), WSB_ERR_GONE);
        teardown(NULL);
    }
}

/* ---------------------------------------------------------------------- bytes */

static void test_bytes_arrive_however_they_are_cut(void **state)
{
    (void)state;
    static uint8_t data[300000];
    static const size_t pieces[] = {ROOM, 1, 5, 16384, 16405};
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7 + i / 251);
    serve_file("a");
    trust_ca();
    connect_to("a.test");
    assert_open();
    for (size_t i = 0; i < COUNT(pieces); i++) {
        say(&client, &server, data, pieces[i] < 100 ? 40000 : sizeof data, pieces[i]);
        say(&server, &client, data, pieces[i] < 100 ? 40000 : sizeof data, pieces[i]);
        say(&server, &client, data, 1, pieces[i]);
    }
}

static void test_write_takes_what_there_is_room_for(void **state)
{
    (void)state;
    static uint8_t data[3 * WSB_TLS_RECORD_BYTES], out[2 * (WSB_TLS_RECORD_BYTES + WSB_TLS_RECORD_ROOM)];
    size_t used = 1;
    serve_file("a");
    trust_ca();
    connect_to("a.test");
    struct wsb_tls_io io = {.out = out, .room = WSB_TLS_RECORD_ROOM};
    assert_int_equal(wsb_tls_stream_write(server.stream, &io, wsb_span(data, 10), &used, NULL), WSB_OK);
    assert_int_equal(used, 0);
    assert_int_equal(io.len, 0);
    io.room = sizeof out;
    assert_int_equal(wsb_tls_stream_write(server.stream, &io, wsb_span(data, sizeof data), &used, NULL), WSB_OK);
    assert_int_equal(used, 2 * WSB_TLS_RECORD_BYTES);
    assert_true(io.len <= sizeof out);
}

static void test_goodbye_is_told_apart_from_the_end(void **state)
{
    (void)state;
    uint8_t data[16], wire[256];
    size_t len = 0, used = 0;
    serve_file("a");
    trust_ca();
    connect_to("a.test");
    struct wsb_tls_io out = {.out = wire, .room = sizeof wire};
    struct wsb_tls_io none = {.out = server.out, .room = ROOM};
    assert_int_equal(wsb_tls_stream_read(server.stream, &none, data, sizeof data, &len, NULL), WSB_MORE);
    wsb_tls_stream_finish(client.stream, &out);
    assert_true(out.len > 0);
    size_t once = out.len;
    wsb_tls_stream_finish(client.stream, &out);
    assert_int_equal(out.len, once); /* said once */
    struct wsb_tls_io in = {.in = wsb_span(wire, out.len), .out = server.out, .room = ROOM};
    assert_int_equal(wsb_tls_stream_read(server.stream, &in, data, sizeof data, &len, NULL), WSB_CLOSED);
    assert_int_equal(wsb_tls_stream_read(server.stream, &in, data, sizeof data, &len, NULL), WSB_CLOSED);
    /* the other direction is still open */
    struct wsb_tls_io reply = {.out = server.out, .room = ROOM};
    assert_int_equal(wsb_tls_stream_write(server.stream, &reply, wsb_span("bye", 3), &used, NULL), WSB_OK);
    struct wsb_tls_io back = {.in = wsb_span(server.out, reply.len), .out = client.out, .room = ROOM};
    assert_int_equal(wsb_tls_stream_read(client.stream, &back, data, sizeof data, &len, NULL), WSB_OK);
    assert_int_equal(len, 3);
}

static void test_finish_before_the_handshake_says_nothing(void **state)
{
    (void)state;
    struct wsb_tls_io io = {.out = server.out, .room = ROOM};
    serve_file("a");
    assert_int_equal(wsb_tls_stream_new(server.context, NULL, &server.stream, &server.fault), WSB_OK);
    wsb_tls_stream_finish(server.stream, &io);
    assert_int_equal(io.len, 0);
    assert_false(wsb_tls_stream_is_open(server.stream));
}

/* A client of OpenSSL's own, which can do what ours does not. */
static SSL *raw_client(SSL_CTX **ret_context)
{
    *ret_context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(*ret_context);
    assert_non_null(ssl);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl);
    return ssl;
}

static size_t said_by(SSL *ssl, uint8_t *to, size_t room)
{
    int n = BIO_read(SSL_get_wbio(ssl), to, (int)room);
    return n > 0 ? (size_t)n : 0;
}

static void shake_hands(SSL *ssl, uint8_t *wire)
{
    wsb_err err = WSB_MORE;
    while (!SSL_is_init_finished(ssl) || err == WSB_MORE) {
        (void)SSL_do_handshake(ssl);
        struct wsb_tls_io io = {.in = wsb_span(wire, said_by(ssl, wire, ROOM)), .out = server.out, .room = ROOM};
        if (err == WSB_MORE)
            err = wsb_tls_stream_handshake(server.stream, &io, &server.fault);
        assert_true(err == WSB_OK || err == WSB_MORE);
        if (io.len)
            assert_int_equal(BIO_write(SSL_get_rbio(ssl), server.out, (int)io.len), (int)io.len);
    }
}

/* The new keys of 27 bytes cost more than a record of 16 KiB: some are taken, and some more for much that was said with the last. */
static void test_keys_are_not_changed_without_end(void **state)
{
    static const struct {
        int updates;
        wsb_err want;
    } rows[] = {{1, WSB_MORE}, {16, WSB_MORE}, {17, WSB_ERR_PROTO}, {1500, WSB_ERR_PROTO}};
    static uint8_t wire[ROOM], plain[WSB_TLS_RECORD_BYTES];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        SSL_CTX *context;
        SSL *ssl = raw_client(&context);
        size_t len = 0, got = 0;
        serve_file("a");
        assert_int_equal(wsb_tls_stream_new(server.context, NULL, &server.stream, &server.fault), WSB_OK);
        shake_hands(ssl, wire);
        for (int n = 0; n < rows[i].updates; n++) {
            assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
            assert_int_equal(SSL_do_handshake(ssl), 1);
            len += said_by(ssl, wire + len, ROOM - len);
        }
        struct wsb_tls_io io = {.in = wsb_span(wire, len), .out = server.out, .room = ROOM};
        assert_int_equal(wsb_tls_stream_read(server.stream, &io, plain, sizeof plain, &got, &server.fault),
                         rows[i].want);
        if (rows[i].want == WSB_MORE) {
            assert_int_equal(io.in.len, 0);
            assert_int_equal(SSL_write(ssl, "hello", 5), 5);
            io.in = wsb_span(wire, said_by(ssl, wire, ROOM));
            assert_int_equal(wsb_tls_stream_read(server.stream, &io, plain, sizeof plain, &got, &server.fault), WSB_OK);
            assert_int_equal(got, 5);
        } else {
            assert_true(len - io.in.len <= (size_t)17 * 64); /* the others were not looked at */
            assert_non_null(strstr(server.fault.text, "keys again and again"));
            assert_false(wsb_tls_stream_is_open(server.stream));
        }
        SSL_free(ssl);
        SSL_CTX_free(context);
        end_close(&server);
    }
}

static void test_changed_record_ends_the_connection(void **state)
{
    (void)state;
    uint8_t data[64];
    size_t used = 0, len = 0;
    struct wsb_tls_io out = {.out = client.out, .room = ROOM};
    serve_file("a");
    trust_ca();
    connect_to("a.test");
    assert_int_equal(wsb_tls_stream_write(client.stream, &out, wsb_span("hello", 5), &used, NULL), WSB_OK);
    client.out[out.len - 1] ^= 1;
    struct wsb_tls_io in = {.in = wsb_span(client.out, out.len), .out = server.out, .room = ROOM};
    assert_int_equal(wsb_tls_stream_read(server.stream, &in, data, sizeof data, &len, &server.fault), WSB_ERR_PROTO);
    assert_int_equal(wsb_tls_stream_reason(server.stream), WSB_TLS_GARBAGE);
    assert_true(in.len > 0); /* bad_record_mac */
    assert_int_equal(wsb_tls_stream_write(server.stream, &in, wsb_span("x", 1), &used, NULL), WSB_ERR_GONE);
}

static void test_context_may_go_before_its_streams(void **state)
{
    (void)state;
    serve_file("a");
    trust_ca();
    connect_to("a.test");
    wsb_tls_context_unref(server.context);
    server.context = NULL;
    say(&client, &server, (const uint8_t *)"still here", 10, ROOM);
}

/* ----------------------------------------------------------------- resumption */

/* A client of OpenSSL's that keeps its session; ours has no use for that yet. Returns whether it was resumed. */
static bool visit(int version, SSL_CTX *ctx, SSL_SESSION **session)
{
    static uint8_t wire[ROOM];
    struct wsb_tls_stream *s = NULL;
    struct wsb_fault fault = {0};
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *sent = BIO_new(BIO_s_mem());
    bool is_done = false;
    assert_int_equal(SSL_set_max_proto_version(ssl, version), 1);
    assert_int_equal(SSL_set_min_proto_version(ssl, version), 1);
    SSL_set_bio(ssl, in, sent);
    SSL_set_tlsext_host_name(ssl, "a.test");
    if (*session)
        assert_int_equal(SSL_set_session(ssl, *session), 1);
    SSL_set_connect_state(ssl);
    assert_int_equal(wsb_tls_stream_new(server.context, NULL, &s, &fault), WSB_OK);
    for (int i = 0; i < 6; i++) {
        uint8_t byte;
        (void)SSL_do_handshake(ssl);
        (void)SSL_read(ssl, &byte, 1); /* tickets */
        int len = BIO_read(sent, wire, sizeof wire);
        static uint8_t out[ROOM];
        struct wsb_tls_io io = {wsb_span(wire, len > 0 ? (size_t)len : 0), out, ROOM, 0};
        if (!is_done)
            is_done = wsb_tls_stream_handshake(s, &io, &fault) == WSB_OK;
        if (io.len)
            assert_int_equal(BIO_write(in, out, (int)io.len), (int)io.len);
    }
    assert_true(is_done);
    struct wsb_tls_info info;
    wsb_tls_stream_info(s, &info);
    assert_int_equal(info.is_resumed, SSL_session_reused(ssl));
    SSL_SESSION_free(*session);
    *session = SSL_get1_session(ssl);
    bool is_resumed = info.is_resumed;
    SSL_shutdown(ssl);
    SSL_free(ssl);
    wsb_tls_stream_free(s);
    return is_resumed;
}

static void test_key_is_chosen_by_what_the_client_can_check(void **state)
{
    (void)state;
    static const struct {
        const char *ciphers, *subject;
    } rows[] = {{"ECDHE-RSA-AES128-GCM-SHA256", "a-rsa"}, {"ECDHE-ECDSA-AES128-GCM-SHA256", "a"}};
    struct wsb_tls_files files[] = {files_of("b"), files_of("a"), files_of("a-rsa")};
    serve(&(struct wsb_tls_server_config){.files = files, .file_count = COUNT(files)});
    for (size_t i = 0; i < COUNT(rows); i++) {
        char subject[64];
        SSL_SESSION *session = NULL;
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        assert_int_equal(SSL_CTX_set_cipher_list(ctx, rows[i].ciphers), 1);
        (void)visit(TLS1_2_VERSION, ctx, &session);
        X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_SESSION_get0_peer(session)), NID_commonName, subject,
                                  sizeof subject);
        assert_string_equal(subject, rows[i].subject);
        SSL_SESSION_free(session);
        SSL_CTX_free(ctx);
    }
}

static void replace_server(struct wsb_tls_server_config *config)
{
    wsb_tls_context_unref(server.context);
    server.context = NULL;
    serve(config);
}

static void test_sessions_are_resumed_while_their_key_is_kept(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < COUNT(versions); i++) {
        struct wsb_tls_files files = files_of("a");
        struct wsb_tls_tickets *tickets = NULL;
        SSL_SESSION *session = NULL;
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        assert_int_equal(wsb_tls_tickets_new(&tickets), WSB_OK);
        struct wsb_tls_server_config config = {.files = &files, .file_count = 1, .tickets = tickets};
        serve(&config);
        assert_false(visit(versions[i], ctx, &session));
        assert_true(visit(versions[i], ctx, &session));
        replace_server(&config); /* a reload keeps the keys */
        assert_true(visit(versions[i], ctx, &session));
        for (int n = 0; n < 2; n++)
            assert_int_equal(wsb_tls_tickets_rotate(tickets), WSB_OK);
        assert_true(visit(versions[i], ctx, &session));
        for (int n = 0; n < 3; n++)
            assert_int_equal(wsb_tls_tickets_rotate(tickets), WSB_OK);
        assert_false(visit(versions[i], ctx, &session));
        assert_true(visit(versions[i], ctx, &session));
        /* whoever was let in without a certificate comes in by the front door when one is asked for */
        config.client_certificates = WSB_TLS_CLIENT_OPTIONAL;
        config.client_ca = pki_path(&pki, "ca2.pem");
        replace_server(&config);
        assert_false(visit(versions[i], ctx, &session));
        assert_true(visit(versions[i], ctx, &session));
        config.client_ca = pki_path(&pki, "ca.pem");
        replace_server(&config);
        assert_false(visit(versions[i], ctx, &session));
        SSL_SESSION_free(session);
        SSL_CTX_free(ctx);
        wsb_tls_tickets_unref(tickets);
        teardown(NULL);
    }
}

static void test_without_tickets_nothing_is_resumed(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < COUNT(versions); i++) {
        SSL_SESSION *session = NULL;
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        serve_file("a");
        assert_false(visit(versions[i], ctx, &session));
        assert_false(visit(versions[i], ctx, &session));
        SSL_SESSION_free(session);
        SSL_CTX_free(ctx);
        teardown(NULL);
    }
}

/* ------------------------------------------------------------------- contexts */

static void test_contexts_say_what_is_wrong(void **state)
{
    (void)state;
    struct wsb_fault fault = {0};
    struct wsb_tls_context *c = NULL;
    struct wsb_tls_files files = files_of("a");
    struct wsb_tls_server_config server_config = {.files = &files, .file_count = 1, .ciphers = "NOSUCH"};
    assert_int_equal(wsb_tls_server_new(&server_config, &c, &fault), WSB_ERR_CONFIG);
    assert_non_null(strstr(fault.text, "NOSUCH"));
    server_config = (struct wsb_tls_server_config){
        .files = &files, .file_count = 1, .client_certificates = WSB_TLS_CLIENT_REQUIRED, .client_ca = "/no/such"};
    assert_int_equal(wsb_tls_server_new(&server_config, &c, &fault), WSB_ERR_CONFIG);
    assert_string_equal(fault.text, "/no/such: No such file or directory");
    server_config.client_ca = NULL;
    assert_int_equal(wsb_tls_server_new(&server_config, &c, &fault), WSB_ERR_CONFIG);
    assert_int_equal(wsb_tls_client_new(&(struct wsb_tls_client_config){.ca_file = "/no/such"}, &c, &fault),
                     WSB_ERR_CONFIG);
    assert_int_equal(wsb_tls_client_new(&(struct wsb_tls_client_config){.alpn = "a,,b"}, &c, &fault), WSB_ERR_CONFIG);
    assert_null(c);
    trust_ca();
    struct wsb_tls_stream *s = NULL;
    assert_int_equal(wsb_tls_stream_new(client.context, NULL, &s, &fault), WSB_ERR_MISUSE);
    assert_int_equal(wsb_tls_stream_new(client.context, "", &s, &fault), WSB_ERR_MISUSE);
    assert_null(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_both_sides_agree, teardown),
        cmocka_unit_test_teardown(test_certificate_is_chosen_by_name, teardown),
        cmocka_unit_test_teardown(test_key_is_chosen_by_what_the_client_can_check, teardown),
        cmocka_unit_test_teardown(test_client_believes_only_what_it_can_check, teardown),
        cmocka_unit_test_teardown(test_insecure_takes_anything_and_says_so, teardown),
        cmocka_unit_test_teardown(test_client_certificates_none_optional_required, teardown),
        cmocka_unit_test_teardown(test_alpn_chooses_refuses_or_is_silent, teardown),
        cmocka_unit_test_teardown(test_versions_have_a_floor, teardown),
        cmocka_unit_test_teardown(test_old_versions_are_refused, teardown),
        cmocka_unit_test_teardown(test_garbage_is_refused_and_stays_refused, teardown),
        cmocka_unit_test_teardown(test_bytes_arrive_however_they_are_cut, teardown),
        cmocka_unit_test_teardown(test_write_takes_what_there_is_room_for, teardown),
        cmocka_unit_test_teardown(test_goodbye_is_told_apart_from_the_end, teardown),
        cmocka_unit_test_teardown(test_finish_before_the_handshake_says_nothing, teardown),
        cmocka_unit_test_teardown(test_keys_are_not_changed_without_end, teardown),
        cmocka_unit_test_teardown(test_changed_record_ends_the_connection, teardown),
        cmocka_unit_test_teardown(test_context_may_go_before_its_streams, teardown),
        cmocka_unit_test_teardown(test_sessions_are_resumed_while_their_key_is_kept, teardown),
        cmocka_unit_test_teardown(test_without_tickets_nothing_is_resumed, teardown),
        cmocka_unit_test_teardown(test_contexts_say_what_is_wrong, teardown),
    };
    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
