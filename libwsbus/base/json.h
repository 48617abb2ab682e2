#ifndef WSB_BASE_JSON_H
#define WSB_BASE_JSON_H

/*
 * A small JSON writer into a wsb_buf, for metadata and logs where a document tree would be waste. It keeps commas and
 * escapes right; the first failure sticks and wsb_json_end() tells it, so that the calls in between need no checks.
 */

#include "base/buf.h"

struct wsb_json {
    struct wsb_buf *out; /* borrowed */
    wsb_err err;
    bool comma; /* the next value needs one in front of it */
};

void wsb_json_begin(struct wsb_json *j, struct wsb_buf *out);
wsb_err wsb_json_end(const struct wsb_json *j);

void wsb_json_object(struct wsb_json *j);
void wsb_json_object_end(struct wsb_json *j);
void wsb_json_array(struct wsb_json *j);
void wsb_json_array_end(struct wsb_json *j);
void wsb_json_key(struct wsb_json *j, const char *key);
void wsb_json_key_span(struct wsb_json *j, struct wsb_span key);

/* Text that is UTF-8 already; what is not is written as if it were ISO 8859-1, so the result is always valid. */
void wsb_json_str(struct wsb_json *j, struct wsb_span s);
void wsb_json_cstr(struct wsb_json *j, const char *s);
/* Bytes of an HTTP header field: above 127 they are ISO 8859-1 (RFC 9110 §5.5). */
void wsb_json_latin1(struct wsb_json *j, struct wsb_span s);
void wsb_json_u64(struct wsb_json *j, uint64_t v);
void wsb_json_i64(struct wsb_json *j, int64_t v);
void wsb_json_bool(struct wsb_json *j, bool v);
void wsb_json_raw(struct wsb_json *j, struct wsb_span value); /* which is known to be one value of JSON */
/* A connection id: 16 hexadecimal digits in quotes. */
void wsb_json_id(struct wsb_json *j, uint64_t id);

/* Key and value in one call. */
static inline void wsb_json_kstr(struct wsb_json *j, const char *key, struct wsb_span s)
{
    wsb_json_key(j, key);
    wsb_json_str(j, s);
}

static inline void wsb_json_kcstr(struct wsb_json *j, const char *key, const char *s)
{
    wsb_json_key(j, key);
    wsb_json_cstr(j, s);
}

static inline void wsb_json_ku64(struct wsb_json *j, const char *key, uint64_t v)
{
    wsb_json_key(j, key);
    wsb_json_u64(j, v);
}

static inline void wsb_json_kbool(struct wsb_json *j, const char *key, bool v)
{
    wsb_json_key(j, key);
    wsb_json_bool(j, v);
}

#endif
