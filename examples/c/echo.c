/* Every message goes back to the client it came from. */
#include "start.h"

int main(int argc, char **argv)
{
    struct example e = {"wsbus-echo", "Send every message back to where it came from.", {"echo"}, WSB_KIND_WEBSOCKET};
    wsb_handler h = example_start(&e, argc, argv);
    struct wsb_event ev;

    while (example_next(h, &ev)) {
        if (ev.type == WSB_EV_DATA)
            (void)wsb_writeguarded(h, ev.conn, ev.opcode, ev.data, ev.len); /* a client may be gone: CLOSED tells */
        else
            example_log(h, &ev);
    }
    return example_end(h);
}
