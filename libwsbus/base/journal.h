#ifndef WSB_BASE_JOURNAL_H
#define WSB_BASE_JOURNAL_H

/*
 * The journal of systemd as standard error: a line that begins with "<N>" is stored with priority N (sd-daemon(3)), and then
 * `journalctl -p warning` finds it.
 *
 * Threads   any
 */

#include <stdbool.h>
#include <sys/types.h>

#include "wsbus/msg.h"

/* Is it the journal's? By $JOURNAL_STREAM, systemd.exec(5). */
bool wsb_is_journal(int fd);
/* The same of values: `stream` is the variable, or NULL. */
bool wsb_journal_is(const char *stream, dev_t dev, ino_t ino);
/* "<3>" for an error, and so on; static. */
const char *wsb_journal_prefix(enum wsb_level level);

#endif
