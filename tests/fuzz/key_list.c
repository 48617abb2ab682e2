/*
 * The list of keys that may come in. Input: the file.
 * Property: it is refused with a reason, or each key in it is found, is allowed what its line says and nothing else, and
 * the list written down again is the same list. The same text as a secret key file is one key or none.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "link/curve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void check_key(const struct wsb_key_list *list, const struct wsb_listed_key *k)
{
    require(strlen(k->key) == WSB_KEY_LEN && wsb_key_list_find(list, wsb_span_str(k->key)) == k);
    require(wsb_key_list_allows(list, wsb_span_str(k->key), "not/a/name") == (k->route_count == 0));
    for (size_t i = 0; i < k->route_count; i++) {
        char name[80];
        struct wsb_span route = list->routes[k->first_route + i];
        require(route.len > 0 && route.len <= 64);
        (void)snprintf(name, sizeof name, "%.*s", (int)route.len, (const char *)route.ptr);
        require(wsb_key_list_allows(list, wsb_span_str(k->key), name));
    }
}

static void list_write(const struct wsb_key_list *list, struct wsb_buf *out)
{
    for (size_t i = 0; i < list->key_count; i++) {
        const struct wsb_listed_key *k = &list->keys[i];
        require(wsb_buf_append_str(out, k->key) == WSB_OK);
        for (size_t r = 0; r < k->route_count; r++) {
            struct wsb_span route = list->routes[k->first_route + r];
            require(wsb_buf_append(out, " ", 1) == WSB_OK && wsb_buf_append(out, route.ptr, route.len) == WSB_OK);
        }
        require(wsb_buf_append(out, "\n", 1) == WSB_OK);
    }
}

static void check_list(const struct wsb_key_list *list)
{
    struct wsb_key_list again = {0};
    struct wsb_buf text, text_again;
    wsb_buf_init(&text, 0);
    wsb_buf_init(&text_again, 0);
    for (size_t i = 0; i < list->key_count; i++)
        check_key(list, &list->keys[i]);
    list_write(list, &text);
    require(wsb_key_list_parse(&again, wsb_buf_span(&text), NULL) == WSB_OK);
    list_write(&again, &text_again);
    require(wsb_span_eq(wsb_buf_span(&text), wsb_buf_span(&text_again)));
    wsb_buf_deinit(&text);
    wsb_buf_deinit(&text_again);
    wsb_key_list_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wsb_key_list list = {0};
    struct wsb_fault fault = {0};
    char key[WSB_KEY_TEXT];
    wsb_err err = wsb_key_list_parse(&list, wsb_span(data, size), &fault);
    require(!err == (list.key_count > 0) || err);
    if (err)
        require(fault.err == err && fault.text[0]);
    else
        check_list(&list);
    if (wsb_key_parse(wsb_span(data, size), key, NULL) == WSB_OK)
        require(strlen(key) == WSB_KEY_LEN && (err || (list.key_count == 1 && strcmp(list.keys[0].key, key) == 0)));
    wsb_key_list_deinit(&list);
    return 0;
}
