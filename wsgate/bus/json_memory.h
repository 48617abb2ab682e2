#ifndef WSG_BUS_JSON_MEMORY_H
#define WSG_BUS_JSON_MEMORY_H

/*
 * Memory of the JSON library. Its scanner goes on when the buffer of a string cannot grow, and then reads and writes behind the
 * end (jansson 2.14, strbuffer). So where there is no memory its buffers come from a reserve that is larger than the longest text that the
 * gate has parsed: 1 MiB, of the control socket.
 *
 * Threads   install before there are others; the rest any
 */

#include <stddef.h>

enum { WSG_JSON_RESERVE = 4 << 20 /* bytes */ };

void wsg_json_memory_install(void);

/* What it installs. NULL: the reserve is used up as well. */
void *wsg_json_malloc(size_t size);
void wsg_json_free(void *p);

#endif
