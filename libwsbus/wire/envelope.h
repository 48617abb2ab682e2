#ifndef WSB_WIRE_ENVELOPE_H
#define WSB_WIRE_ENVELOPE_H

/*
 * The bus envelope: one 32-byte header in front of payload and metadata, and BATCH records that carry many of them.
 * Pure functions of bytes. Source: docs/protocol.md §2.
 */

#include "base/buf.h"
#include "base/span.h"
#include "wsbus/err.h"

enum { WSB_WIRE_VERSION = 1, WSB_HEADER_SIZE = 32, WSB_RECORD_PREFIX = 8, WSB_META_MAX = 4 << 20 };

enum wsb_type {
    /* gate → handler */
    WSB_WELCOME = 1,
    WSB_OPEN = 2,
    WSB_DATA = 3,
    WSB_CLOSED_EV = 4,
    WSB_PONG_EV = 5,
    WSB_REQUEST = 6,
    WSB_BODY_EV = 7,
    WSB_ABORTED = 8,
    WSB_OUTCOME = 9,
    WSB_WRITABLE = 10,
    WSB_REVOKED = 11,
    WSB_PING_EV = 12,
    WSB_LEVEL = 13,
    WSB_DRAIN = 14,
    WSB_ERROR = 15,
    WSB_MEMBERS = 16,
    WSB_JOINED = 17,
    WSB_LEFT = 18,
    WSB_DEAD_LETTER = 19, /* only on `events` */
    /* handler → gate */
    WSB_HELLO = 64,
    WSB_CREDIT = 65,
    WSB_ACK = 66,
    WSB_ACCEPT = 67,
    WSB_REJECT = 68,
    WSB_SEND = 69,
    WSB_CLOSE = 70,
    WSB_JOIN = 71,
    WSB_LEAVE = 72,
    WSB_PUBLISH = 73,
    WSB_TAG = 74,
    WSB_RESPOND = 75,
    WSB_BODY = 76,
    WSB_PING = 77,
    WSB_PONG = 78,
    WSB_LOG = 79,
    WSB_BYE = 80,
    WSB_LIST = 81,
    WSB_WORKING = 82,
    /* both */
    WSB_BATCH = 127
};

enum wsb_flag {
    WSB_FLAG_META = 1,
    WSB_FLAG_MORE = 2,
    WSB_FLAG_REDELIVERED = 4,
    WSB_FLAG_WANT_OUTCOME = 8,
    WSB_FLAG_PENDING = 16,
    WSB_FLAG_PLAIN = 32,
    WSB_FLAGS_KNOWN = 63
};

enum wsb_outcome {
    WSB_OUTCOME_WRITTEN = 0,
    WSB_OUTCOME_DROPPED = 1,
    WSB_OUTCOME_GONE = 2,
    WSB_OUTCOME_STALE = 3,
    WSB_OUTCOME_TOO_BIG = 4,
    WSB_OUTCOME_REFUSED = 5,
    WSB_OUTCOME_INVALID = 6
};

enum wsb_error_code {
    WSB_ERROR_TYPE = 1,
    WSB_ERROR_FLAG = 2,
    WSB_ERROR_METADATA = 3,
    WSB_ERROR_PAYLOAD = 4,
    WSB_ERROR_NOT_REGISTERED = 5,
    WSB_ERROR_REFUSED = 6,
    WSB_ERROR_LIMIT = 7
};

struct wsb_header {
    uint8_t type;
    uint8_t code;
    uint8_t flags;
    uint32_t payload_len;
    uint64_t conn;
    uint64_t seq;
    uint64_t time_ns;
};

/* One message as it stands in a batch or in ZeroMQ parts; the spans belong to whoever holds the bytes. */
struct wsb_envelope {
    struct wsb_header header;
    struct wsb_span payload;
    struct wsb_span meta; /* len 0 when the META flag is not set */
};

void wsb_header_write(uint8_t out[WSB_HEADER_SIZE], const struct wsb_header *h);

/* WSB_ERR_PROTO: not exactly 32 bytes, or another version. Types and flags are not judged here. */
WSB_MUST_CHECK wsb_err wsb_header_parse(struct wsb_span in, struct wsb_header *ret);

/* Put the parts of one message together, checking that the lengths and the META flag are true. `meta` has ptr NULL when
 * there is no such part. */
WSB_MUST_CHECK wsb_err wsb_envelope_from_parts(struct wsb_span header, struct wsb_span payload, struct wsb_span meta,
                                               struct wsb_envelope *ret);

/* The bytes one record takes in a batch, padding included; 0 when it cannot be expressed (over 4 GiB). */
size_t wsb_record_size(size_t payload_len, size_t meta_len);

/*
 * Write a record whose payload the caller fills in afterwards: prefix, header, metadata and padding are written, and
 * *ret_payload is where header->payload_len bytes go. `out` has wsb_record_size() bytes and is 8-byte aligned in the batch.
 */
void wsb_record_begin(uint8_t *out, const struct wsb_header *header, struct wsb_span meta, uint8_t **ret_payload);

/* The same where the payload lies elsewhere: what is in front of it, and what comes behind it, metadata and padding. */
enum { WSB_RECORD_FRONT = WSB_RECORD_PREFIX + WSB_HEADER_SIZE };
size_t wsb_record_back(size_t payload_len, size_t meta_len); /* bytes */
void wsb_record_wrap(uint8_t front[WSB_RECORD_FRONT], uint8_t *back, const struct wsb_header *header,
                     struct wsb_span meta);

/* Append a whole record to a batch. Sets payload_len and the META flag from the spans. */
WSB_MUST_CHECK wsb_err wsb_record_append(struct wsb_buf *batch, const struct wsb_envelope *e);

/*
 * Take the next record out of a batch.
 *
 * @batch    the bytes; on WSB_OK the span moves past the record
 *
 * Returns   WSB_OK; WSB_CLOSED when the batch is empty; WSB_ERR_PROTO when a length is not true, padding is not zero, or
 *           the record is itself a BATCH: nothing after it can be trusted
 */
WSB_MUST_CHECK wsb_err wsb_record_next(struct wsb_span *batch, struct wsb_envelope *ret);

/* A record that stands by itself, and may be a BATCH. WSB_ERR_PROTO as above, and when it is not all of the bytes. */
WSB_MUST_CHECK wsb_err wsb_record_alone(struct wsb_span record, struct wsb_envelope *ret);

/* "open", "data", …: as used in topics, logs and `wsctl`; NULL for a number that is not a type. */
const char *wsb_type_name(uint8_t type);
bool wsb_type_is_command(uint8_t type);
const char *wsb_outcome_name(uint8_t outcome);

#endif
