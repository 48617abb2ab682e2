/* HTTP: GET is greeted, POST gets its body back, however long it is. */
#include "start.h"

#include <stdio.h>
#include <string.h>

static bool is(const struct wsb_event *ev, const char *key, const char *value)
{
    const char *s = wsb_event_str(ev, key);
    return s && strcmp(s, value) == 0;
}

static void greet(wsb_handler h, const struct wsb_event *ev)
{
    const char *name = wsb_event_str(ev, "params.name");
    const struct wsb_field type = {"content-type", "text/plain; charset=utf-8"};
    char text[300];
    int len = snprintf(text, sizeof text, "Hello, %.200s!\n", name && *name ? name : "world");
    (void)wsb_respond(h, ev->conn,
                      &(struct wsb_response){.headers = &type, .header_count = 1, .body = text, .len = (size_t)len});
}

/* The response begins with what is here and goes on as the request does. */
static void echo(wsb_handler h, const struct wsb_event *ev)
{
    const char *sent = wsb_event_str(ev, "headers.content-type");
    const struct wsb_field type = {"content-type", sent ? sent : "application/octet-stream"};
    (void)wsb_respond(h, ev->conn,
                      &(struct wsb_response){
                          .headers = &type, .header_count = 1, .body = ev->data, .len = ev->len, .more = ev->more});
}

static void refuse(wsb_handler h, const struct wsb_event *ev)
{
    const struct wsb_field allow = {"allow", "GET, HEAD, POST"};
    (void)wsb_respond(h, ev->conn, &(struct wsb_response){.status = 405, .headers = &allow, .header_count = 1});
}

int main(int argc, char **argv)
{
    struct example e = {"wsbus-http", "Greet who says GET, and give back what is POSTed.", {"hello"}, WSB_KIND_HTTP};
    wsb_handler h = example_start(&e, argc, argv);
    struct wsb_event ev;

    while (example_next(h, &ev)) {
        if (ev.type == WSB_EV_BODY)
            (void)wsb_respond_more(h, ev.conn, ev.data, ev.len, !ev.more); /* refused where the answer is complete */
        else if (ev.type != WSB_EV_REQUEST)
            example_log(h, &ev);
        else if (is(&ev, "method", "POST"))
            echo(h, &ev);
        else if (is(&ev, "method", "GET") || is(&ev, "method", "HEAD"))
            greet(h, &ev);
        else
            refuse(h, &ev);
    }
    return example_end(h);
}
