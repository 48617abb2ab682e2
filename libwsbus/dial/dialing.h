#ifndef WSB_DIAL_DIALING_H
#define WSB_DIAL_DIALING_H

/* From a URL to an open WebSocket, within a time: the name, the connection, TLS, the handshake, one after the other. */

#include "dial/peer.h"
#include "wsbus/websocket.h"

/* What the public options do not say. */
struct wsb_dial_terms {
    const struct wsb_deflate_offer *offer; /* borrowed; NULL: the usual one, unless the options want none */
    bool no_body;                          /* of a refusal the body is not waited for */
    int stop_fd;                           /* as for wsb_wait_fd(): the attempt is given up; -1: never */
};

/*
 * @peer        initialised; afterwards open, but for wsb_peer_begin(), or as before
 * @result      zeroed; filled in; its `why` is empty where the reason says all
 * @ret_params  of the compression, when result->is_compressed
 *
 * Returns   the reason; WSB_REASON_OK; WSB_REASON_SIGNAL: stopped
 */
enum wsb_reason wsb_dial(const char *url, const struct wsb_open_options *o, const struct wsb_dial_terms *terms,
                         struct wsb_peer *peer, struct wsb_open_result *result, struct wsb_deflate_params *ret_params);

#endif
