/* Names are compared as they are: methods are case-sensitive, RFC 9110 §9.1. */
#include "http/methods.h"

#include <string.h>

#include "http/request.h"

static bool is_named(const struct wsg_texts *methods, const char *method)
{
    for (size_t i = 0; i < methods->count; i++) {
        if (strcmp(methods->at[i], method) == 0)
            return true;
    }
    return false;
}

bool wsg_methods_have(const struct wsg_texts *methods, const char *method)
{
    return methods->count == 0 || is_named(methods, method) ||
           (strcmp(method, "HEAD") == 0 && is_named(methods, "GET"));
}

wsb_err wsg_methods_write(struct wsb_buf *out, const struct wsg_texts *methods)
{
    wsb_err err = WSB_OK;
    if (methods->count == 0)
        return wsb_buf_append_str(out, WSG_HTTP_ALLOW);
    for (size_t i = 0; i < methods->count && !err; i++)
        err = wsb_buf_printf(out, "%s%s", i ? ", " : "", methods->at[i]);
    if (!err && is_named(methods, "GET") && !is_named(methods, "HEAD"))
        err = wsb_buf_append_str(out, ", HEAD");
    if (!err && !is_named(methods, "OPTIONS"))
        err = wsb_buf_append_str(out, ", OPTIONS");
    return err;
}
