/* The command line: each refusal to the letter, flags over the file, the help. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/cli.h"
#include "config/option.h"
#include "format.h"

enum { ARGS_MAX = 12 };
#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])

/* getopt_long may move the pointers: give it an array of its own. */
static wsb_err run(const char *const args[ARGS_MAX], struct wsg_config *c, enum wsg_action *ret_action,
                   struct wsb_fault *fault)
{
    char *argv[ARGS_MAX + 2] = {(char *)"wsgate"};
    int argc = 1;
    while (argc <= ARGS_MAX && args[argc - 1]) {
        argv[argc] = (char *)args[argc - 1];
        argc++;
    }
    wsg_config_init(c);
    return first_of_args(argc, argv, c, ret_action, fault);
}

#define L "--listen=127.0.0.1:1"

static void test_cli_refuses_to_the_letter(void **state)
{
    (void)state;
    static const struct {
        const char *args[ARGS_MAX];
        const char *want;
    } rows[] = {
        {{NULL},
         "nothing to listen on: give --listen 127.0.0.1:8080, or a section listen \"127.0.0.1:8080\" {} in the file of "
         "--config"},
        {{"--colour=red"}, "--colour=red: unknown flag; see wsgate --help"},
        {{"--rout", "a=/a"}, "--rout: unknown flag; did you mean '--route'?"},
        {{"--rout=a=/a"}, "--rout=a=/a: unknown flag; did you mean '--route'?"},
        {{"--rout"}, "--rout: unknown flag; did you mean '--route'?"},
        {{"--vers"}, "--vers: unknown flag; did you mean '--version'?"},
        {{"--max-conn=1"}, "--max-conn=1: unknown flag; did you mean '--max-connections'?"},
        {{"--wrokers=1"}, "--wrokers=1: unknown flag; did you mean '--workers'?"},
        {{"--tes=1"}, "--tes=1: unknown flag; did you mean '--test'?"},
        {{"--max-message=1"}, "--max-message=1: unknown flag; it is a key of --route"},
        {{"--route=a=/a,max_head=1"},
         "--route: 'a': unknown key 'max_head'; it is a key of --listen, or a flag of its own, --max-head"},
        {{"--listen=*:1,max_message=1"}, "--listen: unknown key 'max_message'; it is a key of --route"},
        {{"-x"}, "-x: unknown flag; see wsgate --help"},
        {{"-tx"}, "-x: unknown flag; see wsgate --help"},
        {{"--test", "-xt"}, "-x: unknown flag; see wsgate --help"},
        {{"--listen"}, "--listen: a value is missing; see wsgate --help"},
        {{"-c"}, "-c: a value is missing; see wsgate --help"},
        {{"--test=1"}, "--test=1: it takes no value; see wsgate --help"},
        {{L, "more"}, "unexpected argument 'more'; see wsgate --help"},
        {{"-c", "a", "-c", "b"}, "--config: 'b': there can be one file only"},
        {{"-c", "/does/not/exist"}, "/does/not/exist: cannot be read: No such file or directory"},
        {{"--listen=8080"}, "--listen: '8080' is not an address: use 127.0.0.1:8080, [::1]:8080, *:8080 or unix:/path"},
        {{L, L}, "--listen: this address is there already, from --listen"},
        {{L, "--bus-events=tcp://*:1"},
         "--bus-events: 'tcp://*:1' is open to other machines: take 127.0.0.1 or [::1], or let in who has a key: "
         "curve_secret and curve_clients, see wsgate.conf(5)"},
        {{L, "--bus-commands=tcp://[::]:1"},
         "--bus-commands: 'tcp://[::]:1' is open to other machines: take 127.0.0.1 or [::1], or let in who has a key: "
         "curve_secret and curve_clients, see wsgate.conf(5)"},
        {{L, "--bus-handlers=tcp://192.0.2.1:1", "--curve-secret=/s"},
         "--curve-secret: curve_clients is missing, the file with the keys of those who may come in"},
        {{L, "--bus-handlers=tcp://192.0.2.1:1", "--curve-clients=/c"},
         "--curve-clients: curve_secret is missing, the file with the gate's key: wsgate --make-key FILE makes one"},
        {{L, "--curve-clients=/c", "--curve-secret=/s"},
         "--curve-secret: keys are for endpoints on TCP, and there is none: set handlers, events or commands, or "
         "leave "
         "the keys out"},
        {{"--listen=unix:/a,mode=9"}, "--listen: mode: '9' is not a file mode: write it in octal, like 0660"},
        {{"--listen=unix:/a,group=a"}, "--listen: unknown key 'group'; wsgate.conf(5) lists those that are known"},
        {{"--route=echo"}, "--route: 'echo' is not NAME=PATTERN[,key=value…]: write it like chat=/chat/{room}"},
        {{"--route==/a"}, "--route: '': '' is not a route's name: 1 to 64 letters, digits, '_', '.' and '-'"},
        {{"--route=a=b"}, "--route: 'a': pattern \"b\", column 1: a pattern begins with '/'"},
        {{"--route=a=/a,tap"}, "--route: 'a': tap: a value is missing: write tap=VALUE"},
        {{"--route=a=/a,tap=yes,tap=no"}, "--route: 'a': tap: it is set twice"},
        {{"--route=a=/a,"}, "--route: 'a': unknown key ''; wsgate.conf(5) lists those that are known"},
        {{"--route=a=/a,acept=gate"}, "--route: 'a': unknown key 'acept'; did you mean 'accept'?"},
        {{"--route=a=/a,subprotocols=a||b"},
         "--route: 'a': subprotocols: '' is not a subprotocol: 1 to 128 letters, digits and !#$%&'*+-./^_`|~"},
        {{"--route=a=/a,max_message=1,max_frame=2"}, "--route: 'a': max_frame: 2 bytes are more than max_message, 1"},
        {{"--route=a=/a", "--route=a=/b"}, "--route: 'a': a route of this name is there already, from --route"},
        {{"--static=/"}, "--static: '/' is not PREFIX=DIR: write it like /=/var/www"},
        {{"--static=/="}, "--static: '/' is not PREFIX=DIR: write it like /=/var/www"},
        {{"--static=a=/b"}, "--static: 'a' is not a prefix: it begins and ends with '/', like /app/"},
        {{"--static=/=/a", "--static=/=/b"}, "--static: this prefix is there already, from --static"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsg_config c;
        struct wsb_fault fault = {0};
        enum wsg_action action = (enum wsg_action)77;
        wsb_err err = run(rows[i].args, &c, &action, &fault);
        assert_string_equal(fault.text, rows[i].want);
        assert_int_not_equal(err, WSB_OK);
        assert_int_equal(fault.err, err);
        assert_int_not_equal(action, 77); /* what was to be done is known all the same */
        wsg_config_deinit(&c);
    }
}

static void test_cli_actions(void **state)
{
    (void)state;
    static const struct {
        const char *args[ARGS_MAX];
        enum wsg_action want;
    } rows[] = {
        {{L}, WSG_ACTION_RUN},
        {{L, "-t"}, WSG_ACTION_CHECK},
        {{"--test", "--listen", "*:1"}, WSG_ACTION_CHECK},
        {{"--version"}, WSG_ACTION_VERSION},
        {{"-V", "-h"}, WSG_ACTION_VERSION},
        {{"-t", "--help", "-c", "/does/not/exist"}, WSG_ACTION_HELP},
        {{"--make-key", "/does/not/exist", "-c", "/does/not/exist"}, WSG_ACTION_MAKE_KEY},
        {{"-h", "--workers=many"}, WSG_ACTION_HELP},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsg_config c;
        struct wsb_fault fault = {0};
        enum wsg_action action;
        if (run(rows[i].args, &c, &action, &fault))
            fail_msg("row %zu: %s", i, fault.text);
        assert_int_equal(action, rows[i].want);
        wsg_config_deinit(&c);
    }
}

static void test_cli_takes_everything(void **state)
{
    (void)state;
    static const char *const args[ARGS_MAX] = {"--listen",
                                               "127.0.0.1:8080",
                                               "--listen=unix:/a,mode=0660",
                                               "--route",
                                               "echo=/echo,subprotocols=a|b,accept=handler",
                                               "--route=chat=/chat/{room}",
                                               "--static",
                                               "/=/var/www",
                                               "--log=ws=debug",
                                               "--log=bus=warn",
                                               "--log-level=error",
                                               NULL};
    struct wsg_config c;
    struct wsb_fault fault = {0};
    enum wsg_action action;
    if (run(args, &c, &action, &fault))
        fail_msg("%s", fault.text);
    assert_int_equal(c.listener_count, 2);
    assert_string_equal(c.listeners[1].address, "unix:/a");
    assert_int_equal(c.listeners[1].mode, 0660);
    assert_int_equal(c.route_count, 2);
    assert_int_equal(c.routes[0].subprotocols.count, 2);
    assert_string_equal(c.routes[0].subprotocols.at[0], "a");
    assert_true(c.routes[0].accept_by_handler);
    assert_string_equal(c.routes[1].path, "/chat/{room}");
    assert_string_equal(c.statics[0].dir, "/var/www");
    assert_int_equal(c.module_levels[WSB_LOG_WS], WSB_LOG_DEBUG);
    assert_int_equal(c.module_levels[WSB_LOG_BUS], WSB_LOG_WARN);
    assert_int_equal(c.log_level, WSB_LOG_ERROR);
    wsg_config_deinit(&c);
}

static void test_cli_flags_win_over_the_file_and_add_to_it(void **state)
{
    (void)state;
    char path[] = "/tmp/wsg_cli_test.XXXXXX";
    static const char text[] = "workers = 2\nlimits { headers = 50 }\nlisten \"*:1\" {}\nroute a {\n path = /a\n}\n";
    struct wsg_config c;
    struct wsb_fault fault = {0};
    enum wsg_action action;
    char want[160];
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, sizeof text - 1) == (ssize_t)sizeof text - 1);
    const char *const args[ARGS_MAX] = {"--workers=4", "--route=b=/b", "--listen=*:2", "-c", path, NULL};
    wsb_err err = run(args, &c, &action, &fault);
    if (err)
        print_error("%s\n", fault.text);
    assert_int_equal(err, WSB_OK);
    assert_int_equal(c.workers, 4);
    assert_int_equal(c.max_headers, 50);
    assert_int_equal(c.listener_count, 2);
    assert_int_equal(c.route_count, 2);
    assert_int_equal(c.routes[0].origin.line, 5);
    assert_null(c.routes[1].origin.file);
    wsg_config_deinit(&c);

    const char *const twice[ARGS_MAX] = {"--route=a=/b", "-c", path, NULL};
    assert_int_equal(run(twice, &c, &action, &fault), WSB_ERR_EXISTS);
    (void)snprintf(want, sizeof want, "--route: 'a': a route of this name is there already, from %s:5", path);
    assert_string_equal(fault.text, want);
    wsg_config_deinit(&c);
    (void)close(fd);
    (void)unlink(path);
}

static void assert_names_every_flag(const char *text, const char *what)
{
    static const char *const own[] = {"listen", "route", "static", "config", "test", "help", "version", "make-key"};
    char want[64];
    for (size_t i = 0; i < COUNT(own) + wsg_option_count; i++) {
        const char *flag = i < COUNT(own) ? own[i] : wsg_options[i - COUNT(own)].flag;
        if (!flag)
            continue;
        (void)snprintf(want, sizeof want, "--%s", flag);
        const char *at = strstr(text, want);
        while (at && !strchr(" *=,\n", at[strlen(want)])) /* --log is not --log-level */
            at = strstr(at + 1, want);
        if (!at)
            fail_msg("%s does not name %s", what, want);
    }
}

static void test_cli_help_and_manual_name_every_flag(void **state)
{
    (void)state;
    static char text[64 * 1024];
    FILE *f = fopen(WSBUS_SOURCE_DIR "/docs/man/wsgate.1.scd", "re");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    (void)fclose(f);
    assert_names_every_flag(text, "docs/man/wsgate.1.scd");
    assert_names_every_flag(wsg_cli_help(), "--help");
}

static void test_cli_synonyms_of_flags(void **state)
{
    (void)state;
    for (const struct wsg_synonym *s = wsg_flag_synonyms; s->word; s++) {
        char flag[64], manual[80];
        char *argv[] = {(char *)"wsgate", (char *)"--listen=unix:/a", flag, (char *)"/x", NULL};
        enum wsg_action action;
        struct wsg_config c;
        struct wsb_fault fault = {0};
        wsg_config_init(&c);
        (void)snprintf(flag, sizeof flag, "--%s", s->word);
        if (first_of_args(4, argv, &c, &action, &fault))
            fail_msg("%s: %s", flag, fault.text);
        assert_string_equal(s->name, "runtime-dir"); /* the only one today */
        assert_string_equal(c.runtime_dir, "/x");
        wsg_config_deinit(&c);
        (void)snprintf(manual, sizeof manual, "%s ", flag);
        assert_null(strstr(wsg_cli_help(), manual)); /* one name is documented */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_refuses_to_the_letter),
        cmocka_unit_test(test_cli_actions),
        cmocka_unit_test(test_cli_takes_everything),
        cmocka_unit_test(test_cli_flags_win_over_the_file_and_add_to_it),
        cmocka_unit_test(test_cli_help_and_manual_name_every_flag),
        cmocka_unit_test(test_cli_synonyms_of_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
