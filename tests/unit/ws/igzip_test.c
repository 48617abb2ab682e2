/* igzip, where it is built in: its messages are read by zlib, and it keeps to the memory that it was given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "ws/igzip.h"
#include "ws/zstream.h"

enum { ROOM = 1 << 20 };

/* Memory that ends where no memory is. */
static uint8_t *fenced(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *at = mmap(NULL, ROOM + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(at, MAP_FAILED);
    assert_int_equal(mprotect(at, page, PROT_NONE), 0);
    assert_int_equal(mprotect(at + page + ROOM, page, PROT_NONE), 0);
    return at + page;
}

/* Kinds of content: noise, one byte, words, noise that repeats itself far away. */
static void compose(uint8_t *out, size_t len, unsigned kind, uint32_t x)
{
    static const char words[] = "the quick brown fox jumps over the lazy dog and runs away ";
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525u + 1013904223u;
        if (kind == 0)
            out[i] = (uint8_t)(x >> 24);
        else if (kind == 1)
            out[i] = 'a';
        else if (kind == 2)
            out[i] = (uint8_t)words[(i + (x >> 28)) % (sizeof words - 1)];
        else
            out[i] = i < 32768 - 7 ? (uint8_t)(x >> 24) : out[i - (32768 - 7)];
    }
}

static void check(struct wsb_igzip *g, struct wsb_inflater *f, uint8_t *text, size_t len, struct wsb_buf *out)
{
    static uint8_t back[ROOM + 1];
    static const uint8_t tail[] = {0, 0, 0xff, 0xff};
    size_t n, more = 0;
    wsb_err err = wsb_igzip_message(g, wsb_span(text, len), out);
    assert_true(err == WSB_OK || err == WSB_AGAIN);
    if (err)
        return;
    assert_true(out->len < len);
    struct wsb_span in = wsb_buf_span(out), end = wsb_span(tail, sizeof tail);
    wsb_inflater_reset(f);
    wsb_inflater_begin(f);
    assert_int_equal(wsb_inflater_next(f, &in, back, sizeof back, &n), WSB_OK);
    assert_int_equal(wsb_inflater_next(f, &end, back + n, sizeof back - n, &more), WSB_OK);
    assert_true(wsb_inflater_is_complete(f));
    assert_int_equal(n + more, len);
    assert_memory_equal(back, text, len);
}

static void test_igzip_is_read_by_zlib_and_keeps_to_its_memory(void **state)
{
    (void)state;
    struct wsb_igzip *g = NULL;
    struct wsb_inflater *f;
    if (!wsb_igzip_is_there()) {
        assert_int_equal(wsb_igzip_new(&g), WSB_ERR_UNSUPPORTED);
        return;
    }
    uint8_t *source = fenced(), *dest = fenced();
    assert_int_equal(wsb_igzip_new(&g), WSB_OK);
    assert_int_equal(wsb_inflater_new(&f, 15), WSB_OK);
    for (size_t len = 1; len < ROOM - 64; len += len < 1200 ? 1 : len / 7 + 1) {
        for (unsigned kind = 0; kind < 4; kind++) {
            uint8_t *at_end = source + ROOM - len;
            /* the buffer has exactly the room that is asked for, and then the fence */
            struct wsb_buf out = {.data = dest + ROOM - (len + 64), .cap = len + 64};
            compose(at_end, len, kind, (uint32_t)len);
            check(g, f, at_end, len, &out);
            memmove(source, at_end, len);
            check(g, f, source, len, &out);
        }
    }
    wsb_inflater_free(f);
    wsb_igzip_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_igzip_is_read_by_zlib_and_keeps_to_its_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
