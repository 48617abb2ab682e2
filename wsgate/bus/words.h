#ifndef WSG_BUS_WORDS_H
#define WSG_BUS_WORDS_H

/*
 * The metadata of an OPEN, smaller: an idle connection keeps it for the next owner, and most of it is the same words in every
 * handshake. Each is replaced by two bytes, 0xff and its number; 0xff itself, which no UTF-8 has, by two of it. Pure.
 */

#include "base/buf.h"

/* An index of the words by how they begin; made once. */
struct wsg_words {
    uint8_t heads[256]; /* 1 + a word; 0: none */
    uint8_t next[128];  /* likewise */
};

void wsg_words_init(struct wsg_words *w);
/* Append the text to out, packed. WSB_ERR_NOMEM, WSB_ERR_LIMIT. */
WSB_MUST_CHECK wsb_err wsg_words_pack(const struct wsg_words *w, struct wsb_span text, struct wsb_buf *out);
/* Append what was packed, as it was. WSB_ERR_PROTO: it was not packed here. */
WSB_MUST_CHECK wsb_err wsg_words_unpack(struct wsb_span packed, struct wsb_buf *out);

#endif
