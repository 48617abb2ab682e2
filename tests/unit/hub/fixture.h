#ifndef TESTS_UNIT_HUB_FIXTURE_H
#define TESTS_UNIT_HUB_FIXTURE_H

/* A hub between a scripted link and scripted sessions. Handlers have a letter, connections the number of their place. */

#include "support/test.h"

#include "hub/hub.h"

struct fake_server {
    struct wsb_server base;
    int fd;
    char log[16384];      /* "a:welcome a:open?"; '?' for pending, '!' for redelivered, "*:r open" for a copy */
    bool is_gone[128];    /* peers by their letter */
    bool is_stalled[128]; /* likewise */
    bool has_unread[128]; /* likewise: they said something that was not received */
    unsigned fails[128];  /* so many of the next messages to them find no memory */
    unsigned asked;       /* whether somebody is */
    size_t missed;        /* subscribers that miss each copy */
    char ends;            /* this peer's link has ended: to be received; 0: nobody's */
    struct wsb_buf in;    /* one message to be received */
    char in_peer, ended;
    const char *in_user;  /* the key it comes with, named like the one route that it is for; NULL: none */
    char open_meta[1024]; /* of the latest OPEN */
    bool in_is_batch;
    bool wants_all;                                                   /* somebody has subscribed to everything */
    void (*sink)(void *ctx, char peer, const struct wsb_envelope *e); /* NULL: only the log */
    void *sink_ctx;
};

struct fixture {
    struct wsg_loop *loop;
    struct wsg_routes routes;
    struct fake_server server;
    struct wsg_hub hub;
    struct wsg_outbox outbox;
    bool is_behind;
    char commands
        [4096]; /* what sessions are told: "send=x@5,6 fail@5"; "send=x|r@5" where only those of a route may be reached */
    enum wsg_refusal refusal; /* of the latest "fail" */
};

/* Two routes, "r" and "q", of one policy. */
void fixture_open(struct fixture *f, const struct wsg_route_policy *policy);
void fixture_close(struct fixture *f);
int setup(void **state); /* with an ordinary policy */
int teardown(void **state);

wsb_conn conn_of(uint32_t slot);
/* A handler (peer 0: somebody on `commands`) says this. */
void hear(struct fixture *f, char peer, uint8_t type, uint8_t code, uint8_t flags, uint32_t slot, const char *payload,
          const char *meta);
void hear_envelope(struct fixture *f, char peer, const struct wsb_envelope *e);
/* A session says this. */
void happen(struct fixture *f, uint8_t type, uint32_t slot, uint16_t route, const char *payload);
void happen_out(struct fixture *f, const struct wsg_out *out);
void hello(struct fixture *f, char peer);
void forget(struct fixture *f);

#endif
