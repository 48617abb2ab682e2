/* Counters with names. */
#include "tally.h"

static const char *const names[WSL_COUNTS] = {
    [WSL_CORRUPT] = "corrupt",
    [WSL_UNEXPECTED] = "unexpected",
    [WSL_LOST] = "lost",
    [WSL_DUPLICATE] = "duplicate",
    [WSL_OTHER_OPCODE] = "other_opcode",
    [WSL_PROTOCOL] = "protocol_errors",
    [WSL_SKIPPED] = "skipped",
    [WSL_SERVER_CLOSED] = "server_closed",
    [WSL_DISCONNECTED] = "disconnected",
    [WSL_REFUSED] = "refused",
    [WSL_TIMED_OUT] = "timed_out",
    [WSL_HANDSHAKE] = "handshake_failed",
    [WSL_NOT_CONNECTED] = "not_connected",
    [WSL_PINGS] = "pings",
    [WSL_PONGS] = "pongs",
    [WSL_FOREIGN] = "foreign",
    [WSL_CLEAN_CLOSES] = "clean_closes",
    [WSL_STALLS] = "stalls",
    [WSL_READS] = "reads",
};

const char *wsl_count_name(enum wsl_count count)
{
    return names[count];
}

void wsl_tally_fault(struct wsl_tally *t, enum wsl_count count, const struct wsb_fault *fault)
{
    t->counts[count]++;
    if (!t->first.text[0])
        t->first = *fault;
}

void wsl_tally_merge(struct wsl_tally *t, const struct wsl_tally *other)
{
    for (unsigned i = 0; i < WSL_COUNTS; i++)
        t->counts[i] += other->counts[i];
    if (other->http_status)
        t->http_status = other->http_status;
    if (!t->first.text[0])
        t->first = other->first;
}

bool wsl_tally_is_clean(const struct wsl_tally *t)
{
    for (unsigned i = 0; i < WSL_FAILURES; i++) {
        if (t->counts[i])
            return false;
    }
    return true;
}
