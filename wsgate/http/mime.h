#ifndef WSG_HTTP_MIME_H
#define WSG_HTTP_MIME_H

#include "base/span.h"

/*
 * The content type of a file by the extension of its name, text types with charset=utf-8; application/octet-stream when
 * there is none or we do not know it. A static string. Pure.
 */
const char *wsg_mime_type(struct wsb_span file_name);

#endif
