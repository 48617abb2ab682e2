/* From OpenSSL's errors to ours. */
#include <openssl/err.h>
#include <openssl/sslerr.h>

#include "tls/parts.h"

const char *wsb_tls_reason_name(enum wsb_tls_reason reason)
{
    static const char *const names[WSB_TLS_REASONS] = {"none",        "garbage", "version", "cipher",
                                                       "certificate", "alpn",    "alert",   "other"};
    return reason < WSB_TLS_REASONS ? names[reason] : "other";
}

static const char *text_of(unsigned long code)
{
    const char *text = ERR_reason_error_string(code);
    return text ? text : "no reason given";
}

wsb_err wsb_tls_fault(struct wsb_fault *fault, wsb_err err, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    (void)wsb_fault_set(fault, err, (int)ERR_GET_REASON(code), "%s: %s", what, text_of(code));
    ERR_clear_error();
    return err;
}

wsb_err wsb_tls_nomem(struct wsb_fault *fault)
{
    ERR_clear_error();
    return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
}

enum { ALERT_OF_PEER = SSL_AD_REASON_OFFSET };

static enum wsb_tls_reason reason_of(unsigned long code)
{
    int reason = ERR_GET_REASON(code);
    if (ERR_GET_LIB(code) != ERR_LIB_SSL || reason == ERR_R_MALLOC_FAILURE || reason == ERR_R_INTERNAL_ERROR)
        return WSB_TLS_OTHER;
    switch (reason) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_UNKNOWN_PROTOCOL:
        return WSB_TLS_VERSION;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SHARED_GROUPS:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
        return WSB_TLS_CIPHER;
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return WSB_TLS_CERTIFICATE;
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return WSB_TLS_ALPN;
    default:
        return reason >= ALERT_OF_PEER ? WSB_TLS_ALERT : WSB_TLS_GARBAGE;
    }
}

static wsb_err err_of(enum wsb_tls_reason reason, unsigned long code)
{
    if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
        return WSB_ERR_NOMEM;
    switch (reason) {
    case WSB_TLS_CERTIFICATE:
    case WSB_TLS_ALERT:
        return WSB_ERR_REFUSED;
    case WSB_TLS_OTHER:
        return code ? WSB_ERR_INTERNAL : WSB_ERR_PROTO;
    default:
        return WSB_ERR_PROTO;
    }
}

/* The first error is the cause; what follows it is how the layers above put it. */
enum wsb_tls_reason wsb_tls_reason_take(const SSL *ssl, wsb_err *ret_err, struct wsb_fault *fault)
{
    unsigned long code = ERR_peek_error();
    unsigned long last = ERR_peek_last_error();
    enum wsb_tls_reason reason = reason_of(code);
    if (reason == WSB_TLS_OTHER && reason_of(last) != WSB_TLS_OTHER) {
        code = last; /* a broken point or signature is an error of libcrypto first */
        reason = reason_of(last);
    }
    long verdict = SSL_get_verify_result(ssl);
    *ret_err = err_of(reason, code);
    if (reason == WSB_TLS_CERTIFICATE && verdict != X509_V_OK)
        (void)wsb_fault_set(fault, *ret_err, (int)verdict, "TLS: the certificate is not good: %s",
                            X509_verify_cert_error_string(verdict));
    else
        (void)wsb_fault_set(fault, *ret_err, ERR_GET_REASON(code), "TLS: %s%s", text_of(code),
                            ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER ? "; is it TLS that the peer speaks?"
                                                                               : "");
    ERR_clear_error();
    return reason;
}
