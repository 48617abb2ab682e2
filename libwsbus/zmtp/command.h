#ifndef WSB_ZMTP_COMMAND_H
#define WSB_ZMTP_COMMAND_H

/* Bodies of ZMTP commands, and the metadata of a connection in them. Pure. Source: RFC 37. */

#include "base/span.h"
#include "wsbus/err.h"

enum {
    WSB_ZMTP_CONTEXT_MAX = 16, /* of a PING */
    WSB_ZMTP_PONG_MAX = 5 + WSB_ZMTP_CONTEXT_MAX,
    WSB_ZMTP_IDENTITY_MAX = 255,
    WSB_ZMTP_METADATA_MAX = 64 /* of ours */
};

struct wsb_zmtp_command {
    struct wsb_span name, data;
};

/* WSB_ERR_PROTO: no name, or one that reaches beyond the body. */
WSB_MUST_CHECK wsb_err wsb_zmtp_command_parse(struct wsb_span body, struct wsb_zmtp_command *ret);

/* What of a peer's metadata we look at; what it does not say is empty. */
struct wsb_zmtp_metadata {
    struct wsb_span socket_type, identity;
};

/* WSB_ERR_PROTO: not a list of properties, or an identity of more than 255 bytes. Names that nobody knows are passed over. */
WSB_MUST_CHECK wsb_err wsb_zmtp_metadata_parse(struct wsb_span in, struct wsb_zmtp_metadata *ret);

/* Our own. Returns its length. */
size_t wsb_zmtp_metadata_write(uint8_t out[WSB_ZMTP_METADATA_MAX], const char *socket_type);

struct wsb_zmtp_ping {
    uint32_t ttl_ms; /* it wants to be given up after so long a silence; 0: never */
    struct wsb_span context;
};

WSB_MUST_CHECK wsb_err wsb_zmtp_ping_parse(struct wsb_span data, struct wsb_zmtp_ping *ret);
/* The body of the answer. Returns its length. */
size_t wsb_zmtp_pong_write(uint8_t out[WSB_ZMTP_PONG_MAX], struct wsb_span context);

#endif
