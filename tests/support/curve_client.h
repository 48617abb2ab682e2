#ifndef TESTS_SUPPORT_CURVE_CLIENT_H
#define TESTS_SUPPORT_CURVE_CLIENT_H

/* The client's side of CurveZMQ for tests, written from RFC 26 with libsodium's whole boxes, not with what it tests. Keys and
 * nonces come from a seed, so that a run can be repeated. */

#include <stddef.h>
#include <stdint.h>

enum { CURVE_KEY = 32 };

struct curve_client {
    uint8_t server[CURVE_KEY]; /* S */
    uint8_t public_key[CURVE_KEY], secret_key[CURVE_KEY];
    uint8_t transient_public[CURVE_KEY], transient_secret[CURVE_KEY];
    uint8_t server_transient[CURVE_KEY]; /* S' */
    uint8_t cookie[96];
    uint8_t shared[CURVE_KEY]; /* of C' and S' */
    uint64_t nonce;            /* of the next command */
    uint64_t seen;
};

void curve_pair(uint8_t seed, uint8_t ret_public[CURVE_KEY], uint8_t ret_secret[CURVE_KEY]);
void curve_client_init(struct curve_client *c, uint8_t seed, const uint8_t server[CURVE_KEY]);
/* Bodies of commands; each returns its length. */
size_t curve_hello(struct curve_client *c, uint8_t out[200]);
void curve_take_welcome(struct curve_client *c, const uint8_t *welcome, size_t len); /* it must be good */
size_t curve_initiate(struct curve_client *c, const void *metadata, size_t len, uint8_t *out);
/* It must be good; returns the length of its metadata. */
size_t curve_take_ready(struct curve_client *c, const uint8_t *ready, size_t len, uint8_t *ret_metadata);
/* flags: 1 more, 2 command. Returns the length of the frame's body. */
size_t curve_message(struct curve_client *c, uint8_t flags, const void *data, size_t len, uint8_t *out);
/* The body of a MESSAGE of the server, which must be good: its flags, and its data in ret. Returns its length. */
size_t curve_open(struct curve_client *c, const uint8_t *message, size_t len, uint8_t *ret, uint8_t *ret_flags);

#endif
