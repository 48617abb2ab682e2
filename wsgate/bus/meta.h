#ifndef WSG_BUS_META_H
#define WSG_BUS_META_H

/* The metadata of a command, decoded and checked. One struct for all commands: a key that is not there has its default,
 * one of the wrong type or out of range is an error that names it, unknown keys are left for later versions. */

#include "base/fault.h"
#include "base/span.h"
#include "wsbus/msg.h"

enum {
    WSG_TARGETS_MAX = 1 << 16, /* ids in a list: to read and to sort them takes a millisecond or two */
    WSG_LIST_MAX = 1 << 18,    /* members that LIST tells of */
    WSG_FIELDS_MAX = 128
};

/* One header of a response. */
struct wsg_field {
    struct wsb_span name;
    struct wsb_span value;
};

struct wsg_meta {
    void *root;   /* owned; the spans below point into it */
    wsb_conn *to; /* owned */
    size_t to_count;
    bool has_to;
    wsb_conn *except; /* owned, sorted */
    size_t except_count;
    uint16_t code;   /* of CLOSE; default 1000 */
    uint16_t status; /* of RESPOND and REJECT; 0: not said */
    struct wsb_span reason;
    struct wsb_span subprotocol; /* ptr NULL: not said */
    struct wsg_field *fields;    /* owned */
    size_t field_count;
    struct wsb_span *groups; /* owned */
    size_t group_count;
    struct wsb_span group;   /* ptr NULL: not said */
    struct wsb_span route;   /* ptr NULL: not said */
    struct wsb_span *routes; /* owned */
    size_t route_count;
    struct wsb_span name;
    struct wsb_span language;
    int64_t pid;
    uint8_t kinds; /* of HELLO: enum wsg_kind, or-ed; default all */
    bool batch;
    bool records;
    bool ack;
    bool presence;
    bool all;
    bool has_credit;          /* of HELLO */
    uint64_t messages, bytes; /* of CREDIT, or of "credit" in HELLO */
    uint32_t heartbeat_ms;    /* of HELLO; how often its ZeroMQ sends heartbeats; 0: never */
    uint32_t weight;          /* of HELLO; default 1 */
    uint32_t limit;           /* of LIST; default 1000 */
    int64_t at;               /* of BODY: where in the response it belongs; -1: not said */
    struct wsb_span user;     /* ptr NULL: not said */
    struct wsb_span tag;
    struct wsb_span key;
    uint8_t slow;          /* enum wsg_slow; 0: not said */
    struct wsb_span *tags; /* owned; of ACCEPT */
    size_t tag_count;
    struct wsb_span *set; /* owned; of TAG */
    size_t set_count;
    struct wsb_span *unset; /* owned; of TAG */
    size_t unset_count;
    int level; /* -1: not said */
};

/* An empty span is an empty object. *ret needs wsg_meta_deinit() also after a failure. */
WSB_MUST_CHECK wsb_err wsg_meta_parse(struct wsb_span json, struct wsg_meta *ret, struct wsb_fault *fault);
void wsg_meta_deinit(struct wsg_meta *m);
/* After `except` was filled in by hand. */
void wsg_meta_sort_except(struct wsg_meta *m);
bool wsg_meta_excepts(const struct wsg_meta *m, wsb_conn conn);

#endif
