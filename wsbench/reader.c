/* RFC 6455 §5.4: fragments of one message follow each other, with control frames in between. */
#include "reader.h"

void wsl_reader_init(struct wsl_reader *r, size_t max_message)
{
    *r = (struct wsl_reader){0};
    wsb_buf_init(&r->joined, max_message);
}

void wsl_reader_deinit(struct wsl_reader *r)
{
    wsb_buf_deinit(&r->joined);
}

/* A frame of data. WSB_OK: *ret is a whole message; WSB_MORE: it was a part of one. */
static wsb_err take_data(struct wsl_reader *r, const struct wsb_frame_hdr *hdr, struct wsb_span payload,
                         struct wsl_incoming *ret)
{
    bool begins = hdr->opcode != WSB_OP_CONTINUATION;
    if (begins == (r->opcode != 0))
        return WSB_ERR_PROTO; /* a second message inside of one, or the rest of none */
    if (begins && hdr->fin) {
        *ret = (struct wsl_incoming){hdr->opcode, hdr->rsv, payload};
        return WSB_OK;
    }
    if (begins) {
        wsb_buf_clear(&r->joined);
        r->opcode = hdr->opcode;
        r->rsv = hdr->rsv;
    }
    wsb_err err = wsb_buf_append(&r->joined, payload.ptr, payload.len);
    if (err || !hdr->fin)
        return err ? err : WSB_MORE;
    *ret = (struct wsl_incoming){r->opcode, r->rsv, wsb_buf_span(&r->joined)};
    r->opcode = 0;
    return WSB_OK;
}

wsb_err wsl_reader_next(struct wsl_reader *r, struct wsb_span *in, struct wsl_incoming *ret, size_t *ret_need)
{
    for (;;) {
        struct wsb_frame_hdr hdr;
        size_t used;
        *ret_need = 0;
        wsb_err err =
            in->len ? wsb_frame_hdr_parse(in->ptr, in->len, WSB_ROLE_CLIENT, r->allowed_rsv, &hdr, &used) : WSB_MORE;
        if (err)
            return err;
        if (hdr.payload_len > r->joined.max)
            return WSB_ERR_LIMIT;
        size_t len = (size_t)hdr.payload_len;
        if (len > in->len - used) {
            *ret_need = used + len;
            return WSB_MORE;
        }
        struct wsb_span payload = wsb_span(in->ptr + used, len);
        *in = wsb_span(payload.ptr + len, in->len - used - len);
        if (wsb_opcode_is_control(hdr.opcode)) {
            *ret = (struct wsl_incoming){hdr.opcode, 0, payload};
            return WSB_OK;
        }
        err = take_data(r, &hdr, payload, ret);
        if (err != WSB_MORE)
            return err;
    }
}
