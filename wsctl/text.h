#ifndef WSC_TEXT_H
#define WSC_TEXT_H

/* Text for a terminal: what a peer wrote must not move its cursor, and must fit into its columns. Pure. */

#include "base/buf.h"

/* Append `s` with everything escaped that is not plainly printable: control characters, bytes that are not UTF-8, and the
 * invisible characters that turn the direction of writing. A backslash is doubled, so that nothing else looks escaped. */
WSB_MUST_CHECK wsb_err wsc_text_escape(struct wsb_buf *out, struct wsb_span s);

/* Columns that UTF-8 text takes: wide characters two, combining ones none. */
size_t wsc_text_width(struct wsb_span s);

/* How many bytes fit into that many columns, whole characters only; *ret_width is what they take. */
size_t wsc_text_fit(struct wsb_span s, size_t columns, size_t *ret_width);

/* "250ms", "5s", "1h30m", "2d"; a number alone is seconds. False on anything else, and on 100 years or more. */
bool wsc_duration_parse(const char *text, uint64_t *ret_ms);

enum { WSC_SHORT = 24 }; /* bytes with the NUL */
/* "0.4s", "12s", "3m12s", "2h05m", "4d03h" */
void wsc_duration_format(uint64_t ms, char out[WSC_SHORT]);
/* "850us", "12.3ms", "1.25s"; "-" for 0: never measured */
void wsc_rtt_format(uint64_t us, char out[WSC_SHORT]);
/* "999", "12.3K", "4.0M": multiples of 1024 */
void wsc_size_format(uint64_t bytes, char out[WSC_SHORT]);

#endif
