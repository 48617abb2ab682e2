/* A handle on TCP with keys: by options, by the environment, and what is refused before anything is connected. */
#include "support/test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "both.h"

/* Z85, but nobody's key. */
#define SOME_KEY "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define NOWHERE  "tcp://127.0.0.1:1"

struct fixture {
    char dir[32];
    char own[64], open_to_others[64], without_a_key[64], missing[64]; /* files in it */
    struct wsb_curve curve;
};

static void put_path(const struct fixture *f, const char *name, char ret[64])
{
    (void)snprintf(ret, 64, "%s/%s", f->dir, name);
}

static void put_file(const char *path, const char *text, mode_t mode)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct wsb_key_pair own;
    char gate[64];
    assert_non_null(f);
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/wsbus-keys-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    put_path(f, "gate", gate);
    put_path(f, "own", f->own);
    put_path(f, "open", f->open_to_others);
    put_path(f, "empty", f->without_a_key);
    put_path(f, "missing", f->missing);
    assert_int_equal(wsb_key_make(gate, &f->curve.pair, NULL), WSB_OK);
    assert_int_equal(unlink(gate), 0);
    assert_int_equal(wsb_key_make(f->own, &own, NULL), WSB_OK);
    assert_int_equal(wsb_key_list_parse(&f->curve.clients, wsb_span_str(own.public_key), NULL), WSB_OK);
    put_file(f->open_to_others, SOME_KEY "\n", 0644);
    put_file(f->without_a_key, "# nothing\n", 0600);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    (void)unsetenv("WSBUS_SERVER_KEY");
    (void)unsetenv("WSBUS_KEY_FILE");
    assert_int_equal(unlink(f->own), 0);
    assert_int_equal(unlink(f->open_to_others), 0);
    assert_int_equal(unlink(f->without_a_key), 0);
    assert_int_equal(rmdir(f->dir), 0);
    wsb_curve_deinit(&f->curve);
    free(f);
    return 0;
}

/* NULL: not set. */
static void set_environment(const char *server_key, const char *key_file)
{
    assert_int_equal(server_key ? setenv("WSBUS_SERVER_KEY", server_key, 1) : unsetenv("WSBUS_SERVER_KEY"), 0);
    assert_int_equal(key_file ? setenv("WSBUS_KEY_FILE", key_file, 1) : unsetenv("WSBUS_KEY_FILE"), 0);
}

/* Options win; each that is not there is looked for in the environment. */
static const char *const routes[] = {"echo"};

static void test_keys_let_a_handle_in(void **state)
{
    const struct fixture *f = *state;
    const char *server_key = f->curve.pair.public_key;
    const struct {
        const char *server_key, *key_file;         /* options */
        const char *env_server_key, *env_key_file; /* environment */
    } rows[] = {
        {server_key, f->own, NULL, NULL}, {NULL, NULL, server_key, f->own},           {server_key, NULL, NULL, f->own},
        {NULL, f->own, server_key, NULL}, {server_key, f->own, SOME_KEY, f->missing}, {server_key, f->own, "", ""},
    };
    struct both b = {.gate = fake_gate_open((struct fake_options){.curve = &f->curve})};
    for (size_t i = 0; i < COUNT(rows); i++) {
        set_environment(rows[i].env_server_key, rows[i].env_key_file);
        const struct wsb_handler_options o = {.routes = routes,
                                              .route_count = 1,
                                              .server_key = rows[i].server_key,
                                              .key_file = rows[i].key_file,
                                              .wait_ms = PATIENCE_MS};
        if (!wsb_handler_open(fake_gate_tcp(b.gate), &o, &b.h))
            fail_msg("row %zu: %s", i, wsb_why());
        assert_int_equal(must_read(b.h).type, WSB_EV_WELCOME);
        assert_true(wsb_handler_close(b.h));
    }
    part(&b);
}

/* What the environment says about keys is not for local sockets, and is not even looked at. */
static void test_keys_of_the_environment_are_not_for_local_handles(void **state)
{
    const struct fixture *f = *state;
    set_environment("nonsense", f->missing);
    struct both b = join();
    part(&b);
}

static void test_keys_that_are_refused(void **state)
{
    const struct fixture *f = *state;
    char ipc[sizeof f->dir + 6];
    (void)snprintf(ipc, sizeof ipc, "ipc://%s", f->dir);
    const struct {
        const char *address, *server_key, *key_file, *env_server_key, *env_key_file;
        enum wsb_reason want;
        const char *why; /* a part of it */
    } rows[] = {
        {NOWHERE, SOME_KEY, NULL, NULL, NULL, WSB_REASON_MISUSE, "no key of our own: key_file or WSBUS_KEY_FILE"},
        {NOWHERE, NULL, NULL, SOME_KEY, NULL, WSB_REASON_MISUSE, "no key of our own: key_file or WSBUS_KEY_FILE"},
        {NOWHERE, SOME_KEY, NULL, NULL, "", WSB_REASON_MISUSE, "no key of our own"},
        {NOWHERE, NULL, f->own, NULL, NULL, WSB_REASON_MISUSE, "gate's public key: server_key or WSBUS_SERVER_KEY"},
        {NOWHERE, NULL, NULL, NULL, f->own, WSB_REASON_MISUSE, "gate's public key: server_key or WSBUS_SERVER_KEY"},
        {NOWHERE, NULL, f->own, "", NULL, WSB_REASON_MISUSE, "not the gate's public key"},
        {f->dir, SOME_KEY, f->own, NULL, NULL, WSB_REASON_MISUSE, "are for addresses with tcp://"},
        {ipc, SOME_KEY, NULL, NULL, NULL, WSB_REASON_MISUSE, "are for addresses with tcp://"},
        {NULL, NULL, f->own, NULL, NULL, WSB_REASON_MISUSE, "are for addresses with tcp://"},
        {NOWHERE, "", f->own, NULL, NULL, WSB_REASON_ADDRESS, "the gate's public key is not 40 characters of Z85"},
        {NOWHERE, "short", f->own, NULL, NULL, WSB_REASON_ADDRESS, "the gate's public key is not 40 characters"},
        {NOWHERE, SOME_KEY " ", f->own, NULL, NULL, WSB_REASON_ADDRESS, "the gate's public key is not 40 characters"},
        {NOWHERE, "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf~", f->own, NULL, NULL, WSB_REASON_ADDRESS,
         "the gate's public key is not 40 characters"},
        {NOWHERE, SOME_KEY, f->missing, NULL, NULL, WSB_REASON_IO, "missing: cannot be read: No such file"},
        {NOWHERE, SOME_KEY, "", NULL, NULL, WSB_REASON_IO, "cannot be read: No such file"},
        {NOWHERE, SOME_KEY, f->dir, NULL, NULL, WSB_REASON_ADDRESS, "not a file"},
        {NOWHERE, SOME_KEY, f->open_to_others, NULL, NULL, WSB_REASON_ADDRESS, "(mode 0644): chmod 0600 it"},
        {NOWHERE, SOME_KEY, f->without_a_key, NULL, NULL, WSB_REASON_ADDRESS, "there is no key in it"},
        {NOWHERE, NULL, NULL, SOME_KEY, f->open_to_others, WSB_REASON_ADDRESS, "(mode 0644): chmod 0600 it"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        wsb_handler h = {77};
        set_environment(rows[i].env_server_key, rows[i].env_key_file);
        const struct wsb_handler_options o = {
            .routes = routes, .route_count = 1, .server_key = rows[i].server_key, .key_file = rows[i].key_file};
        if (wsb_handler_open(rows[i].address, &o, &h))
            fail_msg("row %zu: opened", i);
        if (wsb_reason(h) != rows[i].want || !strstr(wsb_why(), rows[i].why))
            fail_msg("row %zu: %s: %s", i, wsb_reason_name(wsb_reason(h)), wsb_why());
        assert_int_equal(h.v, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_keys_let_a_handle_in, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys_of_the_environment_are_not_for_local_handles, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys_that_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
