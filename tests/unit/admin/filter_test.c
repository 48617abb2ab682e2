/* Filters: which connections are meant. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "admin/filter.h"

static const struct wsg_conn_info open_one = {
    .id = 0x5f4df547a8040abc,
    .what = "WebSocket(server, CONNECTED)",
    .route = "chat",
    .peer = "10.1.2.3:4567",
    .subprotocol = "v2.chat",
    .age_ms = 60000,
    .idle_ms = 500,
};

static const struct row {
    const char *name, *params;
    bool parses, matches;
} rows[] = {
    {"nothing asked", "{}", true, true},
    {"route", "{\"route\":\"chat\"}", true, true},
    {"another route", "{\"route\":\"cha\"}", true, false},
    {"beginning of the peer", "{\"peer\":\"10.1.\"}", true, true},
    {"middle of the peer", "{\"peer\":\"1.2.3\"}", true, false},
    {"subprotocol", "{\"subprotocol\":\"v2.chat\"}", true, true},
    {"another subprotocol", "{\"subprotocol\":\"v2\"}", true, false},
    {"state in any case", "{\"state\":\"connected\"}", true, true},
    {"state", "{\"state\":\"CONNECTED\"}", true, true},
    {"another state", "{\"state\":\"closing\"}", true, false},
    {"kind", "{\"kind\":\"websocket\"}", true, true},
    {"another kind", "{\"kind\":\"http\"}", true, false},
    {"handler", "{\"handler\":3}", true, true},
    {"another handler", "{\"handler\":4}", true, false},
    {"exactly that old", "{\"older_than_ms\":60000}", true, true},
    {"older", "{\"older_than_ms\":60001}", true, false},
    {"idle that long", "{\"idle_ms\":500}", true, true},
    {"idle longer", "{\"idle_ms\":501}", true, false},
    {"end of the id", "{\"id\":\"abc\"}", true, true},
    {"whole id", "{\"id\":\"5f4df547a8040abc\"}", true, true},
    {"not the end of the id", "{\"id\":\"5f4d\"}", true, false},
    {"all of them", "{\"route\":\"chat\",\"kind\":\"websocket\",\"idle_ms\":1}", true, true},
    {"one does not fit", "{\"route\":\"chat\",\"kind\":\"http\",\"idle_ms\":1}", true, false},
    {"what only the hub knows", "{\"user\":\"ann\",\"group\":\"g\",\"tag\":\"t\"}", true, true},
    {"a user", "{\"user\":\"ann\"}", true, true},
    {"a group", "{\"group\":\"g\"}", true, true},
    {"a tag", "{\"tag\":\"t\"}", true, true},
    {"empty user", "{\"user\":\"\"}", false, false},
    {"empty text", "{\"route\":\"\"}", false, false},
    {"no such state", "{\"state\":\"open\"}", false, false},
    {"no such kind", "{\"kind\":\"tcp\"}", false, false},
    {"id with capitals", "{\"id\":\"ABC\"}", false, false},
    {"id too long", "{\"id\":\"00000000000000000\"}", false, false},
    {"handler 0", "{\"handler\":0}", false, false},
    {"text as a number", "{\"idle_ms\":\"5\"}", false, false},
};

static void test_filters_let_through_what_fits(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        json_t *params = json_loads(row->params, 0, NULL);
        struct wsg_filter f;
        struct wsb_fault fault;
        wsb_err err = wsg_filter_parse(params, &f, &fault);
        if ((err == WSB_OK) != row->parses)
            fail_msg("%s: %d", row->name, err);
        if (!err && wsg_filter_matches(&f, &open_one, 3) != row->matches)
            fail_msg("%s", row->name);
        if (!err && wsg_filter_is_empty(&f) != (i == 0))
            fail_msg("%s: empty or not", row->name);
        json_decref(params);
    }
}

/* "CLOSED" must not be taken for "CLOSE", nor a kind for a state. */
static void test_states_are_whole_words(void **state)
{
    struct wsg_conn_info row = open_one;
    struct wsg_filter f = {.state = "CLOSING"};
    (void)state;
    row.what = "WebSocket(server, CLOSED)";
    assert_false(wsg_filter_matches(&f, &row, 0));
    row.what = "WebSocket(server, CLOSING)";
    assert_true(wsg_filter_matches(&f, &row, 0));
    f = (struct wsg_filter){.state = "CONNECT"};
    row.what = "WebSocket(server, CONNECTED)";
    assert_false(wsg_filter_matches(&f, &row, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filters_let_through_what_fits),
        cmocka_unit_test(test_states_are_whole_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
