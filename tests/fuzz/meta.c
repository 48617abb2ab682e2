/*
 * Metadata of commands. Input: the JSON.
 * Property: read by the pass that takes long lists of ids out first (as it is when blanks follow), it means what it means to the
 * general parser alone.
 */
#include <stdlib.h>
#include <string.h>

#include "bus/meta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SHORT = 4096, LONG = 8192 };

static void require(bool truth)
{
    if (!truth)
        abort();
}

static bool are_same(const wsb_conn *a, size_t a_count, const wsb_conn *b, size_t b_count)
{
    return a_count == b_count && (a_count == 0 || memcmp(a, b, a_count * sizeof *a) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t text[LONG];
    struct wsg_meta plain, cut;
    if (size == 0 || size > SHORT)
        return 0;
    memset(text, ' ', sizeof text);
    memcpy(text, data, size);
    wsb_err a = wsg_meta_parse(wsb_span(data, size), &plain, NULL);
    wsb_err b = wsg_meta_parse(wsb_span(text, sizeof text), &cut, NULL);
    if (!b)
        require(!a);
    if (!a && !b) { /* otherwise it was too deep */
        require(plain.has_to == cut.has_to && plain.code == cut.code && plain.group_count == cut.group_count);
        require(are_same(plain.to, plain.to_count, cut.to, cut.to_count));
        require(are_same(plain.except, plain.except_count, cut.except, cut.except_count));
    }
    wsg_meta_deinit(&plain);
    wsg_meta_deinit(&cut);
    return 0;
}
