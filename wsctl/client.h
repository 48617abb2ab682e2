#ifndef WSC_CLIENT_H
#define WSC_CLIENT_H

/* The other end of the control socket: requests, their answers, and the notifications that come in between. */

#include <jansson.h>

#include <stdbool.h>

#include "base/fault.h"

struct wsc_client;

/* What a gate answers instead of a result; docs/protocol.md, part II. */
struct wsc_error {
    int code;
    char text[400];
};

/* WSB_ERR_NOT_FOUND: nobody listens in that directory. WSB_ERR_REFUSED: not for this user. */
WSB_MUST_CHECK wsb_err wsc_client_open(const char *dir, struct wsc_client **ret, struct wsb_fault *fault);
void wsc_client_close(struct wsc_client *c);

/* From now on SIGINT and SIGTERM end what waits for the gate, which then says WSB_ERR_INTERRUPTED, and not the program. */
void wsc_client_catch_interrupts(void);
bool wsc_client_is_interrupted(void); /* one has come */

/**
 * Ask, and wait for the answer.
 *
 * @params      taken, also on failure; NULL: none
 * @ret_result  the caller's to json_decref()
 *
 * Returns   WSB_OK; WSB_ERR_REFUSED the gate answered with *ret_error; WSB_ERR_TIMEOUT; WSB_CLOSED the gate is gone;
 *           WSB_ERR_INTERRUPTED a signal came
 */
WSB_MUST_CHECK wsb_err wsc_client_call(struct wsc_client *c, const char *method, json_t *params, int timeout_ms,
                                       json_t **ret_result, struct wsc_error *ret_error);

/* The next notification; -1 waits for ever. Returns as above. */
WSB_MUST_CHECK wsb_err wsc_client_next(struct wsc_client *c, int timeout_ms, json_t **ret_notification);

#endif
