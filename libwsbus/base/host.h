#ifndef WSB_BASE_HOST_H
#define WSB_BASE_HOST_H

/*
 * Hosts as clients and configurations write them, in one canonical form: whoever decides by a host compares nothing else.
 *
 *     Admin.Test.             admin.test         case, and the dot of the root
 *     admin.test:0443         admin.test:443     an empty port is none
 *     [0:0:0:0:0:0:0:1]:80    [::1]:80           RFC 5952
 *     [::ffff:192.0.2.1]      192.0.2.1          one address, RFC 4291 §2.5.5.2
 *
 * What readers could understand differently is refused: names with empty labels, and names that end with a number and are
 * no IPv4 address of four decimal numbers ("127.1", "0x7f.0.0.1", "010.0.0.1": some take them for one). Pure.
 */

#include "wsbus/err.h"
#include "base/span.h"

enum { WSB_HOST_NAME_MAX = 255, WSB_HOST_TEXT_MAX = WSB_HOST_NAME_MAX + 6 /* ":65535" */ };

struct wsb_host {
    char text[WSB_HOST_TEXT_MAX + 1]; /* canonical, with its port; terminated */
    uint16_t name_len;                /* of it without the port */
    uint16_t text_len;
    uint16_t port;
    bool has_port;
};

/* uri-host [":" port], RFC 3986 §3.2.2 without percent-encoding. WSB_ERR_PROTO: it is none; *ret is untouched then. */
WSB_MUST_CHECK wsb_err wsb_host_parse(struct wsb_span text, struct wsb_host *ret);

static inline struct wsb_span wsb_host_name(const struct wsb_host *h)
{
    return wsb_span(h->text, h->name_len);
}

static inline struct wsb_span wsb_host_text(const struct wsb_host *h)
{
    return wsb_span(h->text, h->text_len);
}

#endif
