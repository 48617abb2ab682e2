#ifndef WSB_ZMTP_BOX_H
#define WSB_ZMTP_BOX_H

/*
 * NaCl's crypto_box (Curve25519, XSalsa20, Poly1305) piece by piece: a box of many megabytes is opened or sealed as its bytes
 * come and go, so that no step takes long. The bytes are those of libsodium's crypto_box_easy_afternm(): the tag, then the text.
 *
 * What was opened is not to be looked at before wsb_box_is_true() has said that the tag fits. Pure.
 */

#include <sodium.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WSB_BOX_KEY = crypto_box_BEFORENMBYTES,
    WSB_BOX_NONCE = crypto_box_NONCEBYTES,
    WSB_BOX_TAG = crypto_box_MACBYTES
};

struct wsb_box {
    crypto_onetimeauth_state tag;
    uint8_t subkey[crypto_stream_salsa20_KEYBYTES];
    uint8_t nonce[crypto_stream_salsa20_NONCEBYTES];
    uint64_t at; /* bytes of the text that are done */
};

void wsb_box_begin(struct wsb_box *b, const uint8_t key[WSB_BOX_KEY], const uint8_t nonce[WSB_BOX_NONCE]);
/* Decrypt the next bytes where they lie. */
void wsb_box_open(struct wsb_box *b, uint8_t *text, size_t len);
/* Encrypt the next bytes; `to` may be `from`. */
void wsb_box_seal(struct wsb_box *b, const uint8_t *from, uint8_t *to, size_t len);
/* After the last byte, one of the two; then the box is wiped. */
bool wsb_box_is_true(struct wsb_box *b, const uint8_t tag[WSB_BOX_TAG]);
void wsb_box_end(struct wsb_box *b, uint8_t ret_tag[WSB_BOX_TAG]);

#endif
