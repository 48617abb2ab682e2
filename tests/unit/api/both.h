#ifndef TESTS_UNIT_API_BOTH_H
#define TESTS_UNIT_API_BOTH_H

/* A handle and the fake gate that it is registered with; what nearly every test of the handles begins with. */
#include "fake_gate.h"
#include "wsbus/handler.h"

enum { PATIENCE_MS = 5000 };

struct both {
    struct fake_gate *gate;
    wsb_handler h;
};

/* Registered, and the WELCOME read. */
struct both join_with(struct fake_options o, struct wsb_handler_options ho);
struct both join(void);
void part(struct both *b);

struct wsb_header head(uint8_t type, uint64_t conn, uint64_t seq);
struct wsb_header data_head(uint64_t conn, uint64_t seq);
/* Or the test has failed. */
struct wsb_event must_read(wsb_handler h);
struct fake_command must_take(struct fake_gate *g, uint8_t type);

#endif
