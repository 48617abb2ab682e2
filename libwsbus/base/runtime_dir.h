#ifndef WSB_BASE_RUNTIME_DIR_H
#define WSB_BASE_RUNTIME_DIR_H

/*
 * The runtime directory, where a gate's endpoints are: docs/protocol.md §1. The gate and wsctl find it by the same rules,
 * here; libwsbus makes an endpoint of them in api/address.c.
 */

#include "base/fault.h"

/* Bytes with the NUL: the longest endpoint, "/handlers" and the name of the socket file made before it is renamed, still
 * fits into a sockaddr_un. */
enum { WSB_RUNTIME_DIR_MAX = 90 };

/**
 * Where a gate's runtime directory is to be: `wanted`, else $WSBUS_DIR, else /run/wsbus where that can be written, else
 * $XDG_RUNTIME_DIR/wsbus, else /tmp/wsbus-<uid>. Nothing is created.
 *
 * @wanted   NULL or empty: not said
 * @fault    may be NULL
 *
 * Returns   WSB_OK; WSB_ERR_CONFIG longer than a socket's address allows
 * Threads   any, as long as none changes the environment
 */
WSB_MUST_CHECK wsb_err wsb_runtime_dir_resolve(const char *wanted, char ret[WSB_RUNTIME_DIR_MAX],
                                               struct wsb_fault *fault);

/* The same for a tool, which looks for the gate of somebody else: /run/wsbus where it can be entered. WSB_ERR_REFUSED: the
 * last resort in /tmp is there and belongs to somebody else. */
WSB_MUST_CHECK wsb_err wsb_runtime_dir_find(const char *wanted, char ret[WSB_RUNTIME_DIR_MAX], struct wsb_fault *fault);

/**
 * Create the directory with mode 0700, or check the one that is there: ours, a directory and not a link to one, and not
 * writable for anybody else. Its parent has to be there.
 *
 * Returns   WSB_OK; WSB_ERR_REFUSED not ours, a link, or open to others; WSB_ERR_IO cannot be made or looked at
 */
WSB_MUST_CHECK wsb_err wsb_runtime_dir_prepare(const char *dir, struct wsb_fault *fault);

/* Would wsb_runtime_dir_prepare() do? Nothing is made. */
WSB_MUST_CHECK wsb_err wsb_runtime_dir_check(const char *dir, struct wsb_fault *fault);

#endif
