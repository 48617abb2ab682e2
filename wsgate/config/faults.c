/* A bounded list of what is wrong. */
#include "config/faults.h"

wsb_err wsg_faults_add(struct wsg_faults *all, const struct wsb_fault *fault)
{
    if (all && all->count < WSG_FAULTS_MAX)
        all->at[all->count++] = *fault;
    else if (all)
        all->left_out++;
    return fault->err;
}

wsb_err wsg_faults_err(const struct wsg_faults *all)
{
    return all->count ? all->at[0].err : WSB_OK;
}

/* By insertion: stable, and there are not many. */
void wsg_faults_sort(struct wsg_faults *all, size_t from)
{
    for (size_t i = from + 1; i < all->count; i++) {
        struct wsb_fault one = all->at[i];
        size_t at = i;
        for (; at > from && all->at[at - 1].line > one.line; at--)
            all->at[at] = all->at[at - 1];
        all->at[at] = one;
    }
}
