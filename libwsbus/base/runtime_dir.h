#ifndef WSB_BASE_RUNTIME_DIR_H
#define WSB_BASE_RUNTIME_DIR_H

/*
 * The runtime directory, where a gate's endpoints are: docs/protocol.md §1. The gate and wsctl find it by the same rules,
 * here; libwsbus makes an endpoint of them in api/address.c.
 */

#include <stdbool.h>

#include "base/fault.h"

/* Bytes with the NUL: the longest endpoint, "/handlers" and the name of the socket file made before it is renamed, still
 * fits into a sockaddr_un. */
enum { WSB_RUNTIME_DIR_MAX = 90 };

/* A format, for whoever may not use an endpoint in it: the directory, and who asks. */
#define WSB_RUNTIME_DIR_DENIED                                                                                         \
    "no permission for the gate at %s; run %s as the gate's user or in its group, and see bus_mode of wsgate.conf"

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

/* The same for a tool, which looks for the gate of somebody else: /run/wsbus where it can be entered. WSB_ERR_REFUSED: it
 * cannot be trusted (wsb_runtime_dir_trust). */
WSB_MUST_CHECK wsb_err wsb_runtime_dir_find(const char *wanted, char ret[WSB_RUNTIME_DIR_MAX], struct wsb_fault *fault);

/**
 * For whoever speaks to the gate in it: could somebody else have put it there, or what is in it? Each directory on the way
 * that lies where everybody can make one, as in /tmp, must be root's or our own, and so must a link there; and the last one
 * must not be writable for others than its owner.
 *
 * @make   what is not there yet is made, with mode 0700, where everybody could make it: for who waits for a gate to come
 *
 * Returns   WSB_OK, there may be none; WSB_ERR_REFUSED, and the fault says whose it is; WSB_ERR_IO cannot be looked at
 * Threads   any
 */
WSB_MUST_CHECK wsb_err wsb_runtime_dir_trust(const char *dir, bool make, struct wsb_fault *fault);

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
