#ifndef WSG_ADMIN_COUNTERS_H
#define WSG_ADMIN_COUNTERS_H

/*
 * Every number that the gate tells about itself, once: the method `stats` and the metrics both read this table, so they
 * cannot disagree. A new one is a row.
 *
 * Threads   the first worker's
 */

#include "admin/exposition.h"
#include "base/json.h"
#include "gate/gate.h"

enum wsg_counter_of { WSG_OF_GATE, WSG_OF_BUS, WSG_OF_ROUTE, WSG_OF_HANDLER };

/* What a row is read from. */
struct wsg_counter_source {
    struct wsg_gate *gate; /* borrowed, like the others */
    const struct wsg_hub *hub;
    const struct wsg_route *route;     /* OF_ROUTE */
    const struct wsg_handler *handler; /* OF_HANDLER */
    struct wsg_gate_stats stats;
    struct wsb_server_stats link, shm; /* of ZeroMQ; of shared memory, all zero without */
    uint64_t now_ms;
    uint64_t wall_ns;
};

struct wsg_counter {
    enum wsg_counter_of of;
    const char *key;    /* in `stats`; NULL: it is not there */
    const char *metric; /* the name of its family; NULL: it is not there, being a sum of others */
    enum wsg_metric_type type;
    const char *unit; /* "" or the end of metric */
    uint32_t scale;   /* metric = value / scale */
    const char *help;
    uint64_t (*get)(const struct wsg_counter_source *s, int reason);
    int reasons; /* 0: one number; else so many, each with a name */
    const char *(*reason_name)(int reason);
};

extern const struct wsg_counter wsg_counters[];
extern const size_t wsg_counter_count;

void wsg_counter_source_init(struct wsg_counter_source *s, struct wsg_gate *gate);
/* The rows of one kind as members of the JSON object that is open. */
void wsg_counters_write(const struct wsg_counter_source *s, enum wsg_counter_of of, struct wsb_json *j);

#endif
