/* The file: its grammar, its errors to the letter, and what goes round and comes back the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/file.h"
#include "unit/config/format.h"

#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])

static void test_file_refuses_to_the_letter(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *want;
    } rows[] = {
        {"colour = red", "f:1: unknown option 'colour'; wsgate.conf(5) lists those that are known here"},
        {"\nworker = 1", "f:2: unknown option 'worker'; did you mean 'workers'?"},
        {"routes a {}", "f:1: unknown option 'routes'; did you mean 'route'?"},
        {"route a {\n max_mesage = 1\n}", "f:2: route 'a': unknown option 'max_mesage'; did you mean 'max_message'?"},
        {"log { max_message = 1 }", "f:1: log: unknown option 'max_message'; it belongs in section 'route'"},
        {"limits { max_message = 1 }", "f:1: limits: unknown option 'max_message'; it belongs in section 'route'"},
        {"max_message = 1", "f:1: unknown option 'max_message'; it belongs in section 'route'"},
        {"route a {\n max_head = 1 }",
         "f:2: route 'a': unknown option 'max_head'; it belongs in section 'listen' or 'limits'"},
        {"limits {\n workers = 1 }", "f:2: limits: unknown option 'workers'; it belongs outside of every section"},
        {"workers = 1\nworkers = 2", "f:2: workers: it is set twice"},
        {"log { level = info }\nlog {\nlevel = info }", "f:3: log: level: it is set twice"},
        {"route a { path = /a\n subprotocols = {a}\n subprotocols = {b} }",
         "f:3: route 'a': subprotocols: it is set twice"},
        {"route a { path = /a\n join = {a,\n b,\n a} }", "f:4: route 'a': join: 'a' is there twice"},
        {"route a { path = /a\n subprotocols = {a,\n b,\n a} }", "f:4: route 'a': subprotocols: 'a' is there twice"},
        {"route a { path = /a }\nroute a { path = /b }", "f:2: found duplicate title 'a'"},
        {"route a { path = /a max_message = 1KiB max_frame = 2KiB\n}",
         "f:1: route 'a': max_frame: 2048 bytes are more than max_message, 1024"},
        {"route a { path = /a deliver = publish accept = handler }",
         "f:1: route 'a': accept: 'handler' needs a handler, and deliver = publish has none: remove one of them"},
        {"route a {}", "f:1: route 'a': path is missing, like path = \"/a\""},
        {"route a {\n kind = gatekeeper path = /a }",
         "f:2: route 'a': path: kind = gatekeeper has none, only other routes ask it: remove one of them"},
        {"route a { path = /a kind = websocket gatekeeper = b accept = handler }",
         "f:1: route 'a': gatekeeper: with accept = handler two would have to accept: remove one of them"},
        {"route a { path = /a gatekeeper = b }", "f:1: route 'a': gatekeeper: it is asked about WebSocket clients, not "
                                                 "about HTTP requests: the route has to be "
                                                 "of kind = websocket"},
        {"route \"a b\" {path=/a}",
         "f:1: route 'a b': 'a b' is not a route's name: 1 to 64 letters, digits, '_', '.' and '-'"},
        {"route {path=/a}", "f:1: missing title for section 'route'"},
        {"static / {}", "f:1: static '/': directory is missing, like directory = \"/var/www\""},
        {"static app {directory=/a}",
         "f:1: static 'app': 'app' is not a prefix: it begins and ends with '/', like /app/"},
        {"listen 8080 {}",
         "f:1: listen '8080': '8080' is not an address: use 127.0.0.1:8080, [::1]:8080, *:8080 or unix:/path"},
        {"listen \"*:80\" {mode=0600}", "f:1: listen '*:80': mode: only a Unix socket (unix:/path) has one"},
        {"listen \"127.0.0.1:80\"", "f:1: premature end of file"},
        {"listen \"127.0.0.1:80\"\nworkers = 1", "f:2: missing opening brace for section 'listen'"},
        {"workers 1", "f:1: missing equal sign after option 'workers'"},
        {"workers += 1", "f:1: attempt to append to non-list option 'workers'"},
        {"workers = {1}", "f:1: unexpected token '{'"},
        {"workers =", "f:1: premature end of file"},
        {"\"log|level\" = warn", "f:1: unknown option 'level'; it belongs in section 'log'"},
        {"route a {path=/a}\n\"route=a|path\" = /b", "f:2: unknown option 'path'; it belongs in section 'route'"},
        {"include(\"/etc/passwd\")", "f:1:8: there are no functions in this file, and no include"},
        {"a = \"b", "f:1:5: this string is not closed on its line"},
        {"a = \"b\n\"", "f:1:5: this string is not closed on its line"},
        {"a = 'b", "f:1:5: this string is not closed on its line"},
        {"a = \"\\x41\"", "f:1:6: only \\\\, \\$ and an escaped quote are known after a backslash"},
        {"a = \"\\", "f:1:6: only \\\\, \\$ and an escaped quote are known after a backslash"},
        {"a = \"\\0\"", "f:1:6: only \\\\, \\$ and an escaped quote are known after a backslash"},
        {"a = \"\t\"", "f:1:6: control character in a string"},
        {"a = \x01", "f:1:5: control character"},
        {"\n\n /* a", "f:3:2: this comment is not closed: '*/' is missing"},
        {"a = *:80", "f:1:5: put this value into double quotes"},
        {"a = b//c", "f:1:6: put this value into double quotes"},
        {"a = b|c", "f:1:6: put this value into double quotes"},
        {"log {\nlevel = info", "f:1:5: this '{' is not closed: '}' is missing"},
        {"}", "f:1:1: this '}' closes nothing"},
        {"log { log { log {", "f:1:17: sections cannot be nested"},
        {"log { log { level = debug } }", "f:1: log: unknown option 'log'; it belongs outside of every section"},
        {"a = ${HOME", "f:1:5: this variable is not closed: write ${NAME} or ${NAME:-default}"},
        {"a = \"${\"}\"", "f:1:6: this variable is not closed: write ${NAME} or ${NAME:-default}"},
        {"a = \"${}\"", "f:1:6: a variable needs a name of 1 to 127 bytes: write ${NAME} or ${NAME:-default}"},
        {"a = \"${A:b}\"", "f:1:6: write ${NAME} or ${NAME:-default}"},
        {"a = \"${WSB_NOT_SET}\"",
         "f:1:6: the environment variable 'WSB_NOT_SET' is not set: set it, or write ${WSB_NOT_SET:-default}"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsg_config c;
        struct wsb_fault fault = {0};
        wsg_config_init(&c);
        assert_int_equal(first_of_parse("f", rows[i].text, strlen(rows[i].text), &c, &fault), WSB_ERR_CONFIG);
        assert_string_equal(fault.text, rows[i].want);
        wsg_config_deinit(&c);
    }
}

/* One reading tells all of it, in the order of the lines; what follows from another fault is not told. */
static void test_file_tells_everything_that_is_wrong(void **state)
{
    (void)state;
    static const char text[] = "wrokers = 2\n"
                               "workers = many\n"
                               "listen \"nowhere\" {}\n"
                               "lsiten \"127.0.0.1:1\" { mode = \"}\" }\n"
                               "route a {\n"
                               "  pth = /a\n"
                               "  max_message = 3 kind = websocket tapp = {a, \"}\"} tap = maybe\n"
                               "}\n"
                               "route b { path = /b kind = websocket gatekeeper = a }\n"
                               "route c { path = /c kind = websocket gatekeeper = nobody }\n"
                               "timeouts { head = 10\n"
                               "  haed = 3s }\n"
                               "bus { events = \"tcp://*:1\" }\n"
                               "forwarded = forwarded\n"
                               "metrics_token = /t\n";
    static const char *const want[] = {
        "f:1: unknown option 'wrokers'; did you mean 'workers'?",
        "f:2: workers: 'many' is not a number from 1 to 64, or auto",
        "f:3: listen 'nowhere': 'nowhere' is not an address: use 127.0.0.1:8080, [::1]:8080, *:8080 or unix:/path",
        "f:4: unknown option 'lsiten'; did you mean 'listen'?",
        "f:6: route 'a': unknown option 'pth'; did you mean 'path'?",
        "f:7: route 'a': unknown option 'tapp'; did you mean 'tap'?",
        "f:7: route 'a': tap: 'maybe' is not yes or no",
        "f:11: timeouts: head: '10' is not a duration: write a number with ms, s, m or h, like 10s",
        "f:12: timeouts: unknown option 'haed'; did you mean 'head'?",
        "f:10: route 'c': gatekeeper: there is no route 'nobody'",
        "f:13: bus: events: 'tcp://*:1' is open to other machines: take 127.0.0.1 or [::1], or let in who has a key: "
        "curve_secret and curve_clients, see wsgate.conf(5)",
        "f:14: forwarded: trusted_proxies is missing, the networks of those who may write the header",
        "f:15: metrics_token: metrics is missing, the address where they are served",
    };
    struct wsg_config c;
    struct wsg_faults all = {0};
    wsg_config_init(&c);
    assert_int_equal(wsg_config_parse("f", text, sizeof text - 1, &c, &all), WSB_ERR_CONFIG);
    assert_int_equal(wsg_config_check(&c, &all), WSB_ERR_CONFIG);
    for (size_t i = 0; i < all.count && i < COUNT(want); i++)
        assert_string_equal(all.at[i].text, want[i]);
    assert_int_equal(all.count, COUNT(want));
    assert_int_equal(all.left_out, 0);
    wsg_config_deinit(&c);
}

static void test_file_tells_so_many_and_counts_the_rest(void **state)
{
    (void)state;
    char text[2000] = "";
    struct wsg_config c;
    struct wsg_faults all = {0};
    for (int i = 0; i < WSG_FAULTS_MAX + 7; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "frob%d = 1\n", i);
    wsg_config_init(&c);
    assert_int_equal(wsg_config_parse("f", text, strlen(text), &c, &all), WSB_ERR_CONFIG);
    assert_int_equal(all.count, WSG_FAULTS_MAX);
    assert_int_equal(all.left_out, 7);
    wsg_config_deinit(&c);
}

static void test_file_may_begin_with_a_byte_order_mark(void **state)
{
    (void)state;
    static const char text[] = "\xef\xbb\xbfworkers = 3\nfrob = 1";
    struct wsg_config c;
    struct wsb_fault fault = {0};
    wsg_config_init(&c);
    assert_int_equal(first_of_parse("f", text, strlen("\xef\xbb\xbfworkers = 3\n"), &c, NULL), WSB_OK);
    assert_int_equal(c.workers, 3);
    wsg_config_deinit(&c);
    wsg_config_init(&c);
    assert_int_equal(first_of_parse("f", text, sizeof text - 1, &c, &fault), WSB_ERR_CONFIG);
    assert_string_equal(fault.text, "f:2: unknown option 'frob'; wsgate.conf(5) lists those that are known here");
    wsg_config_deinit(&c);
}

static void test_file_refuses_nul(void **state)
{
    (void)state;
    static const char text[] = "workers = 1\n\0workers = 2\n";
    struct wsg_config c;
    struct wsb_fault fault = {0};
    wsg_config_init(&c);
    assert_int_equal(first_of_parse("f", text, sizeof text - 1, &c, &fault), WSB_ERR_CONFIG);
    assert_string_equal(fault.text, "f:2:1: NUL byte: this is not a text file");
    assert_int_equal(fault.line, 2);
    assert_int_equal(fault.column, 1);
    wsg_config_deinit(&c);
}

static void test_file_takes_what_is_odd_and_good(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "#",
        "#\n",
        "\r\n# a comment of exactly 32 bytes....\r\nworkers = 1 // not 2\r\n",
        "/**/ workers /* \n */ = /* # */ 1 #",
        "log{level=info}log{format=json}timeouts{}limits{}",
        "route a{path=/a subprotocols={}}",
        "route a { path = /a subprotocols = {a} subprotocols += {b} }",
        "route a { path = /a subprotocols = a }",
        "runtime_dir = '/a\\\\b'",
        "runtime_dir = \"/a\\\"b\\\\\\${HOME}\"",
        "runtime_dir = \"${WSB_NOT_SET:-/a}\"",
        "runtime_dir = ${WSB_NOT_SET:-/a}",
        "\"workers\" = '1'",
        "route \"a\" { path = '/a/{b*}' }",
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsg_config c;
        struct wsb_fault fault = {0};
        wsg_config_init(&c);
        if (first_of_parse("f", rows[i], strlen(rows[i]), &c, &fault))
            fail_msg("%s: %s", rows[i], fault.text);
        wsg_config_deinit(&c);
    }
}

static const char whole[] = "workers = 3\n"
                            "runtime_dir = \"/a \\\"b\\\\c\\${d}\"\n"
                            "listen \"127.0.0.1:8080\" {}\n"
                            "listen \"unix:/run/a.sock\" {\n"
                            "  mode = 0660\n"
                            "}\n"
                            "route chat {\n"
                            "  path = \"/chat/{room}\"\n"
                            "  subprotocols = {\"a\", \"b\"}\n"
                            "  max_message = 1MiB\n"
                            "}\n"
                            "route tick { path = /tick deliver = publish kind = websocket }\n"
                            "static /app/ { directory = ${WSB_NOT_SET:-/srv} }\n"
                            "log { levels = {\"ws=debug\", \"bus=error\"} }\n";

static void test_file_reads_a_whole_configuration(void **state)
{
    (void)state;
    struct wsg_config c;
    struct wsb_fault fault = {0};
    char where[40];
    wsg_config_init(&c);
    if (first_of_parse("dir/f", whole, sizeof whole - 1, &c, &fault))
        fail_msg("%s", fault.text);
    assert_int_equal(c.workers, 3);
    assert_string_equal(c.runtime_dir, "/a \"b\\c${d}");
    assert_int_equal(c.listener_count, 2);
    assert_string_equal(c.listeners[1].address, "unix:/run/a.sock");
    assert_int_equal(c.listeners[1].mode, 0660);
    assert_string_equal(wsg_origin_text(&c.listeners[1].origin, "--listen", where, sizeof where), "dir/f:5");
    assert_int_equal(c.route_count, 2);
    assert_string_equal(c.routes[0].name, "chat");
    assert_string_equal(c.routes[0].path, "/chat/{room}");
    assert_int_equal(c.routes[0].subprotocols.count, 2);
    assert_string_equal(c.routes[0].subprotocols.at[1], "b");
    assert_int_equal(c.routes[0].max_frame, 1048576);
    assert_true(c.routes[1].publish);
    assert_int_equal(c.routes[1].max_message, 16777216); /* the section before has left nothing behind */
    assert_int_equal(c.routes[1].subprotocols.count, 0);
    assert_string_equal(c.statics[0].dir, "/srv");
    assert_int_equal(c.module_levels[WSB_LOG_WS], WSB_LOG_DEBUG);
    assert_int_equal(c.module_levels[WSB_LOG_BUS], WSB_LOG_ERROR);
    assert_int_equal(c.module_levels[WSB_LOG_GATE], -1);
    wsg_config_deinit(&c);
}

static void test_file_goes_round(void **state)
{
    (void)state;
    struct wsg_config c;
    struct wsg_config again;
    struct wsb_fault fault = {0};
    struct wsb_buf text;
    struct wsb_buf text_again;
    wsg_config_init(&c);
    wsg_config_init(&again);
    assert_int_equal(first_of_parse("f", whole, sizeof whole - 1, &c, &fault), WSB_OK);
    config_format(&c, &text);
    if (first_of_parse("f", (const char *)text.data, text.len - 1, &again, &fault))
        fail_msg("%s\n%s", fault.text, (const char *)text.data);
    config_format(&again, &text_again);
    assert_string_equal((const char *)text.data, (const char *)text_again.data);
    wsb_buf_deinit(&text);
    wsb_buf_deinit(&text_again);
    wsg_config_deinit(&c);
    wsg_config_deinit(&again);
}

/* A failure in the middle of a string or a comment leaves nothing behind in libconfuse's lexer, which is global. */
static void test_file_failure_does_not_touch_the_next_parse(void **state)
{
    (void)state;
    static const char *const bad[] = {"a = \"", "/*", "workers = {", "log { level = ", "route a {path=/a", "a"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct wsg_config c;
        wsg_config_init(&c);
        assert_int_not_equal(first_of_parse("f", bad[i], strlen(bad[i]), &c, NULL), WSB_OK);
        assert_int_equal(first_of_parse("f", "workers = 5", 11, &c, NULL), WSB_OK);
        assert_int_equal(c.workers, 5);
        wsg_config_deinit(&c);
    }
}

static void test_file_size_is_bounded(void **state)
{
    (void)state;
    struct wsg_config c;
    struct wsb_fault fault = {0};
    char *text = malloc(WSG_CONFIG_FILE_MAX + 1);
    assert_non_null(text);
    memset(text, '#', WSG_CONFIG_FILE_MAX + 1);
    wsg_config_init(&c);
    assert_int_equal(first_of_parse("f", text, WSG_CONFIG_FILE_MAX, &c, NULL), WSB_OK);
    assert_int_equal(first_of_parse("f", text, WSG_CONFIG_FILE_MAX + 1, &c, &fault), WSB_ERR_LIMIT);
    assert_string_equal(fault.text, "f: larger than 1 MiB");
    memset(text, 'a', WSG_CONFIG_FILE_MAX);
    assert_int_equal(first_of_parse("f", text, WSG_CONFIG_FILE_MAX, &c, &fault), WSB_ERR_CONFIG);
    wsg_config_deinit(&c);
    assert_int_equal(first_of_read("/dev/zero", &c, &fault), WSB_ERR_LIMIT);
    assert_int_equal(first_of_read("/", &c, &fault), WSB_ERR_IO);
    assert_string_equal(fault.text, "/: cannot be read: Is a directory");
    assert_int_equal(first_of_read("/does/not/exist", &c, &fault), WSB_ERR_IO);
    assert_string_equal(fault.text, "/does/not/exist: cannot be read: No such file or directory");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_refuses_to_the_letter),
        cmocka_unit_test(test_file_refuses_nul),
        cmocka_unit_test(test_file_tells_everything_that_is_wrong),
        cmocka_unit_test(test_file_tells_so_many_and_counts_the_rest),
        cmocka_unit_test(test_file_may_begin_with_a_byte_order_mark),
        cmocka_unit_test(test_file_takes_what_is_odd_and_good),
        cmocka_unit_test(test_file_reads_a_whole_configuration),
        cmocka_unit_test(test_file_goes_round),
        cmocka_unit_test(test_file_failure_does_not_touch_the_next_parse),
        cmocka_unit_test(test_file_size_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
