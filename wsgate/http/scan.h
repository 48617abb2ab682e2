#ifndef WSG_HTTP_SCAN_H
#define WSG_HTTP_SCAN_H

/*
 * The guard in front of llhttp: reads a request head byte by byte, finds its end, and refuses at the first byte what
 * llhttp would let pass (bare LF, folded lines, empty names, other versions) or what is too much. Remembers what fits
 * in a few bytes and nothing else; the same guard reads a trailer section, which has the same grammar. Pure.
 */

#include "wsbus/err.h"
#include "base/span.h"

struct wsg_http_limits {
    size_t max_head_bytes; /* request line and fields with every line end; also the bound of a trailer section */
    size_t max_headers;    /* fields in a head, and in a trailer section */
    size_t max_target;     /* bytes of the request target */
    uint64_t max_body;     /* bytes of a request body, decoded */
};

/* 16 KiB of head, 8 KiB of target, 16 MiB of body */
#define WSG_HTTP_LIMITS_DEFAULT                                                                                        \
    {                                                                                                                  \
        .max_head_bytes = 16384, .max_headers = 100, .max_target = 8192, .max_body = 16777216                          \
    }

/*
 *   START ─► METHOD ─► TARGET ─► VERSION ─► LINE_LF ─► LINE ─► NAME ─► VALUE ─┐
 *    │ ▲                                       ▲        │                     │
 *    ▼ │                                       └────────┼─────────── CR ──────┘
 *  EMPTY_LF                                             └─► END_LF ─► DONE
 */
enum wsg_http_scan_state {
    WSG_SCAN_START,
    WSG_SCAN_EMPTY_LF,
    WSG_SCAN_METHOD,
    WSG_SCAN_TARGET,
    WSG_SCAN_VERSION,
    WSG_SCAN_LINE_LF,
    WSG_SCAN_LINE,
    WSG_SCAN_NAME,
    WSG_SCAN_VALUE,
    WSG_SCAN_END_LF,
    WSG_SCAN_DONE,
};

enum { WSG_HTTP_METHOD_BYTES = 8 };

struct wsg_http_scan {
    size_t bytes;       /* taken so far */
    size_t target_len;  /* bytes of the request target */
    size_t headers;     /* field lines begun */
    const char *reason; /* static text, why it was refused */
    uint16_t status;    /* the answer to give, 0 while nothing is wrong */
    uint8_t state;      /* enum wsg_http_scan_state */
    uint8_t empty_lines;
    uint8_t method_len;
    uint8_t version_pos;
    uint8_t major;
    uint8_t minor;
    char method[WSG_HTTP_METHOD_BYTES]; /* the first bytes of it, not terminated */
};

void wsg_http_scan_init(struct wsg_http_scan *s);
void wsg_http_scan_init_trailer(struct wsg_http_scan *s);

/**
 * Look at the next bytes.
 *
 * Returns   WSB_OK the head ends after *ret_used bytes; WSB_MORE all of them belong to it and it goes on;
 *           WSB_ERR_PROTO or WSB_ERR_LIMIT refused, see status and reason
 * Source    RFC 9112 §2.2, §3, §5
 */
WSB_MUST_CHECK wsb_err wsg_http_scan_feed(struct wsg_http_scan *s, const struct wsg_http_limits *limits,
                                          const uint8_t *data, size_t len, size_t *ret_used);

#endif
