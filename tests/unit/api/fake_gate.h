#ifndef TESTS_UNIT_API_FAKE_GATE_H
#define TESTS_UNIT_API_FAKE_GATE_H

/*
 * A gate for tests: the gate's real end of the link in a directory of its own, and a thread that answers HELLO with WELCOME
 * and keeps every command that comes. The test says what else it sends.
 */
#include "link/link.h"

struct fake_gate;

struct fake_options {
    const char *dir;               /* NULL: a new one */
    uint64_t epoch;                /* 0: 1 */
    bool is_silent;                /* HELLO is not answered */
    uint8_t refuse_hello;          /* an ERROR code to answer HELLO with */
    size_t max_message;            /* in WELCOME; 0: not said */
    unsigned heartbeat_ms;         /* in WELCOME; 0: 1000 */
    const struct wsb_curve *curve; /* on TCP as well, with these keys; NULL: local only */
};

struct fake_gate *fake_gate_open(struct fake_options o);
void fake_gate_close(struct fake_gate *g); /* as if killed: says nothing. The directory stays */
const char *fake_gate_dir(const struct fake_gate *g);
const char *fake_gate_tcp(const struct fake_gate *g);
void fake_gate_remove_dir(const char *dir);

/* A command that came; records of a BATCH one by one. */
struct fake_command {
    struct wsb_header header;
    char *payload;  /* terminated, after header.payload_len bytes */
    char *meta;     /* terminated; "" when there was none */
    unsigned batch; /* which ZeroMQ message brought it */
};

/* The next command of the type; those of other types before it are dropped. False: none came within 5 s. */
bool fake_gate_take(struct fake_gate *g, uint8_t type, struct fake_command *ret);
void fake_command_free(struct fake_command *c);
size_t fake_gate_count(struct fake_gate *g, uint8_t type); /* that came so far */

/* From now on HELLO is answered, or not. */
void fake_gate_set_silent(struct fake_gate *g, bool is_silent);

/* Send to the handler that said HELLO last. */
void fake_gate_send(struct fake_gate *g, struct wsb_header h, const char *payload, const char *meta);
/* Send bytes as they are, as the payload of a message with this header. */
void fake_gate_send_raw(struct fake_gate *g, struct wsb_header h, const void *payload, size_t len, const char *meta);
/* A batch that can be put together record by record. */
void fake_batch_add(struct wsb_buf *b, struct wsb_header h, const char *payload, const char *meta);

#endif
