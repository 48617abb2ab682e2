#ifndef WSBUS_WEBSOCKET_H
#define WSBUS_WEBSOCKET_H

/*
 * A WebSocket client: connects to any server that speaks RFC 6455, over TCP or TLS, and has the manners of a handler.
 *
 *     wsb_websocket w;
 *     struct wsb_message m;
 *     if (!wsb_open("wss://example.org/chat", NULL, &w, NULL))
 *         return 1;
 *     wsb_websocket_write(w, WSB_TEXT, "hello", 5, 1000);
 *     while (wsb_websocket_read(w, &m, -1))
 *         printf("%.*s\n", (int)m.len, (const char *)m.data);
 *     wsb_websocket_close(w, 1000, NULL, 5000);
 *
 * Every call is guarded: whatever the server, the network or the arguments have become, it returns true, or false with a
 * reason that wsb_websocket_reason() tells and wsb_websocket_why() puts into words; it does not crash, raise SIGPIPE, or
 * wait longer than it was allowed to. A handle is a value: one that is closed, made up, or of a parent process is a
 * misuse, never undefined behaviour.
 *
 * There is no thread behind it. Pings are answered, and the server's goodbye is returned, while some call of the handle is
 * under way: a program that expects nothing still has to read now and then, as wsb_websocket_fd() tells.
 *
 * Strict: frames that break a rule, text that is not UTF-8 and messages that are too large fail the connection with the
 * close code that RFC 6455 asks for; what the server sends masked, or an extension that was not offered, too. Masking
 * keys come from the kernel. The caller's buffers are never changed.
 *
 * Threads. Every function may be called from every thread, also on one handle, except that one thread at a time reads: a
 * second reader is refused as a misuse.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wsbus/handler.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A handle; compare it with nothing and look into it never. A zeroed one is no handle. */
typedef struct wsb_websocket {
    uint64_t v;
} wsb_websocket;

enum { WSB_WEBSOCKETS_MAX = 1024 }; /* open at a time in one process */

struct wsb_open_options {
    size_t size;                /* sizeof this struct; 0: that of version 0.1 */
    const char *const *headers; /* more of the request, each "Name: value"; those of the handshake itself are refused */
    size_t header_count;
    const char *const *subprotocols; /* that we speak, the preferred first */
    size_t subprotocol_count;
    const char *origin;      /* for servers that look at it; NULL: none */
    const char *unix_socket; /* connect to this socket instead of the URL's host and port; NULL: no */
    unsigned timeout_ms;     /* longest time for all of it: the name, connecting, TLS, the handshake; 0: 30,000 */
    size_t max_message;      /* bytes of a message from the server; 0: 16 MiB */
    bool no_compression;     /* do not offer permessage-deflate */
    const char *ca_file;     /* wss: whom to trust, PEM; NULL: the system's authorities */
    const char *certificate; /* wss: our own, PEM; NULL: none */
    const char *key;         /* wss: its key; NULL: in the same file */
    bool insecure;           /* wss: take any certificate: whoever sits on the way can read and change everything */
    unsigned
        ping_interval_ms; /* while a call waits for so long without hearing anything, the server is pinged; 0: never */
    unsigned ping_timeout_ms; /* and has so long to answer; 0: 20,000 */
};

/* Why wsb_open() failed, or what it agreed on. Everything is a copy. */
struct wsb_open_result {
    size_t size; /* sizeof this struct: wsb_open() sets it */
    enum wsb_reason reason;
    char why[256];   /* in words; "" when it did not fail */
    unsigned status; /* of HTTP; 101 when it did not fail; 0: there was none */
    char *fields;    /* the header lines of the answer, each with CR LF; NULL: there was none */
    char *body;      /* of a refusal, its first 64 KiB, terminated; NULL: none */
    size_t body_len;
    char subprotocol[257]; /* that the server chose; "" for none */
    bool is_compressed;    /* permessage-deflate was agreed on */
    char tls_version[16];  /* "TLSv1.3"; "" without TLS */
};

/**
 * Connect, and open a WebSocket.
 *
 * @url         "ws://HOST[:PORT]/PATH" or "wss://…"
 * @options     NULL: the defaults; nothing of it is kept
 * @ret         the handle; zeroed on failure
 * @ret_result  filled in either way, to be given to wsb_open_result_free(); may be NULL
 *
 * Returns   true; false: ADDRESS (the URL or an option cannot be; the name is not found), IO (it cannot be reached, or was cut off),
 *           TLS (no version in common, a certificate that is not good, …), REFUSED (the server answered, but not 101: status,
 *           fields and body say what), PROTOCOL (its answer breaks a rule), TIMEOUT, NOMEM, MISUSE (also: too many)
 * Threads   any
 * Source    RFC 6455 §3, §4.1; RFC 7692; RFC 9110 §15
 */
static inline bool wsb_open(const char *url, const struct wsb_open_options *options, wsb_websocket *ret,
                            struct wsb_open_result *ret_result);
/* The same, with ret_result->size as it is: MISUSE when it cannot be, and nothing is written there. */
WSB_API bool wsb_open_sized(const char *url, const struct wsb_open_options *options, wsb_websocket *ret,
                            struct wsb_open_result *ret_result);

static inline bool wsb_open(const char *url, const struct wsb_open_options *options, wsb_websocket *ret,
                            struct wsb_open_result *ret_result)
{
    if (ret_result)
        ret_result->size = sizeof *ret_result;
    return wsb_open_sized(url, options, ret, ret_result);
}

/* Give back what a result holds. NULL and a zeroed one are allowed. */
WSB_API void wsb_open_result_free(struct wsb_open_result *r);

/* A message from the server. data is valid until the next wsb_websocket_read() on the handle, or its close. */
struct wsb_message {
    size_t size; /* sizeof this struct: wsb_websocket_read() sets it */
    enum wsb_opcode opcode;
    const void *data; /* not terminated; never NULL */
    size_t len;
};

/**
 * Wait for the next message.
 *
 * @ret         the message; zeroed when false is returned
 * @timeout_ms  longest wait; 0: do not wait; negative: for ever
 *
 * Returns   true; false: TIMEOUT; CLOSED the connection is over, wsb_websocket_closed() tells how; PROTOCOL, UTF8, TOO_BIG what the server
 *           sent, for which we closed; IO it was cut off; TLS; SIGNAL; NOMEM; MISUSE, also while another thread reads
 * Threads   any, one at a time
 */
static inline bool wsb_websocket_read(wsb_websocket w, struct wsb_message *ret, int timeout_ms);
/* The same, with ret->size as it is: MISUSE when it cannot be. */
WSB_API bool wsb_websocket_read_sized(wsb_websocket w, struct wsb_message *ret, int timeout_ms);

static inline bool wsb_websocket_read(wsb_websocket w, struct wsb_message *ret, int timeout_ms)
{
    if (ret)
        ret->size = sizeof *ret;
    return wsb_websocket_read_sized(w, ret, timeout_ms);
}

/**
 * Send one message.
 *
 * @op          WSB_TEXT or WSB_BINARY; text must be UTF-8
 * @data        copied; may be NULL when len is 0
 * @timeout_ms  longest wait until the kernel has all of it; 0: do not wait; negative: for ever
 *
 * Returns   true: it is on its way; what the kernel has not taken by then leaves with later calls. False, and nothing of it is
 *           sent: FULL as much as may be is waiting already (16 MiB, or one message); UTF8; CLOSED; IO; TLS; NOMEM; MISUSE
 * Threads   any
 */
WSB_API bool wsb_websocket_write(wsb_websocket w, enum wsb_opcode op, const void *data, size_t len, int timeout_ms);

/* Wait until the kernel has everything that was written. False: TIMEOUT, and the reasons of wsb_websocket_write(). */
WSB_API bool wsb_websocket_flush(wsb_websocket w, int timeout_ms);

/**
 * Send a ping, and wait for its pong. Messages that come meanwhile wait for wsb_websocket_read().
 *
 * @ret_rtt_us  round trip in microseconds; may be NULL
 *
 * Returns   true; false: TIMEOUT, FULL (so much came meanwhile that nobody reads), and the reasons of wsb_websocket_read()
 * Threads   any, also while another one reads
 */
WSB_API bool wsb_websocket_ping(wsb_websocket w, const void *data, size_t len, int timeout_ms, uint64_t *ret_rtt_us);

/* How a connection ended. */
struct wsb_websocket_close_info {
    size_t size;      /* sizeof this struct: wsb_websocket_closed() sets it */
    bool by_us;       /* we said goodbye first */
    bool clean;       /* the closing handshake was completed */
    unsigned code;    /* RFC 6455 §7.4; 1005 none was given, 1006 there was no goodbye */
    char reason[124]; /* terminated; "" for none */
};

/* False: it is open, or MISUSE. Until the handle is closed. */
static inline bool wsb_websocket_closed(wsb_websocket w, struct wsb_websocket_close_info *ret);
/* The same, with ret->size as it is: MISUSE when it cannot be. */
WSB_API bool wsb_websocket_closed_sized(wsb_websocket w, struct wsb_websocket_close_info *ret);

static inline bool wsb_websocket_closed(wsb_websocket w, struct wsb_websocket_close_info *ret)
{
    if (ret)
        ret->size = sizeof *ret;
    return wsb_websocket_closed_sized(w, ret);
}

/**
 * Say goodbye, wait for the server's, and give the handle up. A read under way in another thread returns false with CLOSED.
 *
 * @code        1000 to 4999, as far as RFC 6455 §7.4 lets one send it; 0: none
 * @reason      UTF-8, at most WSB_CLOSE_REASON_MAX bytes; NULL: none
 * @timeout_ms  longest wait; 0: do not wait for the server; negative: 10,000
 *
 * Returns   true: the closing handshake is complete, or was before; false: TIMEOUT, IO, TLS: the handle is gone all the same. MISUSE:
 *           nothing was done
 * Threads   any
 * Lifetime  messages of this handle are void
 */
WSB_API bool wsb_websocket_close(wsb_websocket w, unsigned code, const char *reason, int timeout_ms);

/* Readable when there may be something to read: call wsb_websocket_read() with a timeout of 0 until it returns false, once
 * before the first wait (messages may have come with the handshake) and then whenever it is readable. -1: MISUSE. The
 * descriptor stays ours. */
WSB_API int wsb_websocket_fd(wsb_websocket w);

/* Why the last call of this thread on this handle returned false; of a zeroed one: why the last wsb_open() did. */
WSB_API enum wsb_reason wsb_websocket_reason(wsb_websocket w);
/* The same in words, of the handle's last failure; never NULL; valid until this thread asks again. */
WSB_API const char *wsb_websocket_why(wsb_websocket w);

#ifdef __cplusplus
}
#endif
#endif
