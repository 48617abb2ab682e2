/*
 * The handshake and the nonces of CurveZMQ. Keys in the RFC's words: C and S are permanent, C' and S' are of this connection; the
 * secret half of S' is s'. Everything secret that a function has computed is wiped before it returns.
 */
#include "zmtp/curvezmq.h"

#include <string.h>

enum {
    SHORT_NONCE = 8,
    LONG_NONCE = 16,
    /* HELLO */
    HELLO_VERSION = 6,
    HELLO_CLIENT = 80,
    HELLO_NONCE = 112,
    HELLO_BOX = 120,
    HELLO_ZEROS = 64,
    /* WELCOME */
    WELCOME_NONCE = 8,
    WELCOME_BOX = 24,
    COOKIE = LONG_NONCE + 64 + WSB_BOX_TAG,
    WELCOME_TEXT = WSB_CURVEZMQ_KEY + COOKIE,
    /* INITIATE */
    INITIATE_COOKIE = 9,
    INITIATE_NONCE = INITIATE_COOKIE + COOKIE,
    INITIATE_BOX = INITIATE_NONCE + SHORT_NONCE,
    /* in its box */
    VOUCH_NONCE = WSB_CURVEZMQ_KEY,
    VOUCH_BOX = VOUCH_NONCE + LONG_NONCE,
    VOUCH_TEXT = 64,
    METADATA = VOUCH_BOX + VOUCH_TEXT + WSB_BOX_TAG,
    /* READY */
    READY_NONCE = 6,
    /* MESSAGE */
    MESSAGE_NONCE = 8
};

static const char cookie_prefix[] = "COOKIE--";
static const char welcome_prefix[] = "WELCOME-";
static const char vouch_prefix[] = "VOUCH---";
static const char hello_prefix[] = "CurveZMQHELLO---";
static const char initiate_prefix[] = "CurveZMQINITIATE";
static const char ready_prefix[] = "CurveZMQREADY---";
static const char client_prefix[] = "CurveZMQMESSAGEC";
static const char server_prefix[] = "CurveZMQMESSAGES";

static uint64_t u64_parse(const uint8_t in[SHORT_NONCE])
{
    uint64_t v = 0;
    for (int i = 0; i < SHORT_NONCE; i++)
        v = v << 8 | in[i];
    return v;
}

static void u64_write(uint8_t out[SHORT_NONCE], uint64_t v)
{
    for (int i = SHORT_NONCE; i-- > 0; v >>= 8)
        out[i] = (uint8_t)v;
}

/* A prefix of 16 or 8 bytes, and what of the nonce is sent. */
static void nonce_fill(uint8_t nonce[WSB_BOX_NONCE], const char *prefix, const uint8_t *rest)
{
    size_t len = strlen(prefix);
    memcpy(nonce, prefix, len);
    memcpy(nonce + len, rest, WSB_BOX_NONCE - len);
}

static wsb_err refuse(enum wsb_zmtp_why why, enum wsb_zmtp_why *ret_why)
{
    *ret_why = why;
    return WSB_ERR_PROTO;
}

/* ------------------------------------------------------------------- cookies */

void wsb_curvezmq_rotate(struct wsb_curvezmq_server *s, const uint8_t fresh[WSB_CURVEZMQ_KEY])
{
    memcpy(s->cookie_secrets[1], s->cookie_secrets[0], WSB_CURVEZMQ_KEY);
    memcpy(s->cookie_secrets[0], fresh, WSB_CURVEZMQ_KEY);
    if (s->cookie_count < 2)
        s->cookie_count++;
}

void wsb_curvezmq_forget(struct wsb_curvezmq_server *s)
{
    sodium_memzero(s->cookie_secrets, sizeof s->cookie_secrets);
    s->cookie_count = 0;
}

/* A key for the cookie of one connection: brought to another one it opens nothing, so that a recorded INITIATE is worthless. */
static void cookie_key(const uint8_t secret[WSB_CURVEZMQ_KEY], uint64_t connection, uint8_t ret[WSB_CURVEZMQ_KEY])
{
    uint8_t number[SHORT_NONCE];
    u64_write(number, connection);
    (void)crypto_generichash(ret, WSB_CURVEZMQ_KEY, number, sizeof number, secret, WSB_CURVEZMQ_KEY);
}

/* C' and s', for ourselves. */
static void cookie_write(const struct wsb_curvezmq_server *s, uint64_t connection, const uint8_t random[LONG_NONCE],
                         const uint8_t text[64], uint8_t out[COOKIE])
{
    uint8_t key[WSB_CURVEZMQ_KEY], nonce[WSB_BOX_NONCE];
    memcpy(out, random, LONG_NONCE);
    nonce_fill(nonce, cookie_prefix, random);
    cookie_key(s->cookie_secrets[0], connection, key);
    (void)crypto_secretbox_easy(out + LONG_NONCE, text, 64, nonce, key);
    sodium_memzero(key, sizeof key);
}

static bool cookie_open(const struct wsb_curvezmq_server *s, uint64_t connection, const uint8_t cookie[COOKIE],
                        uint8_t ret_text[64])
{
    uint8_t key[WSB_CURVEZMQ_KEY], nonce[WSB_BOX_NONCE];
    bool is_open = false;
    nonce_fill(nonce, cookie_prefix, cookie);
    for (unsigned i = 0; i < s->cookie_count && !is_open; i++) {
        cookie_key(s->cookie_secrets[i], connection, key);
        is_open = crypto_secretbox_open_easy(ret_text, cookie + LONG_NONCE, COOKIE - LONG_NONCE, nonce, key) == 0;
    }
    sodium_memzero(key, sizeof key);
    return is_open;
}

/* ----------------------------------------------------------- HELLO and WELCOME */

/* It shows that it knows S: a box of zeros, from C' to S. */
static bool hello_is_good(const uint8_t *hello, const uint8_t shared[WSB_BOX_KEY])
{
    static const uint8_t zeros[HELLO_ZEROS];
    uint8_t nonce[WSB_BOX_NONCE], text[HELLO_ZEROS];
    nonce_fill(nonce, hello_prefix, hello + HELLO_NONCE);
    return crypto_box_open_easy_afternm(text, hello + HELLO_BOX, HELLO_ZEROS + WSB_BOX_TAG, nonce, shared) == 0 &&
           sodium_memcmp(text, zeros, sizeof zeros) == 0;
}

static void welcome_write(const struct wsb_curvezmq_server *s, uint64_t connection, const uint8_t *client,
                          const uint8_t shared[WSB_BOX_KEY], const uint8_t random[WSB_CURVEZMQ_RANDOM],
                          uint8_t out[WSB_CURVEZMQ_WELCOME])
{
    const uint8_t *secret = random, *cookie_nonce = random + WSB_CURVEZMQ_KEY;
    const uint8_t *welcome_nonce = cookie_nonce + LONG_NONCE;
    uint8_t text[WELCOME_TEXT], inner[64], nonce[WSB_BOX_NONCE];
    (void)crypto_scalarmult_base(text, secret);
    memcpy(inner, client, WSB_CURVEZMQ_KEY);
    memcpy(inner + WSB_CURVEZMQ_KEY, secret, WSB_CURVEZMQ_KEY);
    cookie_write(s, connection, cookie_nonce, inner, text + WSB_CURVEZMQ_KEY);
    memcpy(out, "\x07WELCOME", WELCOME_NONCE);
    memcpy(out + WELCOME_NONCE, welcome_nonce, LONG_NONCE);
    nonce_fill(nonce, welcome_prefix, welcome_nonce);
    (void)crypto_box_easy_afternm(out + WELCOME_BOX, text, sizeof text, nonce, shared);
    sodium_memzero(inner, sizeof inner);
    sodium_memzero(text, sizeof text);
}

wsb_err wsb_curvezmq_welcome(const struct wsb_curvezmq_server *s, uint64_t connection, struct wsb_span hello,
                             const uint8_t random[WSB_CURVEZMQ_RANDOM], uint8_t ret_welcome[WSB_CURVEZMQ_WELCOME],
                             uint64_t *ret_nonce, enum wsb_zmtp_why *ret_why)
{
    uint8_t shared[WSB_BOX_KEY];
    if (hello.len != WSB_CURVEZMQ_HELLO || memcmp(hello.ptr, "\x05HELLO", HELLO_VERSION) != 0 ||
        hello.ptr[HELLO_VERSION] != 1 || hello.ptr[HELLO_VERSION + 1] != 0)
        return refuse(WSB_ZMTP_WHY_COMMAND, ret_why);
    const uint8_t *client = hello.ptr + HELLO_CLIENT;
    bool is_good = crypto_box_beforenm(shared, client, s->secret_key) == 0 && hello_is_good(hello.ptr, shared);
    if (is_good) {
        welcome_write(s, connection, client, shared, random, ret_welcome);
        *ret_nonce = u64_parse(hello.ptr + HELLO_NONCE);
    }
    sodium_memzero(shared, sizeof shared);
    return is_good ? WSB_OK : refuse(WSB_ZMTP_WHY_BOX, ret_why);
}

/* ---------------------------------------------------------- INITIATE and READY */

/* Who has C's secret key says that C' is its own, to S' and with S in it, so that nobody can use it elsewhere. */
static bool vouch_is_good(const struct wsb_curvezmq_server *s, const uint8_t *text, const uint8_t *client_transient,
                          const uint8_t *secret_transient)
{
    uint8_t nonce[WSB_BOX_NONCE], vouch[VOUCH_TEXT], shared[WSB_BOX_KEY];
    nonce_fill(nonce, vouch_prefix, text + VOUCH_NONCE);
    bool is_good =
        crypto_box_beforenm(shared, text, secret_transient) == 0 &&
        crypto_box_open_easy_afternm(vouch, text + VOUCH_BOX, sizeof vouch + WSB_BOX_TAG, nonce, shared) == 0 &&
        sodium_memcmp(vouch, client_transient, WSB_CURVEZMQ_KEY) == 0 &&
        sodium_memcmp(vouch + WSB_CURVEZMQ_KEY, s->public_key, WSB_CURVEZMQ_KEY) == 0;
    sodium_memzero(shared, sizeof shared);
    return is_good;
}

wsb_err wsb_curvezmq_initiate(const struct wsb_curvezmq_server *s, uint64_t connection, uint64_t hello_nonce,
                              uint8_t *initiate, size_t len, struct wsb_curvezmq_session *ret,
                              uint8_t ret_client[WSB_CURVEZMQ_KEY], struct wsb_span *ret_metadata,
                              enum wsb_zmtp_why *ret_why)
{
    uint8_t transient[64]; /* C', s' */
    const uint8_t *client = transient, *secret = transient + WSB_CURVEZMQ_KEY;
    uint8_t nonce[WSB_BOX_NONCE], *text = initiate + INITIATE_BOX;
    struct wsb_curvezmq_session session = {0};
    wsb_err err = WSB_OK;
    if (len < WSB_CURVEZMQ_INITIATE_MIN || memcmp(initiate, "\x08INITIATE", INITIATE_COOKIE) != 0)
        return refuse(WSB_ZMTP_WHY_COMMAND, ret_why);
    session.seen = u64_parse(initiate + INITIATE_NONCE);
    if (session.seen <= hello_nonce)
        return refuse(WSB_ZMTP_WHY_NONCE, ret_why);
    if (!cookie_open(s, connection, initiate + INITIATE_COOKIE, transient))
        return refuse(WSB_ZMTP_WHY_BOX, ret_why);
    nonce_fill(nonce, initiate_prefix, initiate + INITIATE_NONCE);
    if (crypto_box_beforenm(session.key, client, secret) != 0 ||
        crypto_box_open_easy_afternm(text, text, len - INITIATE_BOX, nonce, session.key) != 0 ||
        !vouch_is_good(s, text, client, secret)) {
        err = refuse(WSB_ZMTP_WHY_BOX, ret_why);
        goto out;
    }
    memcpy(ret_client, text, WSB_CURVEZMQ_KEY);
    *ret_metadata = wsb_span(text + METADATA, len - INITIATE_BOX - WSB_BOX_TAG - METADATA);
    *ret = session;
out:
    sodium_memzero(transient, sizeof transient);
    wsb_curvezmq_session_wipe(&session);
    return err;
}

size_t wsb_curvezmq_ready(struct wsb_curvezmq_session *s, struct wsb_span metadata, uint8_t *out)
{
    uint8_t nonce[WSB_BOX_NONCE];
    memcpy(out, "\x05READY", READY_NONCE);
    u64_write(out + READY_NONCE, ++s->sent);
    nonce_fill(nonce, ready_prefix, out + READY_NONCE);
    (void)crypto_box_easy_afternm(out + READY_NONCE + SHORT_NONCE, metadata.ptr, metadata.len, nonce, s->key);
    return metadata.len + WSB_CURVEZMQ_READY_OVERHEAD;
}

void wsb_curvezmq_session_wipe(struct wsb_curvezmq_session *s)
{
    sodium_memzero(s, sizeof *s);
}

/* ---------------------------------------------------------------------- MESSAGE */

wsb_err wsb_curvezmq_open_begin(struct wsb_curvezmq_session *s, const uint8_t *message, struct wsb_box *ret,
                                enum wsb_zmtp_why *ret_why)
{
    uint8_t nonce[WSB_BOX_NONCE];
    if (memcmp(message, "\x07MESSAGE", MESSAGE_NONCE) != 0)
        return refuse(WSB_ZMTP_WHY_COMMAND, ret_why);
    uint64_t number = u64_parse(message + MESSAGE_NONCE);
    if (number <= s->seen)
        return refuse(WSB_ZMTP_WHY_NONCE, ret_why);
    s->seen = number;
    nonce_fill(nonce, client_prefix, message + MESSAGE_NONCE);
    wsb_box_begin(ret, s->key, nonce);
    return WSB_OK;
}

void wsb_curvezmq_seal_begin(struct wsb_curvezmq_session *s, uint8_t *out, struct wsb_box *ret)
{
    uint8_t nonce[WSB_BOX_NONCE];
    memcpy(out, "\x07MESSAGE", MESSAGE_NONCE);
    u64_write(out + MESSAGE_NONCE, ++s->sent);
    nonce_fill(nonce, server_prefix, out + MESSAGE_NONCE);
    wsb_box_begin(ret, s->key, nonce);
}
