/* The seed of all tables. It is set before main, and never again: a constant that nobody knows. */
#include "bus/table.h"

#include <sys/random.h>
#include <time.h>

struct wsb_seed wsg_table_seed;

__attribute__((constructor)) static void set_seed(void)
{
    if (getrandom(&wsg_table_seed, sizeof wsg_table_seed, 0) == sizeof wsg_table_seed)
        return;
    struct timespec now; /* without getrandom: better a guess than zeros; what needs random numbers will say so */
    (void)clock_gettime(CLOCK_REALTIME, &now);
    wsg_table_seed = (struct wsb_seed){(uint64_t)now.tv_nsec ^ (uint64_t)(uintptr_t)&now, (uint64_t)now.tv_sec};
}
