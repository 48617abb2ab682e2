#ifndef WSG_HTTP_METHODS_H
#define WSG_HTTP_METHODS_H

/*
 * Which methods somebody serves, by their names; none named: all that the gate knows. HEAD goes with GET (RFC 9110 §9.1
 * wants both of every server), and OPTIONS the gate answers by itself where it is not named. Pure.
 */

#include "base/buf.h"
#include "policy/policy.h"

bool wsg_methods_have(const struct wsg_texts *methods, const char *method);
/* The same as the value of Allow, RFC 9110 §10.2.1. */
WSB_MUST_CHECK wsb_err wsg_methods_write(struct wsb_buf *out, const struct wsg_texts *methods);

#endif
