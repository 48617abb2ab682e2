/* Names and words of the reasons. */
#include "zmtp/why.h"

static const struct {
    const char *name, *text;
} whys[WSB_ZMTP_WHYS] = {
    [WSB_ZMTP_WHY_GREETING] = {"greeting", "not a ZeroMQ peer"},
    [WSB_ZMTP_WHY_VERSION] = {"version", "ZMTP 1 or 2: its ZeroMQ is too old, it has to be 4.0 or later"},
    [WSB_ZMTP_WHY_MECHANISM] = {"mechanism", "it has keys where none are wanted, or none where they are"},
    [WSB_ZMTP_WHY_COMMAND] = {"command", "a malformed or unexpected command"},
    [WSB_ZMTP_WHY_SOCKET_TYPE] = {"socket_type", "its socket type does not fit this endpoint"},
    [WSB_ZMTP_WHY_IDENTITY] = {"identity", "its routing id is another peer's, too long, or one beside a key"},
    [WSB_ZMTP_WHY_KEY] = {"key", "its key is not listed for this endpoint"},
    [WSB_ZMTP_WHY_BOX] = {"box", "what it has encrypted is not for this gate, or was altered"},
    [WSB_ZMTP_WHY_NONCE] = {"nonce", "it has used a nonce twice"},
    [WSB_ZMTP_WHY_FRAME] = {"frame", "a frame that cannot be"},
    [WSB_ZMTP_WHY_SIZE] = {"size", "a part or a message that is too large"},
    [WSB_ZMTP_WHY_PARTS] = {"parts", "a message of too many parts"},
    [WSB_ZMTP_WHY_SUBSCRIPTIONS] = {"subscriptions", "too many subscriptions"},
    [WSB_ZMTP_WHY_TIME] = {"time", "its handshake took too long"},
    [WSB_ZMTP_WHY_ROOM] = {"room", "its handshake was not complete when another peer wanted its place"},
    [WSB_ZMTP_WHY_PEERS] = {"peers", "no place is left for it: zmq_peers"},
    [WSB_ZMTP_WHY_DESCRIPTORS] = {"descriptors", "no descriptor is left for it: it comes again, or waits"},
    [WSB_ZMTP_WHY_MEMORY] = {"memory", "no memory is left for what it says, or is told"},
    [WSB_ZMTP_WHY_SILENCE] = {"silence", "silent for longer than its own PING allows"},
};

const char *wsb_zmtp_why_name(enum wsb_zmtp_why why)
{
    return whys[why].name;
}

const char *wsb_zmtp_why_text(enum wsb_zmtp_why why)
{
    return whys[why].text;
}
