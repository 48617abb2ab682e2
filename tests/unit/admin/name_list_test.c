/* Names and members are listed a piece at a time, whatever happens to them between two pieces. */
#include "support/test.h"

#include <jansson.h>

#include "admin/name_list.h"

enum { PIECE = 1024, MANY = 3000 };

struct fixture {
    struct wsg_routes routes;
    struct wsg_pins pins;
    struct wsg_groups groups;
    struct wsg_pin *p[MANY];
    struct wsg_name_list list;
    struct wsb_buf text;
    struct wsb_json j;
};

static int setup(void **state)
{
    static const struct wsg_route_policy policy = {.kinds = WSG_KIND_WEBSOCKET};
    struct fixture *f = calloc(1, sizeof *f);
    assert_int_equal(wsg_routes_init(&f->routes, 1), WSB_OK);
    assert_int_equal(wsg_routes_add(&f->routes, "a", "/a", NULL, &policy, NULL), WSB_OK);
    for (uint32_t i = 0; i < MANY; i++) {
        wsb_conn conn = wsg_id_make((struct wsg_id_parts){1, 1, 0, i});
        assert_int_equal(wsg_pins_add(&f->pins, conn, f->routes.routes, &f->p[i]), WSB_OK);
    }
    wsb_buf_init(&f->text, 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    wsg_pins_deinit(&f->pins);
    wsg_groups_deinit(&f->groups);
    wsg_routes_deinit(&f->routes);
    wsb_buf_deinit(&f->text);
    free(f);
    return 0;
}

static void join(struct fixture *f, size_t first, size_t end, const char *name)
{
    for (size_t i = first; i < end; i++)
        assert_int_equal(wsg_groups_join(&f->groups, f->p[i], wsb_span_str(name)), WSB_OK);
}

static void leave(struct fixture *f, size_t first, size_t end, const char *name)
{
    for (size_t i = first; i < end; i++)
        assert_int_equal(wsg_groups_leave(&f->groups, f->p[i], wsb_span_str(name)), WSB_OK);
}

static void begin(struct fixture *f, const char *name, size_t limit)
{
    wsb_buf_clear(&f->text);
    wsb_json_begin(&f->j, &f->text);
    wsg_name_list_begin(&f->list, &f->groups, name ? wsg_groups_find(&f->groups, wsb_span_str(name)) : NULL, limit,
                        &f->j);
}

static json_t *end(struct fixture *f)
{
    wsg_name_list_end(&f->list, &f->j);
    assert_int_equal(wsb_json_end(&f->j), WSB_OK);
    json_t *made = json_loadb((const char *)f->text.data, f->text.len, 0, NULL);
    assert_non_null(made);
    return made;
}

static size_t end_and_count(struct fixture *f, const char *what)
{
    json_t *made = end(f);
    json_t *groups = json_object_get(made, "groups");
    size_t count = *what ? json_array_size(json_object_get(json_array_get(groups, 0), what)) : json_array_size(groups);
    json_decref(made);
    return count;
}

static void test_members_come_in_pieces(void **state)
{
    struct fixture *f = *state;
    join(f, 0, MANY, "all");
    begin(f, "all", SIZE_MAX);
    assert_true(wsg_name_list_go_on(&f->list, &f->j));
    assert_int_equal(f->list.shown, PIECE);
    assert_true(wsg_name_list_go_on(&f->list, &f->j));
    assert_false(wsg_name_list_go_on(&f->list, &f->j));
    assert_int_equal(end_and_count(f, "members"), MANY);
    begin(f, "all", 1500);
    while (wsg_name_list_go_on(&f->list, &f->j))
        ;
    assert_int_equal(end_and_count(f, "members"), 1500);
}

/* So many leave between two pieces that fewer are left than were shown; then all of them do. */
static void test_members_that_leave_meanwhile(void **state)
{
    struct fixture *f = *state;
    join(f, 0, MANY, "all");
    begin(f, "all", SIZE_MAX);
    assert_true(wsg_name_list_go_on(&f->list, &f->j));
    leave(f, 10, MANY, "all");
    assert_false(wsg_name_list_go_on(&f->list, &f->j));
    assert_int_equal(end_and_count(f, "members"), PIECE);

    join(f, 10, MANY, "all");
    begin(f, "all", SIZE_MAX);
    assert_true(wsg_name_list_go_on(&f->list, &f->j));
    leave(f, 0, MANY, "all");
    assert_null(wsg_groups_find(&f->groups, wsb_span_str("all")));
    assert_false(wsg_name_list_go_on(&f->list, &f->j));
    assert_int_equal(end_and_count(f, "members"), PIECE);
}

static void test_names_come_in_pieces_while_they_change(void **state)
{
    struct fixture *f = *state;
    char name[32];
    size_t pieces = 1;
    for (size_t i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof name, "group %zu", i);
        join(f, i, i + 1, name);
    }
    begin(f, NULL, SIZE_MAX);
    while (wsg_name_list_go_on(&f->list, &f->j))
        pieces++;
    assert_int_equal(end_and_count(f, ""), MANY);
    assert_in_range(pieces, 2, MANY / PIECE + 1);

    begin(f, NULL, SIZE_MAX);
    assert_true(wsg_name_list_go_on(&f->list, &f->j));
    size_t shown = f->list.shown;
    assert_in_range(shown, PIECE, PIECE + MANY / 16);
    for (size_t i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof name, "group %zu", i);
        leave(f, i, i + 1, name);
    }
    assert_false(wsg_name_list_go_on(&f->list, &f->j));
    assert_int_equal(end_and_count(f, ""), shown);
}

static void test_no_more_names_than_are_asked_for(void **state)
{
    struct fixture *f = *state;
    join(f, 0, 1, "a");
    join(f, 0, 1, "b");
    join(f, 0, 1, "c");
    begin(f, NULL, 2);
    assert_false(wsg_name_list_go_on(&f->list, &f->j));
    assert_int_equal(end_and_count(f, ""), 2);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_members_come_in_pieces),
        TEST(test_members_that_leave_meanwhile),
        TEST(test_names_come_in_pieces_while_they_change),
        TEST(test_no_more_names_than_are_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
