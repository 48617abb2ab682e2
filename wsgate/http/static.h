#ifndef WSG_HTTP_STATIC_H
#define WSG_HTTP_STATIC_H

/*
 * From a request path to the name of a file below a directory. Pure: whether the file is there is for
 * http/static_file.h to say.
 */

#include "base/buf.h"

enum wsg_static_what {
    WSG_STATIC_OUTSIDE,  /* the path is not below the prefix: not ours */
    WSG_STATIC_FILE,     /* a relative name */
    WSG_STATIC_REDIRECT, /* the prefix without its slash: answer 301 to the path with one */
    WSG_STATIC_REFUSED,  /* never to be served: answer 404, as if it were not there */
};

enum { WSG_STATIC_NAME_SIZE = 4096 }; /* PATH_MAX: the kernel opens nothing longer */

/**
 * Map a decoded path to a file name.
 *
 * @prefix    begins and ends with '/'
 * @ret_name  on WSG_STATIC_FILE: relative, terminated, without empty, "." or ".." segments, hidden files, backslashes
 *            or NUL; "index.html" is added to a path that ends with '/'
 */
enum wsg_static_what wsg_static_map(struct wsb_span path, struct wsb_span prefix, char ret_name[WSG_STATIC_NAME_SIZE]);

/*
 * The Location for a directory that was asked for without its slash: the path, encoded, '/', and the query if its ptr
 * is not NULL. The path has to be one that wsg_static_map took: one that begins with "//" would lead to another host.
 */
WSB_MUST_CHECK wsb_err wsg_static_location_write(struct wsb_buf *out, struct wsb_span path, struct wsb_span query);

#endif
