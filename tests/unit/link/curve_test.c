/* Key files: who is listed, what for, and what is refused to the letter. */
#include "support/test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "link/curve.h"

/* Any 32 bytes are a public key as far as a list goes. HASH has the sign of comments in it. */
#define A             "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define B             "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define HASH          "0#000000000000000000000000000000000000#0"
#define NOT_A_LINE(n) "line " #n ": it does not begin with a key, 40 characters of Z85"

static void test_list_is_read_or_refused(void **state)
{
    static const struct {
        const char *name, *text;
        const char *want; /* NULL: good */
        size_t keys;
    } rows[] = {
        {"one", A "\n", NULL, 1},
        {"without an end of line", A, NULL, 1},
        {"two", A "\n" B "\n", NULL, 2},
        {"blank lines, comments, CR LF", "\r\n# who\r\n \t\r\n  " A "  # Anna\r\n#" B "\r\n", NULL, 1},
        {"a key with the sign of a comment", HASH " chat\n", NULL, 1},
        {"routes", A " chat\tgame  a.b-c_9 # no more\n", NULL, 1},
        {"a comment right behind", A " #", NULL, 1},
        {"empty", "", "there is no key in it: nobody could come in", 0},
        {"comments only", "# " A "\n", "there is no key in it: nobody could come in", 0},
        {"too short", "# a\n\nrq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf\n", NOT_A_LINE(3), 0},
        {"too long", A "7\n", NOT_A_LINE(1), 0},
        {"not Z85", "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf~\n", NOT_A_LINE(1), 0},
        {"a comment as long as a key", "########################################\n" A, NULL, 1},
        {"more than 32 bits", "%%%%%0000000000000000000000000000000000%\n", NOT_A_LINE(1), 0},
        {"the same again", A "\n" B "\n" A " chat\n", "line 3: the key of line 1 again", 0},
        {"not a route", A " chat,game\n",
         "line 1: what follows a key are names of routes (and names=NAME or names=PREFIX*)", 0},
        {"a long route", A " aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
         "line 1: what follows a key are names of routes (and names=NAME or names=PREFIX*)", 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_key_list list = {0};
        struct wsb_fault fault = {0};
        wsb_err err = wsb_key_list_parse(&list, wsb_span_str(rows[i].text), &fault);
        if ((err == WSB_OK) != !rows[i].want || (err && strcmp(fault.text, rows[i].want) != 0))
            fail_msg("%s: %s", rows[i].name, err ? fault.text : "accepted");
        if (!err)
            assert_int_equal(list.key_count, rows[i].keys);
        wsb_key_list_deinit(&list);
    }
}

static void test_list_refuses_a_nul(void **state)
{
    static const char text[] = A "\0\n" B;
    struct wsb_key_list list = {0};
    (void)state;
    assert_int_equal(wsb_key_list_parse(&list, wsb_span(text, sizeof text - 1), NULL), WSB_ERR_CONFIG);
    wsb_key_list_deinit(&list);
}

static void test_list_allows_what_it_says(void **state)
{
    static const char text[] = B " chat game\n" HASH "\n" A " chat # game\n";
    static const struct {
        const char *key, *route;
        bool want;
    } rows[] = {
        {B, "chat", true},
        {B, "game", true},
        {B, "chatty", false},
        {B, "cha", false},
        {B, "", false},
        {A, "chat", true},
        {A, "game", false},
        {A, "#", false},
        {HASH, "chat", true},
        {HASH, "any", true},
        {"", "chat", false},
        {A "x", "chat", false},
        {"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf8", "chat", false},
    };
    struct wsb_key_list list = {0};
    (void)state;
    assert_int_equal(wsb_key_list_parse(&list, wsb_span_str(text), NULL), WSB_OK);
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (wsb_key_list_allows(&list, wsb_span_str(rows[i].key), rows[i].route) != rows[i].want)
            fail_msg("%s %s", rows[i].key, rows[i].route);
    }
    wsb_key_list_deinit(&list);
    assert_false(wsb_key_list_allows(&list, wsb_span_str(A), "chat"));
}

static void test_names_are_those_of_its_routes_and_those_that_are_granted(void **state)
{
    static const char text[] = B " chat game names=room:* names=lobby\n" HASH "\n" A " chat\n";
    static const struct {
        const char *key, *name;
        bool want;
    } rows[] = {
        {A, "chat:1", true},   {A, "chat:", true},       {A, "chat", false},         {A, "chatty:1", false},
        {A, "game:1", false},  {A, "room:1", false},     {A, "lobby", false},        {A, "", true},
        {B, "game:x", true},   {B, "room:secret", true}, {B, "room:", true},         {B, "room", false},
        {B, "lobby", true},    {B, "lobby2", false},     {B, "names=room:*", false}, {HASH, "anything", true},
        {"", "chat:1", false},
    };
    struct wsb_key_list list = {0};
    (void)state;
    assert_int_equal(wsb_key_list_parse(&list, wsb_span_str(text), NULL), WSB_OK);
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (wsb_key_list_allows_name(&list, wsb_span_str(rows[i].key), wsb_span_str(rows[i].name)) != rows[i].want)
            fail_msg("%s %s", rows[i].key, rows[i].name);
    }
    assert_true(wsb_key_list_allows(&list, wsb_span_str(B), "game"));
    assert_false(wsb_key_list_allows(&list, wsb_span_str(B), "names=lobby"));
    wsb_key_list_deinit(&list);
    struct wsb_fault fault;
    assert_int_equal(wsb_key_list_parse(&list, wsb_span_str("\n" A " names=room:*\n"), &fault), WSB_ERR_CONFIG);
    assert_string_equal(fault.text, "line 2: names= is for keys that are limited to routes");
    wsb_key_list_deinit(&list);
    assert_int_equal(wsb_key_list_parse(&list, wsb_span_str(A " chat names=\n"), &fault), WSB_ERR_CONFIG);
    wsb_key_list_deinit(&list);
}

static void test_key_file_has_one_key(void **state)
{
    static const struct {
        const char *text, *want; /* want NULL: good */
    } rows[] = {
        {"# mine\n" A "\n", NULL},
        {A " # mine", NULL},
        {A " mine", NOT_A_LINE(1)},
        {"", "there is no key in it"},
        {A "\n" B "\n", "line 2: a second key; there can be one only"},
        {"key: " A "\n", NOT_A_LINE(1)},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char key[WSB_KEY_TEXT] = "untouched";
        struct wsb_fault fault = {0};
        wsb_err err = wsb_key_parse(wsb_span_str(rows[i].text), key, &fault);
        assert_int_equal(err == WSB_OK, !rows[i].want);
        assert_string_equal(err ? fault.text : key, rows[i].want ? rows[i].want : A);
        if (err)
            assert_string_equal(key, "untouched");
    }
}

static void test_key_is_made_and_read_again(void **state)
{
    char path[] = "/tmp/wsbus-key-XXXXXX";
    struct wsb_key_pair made, read;
    struct wsb_fault fault = {0};
    struct stat st;
    (void)state;
    assert_true(mkdtemp(path));
    char file[64];
    (void)snprintf(file, sizeof file, "%s/key", path);
    assert_int_equal(wsb_key_make(file, &made, &fault), WSB_OK);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(wsb_key_make(file, &made, &fault), WSB_ERR_EXISTS);
    assert_int_equal(wsb_key_read(file, &read, &fault), WSB_OK);
    assert_string_equal(read.public_key, made.public_key);
    assert_string_equal(read.secret_key, made.secret_key);
    assert_string_not_equal(read.secret_key, read.public_key);
    assert_int_equal(chmod(file, 0640), 0);
    assert_int_equal(wsb_key_read(file, &read, &fault), WSB_ERR_CONFIG);
    assert_non_null(strstr(fault.text, "(mode 0640): chmod 0600 it"));
    assert_int_equal(unlink(file), 0);
    assert_int_equal(wsb_key_read(file, &read, &fault), WSB_ERR_IO);
    assert_int_equal(wsb_key_read(path, &read, &fault), WSB_ERR_CONFIG);
    assert_int_equal(rmdir(path), 0);
}

/* The pair of the examples of ZeroMQ: whoever has made keys with its tools has them here. */
static void test_the_public_key_of_a_secret_one(void **state)
{
    char path[] = "/tmp/wsbus-key-XXXXXX";
    static const char text[] = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6\n";
    struct wsb_key_pair read;
    (void)state;
    int fd = mkstemp(path);
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    assert_int_equal(wsb_key_read(path, &read, NULL), WSB_OK);
    assert_string_equal(read.public_key, A);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_is_read_or_refused),
        cmocka_unit_test(test_list_refuses_a_nul),
        cmocka_unit_test(test_names_are_those_of_its_routes_and_those_that_are_granted),
        cmocka_unit_test(test_list_allows_what_it_says),
        cmocka_unit_test(test_key_file_has_one_key),
        cmocka_unit_test(test_key_is_made_and_read_again),
        cmocka_unit_test(test_the_public_key_of_a_secret_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
