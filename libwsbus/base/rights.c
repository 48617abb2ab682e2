/* Descriptors that nobody asked for. */
#include "base/rights.h"

#include <sys/socket.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux 6.16 */
#endif

void wsb_rights_refuse(int socket)
{
    const int off = 0;
    (void)setsockopt(socket, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof off);
}
