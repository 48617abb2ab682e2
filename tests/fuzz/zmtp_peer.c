/*
 * What a ZeroMQ peer may say to an endpoint without keys. Input: a byte (what we are to it, the size of the pieces), then a stream
 * behind a good greeting, or one of its own.
 * Properties: the stream in pieces comes to the same events as the stream in one; what is handed out lies in the input; nothing is
 * asked for that is larger than a message may be.
 */
#include "zmtp_run.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAM_MAX = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t stream[STREAM_MAX + WSB_ZMTP_GREETING];
    static const enum wsb_zmtp_role roles[] = {WSB_ZMTP_ROUTER, WSB_ZMTP_XPUB, WSB_ZMTP_PULL, WSB_ZMTP_ROUTER};
    if (size < 1 || size > STREAM_MAX)
        return 0;
    const struct wsb_zmtp_rules rules = {roles[data[0] & 3], NULL, 2000, 3000};
    size_t len = 0;
    if (!(data[0] & 4)) {
        wsb_zmtp_greeting_write(stream, WSB_ZMTP_NULL);
        len = WSB_ZMTP_GREETING;
    }
    memcpy(stream + len, data + 1, size - 1);
    len += size - 1;
    struct zmtp_run whole = zmtp_run(&rules, stream, len, len ? len : 1);
    struct zmtp_run pieces = zmtp_run(&rules, stream, len, (data[0] >> 3) + 1u);
    zmtp_require_same(&whole, &pieces);
    return 0;
}
