/* A client's end with TLS, and how far it goes without memory. */
#include "support/test.h"

#include <sys/socket.h>
#include <unistd.h>

#include "dial/peer.h"
#include "unit/tls/pki.h"

static struct {
    int fd;
    struct wsb_tls_context *context;
    struct wsb_tls_stream *stream;
} server;

/* What the client has said, answered. */
static wsb_err server_shake(void)
{
    static uint8_t in[1 << 16], out[1 << 16];
    struct wsb_fault fault;
    ssize_t n = recv(server.fd, in, sizeof in, MSG_DONTWAIT);
    struct wsb_tls_io io = {.in = wsb_span(in, n > 0 ? (size_t)n : 0), .out = out, .room = sizeof out};
    wsb_err err = wsb_tls_stream_handshake(server.stream, &io, &fault);
    assert_int_equal(write(server.fd, out, io.len), (ssize_t)io.len);
    return err;
}

static void connect_peer(struct wsb_peer *p, const struct pki *pki)
{
    int ends[2];
    struct wsb_fault fault;
    struct wsb_tls_context *context = NULL;
    const struct wsb_tls_files files = {pki_path(pki, "server.pem"), pki_path(pki, "server.key")};
    const struct wsb_tls_server_config config = {.files = &files, .file_count = 1};
    const struct wsb_tls_client_config client = {.insecure = true};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(wsb_tls_server_new(&config, &server.context, &fault), WSB_OK);
    assert_int_equal(wsb_tls_stream_new(server.context, NULL, &server.stream, &fault), WSB_OK);
    assert_int_equal(wsb_tls_client_new(&client, &context, &fault), WSB_OK);
    wsb_peer_init(p);
    p->fd = ends[0];
    server.fd = ends[1];
    assert_int_equal(wsb_tls_stream_new(context, "server", &p->tls, &fault), WSB_OK);
    wsb_tls_context_unref(context);
    wsb_err err, theirs = WSB_MORE;
    while ((err = wsb_peer_shake(p, &fault)) == WSB_MORE) {
        assert_int_equal(wsb_peer_flush(p, &fault), WSB_OK);
        theirs = server_shake();
        (void)!wsb_peer_fill(p, &fault);
    }
    assert_int_equal(err, WSB_OK);
    assert_int_equal(wsb_peer_flush(p, &fault), WSB_OK);
    assert_int_equal(theirs == WSB_OK ? theirs : server_shake(), WSB_OK);
    assert_int_equal(wsb_peer_begin(p, 1 << 20, NULL), WSB_OK);
}

static void test_a_message_leaves_whole_or_not_at_all(void **state)
{
    static const uint8_t big[200 << 10];
    static const struct {
        size_t max; /* of what waits for the kernel */
        wsb_err err;
    } rows[] = {
        {0, WSB_OK},
        {1000, WSB_ERR_NOMEM},   /* not even one record */
        {100 << 10, WSB_ERR_IO}, /* some: the rest would be the beginning of the next message */
    };
    struct pki pki;
    (void)state;
    pki_open(&pki);
    pki_make(&pki, &(struct pki_ask){.file = "server", .names = "DNS:server", .days = 1});
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_peer p;
        struct wsb_fault fault;
        connect_peer(&p, &pki);
        wsb_buf_deinit(&p.out);
        wsb_buf_init(&p.out, rows[i].max);
        assert_int_equal(wsb_peer_send(&p, WSB_OP_BINARY, wsb_span(big, sizeof big), &fault), rows[i].err);
        assert_int_equal(wsb_peer_pending(&p) == 0, rows[i].err == WSB_ERR_NOMEM);
        wsb_peer_deinit(&p);
        wsb_tls_stream_free(server.stream);
        wsb_tls_context_unref(server.context);
        close(server.fd);
    }
    pki_close(&pki);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_message_leaves_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
