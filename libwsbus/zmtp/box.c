/*
 * XSalsa20 is Salsa20 with a key that HSalsa20 makes of the key and the first 16 bytes of the nonce. The first 32 bytes of its
 * stream are the key of Poly1305, the text begins behind them, and the tag is taken over what is encrypted.
 */
#include "zmtp/box.h"

#include <string.h>

enum { BLOCK = 64, TEXT_BEGINS = crypto_onetimeauth_KEYBYTES, NONCE_FRONT = 16 };

void wsb_box_begin(struct wsb_box *b, const uint8_t key[WSB_BOX_KEY], const uint8_t nonce[WSB_BOX_NONCE])
{
    uint8_t first[TEXT_BEGINS];
    b->at = 0;
    (void)crypto_core_hsalsa20(b->subkey, nonce, key, NULL);
    memcpy(b->nonce, nonce + NONCE_FRONT, sizeof b->nonce);
    (void)crypto_stream_salsa20(first, sizeof first, b->nonce, b->subkey);
    (void)crypto_onetimeauth_init(&b->tag, first);
    sodium_memzero(first, sizeof first);
}

/* Add the stream to what comes next: the rest of a block that was begun, then whole blocks. */
static void apply(struct wsb_box *b, const uint8_t *from, uint8_t *to, size_t len)
{
    uint64_t at = b->at + TEXT_BEGINS;
    size_t begun = (size_t)(at % BLOCK);
    b->at += len;
    if (begun && len) {
        uint8_t stream[BLOCK] = {0};
        size_t n = len < BLOCK - begun ? len : BLOCK - begun;
        (void)crypto_stream_salsa20_xor_ic(stream, stream, sizeof stream, b->nonce, at / BLOCK, b->subkey);
        for (size_t i = 0; i < n; i++)
            to[i] = from[i] ^ stream[begun + i];
        sodium_memzero(stream, sizeof stream);
        at += n;
        from += n;
        to += n;
        len -= n;
    }
    if (len)
        (void)crypto_stream_salsa20_xor_ic(to, from, len, b->nonce, at / BLOCK, b->subkey);
}

void wsb_box_open(struct wsb_box *b, uint8_t *text, size_t len)
{
    (void)crypto_onetimeauth_update(&b->tag, text, len);
    apply(b, text, text, len);
}

void wsb_box_seal(struct wsb_box *b, const uint8_t *from, uint8_t *to, size_t len)
{
    apply(b, from, to, len);
    (void)crypto_onetimeauth_update(&b->tag, to, len);
}

void wsb_box_end(struct wsb_box *b, uint8_t ret_tag[WSB_BOX_TAG])
{
    (void)crypto_onetimeauth_final(&b->tag, ret_tag);
    sodium_memzero(b, sizeof *b);
}

bool wsb_box_is_true(struct wsb_box *b, const uint8_t tag[WSB_BOX_TAG])
{
    uint8_t own[WSB_BOX_TAG];
    wsb_box_end(b, own);
    return crypto_verify_16(own, tag) == 0;
}
