/* zlib, wrapped. Numbers of zlib's stop here. */
#include "ws/zstream.h"

#include <limits.h>
#include <stdlib.h>

enum {
    TAIL = 4,              /* 00 00 ff ff, RFC 7692 §7.2.1 item 3 */
    MORE_THAN_TAIL = 16,   /* zlib asks for more than 6 bytes, else it may write the marker twice */
    INFLATER_BYTES = 9600, /* what inflateInit2() takes, and the struct, without the window */
    DEFLATER_BYTES = 8192, /* likewise */
    BITS_LESS_LEVEL = 7,   /* memLevel for a window: 8 for 32 KiB, zlib's default, and less in proportion */
    DATA_BITS_MASK = 7,    /* of z_stream.data_type, as inflate() leaves it */
    DATA_BLOCK_ENDED = 128,
};

/* At most UINT_MAX, zlib's measure. */
static unsigned piece(size_t len)
{
    return len < UINT_MAX ? (unsigned)len : UINT_MAX;
}

/* ------------------------------------------------------------------ inflate */

size_t wsb_inflater_cost(unsigned bits)
{
    return INFLATER_BYTES + ((size_t)1 << bits);
}

wsb_err wsb_inflater_new(struct wsb_inflater **ret, unsigned bits)
{
    struct wsb_inflater *f = calloc(1, sizeof *f);
    if (!f)
        return WSB_ERR_NOMEM;
    if (inflateInit2(&f->z, -(int)bits) != Z_OK) {
        free(f);
        return WSB_ERR_NOMEM;
    }
    *ret = f;
    return WSB_OK;
}

void wsb_inflater_free(struct wsb_inflater *f)
{
    if (!f)
        return;
    (void)inflateEnd(&f->z);
    free(f);
}

void wsb_inflater_reset(struct wsb_inflater *f)
{
    (void)inflateReset(&f->z); /* fails for a broken struct only */
}

void wsb_inflater_begin(struct wsb_inflater *f)
{
    f->is_ended = false;
}

wsb_err wsb_inflater_next(struct wsb_inflater *f, struct wsb_span *in, uint8_t *out, size_t room, size_t *ret)
{
    z_stream *z = &f->z;
    size_t out_len = 0;
    while (out_len < room) {
        unsigned in_piece = piece(in->len);
        unsigned out_piece = piece(room - out_len);
        z->next_in = (z_const Bytef *)in->ptr;
        z->avail_in = in_piece;
        z->next_out = out + out_len;
        z->avail_out = out_piece;
        int result = inflate(z, Z_SYNC_FLUSH);
        size_t in_used = in_piece - z->avail_in;
        size_t written = out_piece - z->avail_out;
        if (result == Z_MEM_ERROR)
            return WSB_ERR_NOMEM;
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
            return WSB_ERR_PROTO;
        if (in_used) {
            in->ptr += in_used;
            in->len -= in_used;
            f->is_ended = false;
        }
        out_len += written;
        if (result == Z_STREAM_END) {
            /* RFC 7692 §7.2.3.4: a block with BFINAL ends no message. The window stays; its bits and tables do not. */
            if (inflateResetKeep(z) != Z_OK)
                return WSB_ERR_NOMEM;
            f->is_ended = true;
        } else if (!in_used && !written) {
            break;
        }
        if (in->len == 0 && out_len < room && z->avail_out)
            break; /* all is used, and nothing waits inside */
    }
    *ret = out_len;
    return WSB_OK;
}

bool wsb_inflater_is_ended(const struct wsb_inflater *f)
{
    return f->is_ended;
}

bool wsb_inflater_is_complete(const struct wsb_inflater *f)
{
    return f->is_ended || ((f->z.data_type & DATA_BLOCK_ENDED) && !(f->z.data_type & DATA_BITS_MASK));
}

/* ------------------------------------------------------------------ deflate */

static int mem_level(unsigned bits)
{
    return (int)bits - BITS_LESS_LEVEL;
}

size_t wsb_deflater_cost(unsigned bits)
{
    return DEFLATER_BYTES + ((size_t)1 << (bits + 2)) + ((size_t)1 << (mem_level(bits) + 9)); /* zconf.h */
}

wsb_err wsb_deflater_new(struct wsb_deflater **ret, unsigned bits, int level)
{
    struct wsb_deflater *f = calloc(1, sizeof *f);
    if (!f)
        return WSB_ERR_NOMEM;
    f->bits = (uint8_t)bits;
    f->level = (uint8_t)level;
    if (deflateInit2(&f->z, level, Z_DEFLATED, -(int)bits, mem_level(bits), Z_DEFAULT_STRATEGY) != Z_OK) {
        free(f);
        return WSB_ERR_NOMEM;
    }
    *ret = f;
    return WSB_OK;
}

void wsb_deflater_free(struct wsb_deflater *f)
{
    if (!f)
        return;
    (void)deflateEnd(&f->z);
    free(f);
}

void wsb_deflater_reset(struct wsb_deflater *f)
{
    (void)deflateReset(&f->z); /* fails for a broken struct only */
}

wsb_err wsb_deflater_message(struct wsb_deflater *f, struct wsb_span message, struct wsb_buf *out)
{
    z_stream *z = &f->z;
    if (message.len > UINT_MAX - MORE_THAN_TAIL)
        return WSB_AGAIN;
    wsb_buf_clear(out);
    wsb_err err = wsb_buf_reserve(out, message.len + MORE_THAN_TAIL);
    if (err)
        return err;
    z->next_in = (z_const Bytef *)message.ptr;
    z->avail_in = (unsigned)message.len;
    z->next_out = out->data;
    z->avail_out = (unsigned)message.len + MORE_THAN_TAIL;
    int result = deflate(z, Z_SYNC_FLUSH);
    size_t len = message.len + MORE_THAN_TAIL - z->avail_out;
    if (result != Z_OK || z->avail_in || z->avail_out == 0 || len < TAIL || len - TAIL >= message.len)
        return WSB_AGAIN;
    out->len = len - TAIL;
    return WSB_OK;
}
