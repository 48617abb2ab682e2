/* Sums of log lines by kind: a short table, searched from its beginning. */
#include "base/log_sums.h"

#include <stdbool.h>
#include <string.h>

static const char others[] = "other lines";

static bool is_of(const struct wsb_log_sum *sum, uint8_t module, uint8_t level, const char *of)
{
    return sum->module == module && sum->level == level && strncmp(sum->of, of, WSB_LOG_SUM_TEXT - 1) == 0;
}

void wsb_log_sums_add(struct wsb_log_sums *s, uint8_t module, uint8_t level, const char *of, uint64_t count)
{
    size_t i = 0;
    while (i < s->used && !is_of(&s->at[i], module, level, of))
        i++;
    if (i >= WSB_LOG_SUMS - 1) { /* the last place, whatever is in it */
        i = WSB_LOG_SUMS - 1;
        of = others;
    }
    struct wsb_log_sum *sum = &s->at[i];
    if (i == s->used) {
        *sum = (struct wsb_log_sum){.module = module, .level = level};
        memcpy(sum->of, of, strnlen(of, WSB_LOG_SUM_TEXT - 1));
        s->used++;
    }
    sum->count += count;
}
