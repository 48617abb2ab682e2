/* Log lines that strangers cause, counted by the second. */
#include "base/log_limit.h"

bool wsb_log_limit(struct wsb_log_limit *l, uint32_t lines, uint64_t now_ms)
{
    uint64_t second = now_ms / 1000 + 1;
    if (second != l->second) {
        l->second = second;
        l->lines = 0;
    }
    if (l->lines >= lines)
        return false;
    l->lines++;
    return true;
}
