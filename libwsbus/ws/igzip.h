#ifndef WSB_WS_IGZIP_H
#define WSB_WS_IGZIP_H

/*
 * A faster compressor for messages that are packed alone: igzip, of Intel's ISA-L. Built in where the library is installed;
 * otherwise igzip_none.c says so, and zlib does all the work. docs/adr/0009 says what it wins.
 */

#include <stdbool.h>

#include "base/buf.h"
#include "base/span.h"
#include "wsbus/err.h"

enum {
    WSB_IGZIP_BITS = 15, /* the only window that it is used with */
    WSB_IGZIP_LEVEL = 1, /* the only level of zlib's that it stands in for */
    WSB_IGZIP_FROM = 512 /* bytes of a message: below, it is no faster */
};

/* Serves one thread, any number of messages; about 440 KiB. */
struct wsb_igzip;

bool wsb_igzip_is_there(void);
WSB_MUST_CHECK wsb_err wsb_igzip_new(struct wsb_igzip **ret); /* WSB_ERR_UNSUPPORTED, WSB_ERR_NOMEM */
void wsb_igzip_free(struct wsb_igzip *g);

/* As wsb_deflater_message(), of a compressor that has just been reset. */
WSB_MUST_CHECK wsb_err wsb_igzip_message(struct wsb_igzip *g, struct wsb_span message, struct wsb_buf *out);

#endif
