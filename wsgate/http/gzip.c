/* See the header. zlib's numbers stop here. */
#include "http/gzip.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

enum {
    GZIP_BITS = 16,      /* with the window's: a gzip header and trailer */
    BITS_LESS_LEVEL = 7, /* memLevel for a window: 8 for 32 KiB, zlib's default, and less in proportion */
    OWN_BYTES = 8192,    /* zlib's structs and ours */
    STEP = 4096,         /* of output */
};

struct wsg_gzip {
    z_stream z;
    unsigned level;
};

static int mem_level(unsigned bits)
{
    return (int)bits - BITS_LESS_LEVEL;
}

size_t wsg_gzip_cost(unsigned bits)
{
    return OWN_BYTES + ((size_t)1 << (bits + 2)) + ((size_t)1 << (mem_level(bits) + 9)); /* zconf.h */
}

wsb_err wsg_gzip_new(struct wsg_gzip **ret, unsigned bits, unsigned level)
{
    struct wsg_gzip *g = calloc(1, sizeof *g);
    if (!g)
        return WSB_ERR_NOMEM;
    g->level = level;
    if (deflateInit2(&g->z, (int)level, Z_DEFLATED, GZIP_BITS + (int)bits, mem_level(bits), Z_DEFAULT_STRATEGY) !=
        Z_OK) {
        free(g);
        return WSB_ERR_NOMEM;
    }
    *ret = g;
    return WSB_OK;
}

void wsg_gzip_free(struct wsg_gzip *g)
{
    if (!g)
        return;
    (void)deflateEnd(&g->z);
    free(g);
}

void wsg_gzip_reset(struct wsg_gzip *g, unsigned level)
{
    (void)deflateReset(&g->z); /* fails for a broken struct only, as the next with nothing in the stream */
    if (level != g->level)
        (void)deflateParams(&g->z, (int)level, Z_DEFAULT_STRATEGY);
    g->level = level;
}

/* All that zlib has to say about what it was given. */
static wsb_err drain(z_stream *z, int flush, struct wsb_buf *out)
{
    do {
        wsb_err err = wsb_buf_reserve(out, STEP);
        if (err)
            return err;
        size_t room = out->cap - out->len;
        unsigned piece = room < UINT_MAX ? (unsigned)room : UINT_MAX;
        z->next_out = out->data + out->len;
        z->avail_out = piece;
        (void)deflate(z, flush); /* Z_BUF_ERROR: there was nothing to say, which is no failure */
        out->len += piece - z->avail_out;
    } while (z->avail_out == 0); /* else it has said all */
    return WSB_OK;
}

wsb_err wsg_gzip_append(struct wsg_gzip *g, struct wsb_span part, enum wsg_gzip_flush flush, struct wsb_buf *out)
{
    static const int zlib_flush[] = {
        [WSG_GZIP_KEEP] = Z_NO_FLUSH, [WSG_GZIP_FLUSH] = Z_SYNC_FLUSH, [WSG_GZIP_END] = Z_FINISH};
    wsb_err err = WSB_OK;
    do {
        size_t piece = part.len < UINT_MAX ? part.len : UINT_MAX;
        bool is_whole = piece == part.len;
        g->z.next_in = (z_const Bytef *)part.ptr;
        g->z.avail_in = (unsigned)piece;
        err = drain(&g->z, is_whole ? zlib_flush[flush] : Z_NO_FLUSH, out);
        part.ptr = piece ? part.ptr + piece : part.ptr;
        part.len -= piece;
    } while (!err && part.len);
    return err;
}
