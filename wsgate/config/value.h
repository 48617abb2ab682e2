#ifndef WSG_CONFIG_VALUE_H
#define WSG_CONFIG_VALUE_H

/*
 * Values as people write them: "16MiB", "10s", "0660", "yes". Pure functions of text. A refusal names the offending text
 * and what would be right, and nothing else: the caller says which option it was and where.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

/* A decimal number from min to max. */
WSB_MUST_CHECK wsb_err wsg_value_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret,
                                        struct wsb_fault *fault);
/* Bytes: a number, alone or with KiB, MiB, GiB. */
WSB_MUST_CHECK wsb_err wsg_value_size(const char *text, uint64_t min, uint64_t max, uint64_t *ret,
                                      struct wsb_fault *fault);
/* Milliseconds: a number with ms, s, m or h; 0 needs no unit. */
WSB_MUST_CHECK wsb_err wsg_value_duration(const char *text, uint64_t min, uint64_t max, uint64_t *ret,
                                          struct wsb_fault *fault);
/* The mode of a socket's file, octal, from 0600 to 0777: its owner has to be able to use it. */
WSB_MUST_CHECK wsb_err wsg_value_mode(const char *text, unsigned *ret, struct wsb_fault *fault);
WSB_MUST_CHECK wsb_err wsg_value_bool(const char *text, bool *ret, struct wsb_fault *fault);

/* Something, without control characters. */
WSB_MUST_CHECK wsb_err wsg_value_check_text(const char *text, struct wsb_fault *fault);
/* What is not a route's name, a host, a subprotocol, a prefix of static files, or an address to listen on? */
WSB_MUST_CHECK wsb_err wsg_value_check_name(const char *text, struct wsb_fault *fault);
WSB_MUST_CHECK wsb_err wsg_value_check_host(const char *text, struct wsb_fault *fault);
WSB_MUST_CHECK wsb_err wsg_value_check_token(const char *text, struct wsb_fault *fault);
/* What is not a method that the gate serves, the name of a header, or an origin of pages (base/origin.h)? */
WSB_MUST_CHECK wsb_err wsg_value_check_method(const char *text, struct wsb_fault *fault);
WSB_MUST_CHECK wsb_err wsg_value_check_field(const char *text, struct wsb_fault *fault);
WSB_MUST_CHECK wsb_err wsg_value_check_page(const char *text, struct wsb_fault *fault);
WSB_MUST_CHECK wsb_err wsg_value_check_prefix(const char *text, struct wsb_fault *fault);
WSB_MUST_CHECK wsb_err wsg_value_check_address(const char *text, struct wsb_fault *fault);
/* The same, or fd:NAME, a socket that the service manager passes. */
WSB_MUST_CHECK wsb_err wsg_value_check_listen(const char *text, struct wsb_fault *fault);
/* Is that address one that only this machine can reach, a loopback one or a Unix socket? */
bool wsg_value_is_near(const char *text);

/* Put "format…: " in front of a fault's text, and replace what a terminal would obey. Returns the fault's err. */
wsb_err wsg_fault_prefix(struct wsb_fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
