#ifndef WSG_HTTP_REQUEST_ID_H
#define WSG_HTTP_REQUEST_ID_H

/*
 * X-Request-Id: the name of one request, by which it is found again in the logs of everybody who had to do with it. It is
 * read by people and put into logs, so that nothing is taken that could be more than a word. Pure.
 */

#include "http/header.h"

enum {
    WSG_REQUEST_ID_MAX = 128, /* characters of one that somebody else made */
    WSG_REQUEST_ID_OWN = 32   /* of ours */
};

/* The only one among the fields, if it can be taken as it is; ptr NULL: there is none, or more than one, or a bad one. */
struct wsb_span wsg_request_id_find(const struct wsg_http_header *headers, size_t count);

/* 128 bits that nobody can guess, in lower-case hexadecimal. */
void wsg_request_id_write(const uint64_t random[2], char out[WSG_REQUEST_ID_OWN + 1]);

#endif
