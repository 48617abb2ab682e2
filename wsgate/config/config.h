#ifndef WSG_CONFIG_CONFIG_H
#define WSG_CONFIG_CONFIG_H

/*
 * What a gate is told to do, checked and with every default filled in. Comes from command line flags, a file, or both; the
 * gate builds its objects from it and does not change it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "config/faults.h"
#include "base/log.h"
#include "policy/policy.h"

enum {
    WSG_CONFIG_ROUTES_MAX = 1024,
    WSG_CONFIG_STATICS_MAX = 256,
    WSG_CONFIG_LISTENERS_MAX = 64,
    WSG_CONFIG_SUBPROTOCOLS_MAX = 64, /* of a route */
    WSG_CONFIG_JOINS_MAX = 16,        /* of a route */
    WSG_CONFIG_NETS_MAX = 256,        /* of each list of networks */
    WSG_CONFIG_ORIGINS_MAX = 64,      /* of a route */
    WSG_CONFIG_METHODS_MAX = 16,
    WSG_CONFIG_FIELDS_MAX = 64,        /* names of headers in a list of cors_… */
    WSG_CONFIG_CERTIFICATES_MAX = 256, /* of a listener */
    WSG_CONFIG_DIALS_MAX = 256,
    WSG_CONFIG_DIAL_HEADERS_MAX = 32, /* of a dial */
    WSG_CONFIG_OPTIONS_MAX = 256,     /* options there may be */
};

/* A gatekeeper has no path: only other routes ask it. */
enum wsg_route_kind { WSG_ROUTE_GATEKEEPER = 0, WSG_ROUTE_WEBSOCKET = 1, WSG_ROUTE_HTTP = 2, WSG_ROUTE_BOTH = 3 };

/* Where something was said, for messages: "wsgate.conf:12" or "--route". */
struct wsg_origin {
    char *file;  /* owned; or NULL: a flag */
    int line;    /* of its section's first option */
    int *lines;  /* owned; of each of wsg_options[], 0: not said; NULL: a flag */
    bool is_bad; /* something of it was refused: it stands here so that others find its name */
};

struct wsg_route_config {
    struct wsg_origin origin;
    char *name;               /* owned; [A-Za-z0-9_.-]{1,64} */
    char *path;               /* owned; pattern, e.g. "/chat/{room}"; NULL: of kind gatekeeper */
    char *host;               /* owned; NULL: any */
    enum wsg_route_kind kind; /* default both */
    bool publish;             /* deliver = publish: events go to the `events` endpoint only */
    bool tap;                 /* a copy of every event on `events` as well */
    bool accept_by_handler;   /* the 101 waits for ACCEPT or REJECT */
    char *gatekeeper;         /* owned; the route whose handler accepts or rejects; NULL: none */
    enum wsg_no_handler no_handler;
    uint32_t handler_wait_ms;      /* default 10 s; with no_handler = wait */
    uint32_t handler_grace_ms;     /* default 5 s; without */
    enum wsg_when_full when_full;  /* handler_full; default pause */
    size_t max_retained;           /* bytes of the route that are not acknowledged, or not sent yet; default 64 MiB */
    size_t max_backlog;            /* bytes of one connection, where handler_full is not pause; default 64 KiB */
    uint32_t ack_timeout_ms;       /* default 30 s */
    uint32_t max_deliveries;       /* default 3; 0: any number */
    bool skips_undeliverable;      /* default no: its client is closed */
    bool pin_by_hash;              /* pin = hash */
    char *pin_key;                 /* owned; "query:user"; NULL: none */
    char *user;                    /* owned; as pin_key; NULL: none */
    struct wsg_texts joins;        /* owned: groups of every connection, "room:{room}" */
    enum wsg_slow slow;            /* slow_client; default close */
    bool unchecked_text;           /* check_text = no */
    struct wsg_texts subprotocols; /* owned; those the route speaks */
    bool compress;                 /* permessage-deflate with clients that offer it */
    bool compress_takeover;        /* compressors may keep their context from message to message */
    size_t compress_threshold;     /* bytes: smaller messages go as they are; default 256 */
    uint32_t compress_level;       /* default 1 */
    uint32_t compress_window;      /* log2 of bytes, with compress_takeover; default 12 */
    bool gzip;                     /* responses, for clients that take it */
    uint32_t gzip_level;           /* default 5 */
    size_t gzip_min;               /* bytes: a smaller body that comes whole goes as it is; default 1 KiB */
    size_t max_message;            /* bytes; default 16 MiB */
    size_t max_frame;              /* bytes; default max_message */
    uint32_t max_fragments;        /* of one message; default 65,536 */
    size_t max_queue;              /* bytes waiting for one client; default 4 MiB */
    uint32_t max_queue_messages;   /* default 65,536 */
    size_t max_body;               /* of a request, bytes; default 16 MiB */
    bool expect_by_handler;        /* expect = handler: 100 Continue is for the handler to say; default gate */
    bool half_close_aborts;        /* default answer: no */
    uint32_t accept_timeout_ms;    /* default 10 s */
    uint32_t body_timeout_ms;      /* for the whole body of a request; 0: any time; default 60 s */
    uint32_t request_timeout_ms;   /* default 30 s */
    uint32_t stream_timeout_ms;    /* 0: none; UINT32_MAX (default): as request_timeout_ms */
    uint32_t sse_keepalive_ms;     /* 0: none; default 15 s */
    struct wsg_texts allow, deny;  /* owned; networks that may, or may not; none in allow: all may */
    char *token;                   /* owned; where the token is that a client needs, as pin_key; NULL: none */
    char *token_keys;              /* owned; the file of the keys, there when token is */
    char *token_issuer;            /* owned; NULL: any */
    char *token_audience;          /* owned; NULL: the route's name, where a token says one at all */
    uint32_t token_leeway_ms;      /* default 30 s */
    bool ends_with_token;          /* token_expiry = close; default keep */
    struct wsg_texts origins;      /* owned; base/origin.h; none: any */
    struct wsg_texts methods;      /* owned; of HTTP; none: all */
    struct wsg_cors cors;          /* owned, its texts; default: nothing is said of it */
    bool require_subprotocol;      /* a client that speaks none of them is refused; default no */
    uint32_t max_connections;      /* of the route, WebSocket; 0 (default): as many as the gate has */
    uint32_t max_pending;          /* handshakes that wait for a handler; default 16,384; 0: any number */
    uint32_t handshake_rate;       /* a second, of all clients; 0 (default): any number */
    uint32_t handshake_burst;      /* 0 (default): as many as in a second, at least 2 */
    uint32_t ping_interval_ms;     /* UINT32_MAX (default): as the gate's; 0: none */
    uint32_t ping_timeout_ms;      /* 0 (default): as the gate's */
    uint32_t message_timeout_ms;   /* default 2 min; 0: any time */
    uint32_t idle_timeout_ms;      /* without a message either way; 0 (default): any time */
    uint32_t lifetime_ms;          /* of a connection; 0 (default): any time */
    uint32_t message_rate;         /* of one connection, a second; 0 (default): any number */
    uint32_t message_burst;        /* default: as many as in a second */
    size_t byte_rate;              /* likewise, bytes of messages */
    size_t byte_burst;             /* default: as many as in a second */
    enum wsg_over_rate over_rate;  /* default pause */
};

struct wsg_static_config {
    struct wsg_origin origin;
    char *prefix;         /* owned; begins and ends with '/' */
    char *dir;            /* owned */
    bool gzip_static;     /* name.gz stands for name, for clients that take it */
    struct wsg_cors cors; /* owned, its texts */
};

/* A WebSocket server that the gate connects to, as a client. */
struct wsg_dial_config {
    struct wsg_origin origin;
    char *name;                    /* owned; as a route's */
    char *url;                     /* owned; ws:// or wss:// */
    char *route;                   /* owned; whose handlers have the connection */
    struct wsg_texts headers;      /* owned; "Name: value" */
    struct wsg_texts subprotocols; /* owned; that we speak, the preferred first */
    char *from;                    /* owned; the Origin header; NULL: none */
    char *user;                    /* owned; NULL: none */
    struct wsg_texts groups;       /* owned; that the connection joins */
    char *ca;                      /* owned; file of those whom to trust; NULL: the system's authorities */
    char *certificate;             /* owned; file; NULL: none of our own */
    char *key;                     /* owned; file; NULL: in that of the certificate */
    bool insecure;                 /* take any certificate */
    uint32_t timeout_ms;           /* from the name to the 101; default 10 s */
    uint32_t retry_min_ms;         /* default 500 ms */
    uint32_t retry_max_ms;         /* default 60 s */
};

struct wsg_listener_config {
    struct wsg_origin origin;
    char *address;                /* owned; see net/address.h */
    unsigned mode;                /* of a Unix socket's file; default 0600 */
    struct wsg_texts allow, deny; /* owned; networks of clients that may, or may not; none in allow: all may */
    bool proxy_protocol;          /* each connection begins with a header of it; default no */
    size_t max_head;              /* this and the next three: 0: as for the whole gate */
    uint32_t max_headers;
    uint32_t head_timeout_ms;
    uint32_t handshake_timeout_ms; /* tls_handshake_timeout */
    struct wsg_texts certificates; /* owned; files; none: TLS is not spoken */
    struct wsg_texts keys;         /* owned; their keys' files; none: each key is in the certificate's file */
    enum wsg_client_certificates client_certificates;
    char *client_ca;   /* owned; file of those who sign clients' certificates */
    bool tls_1_3_only; /* tls_min_version = 1.3 */
    char *tls_ciphers; /* owned; NULL: the strong ones */
};

struct wsg_config {
    char *file; /* owned; NULL: none was read */
    int option_lines
        [WSG_CONFIG_OPTIONS_MAX];          /* of wsg_options[] outside of titled sections; 0: not said; -1: by a flag */
    struct wsg_listener_config *listeners; /* owned */
    size_t listener_count;
    struct wsg_route_config *routes; /* owned */
    size_t route_count;
    struct wsg_static_config *statics; /* owned */
    size_t static_count;
    struct wsg_dial_config *dials; /* owned */
    size_t dial_count;
    char *runtime_dir;        /* owned; NULL: found by the rules of docs/protocol.md §1 */
    unsigned bus_mode;        /* of the endpoints' files; default 0600 */
    char *bus_handlers;       /* owned; endpoints on TCP besides, base/endpoint.h; NULL: none */
    char *bus_events;         /* likewise */
    char *bus_commands;       /* likewise */
    char *curve_secret;       /* owned; the file of the gate's key; NULL: endpoints on TCP want no keys */
    bool shm;                 /* handlers may come over shared memory; default yes */
    size_t shm_ring;          /* bytes of each ring, unless a handler asks for another; default 2 MiB */
    size_t shm_memory;        /* bytes of all rings; default 512 MiB */
    uint32_t shm_handlers;    /* at most; default 256 */
    uint32_t zmq_peers;       /* connections of each ZeroMQ endpoint; default 1,024 */
    char *shm_allow;          /* owned; who may, config/allow.h; NULL: whoever can open the socket */
    char *curve_clients;      /* owned; the file of those who may come in; there when curve_secret is */
    char *make_key;           /* owned; the file that --make-key shall make; else NULL */
    char *metrics;            /* owned; the address where metrics are served; NULL: nowhere */
    char *metrics_token;      /* owned; the file of the token that who reads them must show; NULL: none */
    unsigned workers;         /* 0: the number of cores */
    size_t max_connections;   /* of the gate; default 65,536 */
    size_t bus_descriptors;   /* no option: what the process may spend on ZeroMQ peers; 0: as many as zmq_peers want */
    uint32_t max_per_address; /* of one address; 0 (default): any number */
    uint32_t accept_rate;     /* new connections of one address a second; 0 (default): any number */
    uint32_t accept_burst;    /* so many at once before the rate counts; default 32 */
    uint32_t handshake_rate;  /* of WebSocket, a second, of all clients; 0 (default): any number */
    uint32_t handshake_burst; /* 0 (default): as many as in a second, at least 2 */
    bool answer_refused;      /* refuse = 503: who is one too many is told; default: cut off */
    struct wsg_texts trusted_proxies; /* owned; networks of proxies that are believed */
    enum wsg_forwarded_by forwarded;  /* the header of theirs that counts; default none */
    bool request_id;                  /* requests have ids; default yes */
    bool begin_traces;                /* trace = make; default pass */
    size_t max_head;                  /* of a request, bytes; default 16 KiB */
    uint32_t max_headers;             /* default 100 */
    size_t message_memory;            /* bytes, of messages of clients that are not complete; default 256 MiB */
    size_t compress_memory;        /* bytes, for contexts that compressors keep, of all connections; default 64 MiB */
    uint32_t head_timeout_ms;      /* from the first byte of a request, or from accept; default 10 s */
    uint32_t keepalive_timeout_ms; /* between requests; default 60 s */
    uint32_t close_timeout_ms;     /* closing handshake; default 10 s */
    uint32_t drain_timeout_ms;     /* from when the listeners close to exit; default 10 s */
    uint32_t drain_delay_ms;       /* SIGTERM to when they close; default 0 */
    uint32_t drain_spread_ms;      /* over which very many clients are closed; default 2 s */
    uint32_t ping_interval_ms;     /* pings to silent WebSocket clients; default 45 s; 0: none */
    uint32_t ping_timeout_ms;      /* the client must answer within; default 20 s */
    uint32_t max_handshakes;       /* of TLS, under way at once; default 1,024 */
    uint32_t handshake_timeout_ms; /* of TLS; default 10 s */
    enum wsb_log_format log_format;
    enum wsb_level log_level;             /* default info */
    int module_levels[WSB_LOG_MODULES];   /* -1: as log_level */
    char *access_log;                     /* owned; the file of the access log; NULL or "off": there is none */
    enum wsg_access_format access_format; /* default combined */
};

/* Defaults only: no listener, no route. */
void wsg_config_init(struct wsg_config *c);
void wsg_config_deinit(struct wsg_config *c);
/* Is there a path that clients can ask for? Without routes but those of gatekeepers, and without files, all get 404. */
bool wsg_config_serves_clients(const struct wsg_config *c);
#define WSG_CONFIG_SERVE_HINT                                                                                          \
    "give --route NAME=PATTERN or --static PREFIX=DIR, or a section route or static in the file of --config"

/* The same for one of its parts while it is being filled in. */
void wsg_route_config_init(struct wsg_route_config *r);
void wsg_route_config_deinit(struct wsg_route_config *r);
void wsg_static_config_init(struct wsg_static_config *s);
void wsg_static_config_deinit(struct wsg_static_config *s);
void wsg_dial_config_init(struct wsg_dial_config *d);
void wsg_dial_config_deinit(struct wsg_dial_config *d);
void wsg_listener_config_init(struct wsg_listener_config *l);
void wsg_listener_config_deinit(struct wsg_listener_config *l);

/**
 * Check a part that has been filled in, derive what it left open (max_frame), and add it.
 *
 * @r, @s, @d, @l  has its name, prefix or address; taken and zeroed on success, still the caller's on failure
 * @fault      says what is wrong with it, without its place: the caller knows that
 *
 * Returns     WSB_OK; WSB_ERR_CONFIG a value that cannot be; WSB_ERR_EXISTS the name, prefix or address is there already;
 *             WSB_ERR_LIMIT too many; WSB_ERR_NOMEM
 */
WSB_MUST_CHECK wsb_err wsg_config_add_route(struct wsg_config *c, struct wsg_route_config *r, struct wsb_fault *fault);
WSB_MUST_CHECK wsb_err wsg_config_add_static(struct wsg_config *c, struct wsg_static_config *s,
                                             struct wsb_fault *fault);
WSB_MUST_CHECK wsb_err wsg_config_add_dial(struct wsg_config *c, struct wsg_dial_config *d, struct wsb_fault *fault);
WSB_MUST_CHECK wsb_err wsg_config_add_listener(struct wsg_config *c, struct wsg_listener_config *l,
                                               struct wsb_fault *fault);

/*
 * What one has to satisfy that does not come from a file: the same as in wsg_config_add_dial(), but that its name is free.
 */
WSB_MUST_CHECK wsb_err wsg_dial_config_check(const struct wsg_dial_config *d, struct wsb_fault *fault);

/*
 * What the whole has to satisfy once everything is there: something to listen on, routes for what is dialed. Whether routes overlap, directories
 * exist and addresses are free is found out by whoever uses them. Returns WSB_OK, or the err of one of those that were added to `all`,
 * which may have some already: then a part that is missing is not told.
 */
wsb_err wsg_config_check(const struct wsg_config *c, struct wsg_faults *all);

/* Put in front of a fault where an option outside of titled sections was said, and its name: "wsgate.conf:12: bus: events", or
 * "--bus-events". */
wsb_err wsg_config_blame(const struct wsg_config *c, const char *name, struct wsb_fault *fault);

/*
 * Put the place of a part in front of a fault, and its line into it: that of the option which the fault is about, as far as the file has it.
 * That is the one that the text begins with, or names behind the part ("route 'a': gatekeeper: ..."), or else `otherwise`.
 */
wsb_err wsg_origin_blame(const struct wsg_origin *o, const char *flag, const char *otherwise, struct wsb_fault *fault);
/* The same without the prefix; 0: none of them was said. */
int wsg_origin_line(const struct wsg_origin *o, const char *text, const char *otherwise);

/* "wsgate.conf:12", or `flag` when it came from one; fits in any buffer, cut where it does not. */
const char *wsg_origin_text(const struct wsg_origin *o, const char *flag, char *buf, size_t buf_len);

#endif
