#ifndef WSG_HTTP_RANGE_H
#define WSG_HTTP_RANGE_H

/*
 * What to answer to a request for a file: conditions and ranges of RFC 9110 §13 and §14. Pure.
 *
 * One range is served (206 or 416). Several ranges in one request are answered with the whole file, as RFC 9110 §14.2
 * allows: multipart/byteranges is used by almost nobody but those who want one request to make us send a file many
 * times over.
 */

#include "http/request.h"

struct wsg_file_facts {
    uint64_t size;
    int64_t mtime_s;
    const char *etag; /* strong, with its quotes */
    int64_t now_s;    /* for dates with two-digit years, and to know whether mtime_s is a strong validator */
};

struct wsg_static_plan {
    int status;      /* 200, 206, 304, 405, 412 or 416 */
    uint64_t offset; /* the part of the file to send: all of it, a range, or nothing */
    uint64_t length;
};

/* Never fails: what is malformed in a condition or a range is ignored, as the RFC asks. */
void wsg_static_plan(const struct wsg_http_head *head, const struct wsg_file_facts *file,
                     struct wsg_static_plan *ret_plan);

enum { WSG_CONTENT_RANGE_SIZE = 72 };

/* The Content-Range of a 206 or a 416; an empty string for any other status. */
void wsg_content_range_format(const struct wsg_static_plan *plan, uint64_t file_size,
                              char ret_text[static WSG_CONTENT_RANGE_SIZE]);

#endif
