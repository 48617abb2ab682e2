/* Connection ids. */
#include "bus/conn_id.h"

uint16_t wsg_epoch_tag(uint64_t epoch)
{
    uint64_t mixed = epoch * 0x9e3779b97f4a7c15u;
    uint16_t tag = (uint16_t)(mixed >> (64 - WSG_ID_EPOCH_BITS));
    return tag ? tag : 1;
}

bool wsg_id_parse(const char *text, wsb_conn *ret)
{
    uint64_t id = 0;
    for (int i = 0; i < 16; i++) {
        char c = text[i];
        if (c >= '0' && c <= '9')
            id = id << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            id = id << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    if (text[16])
        return false;
    *ret = id;
    return true;
}
