/*
 * The UTF-8 check. Input: one byte that says where the text is split, then the text.
 * Property: split, whole, in blocks, and a plain decoder that computes each code point all agree.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "base/utf8_block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

/* Decodes one code point and looks at its value; 0 when there is none. As RFC 3629 §3 draws it, with no cleverness. */
static size_t naive_char(const uint8_t *p, size_t len)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n;
    uint32_t c;
    if (p[0] < 0x80)
        return 1;
    if ((p[0] & 0xe0) == 0xc0) {
        n = 2;
        c = p[0] & 0x1f;
    } else if ((p[0] & 0xf0) == 0xe0) {
        n = 3;
        c = p[0] & 0x0f;
    } else if ((p[0] & 0xf8) == 0xf0) {
        n = 4;
        c = p[0] & 0x07;
    } else {
        return 0;
    }
    if (n > len)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    return c < smallest[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : n;
}

static bool naive_is_valid(const uint8_t *p, size_t len)
{
    while (len) {
        size_t n = naive_char(p, len);
        if (n == 0)
            return false;
        p += n;
        len -= n;
    }
    return true;
}

/* Every way there is: what it calls good is good, and of good text it leaves less than a block and a character. */
static void check_blocks(const uint8_t *text, size_t len, bool is_good)
{
    for (const struct wsb_utf8_way *w = wsb_utf8_ways(); w->name; w++) {
        size_t good = w->blocks(text, len);
        require(good <= len && naive_is_valid(text, good));
        require(!is_good || len - good < WSB_UTF8_BLOCK + 3);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const uint8_t *text = data + 1;
    size_t len = size - 1;
    size_t cut = len ? data[0] % (len + 1) : 0;
    bool want = naive_is_valid(text, len);
    require(wsb_utf8_is_valid(text, len) == want);

    check_blocks(text, len, want);
    struct wsb_utf8 u;
    wsb_utf8_init(&u);
    require((wsb_utf8_feed(&u, text, cut) && wsb_utf8_feed(&u, text + cut, len - cut) && wsb_utf8_is_complete(&u)) ==
            want);

    wsb_utf8_init(&u);
    size_t at = 0;
    while (at < len && wsb_utf8_feed(&u, text + at, 1))
        at++;
    require((at == len && wsb_utf8_is_complete(&u)) == want);
    return 0;
}
