#ifndef WSBUS_MSG_H
#define WSBUS_MSG_H

/*
 * The small vocabulary that everything in wsbus shares: connection ids, opcodes, logging levels.
 */

#include <stdint.h>

#include "wsbus/err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One WebSocket connection or one HTTP exchange of a gate. A value, never a pointer: it may be kept for ever, and one
 * that is no longer true is refused. 0 is no connection. Source: docs/protocol.md §2. */
typedef uint64_t wsb_conn;

/* RFC 6455 §5.2, the two that carry messages. */
enum wsb_opcode { WSB_TEXT = 1, WSB_BINARY = 2 };

/* Logging levels, lowest first. wslog is for what happens to connections: opened, closed, refused. */
enum wsb_level { WSB_LOG_DEBUG = 0, WSB_LOG_INFO = 1, WSB_LOG_WSLOG = 2, WSB_LOG_WARN = 3, WSB_LOG_ERROR = 4 };

#ifdef __cplusplus
}
#endif
#endif
