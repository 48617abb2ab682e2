#ifndef WSB_BASE_RIGHTS_H
#define WSB_BASE_RIGHTS_H

/*
 * Refuse descriptors that are passed to a Unix socket and to all that it accepts. We want none, and one that arrives unasked is closed by
 * the kernel in our next receive: a TCP socket that lingers would keep us there for as long as its owner likes. The sender gets EPERM.
 * A no-op before Linux 6.16.
 */
void wsb_rights_refuse(int socket);

#endif
