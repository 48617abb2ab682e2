#ifndef WSB_LINK_PEERS_H
#define WSB_LINK_PEERS_H

/*
 * Which peers still run. A process that is killed hangs up, and ZeroMQ notices; one that is stopped, or whose machine is
 * gone, does not. So the kernel is asked: on this host whether the process that connected is stopped, over TCP how long ago
 * anything came from a peer whose ZeroMQ sends heartbeats. docs/adr/0004 says why it is not ZeroMQ that is asked.
 */

#include <stdint.h>
#include <uthash.h>

#include "base/span.h"
#include "wsbus/err.h"

struct wsb_peer_watch;

struct wsb_peers {
    struct wsb_peer_watch *by_id; /* owned */
};

/*
 * Keep an eye on the peer at the other end of a descriptor, which is ZeroMQ's: it may be closed at any time, and is only ever
 * asked who is there.
 *
 * @heartbeat_ms  how often the peer's ZeroMQ sends heartbeats, as it says; 0: it does not
 */
WSB_MUST_CHECK wsb_err wsb_peers_watch(struct wsb_peers *t, struct wsb_span id, int fd, uint32_t heartbeat_ms);
void wsb_peers_unwatch(struct wsb_peers *t, struct wsb_span id);
/* It has been seen stopped, or silent, for so long that it counts as gone. Ask about once a second. */
bool wsb_peers_is_stalled(struct wsb_peers *t, struct wsb_span id, uint64_t now_ms);
void wsb_peers_deinit(struct wsb_peers *t);

#endif
