/*
 * Key files. Reading is strict: a line that is neither a key nor a comment is an error with its number, since whoever
 * mistypes a key must not find out from a handler that is kept out, or is let in. Memory that held a secret is wiped.
 */
#include "link/curve.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/trust_file.h"
#include "base/z85.h"

enum { KEY_BYTES = 32, ROUTE_NAME_MAX = 64 };

/* ------------------------------------------------------------------- parsing */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next line of the text, without its end. */
static bool line_next(struct wsb_span *rest, struct wsb_span *ret)
{
    if (rest->len == 0)
        return false;
    const uint8_t *end = memchr(rest->ptr, '\n', rest->len);
    size_t len = end ? (size_t)(end - rest->ptr) : rest->len;
    *ret = wsb_span(rest->ptr, len);
    *rest = wsb_span(rest->ptr + len + (end != NULL), rest->len - len - (end != NULL));
    return true;
}

/* The next word of a line; false at its end. */
static bool word_next(struct wsb_span *rest, struct wsb_span *ret)
{
    size_t at = 0;
    while (at < rest->len && is_blank(rest->ptr[at]))
        at++;
    size_t begin = at;
    while (at < rest->len && !is_blank(rest->ptr[at]))
        at++;
    *ret = wsb_span(rest->ptr + begin, at - begin);
    *rest = wsb_span(rest->ptr + at, rest->len - at);
    return ret->len > 0;
}

/* 40 characters that stand for 32 bytes. */
static bool key_take(struct wsb_span word, char ret[WSB_KEY_TEXT])
{
    uint8_t bytes[KEY_BYTES];
    bool ok = word.len == WSB_KEY_LEN && wsb_z85_decode(word, bytes);
    if (ok) {
        memcpy(ret, word.ptr, WSB_KEY_LEN);
        ret[WSB_KEY_LEN] = 0;
    }
    explicit_bzero(bytes, sizeof bytes);
    return ok;
}

enum line_kind { LINE_EMPTY, LINE_KEY, LINE_BAD };

/* What the line is; with a key, `rest` is what follows it. */
static enum line_kind line_read(struct wsb_span *rest, char ret_key[WSB_KEY_TEXT])
{
    struct wsb_span word;
    if (!word_next(rest, &word) || word.ptr[0] == '#')
        return LINE_EMPTY;
    return key_take(word, ret_key) ? LINE_KEY : LINE_BAD;
}

static wsb_err line_refuse(int line, struct wsb_fault *fault)
{
    wsb_err err =
        wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "line %d: it does not begin with a key, 40 characters of Z85", line);
    if (fault)
        fault->line = line;
    return err;
}

wsb_err wsb_key_parse(struct wsb_span text, char ret[WSB_KEY_TEXT], struct wsb_fault *fault)
{
    char found[WSB_KEY_TEXT] = "";
    char key[WSB_KEY_TEXT];
    struct wsb_span line, word;
    wsb_err err = WSB_OK;
    for (int number = 1; !err && line_next(&text, &line); number++) {
        enum line_kind kind = line_read(&line, key);
        if (kind == LINE_BAD || (kind == LINE_KEY && word_next(&line, &word) && word.ptr[0] != '#'))
            err = line_refuse(number, fault);
        else if (kind == LINE_KEY && found[0])
            err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "line %d: a second key; there can be one only", number);
        else if (kind == LINE_KEY)
            memcpy(found, key, sizeof found);
    }
    if (!err && !found[0])
        err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "there is no key in it");
    if (!err)
        memcpy(ret, found, sizeof found);
    explicit_bzero(found, sizeof found);
    explicit_bzero(key, sizeof key);
    return err;
}

/* Room for one more. */
static wsb_err grow(void **array, size_t count, size_t *cap, size_t size, struct wsb_fault *fault)
{
    if (count < *cap)
        return WSB_OK;
    size_t more = *cap ? *cap * 2 : 16;
    void *grown = reallocarray(*array, more, size);
    if (!grown)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    *array = grown;
    *cap = more;
    return WSB_OK;
}

static bool is_route_name(struct wsb_span s)
{
    if (s.len == 0 || s.len > ROUTE_NAME_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        bool is_alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_alnum && c != '_' && c != '.' && c != '-')
            return false;
    }
    return true;
}

/* names=room:* */
static bool names_read(struct wsb_span word, struct wsb_span *ret_name)
{
    static const char prefix[] = "names=";
    const size_t n = sizeof prefix - 1;
    if (word.len <= n || memcmp(word.ptr, prefix, n) != 0)
        return false;
    *ret_name = wsb_span(word.ptr + n, word.len - n);
    return true;
}

static wsb_err add_word(struct wsb_span **words, size_t *count, size_t *cap, struct wsb_span word,
                        struct wsb_fault *fault)
{
    wsb_err err = grow((void **)words, *count, cap, sizeof word, fault);
    if (!err)
        (*words)[(*count)++] = word;
    return err;
}

static wsb_err routes_read(struct wsb_key_list *list, struct wsb_span rest, struct wsb_listed_key *key,
                           struct wsb_fault *fault)
{
    struct wsb_span word, name;
    wsb_err err = WSB_OK;
    key->first_route = list->route_count;
    key->first_name = list->name_count;
    while (!err && word_next(&rest, &word) && word.ptr[0] != '#') {
        if (names_read(word, &name))
            err = add_word(&list->names, &list->name_count, &list->name_cap, name, fault);
        else if (is_route_name(word))
            err = add_word(&list->routes, &list->route_count, &list->route_cap, word, fault);
        else
            err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                                "line %d: what follows a key are names of routes (and names=NAME or names=PREFIX*)",
                                key->line);
    }
    key->route_count = list->route_count - key->first_route;
    key->name_count = list->name_count - key->first_name;
    if (!err && key->name_count && !key->route_count)
        err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "line %d: names= is for keys that are limited to routes",
                            key->line);
    return err;
}

static int by_key(const void *a, const void *b)
{
    return memcmp(((const struct wsb_listed_key *)a)->key, ((const struct wsb_listed_key *)b)->key, WSB_KEY_LEN);
}

static wsb_err list_seal(struct wsb_key_list *list, struct wsb_fault *fault)
{
    if (list->key_count == 0)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "there is no key in it: nobody could come in");
    qsort(list->keys, list->key_count, sizeof *list->keys, by_key);
    for (size_t i = 1; i < list->key_count; i++) {
        const struct wsb_listed_key *k = &list->keys[i];
        if (by_key(&k[-1], k) == 0)
            return wsb_fault_set(fault, WSB_ERR_EXISTS, 0, "line %d: the key of line %d again",
                                 k->line > k[-1].line ? k->line : k[-1].line,
                                 k->line > k[-1].line ? k[-1].line : k->line);
    }
    return WSB_OK;
}

wsb_err wsb_key_list_parse(struct wsb_key_list *list, struct wsb_span text, struct wsb_fault *fault)
{
    struct wsb_span rest, line;
    wsb_err err = WSB_OK;
    list->text = malloc(text.len + 1);
    if (!list->text)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    if (text.len)
        memcpy(list->text, text.ptr, text.len);
    rest = wsb_span(list->text, text.len);
    for (int number = 1; !err && line_next(&rest, &line); number++) {
        struct wsb_listed_key key = {.line = number};
        enum line_kind kind = line_read(&line, key.key);
        if (kind == LINE_BAD)
            err = line_refuse(number, fault);
        if (kind != LINE_KEY)
            continue;
        err = routes_read(list, line, &key, fault);
        if (!err)
            err = grow((void **)&list->keys, list->key_count, &list->key_cap, sizeof key, fault);
        if (!err)
            list->keys[list->key_count++] = key;
    }
    return err ? err : list_seal(list, fault);
}

void wsb_key_list_deinit(struct wsb_key_list *list)
{
    free(list->keys);
    free(list->text);
    free(list->routes);
    free(list->names);
    *list = (struct wsb_key_list){0};
}

const struct wsb_listed_key *wsb_key_list_find(const struct wsb_key_list *list, struct wsb_span key)
{
    struct wsb_listed_key wanted = {0};
    if (key.len != WSB_KEY_LEN || !list->key_count)
        return NULL;
    memcpy(wanted.key, key.ptr, WSB_KEY_LEN);
    return bsearch(&wanted, list->keys, list->key_count, sizeof *list->keys, by_key);
}

bool wsb_key_list_allows(const struct wsb_key_list *list, struct wsb_span key, const char *route)
{
    const struct wsb_listed_key *k = wsb_key_list_find(list, key);
    if (!k)
        return false;
    for (size_t i = 0; i < k->route_count; i++) {
        if (wsb_span_eq_str(list->routes[k->first_route + i], route))
            return true;
    }
    return k->route_count == 0;
}

/* "chat:" in front: the name is the route's own. */
static bool is_of_route(struct wsb_span name, struct wsb_span route)
{
    return name.len > route.len && memcmp(name.ptr, route.ptr, route.len) == 0 && name.ptr[route.len] == ':';
}

static bool is_granted(struct wsb_span name, struct wsb_span grant)
{
    size_t n = grant.len - 1;
    return wsb_span_eq(name, grant) || (grant.ptr[n] == '*' && name.len >= n && memcmp(name.ptr, grant.ptr, n) == 0);
}

bool wsb_key_list_allows_name(const struct wsb_key_list *list, struct wsb_span key, struct wsb_span name)
{
    const struct wsb_listed_key *k = wsb_key_list_find(list, key);
    if (!k || name.len == 0)
        return k != NULL;
    for (size_t i = 0; i < k->route_count; i++) {
        if (is_of_route(name, list->routes[k->first_route + i]))
            return true;
    }
    for (size_t i = 0; i < k->name_count; i++) {
        if (is_granted(name, list->names[k->first_name + i]))
            return true;
    }
    return k->route_count == 0;
}

/* --------------------------------------------------------------------- files */

/* Put the file in front of what is wrong in it. */
static wsb_err blame(const char *path, struct wsb_fault *fault)
{
    struct wsb_fault inner = *fault;
    (void)wsb_fault_set(fault, inner.err, 0, "%.100s: %.120s", path, inner.text);
    fault->line = inner.line;
    return inner.err;
}

/* The public key that belongs to a secret one. */
static bool public_of(const char secret[WSB_KEY_TEXT], char ret[WSB_KEY_TEXT])
{
    uint8_t secret_bytes[KEY_BYTES], public_bytes[KEY_BYTES];
    bool ok = sodium_init() >= 0 && wsb_z85_decode(wsb_span(secret, WSB_KEY_LEN), secret_bytes) &&
              crypto_scalarmult_base(public_bytes, secret_bytes) == 0;
    if (ok)
        wsb_z85_encode(wsb_span(public_bytes, KEY_BYTES), ret);
    explicit_bzero(secret_bytes, sizeof secret_bytes);
    return ok;
}

wsb_err wsb_key_read(const char *path, struct wsb_key_pair *ret, struct wsb_fault *fault)
{
    struct wsb_key_pair pair;
    struct wsb_fault own = {0};
    struct wsb_trust_file f = {0};
    wsb_err err = wsb_trust_file_read(path, WSB_TRUST_SECRET, WSB_KEY_FILE_MAX, &f, &own);
    if (!err && wsb_key_parse(wsb_span(f.data, f.len), pair.secret_key, &own) != WSB_OK)
        err = blame(path, &own);
    if (!err && !public_of(pair.secret_key, pair.public_key))
        err = wsb_fault_set(&own, WSB_ERR_CONFIG, 0, "%.100s: not a secret key", path);
    wsb_trust_file_wipe(&f);
    if (!err)
        *ret = pair;
    else if (fault)
        *fault = own;
    wsb_key_pair_wipe(&pair);
    return err;
}

static wsb_err pair_write(int fd, const struct wsb_key_pair *pair)
{
    char text[200];
    int n = snprintf(text, sizeof text,
                     "# A secret key of wsbus. Keep it secret; the public key that belongs to it is\n# %s\n%s\n",
                     pair->public_key, pair->secret_key);
    bool ok = n > 0 && write(fd, text, (size_t)n) == n && fsync(fd) == 0;
    explicit_bzero(text, sizeof text);
    return ok ? WSB_OK : WSB_ERR_IO;
}

static bool pair_make(struct wsb_key_pair *ret)
{
    uint8_t secret_bytes[KEY_BYTES];
    if (sodium_init() < 0 || getrandom(secret_bytes, sizeof secret_bytes, 0) != sizeof secret_bytes)
        return false;
    wsb_z85_encode(wsb_span(secret_bytes, sizeof secret_bytes), ret->secret_key);
    explicit_bzero(secret_bytes, sizeof secret_bytes);
    return public_of(ret->secret_key, ret->public_key);
}

wsb_err wsb_key_make(const char *path, struct wsb_key_pair *ret, struct wsb_fault *fault)
{
    struct wsb_key_pair pair;
    wsb_err err = WSB_OK;
    if (!pair_make(&pair))
        return wsb_fault_set(fault, WSB_ERR_IO, errno, "cannot make a key: no random numbers");
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        err = wsb_fault_set(fault, errno == EEXIST ? WSB_ERR_EXISTS : WSB_ERR_IO, errno, "%.100s: %s", path,
                            strerror(errno));
        goto out;
    }
    err = pair_write(fd, &pair);
    if (err) {
        err = wsb_fault_set(fault, err, errno, "%.100s: cannot be written: %s", path, strerror(errno));
        (void)unlink(path);
    } else {
        *ret = pair;
    }
    close(fd);
out:
    wsb_key_pair_wipe(&pair);
    return err;
}

void wsb_key_pair_wipe(struct wsb_key_pair *pair)
{
    explicit_bzero(pair, sizeof *pair);
}

/* ---------------------------------------------------------------------- both */

wsb_err wsb_key_list_load(struct wsb_key_list *list, const char *path, struct wsb_fault *fault)
{
    struct wsb_fault own = {0};
    struct wsb_trust_file f = {0};
    wsb_err err = wsb_trust_file_read(path, WSB_TRUST_PUBLIC, WSB_KEY_FILE_MAX, &f, &own);
    if (!err && wsb_key_list_parse(list, wsb_span(f.data, f.len), &own) != WSB_OK)
        err = blame(path, &own);
    wsb_trust_file_wipe(&f);
    if (err && fault)
        *fault = own;
    return err;
}

wsb_err wsb_curve_load(struct wsb_curve *c, const char *secret_path, const char *clients_path, struct wsb_fault *fault)
{
    *c = (struct wsb_curve){0};
    wsb_err err = wsb_key_read(secret_path, &c->pair, fault);
    return err ? err : wsb_key_list_load(&c->clients, clients_path, fault);
}

void wsb_curve_deinit(struct wsb_curve *c)
{
    wsb_key_pair_wipe(&c->pair);
    wsb_key_list_deinit(&c->clients);
}
