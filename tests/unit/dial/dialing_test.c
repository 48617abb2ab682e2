/* Attempts that somebody gives up: whatever they wait for, they end at once. The rest is in tests of who dials. */
#include "support/test.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dial/dialing.h"
#include "dial/resolve.h"
#include "dial/wait.h"

static int stop_new(bool is_stopped)
{
    int fd = eventfd(is_stopped, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(fd >= 0);
    return fd;
}

/* Listens, and never says a word. */
static int listener_new(char url[64])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    (void)snprintf(url, 64, "ws://127.0.0.1:%u/", (unsigned)ntohs(a.sin_port));
    return fd;
}

static void test_addresses_as_text_need_no_lookup(void **state)
{
    struct addrinfo *found = NULL;
    struct wsb_fault fault = {0};
    int stop = stop_new(true);
    (void)state;
    assert_int_equal(wsb_resolve("127.0.0.1", 80, 0, stop, &found, &fault), WSB_OK);
    assert_int_equal(found->ai_family, AF_INET);
    freeaddrinfo(found);
    close(stop);
}

static void test_names_are_looked_up(void **state)
{
    struct addrinfo *found = NULL;
    struct wsb_fault fault = {0};
    (void)state;
    assert_int_equal(wsb_resolve("localhost", 80, wsb_monotonic_ms() + 60000, -1, &found, &fault), WSB_OK);
    assert_non_null(found);
    freeaddrinfo(found);
}

static void test_a_lookup_is_given_up(void **state)
{
    struct addrinfo *found = NULL;
    struct wsb_fault fault = {0};
    int stop = stop_new(true);
    (void)state;
    assert_int_equal(wsb_resolve("localhost", 80, UINT64_MAX, stop, &found, &fault), WSB_CLOSED);
    assert_non_null(strstr(fault.text, "any more"));
    close(stop);
}

static void test_a_lookup_ends_in_time(void **state)
{
    struct addrinfo *found = NULL;
    struct wsb_fault fault = {0};
    (void)state;
    wsb_err err = wsb_resolve("localhost", 80, 0, -1, &found, &fault); /* it may have been as quick as that */
    assert_true(err == WSB_ERR_TIMEOUT || err == WSB_OK);
    if (!err)
        freeaddrinfo(found);
}

struct attempt {
    char url[64];
    struct wsb_dial_terms terms;
    enum wsb_reason reason;
};

static void *attempt_main(void *arg)
{
    struct attempt *a = arg;
    const struct wsb_open_options o = {.timeout_ms = 600000};
    struct wsb_open_result result = {0};
    struct wsb_deflate_params params;
    struct wsb_peer peer;
    wsb_peer_init(&peer);
    a->reason = wsb_dial(a->url, &o, &a->terms, &peer, &result, &params);
    return NULL;
}

static void test_an_attempt_is_given_up(void **state)
{
    struct attempt a = {.terms.stop_fd = stop_new(false)};
    int listener = listener_new(a.url);
    pthread_t thread;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, attempt_main, &a), 0);
    int fd = accept(listener, NULL, NULL); /* it is connected, and waits for an answer */
    assert_true(fd >= 0);
    assert_int_equal(eventfd_write(a.terms.stop_fd, 1), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(a.reason, WSB_REASON_SIGNAL);
    close(fd);
    close(listener);
    close(a.terms.stop_fd);
}

static void test_what_was_not_used_can_be_taken(void **state)
{
    int ends[2];
    struct wsb_peer peer;
    struct wsb_fault fault;
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    wsb_peer_init(&peer);
    peer.fd = ends[0];
    assert_int_equal(write(ends[1], "abcdef", 6), 6);
    assert_int_equal(wsb_peer_fill(&peer, &fault), WSB_OK);
    wsb_peer_use(&peer, 2);
    struct wsb_buf taken = wsb_peer_take_unread(&peer);
    assert_int_equal(taken.len, 4);
    assert_memory_equal(taken.data, "cdef", 4);
    wsb_buf_deinit(&taken);
    assert_int_equal(wsb_peer_unread(&peer).len, 0);
    taken = wsb_peer_take_unread(&peer);
    assert_int_equal(taken.len, 0);
    wsb_buf_deinit(&taken);
    assert_int_equal(write(ends[1], "gh", 2), 2); /* and what comes later is its own again */
    assert_int_equal(wsb_peer_fill(&peer, &fault), WSB_OK);
    assert_int_equal(wsb_peer_unread(&peer).len, 2);
    wsb_peer_deinit(&peer);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_as_text_need_no_lookup),
        cmocka_unit_test(test_names_are_looked_up),
        cmocka_unit_test(test_a_lookup_is_given_up),
        cmocka_unit_test(test_a_lookup_ends_in_time),
        cmocka_unit_test(test_an_attempt_is_given_up),
        cmocka_unit_test(test_what_was_not_used_can_be_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
