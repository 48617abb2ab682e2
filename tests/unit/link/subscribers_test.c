/* Who gets what, compared with what the words say; and what may be held. */
#include "support/test.h"

#include "link/subscribers.h"

enum { PEERS = 5, TURNS = 20000 };

static const struct wsb_seed seed = {1, 2};

static void count(void *ctx, struct wsb_subscriber *s)
{
    (void)s;
    ++*(int *)ctx;
}

static int found(struct wsb_subscribers *t, const char *topic)
{
    int n = 0;
    wsb_subscribers_each(t, wsb_span_str(topic), count, &n);
    assert_int_equal(wsb_subscribers_want(t, wsb_span_str(topic)), n > 0);
    return n;
}

static void add(struct wsb_subscribers *t, struct wsb_subscriber *s, const char *prefix)
{
    assert_int_equal(wsb_subscribers_add(t, s, wsb_span_str(prefix)), WSB_OK);
}

static void test_prefixes(void **state)
{
    struct wsb_subscribers t;
    struct wsb_subscriber a = {0}, b = {0};
    (void)state;
    wsb_subscribers_init(&t, &seed);
    assert_int_equal(found(&t, "chat data"), 0);
    add(&t, &a, "chat ");
    add(&t, &b, "chat data");
    add(&t, &a, "chat d"); /* fits twice, is told once */
    assert_int_equal(found(&t, "chat data"), 2);
    assert_int_equal(found(&t, "chat open"), 1);
    assert_int_equal(found(&t, "chat"), 0);
    assert_int_equal(found(&t, "echo data"), 0);
    add(&t, &b, ""); /* everything */
    assert_int_equal(found(&t, "echo data"), 1);
    assert_int_equal(found(&t, ""), 1);
    wsb_subscribers_remove(&t, &b, wsb_span_str(""));
    wsb_subscribers_remove(&t, &b, wsb_span_str("")); /* nothing is harmed */
    wsb_subscribers_remove(&t, &b, wsb_span_str("chat "));
    assert_int_equal(found(&t, "echo data"), 0);
    assert_int_equal(found(&t, "chat data"), 2);
    wsb_subscribers_leave(&t, &a);
    wsb_subscribers_leave(&t, &a);
    assert_int_equal(found(&t, "chat data"), 1);
    wsb_subscribers_leave(&t, &b);
    assert_int_equal(t.count, 0);
    assert_int_equal(t.prefix_count, 0);
    wsb_subscribers_deinit(&t);
}

/* As libzmq's XPUB does it: a SUB that subscribes twice says so twice, and cancels once. */
static void test_twice_is_once(void **state)
{
    struct wsb_subscribers t;
    struct wsb_subscriber a = {0};
    (void)state;
    wsb_subscribers_init(&t, &seed);
    add(&t, &a, "x");
    add(&t, &a, "x");
    assert_int_equal(a.count, 1);
    wsb_subscribers_remove(&t, &a, wsb_span_str("x"));
    assert_int_equal(found(&t, "x"), 0);
    assert_int_equal(t.count, 0);
    wsb_subscribers_deinit(&t);
}

static void test_what_is_longer_than_any_topic_is_not_kept(void **state)
{
    struct wsb_subscribers t;
    struct wsb_subscriber a = {0};
    char topic[WSB_TOPIC_MAX + 3];
    (void)state;
    wsb_subscribers_init(&t, &seed);
    memset(topic, 'x', sizeof topic);
    assert_int_equal(wsb_subscribers_add(&t, &a, wsb_span(topic, WSB_TOPIC_MAX + 1)), WSB_OK);
    assert_int_equal(t.count, 0);
    assert_int_equal(wsb_subscribers_add(&t, &a, wsb_span(topic, WSB_TOPIC_MAX)), WSB_OK);
    assert_int_equal(t.count, 1);
    assert_true(wsb_subscribers_want(&t, wsb_span(topic, sizeof topic)));
    wsb_subscribers_remove(&t, &a, wsb_span(topic, WSB_TOPIC_MAX + 1));
    wsb_subscribers_leave(&t, &a);
    wsb_subscribers_deinit(&t);
}

static void test_one_has_its_bound_and_all_have_theirs(void **state)
{
    enum { MANY = WSB_SUBSCRIPTIONS_ALL / WSB_SUBSCRIPTIONS_EACH };
    struct wsb_subscribers t;
    struct wsb_subscriber many[MANY] = {0}, late = {0};
    char prefix[16];
    (void)state;
    wsb_subscribers_init(&t, &seed);
    for (int i = 0; i < MANY; i++) {
        for (int k = 0; k < WSB_SUBSCRIPTIONS_EACH; k++) {
            (void)snprintf(prefix, sizeof prefix, "%d", k);
            add(&t, &many[i], prefix);
        }
        add(&t, &many[i], "7"); /* that it has already */
        assert_int_equal(wsb_subscribers_add(&t, &many[i], wsb_span_str("more")), WSB_ERR_LIMIT);
    }
    for (int i = 0; i < WSB_SUBSCRIPTIONS_SURE; i++) { /* who comes late is not kept out */
        (void)snprintf(prefix, sizeof prefix, "more %d", i);
        add(&t, &late, prefix);
    }
    assert_int_equal(wsb_subscribers_add(&t, &late, wsb_span_str("more")), WSB_ERR_LIMIT);
    assert_int_equal(t.count, WSB_SUBSCRIPTIONS_ALL + WSB_SUBSCRIPTIONS_SURE);
    for (int i = 0; i <= WSB_SUBSCRIPTIONS_SURE; i++) {
        (void)snprintf(prefix, sizeof prefix, "%d", i);
        wsb_subscribers_remove(&t, &many[0], wsb_span_str(prefix));
    }
    add(&t, &late, "more");
    assert_int_equal(found(&t, "more 7"), 1);
    assert_int_equal(found(&t, "77"), MANY);
    assert_int_equal(found(&t, "5"), MANY - 1);
    for (int i = 0; i < MANY; i++)
        wsb_subscribers_leave(&t, &many[i]);
    wsb_subscribers_leave(&t, &late);
    assert_int_equal(t.count, 0);
    wsb_subscribers_deinit(&t);
}

/* A prefix that many want, and a subscriber that wants many: that one comes and goes without a walk along either. */
static void test_coming_and_going_takes_no_longer_among_many(void **state)
{
    enum { MANY = 1000, TURNS_OF_ONE = 1000 };
    struct wsb_subscribers t;
    static struct wsb_subscriber many[MANY];
    struct wsb_subscriber one = {0};
    char prefix[16];
    (void)state;
    wsb_subscribers_init(&t, &seed);
    for (int i = 0; i < MANY; i++) {
        add(&t, &many[i], "x");
        (void)snprintf(prefix, sizeof prefix, "%d", i);
        add(&t, &one, prefix);
    }
    uint64_t before = t.steps;
    for (int i = 0; i < TURNS_OF_ONE; i++) {
        add(&t, &one, "x");
        add(&t, &one, "x");
        wsb_subscribers_remove(&t, &one, wsb_span_str("x"));
    }
    assert_true(t.steps - before < TURNS_OF_ONE * 20);
    before = t.steps;
    wsb_subscribers_leave(&t, &one);
    for (int i = 0; i < MANY; i++)
        wsb_subscribers_leave(&t, &many[i]);
    assert_true(t.steps - before < MANY * 20);
    assert_int_equal(t.count, 0);
    wsb_subscribers_deinit(&t);
}

/* Random coming and going, beside a plain list of what is wanted. */
static void test_any_order(void **state)
{
    static const char *const prefixes[] = {"", "a", "ab", "abc", "b", "ba", "chat ", "chat data", "z"};
    static const char *const topics[] = {"", "a", "abcd", "ba", "chat data", "chat open", "zzz"};
    struct wsb_subscribers t;
    struct wsb_subscriber peers[PEERS] = {0};
    bool wants[PEERS][COUNT(prefixes)] = {0};
    uint32_t dice = 1;
    (void)state;
    wsb_subscribers_init(&t, &seed);
    for (int turn = 0; turn < TURNS; turn++) {
        dice = dice * 1664525u + 1013904223u;
        size_t peer = (dice >> 16) % PEERS, at = (dice >> 20) % COUNT(prefixes);
        switch (dice >> 29) {
        case 0:
            wsb_subscribers_leave(&t, &peers[peer]);
            memset(wants[peer], 0, sizeof wants[peer]);
            break;
        case 1:
        case 2:
        case 3:
            wsb_subscribers_remove(&t, &peers[peer], wsb_span_str(prefixes[at]));
            wants[peer][at] = false;
            break;
        default:
            add(&t, &peers[peer], prefixes[at]);
            wants[peer][at] = true;
        }
        const char *topic = topics[(size_t)turn % COUNT(topics)];
        int want = 0;
        for (int i = 0; i < PEERS; i++) {
            bool fits = false;
            for (size_t k = 0; k < COUNT(prefixes); k++)
                fits = fits || (wants[i][k] && strncmp(topic, prefixes[k], strlen(prefixes[k])) == 0);
            want += fits;
        }
        assert_int_equal(found(&t, topic), want);
    }
    for (int i = 0; i < PEERS; i++)
        wsb_subscribers_leave(&t, &peers[i]);
    assert_int_equal(t.count, 0);
    wsb_subscribers_deinit(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_twice_is_once),
        cmocka_unit_test(test_what_is_longer_than_any_topic_is_not_kept),
        cmocka_unit_test(test_one_has_its_bound_and_all_have_theirs),
        cmocka_unit_test(test_coming_and_going_takes_no_longer_among_many),
        cmocka_unit_test(test_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
