#include "support/curve_client.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static void must(int truth)
{
    if (!truth)
        abort();
}

static void nonce_of(uint8_t out[24], const char *prefix, const uint8_t *rest)
{
    size_t n = strlen(prefix);
    memcpy(out, prefix, n);
    memcpy(out + n, rest, 24 - n);
}

static void put64(uint8_t *out, uint64_t v)
{
    for (int i = 8; i-- > 0; v >>= 8)
        out[i] = (uint8_t)v;
}

static uint64_t get64(const uint8_t *in)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | in[i];
    return v;
}

void curve_pair(uint8_t seed, uint8_t ret_public[CURVE_KEY], uint8_t ret_secret[CURVE_KEY])
{
    uint8_t bytes[crypto_box_SEEDBYTES];
    memset(bytes, seed, sizeof bytes);
    must(crypto_box_seed_keypair(ret_public, ret_secret, bytes) == 0);
}

void curve_client_init(struct curve_client *c, uint8_t seed, const uint8_t server[CURVE_KEY])
{
    memset(c, 0, sizeof *c);
    memcpy(c->server, server, CURVE_KEY);
    curve_pair(seed, c->public_key, c->secret_key);
    curve_pair((uint8_t)(seed + 100), c->transient_public, c->transient_secret);
    c->nonce = 1;
}

size_t curve_hello(struct curve_client *c, uint8_t out[200])
{
    static const uint8_t zeros[64];
    uint8_t nonce[24];
    memset(out, 0, 200);
    memcpy(out, "\x05HELLO\x01", 7);
    memcpy(out + 80, c->transient_public, 32);
    put64(out + 112, c->nonce++);
    nonce_of(nonce, "CurveZMQHELLO---", out + 112);
    must(crypto_box_easy(out + 120, zeros, 64, nonce, c->server, c->transient_secret) == 0);
    return 200;
}

void curve_take_welcome(struct curve_client *c, const uint8_t *welcome, size_t len)
{
    uint8_t nonce[24], text[128];
    must(len == 168 && memcmp(welcome, "\x07WELCOME", 8) == 0);
    nonce_of(nonce, "WELCOME-", welcome + 8);
    must(crypto_box_open_easy(text, welcome + 24, 144, nonce, c->server, c->transient_secret) == 0);
    memcpy(c->server_transient, text, 32);
    memcpy(c->cookie, text + 32, 96);
    must(crypto_box_beforenm(c->shared, c->server_transient, c->transient_secret) == 0);
}

size_t curve_initiate(struct curve_client *c, const void *metadata, size_t len, uint8_t *out)
{
    uint8_t nonce[24], vouch[64], *text = malloc(128 + len);
    memcpy(vouch, c->transient_public, 32);
    memcpy(vouch + 32, c->server, 32);
    memcpy(text, c->public_key, 32);
    memset(text + 32, 7, 16);
    nonce_of(nonce, "VOUCH---", text + 32);
    must(crypto_box_easy(text + 48, vouch, 64, nonce, c->server_transient, c->secret_key) == 0);
    if (len)
        memcpy(text + 128, metadata, len);
    memcpy(out, "\x08INITIATE", 9);
    memcpy(out + 9, c->cookie, 96);
    put64(out + 105, c->nonce++);
    nonce_of(nonce, "CurveZMQINITIATE", out + 105);
    must(crypto_box_easy_afternm(out + 113, text, 128 + len, nonce, c->shared) == 0);
    free(text);
    return 113 + 16 + 128 + len;
}

size_t curve_take_ready(struct curve_client *c, const uint8_t *ready, size_t len, uint8_t *ret_metadata)
{
    uint8_t nonce[24];
    must(len >= 30 && memcmp(ready, "\x05READY", 6) == 0);
    must(get64(ready + 6) > c->seen);
    c->seen = get64(ready + 6);
    nonce_of(nonce, "CurveZMQREADY---", ready + 6);
    must(crypto_box_open_easy_afternm(ret_metadata, ready + 14, len - 14, nonce, c->shared) == 0);
    return len - 30;
}

size_t curve_message(struct curve_client *c, uint8_t flags, const void *data, size_t len, uint8_t *out)
{
    uint8_t nonce[24], *text = malloc(1 + len);
    text[0] = flags;
    if (len)
        memcpy(text + 1, data, len);
    memcpy(out, "\x07MESSAGE", 8);
    put64(out + 8, c->nonce++);
    nonce_of(nonce, "CurveZMQMESSAGEC", out + 8);
    must(crypto_box_easy_afternm(out + 16, text, 1 + len, nonce, c->shared) == 0);
    free(text);
    return 33 + len;
}

size_t curve_open(struct curve_client *c, const uint8_t *message, size_t len, uint8_t *ret, uint8_t *ret_flags)
{
    uint8_t nonce[24], *text = malloc(len);
    must(len >= 33 && memcmp(message, "\x07MESSAGE", 8) == 0);
    must(get64(message + 8) > c->seen);
    c->seen = get64(message + 8);
    nonce_of(nonce, "CurveZMQMESSAGES", message + 8);
    must(crypto_box_open_easy_afternm(text, message + 16, len - 16, nonce, c->shared) == 0);
    *ret_flags = text[0];
    memcpy(ret, text + 1, len - 33);
    free(text);
    return len - 33;
}
