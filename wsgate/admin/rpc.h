#ifndef WSG_ADMIN_RPC_H
#define WSG_ADMIN_RPC_H

/*
 * JSON-RPC 2.0 without a socket: a line becomes a request or an error with its code; parameters are read with their
 * types and ranges checked, and a complaint names the parameter. Pure.
 */

#include <jansson.h>

#include "base/fault.h"
#include "base/json.h"
#include "wsbus/msg.h"

enum wsg_rpc_code {
    WSG_RPC_PARSE = -32700,
    WSG_RPC_REQUEST = -32600,
    WSG_RPC_METHOD = -32601,
    WSG_RPC_PARAMS = -32602,
    WSG_RPC_INTERNAL = -32603,
    /* ours */
    WSG_RPC_REFUSED = -32000,
    WSG_RPC_NOT_FOUND = -32001,
    WSG_RPC_TIMEOUT = -32002,
    WSG_RPC_BUSY = -32003
};

enum {
    WSG_RPC_LINE_MAX = 1 << 20, /* bytes of a request */
    WSG_RPC_ID_MAX = 128        /* of a request's id, as JSON text with its NUL */
};

struct wsg_rpc_request {
    char id[WSG_RPC_ID_MAX]; /* JSON text; "null" when it could not be read; "" for a notification: no answer */
    char method[64];
    json_t *root;   /* owned */
    json_t *params; /* borrowed from root; an object or NULL */
};

struct wsg_rpc_error {
    enum wsg_rpc_code code;
    struct wsb_fault fault; /* the text */
};

/* A line without its newline. On WSB_ERR_PROTO the error is to be answered to ret->id. deinit in either case. */
WSB_MUST_CHECK wsb_err wsg_rpc_parse(struct wsb_span line, struct wsg_rpc_request *ret, struct wsg_rpc_error *error);
void wsg_rpc_request_deinit(struct wsg_rpc_request *r);

/* Parameters. One that is not there leaves *ret as it was. On WSB_ERR_PROTO the fault names it. */
WSB_MUST_CHECK wsb_err wsg_param_str(const json_t *params, const char *name, const char **ret, struct wsb_fault *fault);
WSB_MUST_CHECK wsb_err wsg_param_u64(const json_t *params, const char *name, uint64_t min, uint64_t max, uint64_t *ret,
                                     struct wsb_fault *fault);
WSB_MUST_CHECK wsb_err wsg_param_bool(const json_t *params, const char *name, bool *ret, struct wsb_fault *fault);
/* A connection id; 0 is never one. */
WSB_MUST_CHECK wsb_err wsg_param_conn(const json_t *params, const char *name, wsb_conn *ret, struct wsb_fault *fault);
/* An array of connection ids without doubles; *ret is the caller's to free(). */
WSB_MUST_CHECK wsb_err wsg_param_conns(const json_t *params, const char *name, wsb_conn **ret, size_t *ret_count,
                                       struct wsb_fault *fault);
/* `known`: the names a method has, each followed by a space. */
WSB_MUST_CHECK wsb_err wsg_params_check(const json_t *params, const char *known, struct wsb_fault *fault);

/* Begin and end a response, a notification. Between them exactly one value is written to *j. A line ends in '\n'. */
void wsg_rpc_result_begin(struct wsb_json *j, struct wsb_buf *out, const char *id);
void wsg_rpc_notify_begin(struct wsb_json *j, struct wsb_buf *out, const char *method);
WSB_MUST_CHECK wsb_err wsg_rpc_end(struct wsb_json *j);
WSB_MUST_CHECK wsb_err wsg_rpc_error_write(struct wsb_buf *out, const char *id, enum wsg_rpc_code code,
                                           const char *message);

#endif
