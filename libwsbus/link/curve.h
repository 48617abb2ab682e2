#ifndef WSB_LINK_CURVE_H
#define WSB_LINK_CURVE_H

/*
 * Keys for endpoints on TCP: who the gate is, who may come in, and what for. Keys are CURVE keys as text, 40 characters of
 * Z85 each (ZeroMQ RFC 32), in files that people write:
 *
 *     # the gate's, or a handler's own: one secret key           # who may come in, one a line
 *     E{3#Jbh!+...                                               rq:rM>}U?@Lns...  chat game   # these routes only
 *                                                                Yne@$w-vo<fVvi...             # any route
 *                                                                9Z}fh#1Vjzt?@L...  chat names=room:*
 *
 * A key that is limited to routes may use only its own names of groups, users and tags: those that begin with "ROUTE:" for one of its
 * routes, and those that its line grants with names=, whose last character may be '*' for whatever follows.
 *
 * '#' is also a character of keys, but no key begins with it: 84 * 85^4 is more than fits in 32 bits.
 *
 * Threads   read only once made
 */

#include <stdbool.h>

#include "base/fault.h"
#include "base/span.h"

enum { WSB_KEY_LEN = 40, WSB_KEY_TEXT = WSB_KEY_LEN + 1, WSB_KEY_FILE_MAX = 1 << 20 /* bytes */ };

struct wsb_key_pair {
    char public_key[WSB_KEY_TEXT];
    char secret_key[WSB_KEY_TEXT];
};

struct wsb_listed_key {
    char key[WSB_KEY_TEXT];
    int line;
    size_t first_route; /* in routes of the list */
    size_t route_count; /* 0: all routes */
    size_t first_name;  /* in names of the list */
    size_t name_count;
};

struct wsb_key_list {
    struct wsb_listed_key *keys; /* owned; sorted */
    size_t key_count, key_cap;
    char *text;              /* owned: the routes' names lie in it */
    struct wsb_span *routes; /* owned */
    size_t route_count, route_cap;
    struct wsb_span *names; /* owned: granted ones, and prefixes that end with '*' */
    size_t name_count, name_cap;
};

/* What the gate needs: its own keys, and the list. */
struct wsb_curve {
    struct wsb_key_pair pair;
    struct wsb_key_list clients;
};

/* The one key of a secret key file's text. */
WSB_MUST_CHECK wsb_err wsb_key_parse(struct wsb_span text, char ret[WSB_KEY_TEXT], struct wsb_fault *fault);
/* The list of those who may come in; list is zeroed, and good for deinit only after a failure. The fault has the line. */
WSB_MUST_CHECK wsb_err wsb_key_list_parse(struct wsb_key_list *list, struct wsb_span text, struct wsb_fault *fault);
void wsb_key_list_deinit(struct wsb_key_list *list);
/* The list of a file that nobody but its owner can write. */
WSB_MUST_CHECK wsb_err wsb_key_list_load(struct wsb_key_list *list, const char *path, struct wsb_fault *fault);
/* NULL: not listed. */
const struct wsb_listed_key *wsb_key_list_find(const struct wsb_key_list *list, struct wsb_span key);
/* May whoever has this key serve the route, and command its connections? */
bool wsb_key_list_allows(const struct wsb_key_list *list, struct wsb_span key, const char *route);
/* May it join, publish to, list or give away this name of a group, a user or a tag? */
bool wsb_key_list_allows_name(const struct wsb_key_list *list, struct wsb_span key, struct wsb_span name);

/* A secret key file, which nobody else may read: both keys of the pair. */
WSB_MUST_CHECK wsb_err wsb_key_read(const char *path, struct wsb_key_pair *ret, struct wsb_fault *fault);
/* Make a pair, and a new file, mode 0600, with its secret key. WSB_ERR_EXISTS: the file is there already. */
WSB_MUST_CHECK wsb_err wsb_key_make(const char *path, struct wsb_key_pair *ret, struct wsb_fault *fault);
void wsb_key_pair_wipe(struct wsb_key_pair *pair);

/* Both files; deinit afterwards, whatever it returned. */
WSB_MUST_CHECK wsb_err wsb_curve_load(struct wsb_curve *c, const char *secret_path, const char *clients_path,
                                      struct wsb_fault *fault);
void wsb_curve_deinit(struct wsb_curve *c);

#endif
