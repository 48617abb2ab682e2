#ifndef WSL_OPTIONS_H
#define WSL_OPTIONS_H

/* The command line of wsbench(1). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/fault.h"

enum {
    WSL_HEADERS_MAX = 32,
    WSL_PIDS_MAX = 64,
    WSL_THREADS_MAX = 16,
    WSL_STAMP_MAX = 32, /* fan-out wants the whole stamp in each message */
};

/* The most bytes that all connections together may have in flight, and so may wait in this process. */
#define WSL_IN_FLIGHT_BYTES_MAX ((uint64_t)1 << 30)

enum wsl_mode {
    WSL_ECHO,   /* closed loop: each connection keeps so many messages in flight */
    WSL_RATE,   /* open loop: messages leave by a schedule, answered or not */
    WSL_FANOUT, /* one connection publishes, all others get everything */
    WSL_IDLE,   /* connections are opened, and held */
};

/* All strings are borrowed from the command line. */
struct wsl_options {
    enum wsl_mode mode;
    const char *url;
    const char *unix_path;    /* NULL: TCP, as the URL says */
    const char *publish_path; /* fan-out; NULL: the URL's path */
    const char *subscribe;    /* text that each subscriber sends first; NULL: nothing */
    const char *host;         /* the Host header; NULL: from the URL */
    const char *subprotocol;
    const char *headers[WSL_HEADERS_MAX];
    size_t header_count;
    const char *ca_file;
    const char *label;
    uint64_t connections; /* fan-out: subscribers */
    uint64_t in_flight;   /* messages of each connection; fan-out: publishes */
    uint64_t threads;
    uint64_t size;
    uint64_t fragment; /* bytes; 0: messages are not fragmented */
    uint64_t max_message;
    uint64_t count;      /* most messages sent; fan-out: published */
    uint64_t handshakes; /* at the same time */
    uint64_t sources;    /* source addresses 127.0.0.1, .2, …; 0: the system chooses */
    double rate;         /* messages a second over all; fan-out: publishes; 0: not by a schedule */
    double warm_up_s;
    double duration_s;
    double connect_s;
    double settle_s; /* negative: the mode's default */
    double drain_s;
    int pids[WSL_PIDS_MAX];
    size_t pid_count;
    bool pid_tree;
    bool binary;
    bool deflate; /* messages are compressed, both ways */
    bool insecure;
    bool abrupt; /* no closing handshake at the end */
    bool json;
    bool quiet;
};

/**
 * Read the command line.
 *
 * @argv  with the program's name; getopt reorders it
 * @ret   everything checked and within its bounds, defaults filled in
 *
 * Returns  WSB_OK; WSB_CLOSED help or the version was asked for and written; WSB_ERR_CONFIG what is wrong, in words
 */
WSB_MUST_CHECK wsb_err wsl_options_parse(int argc, char **argv, struct wsl_options *ret, struct wsb_fault *fault);

const char *wsl_mode_name(enum wsl_mode mode);

#endif
