/* Names of the reasons. */
#include "zmtp/why.h"

const char *wsb_zmtp_why_name(enum wsb_zmtp_why why)
{
    static const char *const names[WSB_ZMTP_WHYS] = {
        [WSB_ZMTP_WHY_GREETING] = "greeting",
        [WSB_ZMTP_WHY_VERSION] = "version",
        [WSB_ZMTP_WHY_MECHANISM] = "mechanism",
        [WSB_ZMTP_WHY_COMMAND] = "command",
        [WSB_ZMTP_WHY_SOCKET_TYPE] = "socket_type",
        [WSB_ZMTP_WHY_IDENTITY] = "identity",
        [WSB_ZMTP_WHY_KEY] = "key",
        [WSB_ZMTP_WHY_BOX] = "box",
        [WSB_ZMTP_WHY_NONCE] = "nonce",
        [WSB_ZMTP_WHY_FRAME] = "frame",
        [WSB_ZMTP_WHY_SIZE] = "size",
        [WSB_ZMTP_WHY_PARTS] = "parts",
        [WSB_ZMTP_WHY_SUBSCRIPTIONS] = "subscriptions",
        [WSB_ZMTP_WHY_TIME] = "time",
        [WSB_ZMTP_WHY_ROOM] = "room",
        [WSB_ZMTP_WHY_PEERS] = "peers",
        [WSB_ZMTP_WHY_DESCRIPTORS] = "descriptors",
        [WSB_ZMTP_WHY_MEMORY] = "memory",
        [WSB_ZMTP_WHY_SILENCE] = "silence",
    };
    return names[why];
}
