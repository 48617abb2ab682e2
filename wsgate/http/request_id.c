/* A token of RFC 9110 §5.6.2 needs no quoting in any log, header or query. */
#include "http/request_id.h"

#include <inttypes.h>
#include <stdio.h>

struct wsb_span wsg_request_id_find(const struct wsg_http_header *headers, size_t count)
{
    struct wsb_span id = {NULL, 0};
    bool is_good = wsg_http_header_find(headers, count, "x-request-id", &id) == 1 && id.len <= WSG_REQUEST_ID_MAX &&
                   wsg_http_is_token(id);
    return is_good ? id : wsb_span(NULL, 0);
}

void wsg_request_id_write(const uint64_t random[2], char out[WSG_REQUEST_ID_OWN + 1])
{
    (void)snprintf(out, WSG_REQUEST_ID_OWN + 1, "%016" PRIx64 "%016" PRIx64, random[0], random[1]);
}
