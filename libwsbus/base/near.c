/* Names are compared by the letters that differ. An abbreviation is near whatever is left out of it. */
#include "base/near.h"

#include <stdint.h>
#include <string.h>

enum {
    NAME_MAX_BYTES = 31, /* longer ones are like none */
    FAR = 4,             /* so many letters away is another word */
    ABBREVIATED = 2,     /* farther than a slip of one letter */
    ABBREVIATION_LEAST = 2
};

/* Return how many letters have to be changed, added or left out to get from a to b. */
static unsigned edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    unsigned row[NAME_MAX_BYTES + 1];
    if (a_len > NAME_MAX_BYTES || b_len > NAME_MAX_BYTES)
        return UINT32_MAX;
    for (unsigned j = 0; j <= b_len; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a_len; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            best = best < row[j] + 1 ? best : row[j] + 1;
            best = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[b_len];
}

struct wsb_near wsb_near_to(const char *wanted, size_t len)
{
    return (struct wsb_near){.wanted = wanted, .len = len, .distance = FAR};
}

void wsb_near_offer(struct wsb_near *n, const char *name)
{
    size_t len = strlen(name);
    unsigned distance = edit_distance(n->wanted, n->len, name, len);
    if (distance > ABBREVIATED && n->len >= ABBREVIATION_LEAST && n->len < len && memcmp(n->wanted, name, n->len) == 0)
        distance = ABBREVIATED;
    if (distance >= n->distance || distance >= len)
        return;
    n->found = name;
    n->distance = distance;
}
