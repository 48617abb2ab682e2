#ifndef WSB_ZMTP_WHY_H
#define WSB_ZMTP_WHY_H

/* Why a ZeroMQ peer was turned away. Each reason is counted by itself: `name` is its label in metrics, `text` says it to people. */

enum wsb_zmtp_why {
    WSB_ZMTP_WHY_GREETING,      /* the first bytes are not ZMTP's */
    WSB_ZMTP_WHY_VERSION,       /* ZMTP 1 or 2 */
    WSB_ZMTP_WHY_MECHANISM,     /* keys where there are none, or none where there must be */
    WSB_ZMTP_WHY_COMMAND,       /* malformed, or in the wrong place */
    WSB_ZMTP_WHY_SOCKET_TYPE,   /* does not fit the endpoint */
    WSB_ZMTP_WHY_IDENTITY,      /* another peer has the routing id, or it may not have this one */
    WSB_ZMTP_WHY_KEY,           /* not listed, or not for this endpoint */
    WSB_ZMTP_WHY_BOX,           /* encrypted for somebody else, or altered */
    WSB_ZMTP_WHY_NONCE,         /* used before */
    WSB_ZMTP_WHY_FRAME,         /* reserved flags, or an impossible length */
    WSB_ZMTP_WHY_SIZE,          /* a part, a message or a command beyond the limit */
    WSB_ZMTP_WHY_PARTS,         /* too many parts */
    WSB_ZMTP_WHY_SUBSCRIPTIONS, /* too many subscriptions */
    WSB_ZMTP_WHY_TIME,          /* the handshake took too long */
    WSB_ZMTP_WHY_ROOM,          /* made room while unproven: another one came */
    WSB_ZMTP_WHY_PEERS,         /* the endpoint has all the peers that it may have, or all of one key */
    WSB_ZMTP_WHY_DESCRIPTORS,   /* no descriptor was left, or none for the bus */
    WSB_ZMTP_WHY_MEMORY,        /* no memory was left, or too much is held for unfinished messages */
    WSB_ZMTP_WHY_SILENCE,       /* nothing came within the time that the peer had named in its PING */
    WSB_ZMTP_WHYS
};

const char *wsb_zmtp_why_name(enum wsb_zmtp_why why);
const char *wsb_zmtp_why_text(enum wsb_zmtp_why why);

#endif
