#ifndef WSL_SHAKE_H
#define WSL_SHAKE_H

/* The client's side of the opening handshake, RFC 6455 §4.1: the request, and whether the answer is a good one. Pure. */

#include "base/buf.h"
#include "base/fault.h"
#include "options.h"
#include "target.h"
#include "ws/deflate_params.h"

enum { WSL_KEY_SIZE = 25, WSL_HEAD_MAX = 64 << 10 };

/* A key of 16 random bytes in base64. */
void wsl_shake_key(uint64_t random[2], char ret_key[WSL_KEY_SIZE]);

/* Append the request. The first %d in the path becomes the number. WSB_ERR_NOMEM, WSB_ERR_LIMIT. */
WSB_MUST_CHECK wsb_err wsl_shake_write(struct wsb_buf *out, const struct wsl_options *o, const struct wsl_target *t,
                                       const char *path, uint32_t number, const char *key);

/**
 * Read the answer.
 *
 * @in          what has arrived
 * @ret_used    length of the answer; what follows are frames
 * @ret_status  of HTTP; 0 when there is none
 * @ret_deflate how messages are compressed, when that was asked for
 *
 * Returns  WSB_OK; WSB_MORE; WSB_ERR_REFUSED another status than 101; WSB_ERR_PROTO an answer that breaks the rules:
 *          not HTTP, a wrong Sec-WebSocket-Accept, an extension or a subprotocol that was not offered, no compression
 *          when that was asked for
 */
WSB_MUST_CHECK wsb_err wsl_shake_read(struct wsb_span in, const struct wsl_options *o, const char *key,
                                      size_t *ret_used, int *ret_status, struct wsb_deflate_params *ret_deflate,
                                      struct wsb_fault *fault);

#endif
