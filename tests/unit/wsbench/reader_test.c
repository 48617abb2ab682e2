/* Frames of a server into messages, however they arrive. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "reader.h"

/* What came out, as text: the opcode in hexadecimal and the payload, for each. */
static const struct row {
    const char *name;
    const char *in;
    size_t in_len;
    const char *want;
    wsb_err err; /* after the last */
} rows[] = {
    {"a text", "\x81\x02hi", 4, "1hi ", WSB_MORE},
    {"two",
     "\x81\x01"
     "a\x82\x01"
     "b",
     6, "1a 2b ", WSB_MORE},
    {"an empty one", "\x81\x00", 2, "1 ", WSB_MORE},
    {"fragments",
     "\x01\x01"
     "a\x00\x01"
     "b\x80\x01"
     "c",
     9, "1abc ", WSB_MORE},
    {"a ping between",
     "\x01\x01"
     "a\x89\x01p\x80\x01"
     "b",
     9, "9p 1ab ", WSB_MORE},
    {"a close", "\x88\x02\x03\xe8", 4, "8\x03\xe8 ", WSB_MORE},
    {"masked", "\x81\x82\1\2\3\4hi", 8, "", WSB_ERR_PROTO},
    {"reserved bit", "\xc1\x02hi", 4, "", WSB_ERR_PROTO},
    {"reserved opcode", "\x83\x02hi", 4, "", WSB_ERR_PROTO},
    {"the rest of nothing",
     "\x80\x01"
     "a",
     3, "", WSB_ERR_PROTO},
    {"a message in a message",
     "\x01\x01"
     "a\x81\x01"
     "b",
     6, "", WSB_ERR_PROTO},
    {"too large",
     "\x81\x11"
     "12345678901234567",
     19, "", WSB_ERR_LIMIT},
    {"too large in fragments",
     "\x01\x0c"
     "123456789012\x80\x05"
     "12345",
     21, "", WSB_ERR_LIMIT},
};

/* Feed it with all of it, or byte by byte. */
static wsb_err feed(const struct row *row, bool slowly, char out[64])
{
    struct wsl_reader r;
    size_t at = 0, need;
    wsb_err err = WSB_MORE;
    wsl_reader_init(&r, 16);
    out[0] = 0;
    for (size_t len = slowly ? 1 : row->in_len; len <= row->in_len && err == WSB_MORE; len++) {
        struct wsb_span in = wsb_span(row->in + at, len - at);
        struct wsl_incoming event;
        while ((err = wsl_reader_next(&r, &in, &event, &need)) == WSB_OK)
            (void)snprintf(out + strlen(out), 64 - strlen(out), "%x%.*s ", event.opcode, (int)event.payload.len,
                           (const char *)event.payload.ptr);
        assert_true(err != WSB_MORE || need == 0 || need > in.len);
        at = len - in.len;
    }
    wsl_reader_deinit(&r);
    return err;
}

static void test_every_row_whole_and_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int slowly = 0; slowly < 2; slowly++) {
            char out[64];
            wsb_err err = feed(&rows[i], slowly, out);
            if (err != rows[i].err || strcmp(out, rows[i].want) != 0)
                fail_msg("%s, %s: %s '%s'", rows[i].name, slowly ? "slowly" : "whole", wsb_err_name(err), out);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_row_whole_and_byte_by_byte)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
