/* Connection ids. */
#include "bus/conn_id.h"

uint16_t wsg_epoch_tag(uint64_t epoch)
{
    uint64_t mixed = epoch * 0x9e3779b97f4a7c15u;
    uint16_t tag = (uint16_t)(mixed >> (64 - WSG_ID_EPOCH_BITS));
    return tag ? tag : 1;
}

/* A digit and 1, so that what is none is 0. */
static const uint8_t digits[256] = {
    ['0'] = 1, ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9, ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
};

bool wsg_id_parse(const char *text, wsb_conn *ret)
{
    uint64_t id = 0;
    for (int i = 0; i < 16; i++) {
        uint8_t digit = digits[(uint8_t)text[i]];
        if (!digit)
            return false;
        id = id << 4 | (digit - 1u);
    }
    if (text[16])
        return false;
    *ret = id;
    return true;
}
