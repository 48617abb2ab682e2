/* AES-256-CBC with HMAC-SHA-256, as RFC 5077 §4 recommends; the newest key seals, the older ones still open. */
#include "tls/tickets.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "tls/parts.h"

enum { KEYS = 3, NAME_BYTES = 16 };

struct ticket_key {
    unsigned char name[NAME_BYTES];
    unsigned char cipher[32];
    unsigned char mac[32];
};

struct wsb_tls_tickets {
    _Atomic uint32_t refs;
    CRYPTO_RWLOCK *lock; /* owned; of the keys */
    struct ticket_key keys[KEYS];
    int count; /* of keys, the newest first */
};

wsb_err wsb_tls_tickets_rotate(struct wsb_tls_tickets *t)
{
    struct ticket_key fresh;
    if (RAND_bytes((unsigned char *)&fresh, sizeof fresh) != 1)
        return WSB_ERR_INTERNAL;
    if (CRYPTO_THREAD_write_lock(t->lock) != 1)
        return WSB_ERR_INTERNAL;
    memmove(&t->keys[1], &t->keys[0], sizeof t->keys[0] * (KEYS - 1));
    t->keys[0] = fresh;
    t->count = t->count < KEYS ? t->count + 1 : KEYS;
    (void)CRYPTO_THREAD_unlock(t->lock);
    OPENSSL_cleanse(&fresh, sizeof fresh);
    return WSB_OK;
}

wsb_err wsb_tls_tickets_new(struct wsb_tls_tickets **ret)
{
    wsb_err err = WSB_ERR_NOMEM;
    struct wsb_tls_tickets *t = calloc(1, sizeof *t);
    if (!t)
        goto out;
    atomic_init(&t->refs, 1);
    t->lock = CRYPTO_THREAD_lock_new();
    if (!t->lock)
        goto out;
    err = wsb_tls_tickets_rotate(t);
    if (err)
        goto out;
    *ret = t;
    t = NULL;
out:
    wsb_tls_tickets_unref(t);
    return err;
}

struct wsb_tls_tickets *wsb_tls_tickets_ref(struct wsb_tls_tickets *t)
{
    if (t)
        atomic_fetch_add(&t->refs, 1);
    return t;
}

void wsb_tls_tickets_unref(struct wsb_tls_tickets *t)
{
    if (!t || atomic_fetch_sub(&t->refs, 1) != 1)
        return;
    CRYPTO_THREAD_lock_free(t->lock);
    OPENSSL_cleanse(t, sizeof *t);
    free(t);
}

static bool set_mac(EVP_MAC_CTX *mac, struct ticket_key *key)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof key->mac),
                           OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* Index of the key that a ticket names; -1: forgotten, or never ours. */
static int find(const struct wsb_tls_tickets *t, const unsigned char *name)
{
    for (int i = 0; i < t->count; i++) {
        if (memcmp(t->keys[i].name, name, NAME_BYTES) == 0)
            return i;
    }
    return -1;
}

/* What OpenSSL wants: -1 error, 0 not ours (a whole handshake then), 1 good, 2 good, and to be sealed anew. */
int wsb_tls_tickets_seal(struct wsb_tls_tickets *t, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                         EVP_MAC_CTX *mac, int enc)
{
    struct ticket_key key;
    int result = -1;
    if (CRYPTO_THREAD_read_lock(t->lock) != 1)
        return -1;
    int index = enc ? 0 : find(t, name);
    if (index >= 0)
        key = t->keys[index];
    (void)CRYPTO_THREAD_unlock(t->lock);
    if (index < 0)
        return 0;
    if (enc) {
        memcpy(name, key.name, NAME_BYTES);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1 &&
            EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv) == 1 && set_mac(mac, &key))
            result = 1;
    } else if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv) == 1 && set_mac(mac, &key)) {
        result = index == 0 ? 1 : 2;
    }
    OPENSSL_cleanse(&key, sizeof key);
    return result;
}
