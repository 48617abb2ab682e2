#ifndef WSG_HTTP_DATE_H
#define WSG_HTTP_DATE_H

/* HTTP dates, without the C library's time zone and locale. Times are seconds since 1970-01-01 UTC. Pure. */

#include "wsbus/err.h"
#include "base/span.h"

enum { WSG_HTTP_DATE_SIZE = 30 };

/* "Sun, 06 Nov 1994 08:49:37 GMT". A time outside of the years 0 to 9999 is brought to the nearer end. */
void wsg_http_date_format(int64_t time_s, char ret_text[static WSG_HTTP_DATE_SIZE]);

/**
 * Parse any of the three formats of RFC 9110 §5.6.7.
 *
 * @now_s    for the two-digit year of the RFC 850 format: one that seems more than 50 years ahead lies in the past
 *
 * Returns   WSB_OK; WSB_ERR_PROTO not a date. The name of the day has to be one, but not the right one.
 */
WSB_MUST_CHECK wsb_err wsg_http_date_parse(struct wsb_span text, int64_t now_s, int64_t *ret_time_s);

#endif
