/* Priorities for the journal. */
#include "base/journal.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool wsb_journal_is(const char *stream, dev_t dev, ino_t ino)
{
    char ours[48];
    (void)snprintf(ours, sizeof ours, "%ju:%ju", (uintmax_t)dev, (uintmax_t)ino);
    return stream && strcmp(stream, ours) == 0;
}

bool wsb_is_journal(int fd)
{
    struct stat st;
    const char *stream = getenv("JOURNAL_STREAM"); /* also where it was redirected after that: so it is compared */
    return stream && fstat(fd, &st) == 0 && wsb_journal_is(stream, st.st_dev, st.st_ino);
}

const char *wsb_journal_prefix(enum wsb_level level)
{
    /* syslog(3): debug, informational, notice, warning, error */
    static const char *const prefixes[] = {"<7>", "<6>", "<5>", "<4>", "<3>"};
    return prefixes[(unsigned)level <= WSB_LOG_ERROR ? level : WSB_LOG_ERROR];
}
