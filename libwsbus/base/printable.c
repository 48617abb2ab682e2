/* Characters that are not plainly to be seen. */
#include "base/printable.h"

#include "base/utf8.h"

uint32_t wsb_character(struct wsb_span s, size_t *ret_len)
{
    static const uint8_t lead_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint8_t first = s.len ? s.ptr[0] : 0x80;
    size_t len = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 0;
    *ret_len = 0;
    if (!len || len > s.len || !wsb_utf8_is_valid(s.ptr, len))
        return 0;
    uint32_t c = first & lead_bits[len];
    for (size_t i = 1; i < len; i++)
        c = c << 6 | (s.ptr[i] & 0x3f);
    *ret_len = len;
    return c;
}

bool wsb_is_unprintable(uint32_t character)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x0000, 0x001f}, {0x007f, 0x009f}, {0x00ad, 0x00ad}, {0x061c, 0x061c}, {0x180e, 0x180e},   {0x200b, 0x200f},
        {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe0fff},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        if (character >= ranges[i].first && character <= ranges[i].last)
            return true;
    }
    return false;
}
