#ifndef WSG_ADMIN_PARTS_H
#define WSG_ADMIN_PARTS_H

/*
 * What the files of admin/ share, and nobody else uses: admin.c owns the socket and its clients, methods.c answers what
 * the first worker knows by itself, scan.c what needs a listing of all connections, names.c one of groups, order.c what is answered by
 * connections, levels.c logging, tap.c live frames, tls.c certificates, dials.c what the gate dials.
 */

#include "bus/table.h"

#include "admin/admin.h"
#include "admin/filter.h"
#include "admin/listener.h"
#include "admin/rpc.h"
#include "gate/gate.h"

enum {
    WSG_ADMIN_CLIENTS_MAX = 64,
    WSG_ADMIN_OUT_MAX = 1 << 20, /* bytes that wait for a client: it is not listened to, its taps lose lines */
    WSG_ADMIN_ORDERS_MAX = 16,   /* requests of one client that are not answered yet */
    WSG_ADMIN_TAPS_MAX = 16      /* of one client */
};

struct wsg_scan;
struct wsg_naming;
struct wsg_order;
struct wsg_tap;
struct wsg_tapped;
struct wsg_temporary;

struct wsg_admin_client {
    struct wsg_admin_client *prev, *next;
    struct wsg_watch watch;
    struct wsg_task task;    /* queued: lines are left to read; dead: to be freed */
    struct wsg_admin *admin; /* borrowed */
    uint64_t number;
    unsigned uid;
    int pid;
    bool is_dead;
    bool has_failed; /* cannot be written to: it is dropped at the next occasion */
    bool task_posted;
    bool has_ended;    /* it will ask no more */
    bool wait_for_all; /* it is in the middle of a listing: one at a time */
    unsigned orders;   /* not answered yet */
    unsigned taps;
    struct wsb_buf in;
    struct wsb_buf out;
    size_t written; /* bytes at the beginning of `out` that are gone already */
};

struct wsg_admin_stats {
    uint64_t clients, refused_clients, requests, bad_requests, tap_lines, tap_lost;
};

struct wsg_admin {
    struct wsg_gate *gate; /* borrowed */
    struct wsg_loop *loop; /* borrowed */
    struct wsg_listener listener;
    char path[WSG_ADDRESS_TEXT];
    struct wsg_admin_client *clients; /* owned */
    unsigned client_count;
    uint64_t last_client;
    struct wsb_log_limit lines; /* about users that were refused */
    struct wsb_buf scratch;
    struct wsg_scan *scans; /* owned queue; the first one is being worked on */
    struct wsg_task scan_task;
    struct wsg_naming *namings; /* owned queue; the first one is being worked on */
    struct wsg_task names_task;
    struct wsg_order *orders;  /* owned, by origin */
    uint64_t last_origin;      /* of orders and of taps */
    struct wsg_tap *taps;      /* owned list */
    struct wsg_tapped *tapped; /* owned: connections with at least one tap */
    unsigned tap_count;
    struct wsg_temporary *temporary; /* owned list: levels that go back by themselves */
    struct wsg_admin_stats stats;
};

/* One request while it is carried out. */
struct wsg_call {
    struct wsg_admin *admin;         /* borrowed */
    struct wsg_admin_client *client; /* borrowed */
    const char *id;                  /* borrowed; JSON text, "" when no answer is wanted */
    const char *method;              /* borrowed */
    json_t *params;                  /* borrowed; may be NULL */
};

/* admin.c. An answer is written between begin and end: one JSON value into what begin returns. */
struct wsb_json *wsg_answer_begin(struct wsg_admin *a, const char *id, struct wsb_json *j);
void wsg_answer_end(struct wsg_admin_client *c, const char *id, struct wsb_json *j);
void wsg_answer_error(struct wsg_admin_client *c, const char *id, enum wsg_rpc_code code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void wsg_answer_ok(const struct wsg_call *call); /* an empty object */
/* A line that may be dropped: false when the client has too much waiting. */
bool wsg_client_offer(struct wsg_admin_client *c, struct wsb_span line);
/* A line that was asked for. */
void wsg_client_put(struct wsg_admin_client *c, struct wsb_span line);
size_t wsg_client_waiting(const struct wsg_admin_client *c); /* bytes it has not taken */
/* Something that it waited for is done: listen to it again. */
void wsg_client_goes_on(struct wsg_admin_client *c);

/* methods.c */
struct wsg_method {
    const char *name;
    void (*fn)(const struct wsg_call *call);
    const char *params; /* known ones, each followed by a space */
};
const struct wsg_method *wsg_method_find(const char *name);
/* By "handler"; answers the error itself. NULL: it has. */
struct wsg_handler *wsg_call_handler(const struct wsg_call *call);
/* Answers a bad parameter. */
bool wsg_call_failed(const struct wsg_call *call, wsb_err err, const struct wsb_fault *fault);
void wsg_audit(const struct wsg_call *call, const char *detail);

/* handlers.c */
void wsg_on_handlers(const struct wsg_call *call);
void wsg_on_handler_show(const struct wsg_call *call);
void wsg_on_handler_drop(const struct wsg_call *call);
void wsg_on_handler_undrain(const struct wsg_call *call);
void wsg_on_handler_drain(const struct wsg_call *call);
void wsg_on_handler_weight(const struct wsg_call *call);
void wsg_on_move(const struct wsg_call *call);

/* scan.c */
void wsg_on_list(const struct wsg_call *call);
void wsg_on_show(const struct wsg_call *call);
void wsg_on_close(const struct wsg_call *call);
void wsg_scans_forget(struct wsg_admin_client *c);
void wsg_scans_deinit(struct wsg_admin *a);
void wsg_on_scan_task(struct wsg_task *t);

/* names.c */
void wsg_on_groups(const struct wsg_call *call);
void wsg_namings_forget(struct wsg_admin_client *c);
void wsg_namings_deinit(struct wsg_admin *a);
void wsg_on_names_task(struct wsg_task *t);

/* order.c */
enum wsg_order_kind { WSG_ORDER_SEND, WSG_ORDER_CLOSE, WSG_ORDER_PING };
void wsg_on_send(const struct wsg_call *call);
void wsg_on_ping(const struct wsg_call *call);
/* Close, and answer with the outcomes. */
void wsg_order_close(struct wsg_admin_client *c, const char *id, const wsb_conn *ids, size_t count, uint16_t code,
                     const char *reason, uint64_t timeout_ms);
bool wsg_orders_reply(struct wsg_admin *a, uint64_t origin, const struct wsb_envelope *e);
void wsg_orders_forget(struct wsg_admin_client *c);

/* levels.c */
void wsg_on_log_get(const struct wsg_call *call);
void wsg_on_log_set(const struct wsg_call *call);
void wsg_on_log_reopen(const struct wsg_call *call);
void wsg_levels_write(struct wsg_admin *a, struct wsb_json *j);
void wsg_levels_deinit(struct wsg_admin *a);

/* tls.c */
void wsg_on_tls(const struct wsg_call *call);
void wsg_on_reload(const struct wsg_call *call);

/* dead_letters.c */
void wsg_on_dead_letters(const struct wsg_call *call);

/* dials.c */
void wsg_on_dials(const struct wsg_call *call);
void wsg_on_dial(const struct wsg_call *call);
void wsg_on_dial_stop(const struct wsg_call *call);
void wsg_on_dial_start(const struct wsg_call *call);

/* tap.c */
void wsg_on_tap(const struct wsg_call *call);
void wsg_on_untap(const struct wsg_call *call);
void wsg_taps_show(struct wsg_admin *a, const struct wsg_out *out);
void wsg_taps_reply(struct wsg_admin *a, uint64_t origin);
void wsg_taps_tell_losses(struct wsg_admin_client *c);
void wsg_taps_forget(struct wsg_admin_client *c);

#endif
