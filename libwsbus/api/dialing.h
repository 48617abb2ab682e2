#ifndef WSB_API_DIALING_H
#define WSB_API_DIALING_H

/* From a URL to an open WebSocket, within a time: the name, the connection, TLS, the handshake, one after the other. */

#include "api/peer.h"
#include "wsbus/websocket.h"

/*
 * @peer    initialised; afterwards open, or as before
 * @result  zeroed; filled in
 *
 * Returns   the reason; WSB_REASON_OK
 */
enum wsb_reason wsb_dial(const char *url, const struct wsb_open_options *o, struct wsb_peer *peer,
                         struct wsb_open_result *result);

#endif
