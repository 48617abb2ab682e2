/* Defaults, what a part has to satisfy, and what is there twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "config/file.h"
#include "format.h"

static void test_config_defaults(void **state)
{
    (void)state;
    struct wsg_config c;
    struct wsg_route_config r;
    wsg_config_init(&c);
    wsg_route_config_init(&r);
    assert_int_equal(c.listener_count + c.route_count + c.static_count, 0);
    assert_null(c.runtime_dir);
    assert_int_equal(c.bus_mode, 0600);
    assert_int_equal(c.workers, 0);
    assert_int_equal(c.max_connections, 65536);
    assert_int_equal(c.max_head, 16384);
    assert_int_equal(c.max_headers, 100);
    assert_int_equal(c.head_timeout_ms, 10000);
    assert_int_equal(c.keepalive_timeout_ms, 60000);
    assert_int_equal(c.close_timeout_ms, 10000);
    assert_int_equal(c.drain_timeout_ms, 10000);
    assert_int_equal(c.ping_interval_ms, 45000);
    assert_int_equal(c.ping_timeout_ms, 20000);
    assert_int_equal(c.log_format, WSB_LOG_LOGFMT);
    assert_int_equal(c.log_level, WSB_LOG_INFO);
    for (int i = 0; i < WSB_LOG_MODULES; i++)
        assert_int_equal(c.module_levels[i], -1);
    assert_int_equal(r.kind, WSG_ROUTE_BOTH);
    assert_int_equal(r.no_handler, WSG_NO_HANDLER_REFUSE);
    assert_false(r.publish || r.tap || r.accept_by_handler || r.expect_by_handler || r.half_close_aborts ||
                 r.subprotocols.count || r.host);
    assert_true(!r.gzip && r.gzip_level == 5 && r.gzip_min == 1024);
    assert_int_equal(r.max_message, 16777216);
    assert_int_equal(r.max_fragments, 65536);
    assert_int_equal(r.max_queue, 4194304);
    assert_int_equal(r.max_body, 16777216);
    assert_int_equal(r.accept_timeout_ms, 10000);
    assert_int_equal(r.body_timeout_ms, 60000);
    assert_int_equal(r.request_timeout_ms, 30000);
    assert_int_equal(r.stream_timeout_ms, UINT32_MAX);
    assert_int_equal(r.sse_keepalive_ms, 15000);
    wsg_config_deinit(&c);
}

static wsb_err route_add(struct wsg_config *c, const char *name, size_t max_frame, struct wsb_fault *fault)
{
    struct wsg_route_config r;
    wsg_route_config_init(&r);
    r.name = strdup(name);
    r.path = strdup("/a");
    r.max_frame = max_frame;
    wsb_err err = wsg_config_add_route(c, &r, fault);
    assert_int_equal(r.name == NULL, err == WSB_OK); /* taken, or still ours */
    wsg_route_config_deinit(&r);
    return err;
}

static void test_config_route_frame_follows_message(void **state)
{
    (void)state;
    struct wsg_config c;
    struct wsb_fault fault = {0};
    wsg_config_init(&c);
    assert_int_equal(route_add(&c, "a", 0, NULL), WSB_OK);
    assert_int_equal(c.routes[0].max_frame, 16777216);
    assert_int_equal(route_add(&c, "b", 16777216, NULL), WSB_OK);
    assert_int_equal(route_add(&c, "c", 16777217, &fault), WSB_ERR_CONFIG);
    assert_string_equal(fault.text, "max_frame: 16777217 bytes are more than max_message, 16777216");
    wsg_config_deinit(&c);
}

static void test_config_routes_are_unique_and_bounded(void **state)
{
    (void)state;
    struct wsg_config c;
    struct wsb_fault fault = {0};
    wsg_config_init(&c);
    for (int i = 0; i < WSG_CONFIG_ROUTES_MAX; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "r%d", i);
        assert_int_equal(route_add(&c, name, 0, NULL), WSB_OK);
    }
    assert_int_equal(route_add(&c, "r7", 0, &fault), WSB_ERR_EXISTS);
    assert_string_equal(fault.text, "a route of this name is there already, from --route");
    assert_int_equal(route_add(&c, "more", 0, &fault), WSB_ERR_LIMIT);
    assert_string_equal(fault.text, "more than 1024 routes");
    wsg_config_deinit(&c);
}

static wsb_err listener_add(struct wsg_config *c, const char *address, unsigned mode, struct wsb_fault *fault)
{
    struct wsg_listener_config l;
    wsg_listener_config_init(&l);
    l.address = strdup(address);
    l.mode = mode;
    wsb_err err = wsg_config_add_listener(c, &l, fault);
    wsg_listener_config_deinit(&l);
    return err;
}

static void test_config_listeners(void **state)
{
    (void)state;
    struct wsg_config c;
    struct wsb_fault fault = {0};
    wsg_config_init(&c);
    assert_int_equal(first_of_check(&c, NULL), WSB_ERR_CONFIG);
    assert_int_equal(listener_add(&c, "127.0.0.1:0", 0, NULL), WSB_OK);
    assert_int_equal(first_of_check(&c, NULL), WSB_OK);
    assert_int_equal(listener_add(&c, "127.0.0.1:0", 0, NULL), WSB_OK); /* two ports */
    assert_int_equal(listener_add(&c, "unix:/a:0", 0660, NULL), WSB_OK);
    assert_int_equal(c.listeners[0].mode, 0600);
    assert_int_equal(c.listeners[2].mode, 0660);
    assert_int_equal(listener_add(&c, "unix:/a:0", 0, &fault), WSB_ERR_EXISTS);
    assert_string_equal(fault.text, "this address is there already, from --listen");
    assert_int_equal(listener_add(&c, "127.0.0.1:1", 0600, &fault), WSB_ERR_CONFIG);
    assert_string_equal(fault.text, "mode: only a Unix socket (unix:/path) has one");
    assert_int_equal(listener_add(&c, "fd:web", 0, NULL), WSB_OK);
    assert_int_equal(listener_add(&c, "fd:web", 0, &fault), WSB_ERR_EXISTS);
    assert_int_equal(listener_add(&c, "fd:web2", 0600, &fault), WSB_ERR_CONFIG);
    assert_int_equal(listener_add(&c, "fd:", 0, &fault), WSB_ERR_CONFIG);
    assert_int_equal(listener_add(&c, "fd:a:b", 0, &fault), WSB_ERR_CONFIG);
    char long_name[3 + 256 + 1] = "fd:";
    memset(long_name + 3, 'n', 256);
    assert_int_equal(listener_add(&c, long_name, 0, &fault), WSB_ERR_CONFIG);
    long_name[3 + 255] = 0;
    assert_int_equal(listener_add(&c, long_name, 0, &fault), WSB_OK);
    wsg_config_deinit(&c);
}

static void test_config_tls_options_want_each_other(void **state)
{
    (void)state;
    static const struct {
        const char *file, *says; /* NULL: good */
    } rows[] = {
        {"certificates = a", NULL},
        {"certificates = {a, b}\nkeys = {c, d}", NULL},
        {"certificates = a\nclient_certificates = optional\nclient_ca = b", NULL},
        {"keys = a", "keys: it is for TLS, and there are no certificates"},
        {"client_ca = a", "client_ca: it is for TLS, and there are no certificates"},
        {"client_certificates = required", "client_certificates: it is for TLS, and there are no certificates"},
        {"tls_ciphers = a", "tls_ciphers: it is for TLS, and there are no certificates"},
        {"tls_min_version = 1.3", "tls_min_version: it is for TLS, and there are no certificates"},
        {"certificates = {a, b}\nkeys = c", "keys: 1 for 2 certificates: one for each in their order"},
        {"certificates = a\nclient_certificates = required", "client_certificates: client_ca is missing"},
        {"certificates = a\nclient_ca = b", "client_ca: nobody is asked for a certificate"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[200];
        struct wsg_config c;
        struct wsb_fault fault = {0};
        wsg_config_init(&c);
        (void)snprintf(text, sizeof text, "listen \"127.0.0.1:1\" {\n%s\n}\n", rows[i].file);
        wsb_err err = first_of_parse("f", text, strlen(text), &c, &fault);
        if (rows[i].says ? err != WSB_ERR_CONFIG || !strstr(fault.text, rows[i].says) : err != WSB_OK)
            fail_msg("%s: %s", rows[i].file, fault.text);
        wsg_config_deinit(&c);
    }
}

static void test_config_who_may_be_a_gatekeeper(void **state)
{
    (void)state;
    static const struct {
        const char *file, *says; /* NULL: good */
    } rows[] = {
        {"route a { path = /a kind = websocket gatekeeper = b }\nroute b { kind = gatekeeper }", NULL},
        {"route b { path = /b }\nroute a { path = /a kind = websocket gatekeeper = b }", NULL},
        {"route a { path = /a kind = websocket gatekeeper = c }\nroute b { path = /b kind = websocket gatekeeper = c "
         "}\n"
         "route c { path = /c accept = handler }",
         NULL},
        {"route a { path = /a kind = websocket deliver = publish gatekeeper = b }\nroute b { kind = gatekeeper }",
         NULL},
        {"\nroute a {\n path = /a\n kind = websocket gatekeeper = b }",
         "f:4: route 'a': gatekeeper: there is no route 'b'"},
        {"route a { path = /a kind = websocket gatekeeper = a }",
         "f:1: route 'a': gatekeeper: it is the route itself: accept = handler asks a handler of the same route"},
        {"route a { path = /a kind = websocket gatekeeper = b }\n"
         "route b { path = /b kind = websocket gatekeeper = c }\nroute c { kind = gatekeeper }",
         "f:1: route 'a': gatekeeper: route 'b' has a gatekeeper itself: only one is asked"},
        {"route a { path = /a kind = websocket gatekeeper = b }\nroute b { path = /b deliver = publish }",
         "f:1: route 'a': gatekeeper: route 'b' has no handlers to ask: it has deliver = publish"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[400];
        struct wsg_config c;
        struct wsb_fault fault = {0};
        wsg_config_init(&c);
        (void)snprintf(text, sizeof text, "%s\nlisten \"127.0.0.1:1\" {}\n", rows[i].file);
        wsb_err err = first_of_parse("f", text, strlen(text), &c, &fault);
        if (!err)
            err = first_of_check(&c, &fault);
        if (err != (rows[i].says ? WSB_ERR_CONFIG : WSB_OK))
            fail_msg("%s: %s", rows[i].file, fault.text);
        if (rows[i].says)
            assert_string_equal(fault.text, rows[i].says);
        wsg_config_deinit(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_defaults),
        cmocka_unit_test(test_config_route_frame_follows_message),
        cmocka_unit_test(test_config_routes_are_unique_and_bounded),
        cmocka_unit_test(test_config_listeners),
        cmocka_unit_test(test_config_tls_options_want_each_other),
        cmocka_unit_test(test_config_who_may_be_a_gatekeeper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
