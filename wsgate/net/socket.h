#ifndef WSG_NET_SOCKET_H
#define WSG_NET_SOCKET_H

/* Non-blocking stream sockets: listening, accepting, reading, and what errno means for us. */

#include "net/address.h"

/* WSB_ERR_EXISTS: somebody listens at this TCP address. To be asked once, before the first of our own listeners: with
 * SO_REUSEPORT two gates of one user would share a port, and halve each other's clients, without a word. */
WSB_MUST_CHECK wsb_err wsg_socket_check_free(const struct wsg_address *a, struct wsb_fault *fault);

/* Listen. TCP uses SO_REUSEPORT, so that each worker has a listener of its own. A stale Unix socket file is replaced; one
 * that somebody listens on is WSB_ERR_EXISTS. `ret_bound` has the port that the kernel chose for port 0. */
WSB_MUST_CHECK wsb_err wsg_socket_listen(const struct wsg_address *a, unsigned unix_mode, int *ret_fd,
                                         struct wsg_address *ret_bound, struct wsb_fault *fault);

/* What a listening socket is bound to. */
void wsg_socket_address(int fd, struct wsg_address *ret);

/* WSB_AGAIN: nobody is waiting. WSB_ERR_LIMIT: out of descriptors or memory, the caller pauses. WSB_ERR_IO: this one
 * connection is lost, go on. */
WSB_MUST_CHECK wsb_err wsg_socket_accept(int listen_fd, int *ret_fd, struct wsg_address *ret_peer);

/* WSB_AGAIN: nothing there. WSB_CLOSED: orderly end. WSB_ERR_IO: reset or worse. */
WSB_MUST_CHECK wsb_err wsg_socket_read(int fd, uint8_t *data, size_t len, size_t *ret_len);

/* The same without taking the bytes off the socket: they are read once more. */
WSB_MUST_CHECK wsb_err wsg_socket_peek(int fd, uint8_t *data, size_t len, size_t *ret_len);
/* Bytes that the kernel has been given and the other end has not acknowledged, or read; 0 where that is not known. */
size_t wsg_socket_unread(int fd);
/* Offer bytes to the kernel. WSB_AGAIN: it takes none now; else *ret_len, of len, is what it took. WSB_ERR_IO: reset or worse. */
WSB_MUST_CHECK wsb_err wsg_socket_write(int fd, const uint8_t *data, size_t len, size_t *ret_len);

/* To be closed with a reset instead of an orderly end, and what the kernel still holds is lost. TCP only. */
void wsg_socket_doom(int fd);

/* The uid of the process at the other end of a Unix socket; false when it cannot be told. */
bool wsg_socket_peer_uid(int fd, unsigned *ret_uid);

#endif
