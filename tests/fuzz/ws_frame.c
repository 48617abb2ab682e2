/*
 * The frame header parser. Input: one byte of role and negotiated bits, then a header and whatever follows.
 * Properties: it uses no more than there is; a beginning is answered by WSB_MORE or by the final verdict; what is parsed
 * is written again as the same bytes; what lies behind a header does not matter.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ws/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

/* Parses exactly len bytes from memory of that size, so that the sanitizer sees every byte too many. */
static wsb_err parse(const uint8_t *in, size_t len, uint8_t how, struct wsb_frame_hdr *ret, size_t *ret_used)
{
    uint8_t *exact = malloc(len ? len : 1);
    require(exact);
    if (len)
        memcpy(exact, in, len);
    wsb_err err =
        wsb_frame_hdr_parse(exact, len, how & 1 ? WSB_ROLE_CLIENT : WSB_ROLE_SERVER, (how >> 1) & 7, ret, ret_used);
    free(exact);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    uint8_t how = data[0];
    const uint8_t *in = data + 1;
    size_t len = size - 1 < 20 ? size - 1 : 20;

    struct wsb_frame_hdr hdr;
    size_t used = 0;
    wsb_err want = parse(in, len, how, &hdr, &used);
    require(want == WSB_OK || want == WSB_MORE || want == WSB_ERR_PROTO);
    require(want != WSB_MORE || len < WSB_FRAME_HDR_MAX);

    bool decided = false;
    for (size_t n = 0; n < len; n++) {
        struct wsb_frame_hdr part;
        size_t part_used = 0;
        wsb_err err = parse(in, n, how, &part, &part_used);
        require(err == want || err == WSB_MORE);
        require(!decided || err == want); /* a verdict is never taken back */
        decided = err != WSB_MORE;
        if (err == WSB_OK)
            require(part_used == used && part.payload_len == hdr.payload_len);
    }
    if (want == WSB_OK) {
        uint8_t out[WSB_FRAME_HDR_MAX];
        require(used >= 2 && used <= len && hdr.payload_len <= INT64_MAX);
        require(!wsb_opcode_is_control(hdr.opcode) ||
                (hdr.fin && hdr.payload_len <= WSB_FRAME_CONTROL_MAX && hdr.rsv == 0));
        require(wsb_frame_hdr_write(out, &hdr) == used && memcmp(out, in, used) == 0);
    }
    return 0;
}
