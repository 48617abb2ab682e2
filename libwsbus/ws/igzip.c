/*
 * ISA-L, wrapped. It is written in assembler, where no sanitizer looks: tests/unit/ws/igzip_test.c has it read and write at the
 * edge of memory that is not there, and what it makes must end as a flushed stream ends before it is sent to anybody.
 */
#include "ws/igzip.h"

#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>

enum { TAIL = 4, ROOM_BEYOND = 64 };

struct wsb_igzip {
    struct isal_zstream z;
    uint8_t level_buf[ISAL_DEF_LVL1_DEFAULT];
};

bool wsb_igzip_is_there(void)
{
    return true;
}

wsb_err wsb_igzip_new(struct wsb_igzip **ret)
{
    struct wsb_igzip *g = malloc(sizeof *g);
    if (!g)
        return WSB_ERR_NOMEM;
    *ret = g;
    return WSB_OK;
}

void wsb_igzip_free(struct wsb_igzip *g)
{
    free(g);
}

static void begin(struct wsb_igzip *g)
{
    isal_deflate_init(&g->z);
    g->z.level = WSB_IGZIP_LEVEL;
    g->z.level_buf = g->level_buf;
    g->z.level_buf_size = sizeof g->level_buf;
    g->z.flush = SYNC_FLUSH;
}

wsb_err wsb_igzip_message(struct wsb_igzip *g, struct wsb_span message, struct wsb_buf *out)
{
    static const uint8_t tail[TAIL] = {0x00, 0x00, 0xff, 0xff}; /* RFC 7692 §7.2.1 item 3 */
    if (message.len > UINT32_MAX - ROOM_BEYOND)
        return WSB_AGAIN;
    wsb_buf_clear(out);
    wsb_err err = wsb_buf_reserve(out, message.len + ROOM_BEYOND);
    if (err)
        return err;
    begin(g);
    memcpy(&g->z.next_in, &message.ptr,
           sizeof g->z.next_in); /* it is not written to, though its type does not say so */
    g->z.avail_in = (uint32_t)message.len;
    g->z.next_out = out->data;
    g->z.avail_out = (uint32_t)message.len + ROOM_BEYOND;
    int result = isal_deflate(&g->z);
    size_t len = message.len + ROOM_BEYOND - g->z.avail_out;
    if (result != COMP_OK || g->z.avail_in || g->z.avail_out == 0 || len < TAIL || len - TAIL >= message.len ||
        memcmp(out->data + len - TAIL, tail, TAIL) != 0)
        return WSB_AGAIN;
    out->len = len - TAIL;
    return WSB_OK;
}
