#include "hub/meta.h"

#include <stdlib.h>

bool wsg_hub_keep_meta(struct wsg_hub *h, struct wsg_pin *p, struct wsb_span meta)
{
    wsb_buf_clear(&h->said);
    if (wsg_words_pack(&h->words, meta, &h->said) != WSB_OK)
        return false;
    char *packed = malloc(h->said.len ? h->said.len : 1);
    if (!packed)
        return false;
    if (h->said.len)
        memcpy(packed, h->said.data, h->said.len);
    free(p->meta);
    p->meta = packed;
    p->meta_len = (uint32_t)h->said.len;
    return true;
}

static void put_names(struct wsb_json *j, const char *key, const struct wsg_groups *t, const struct wsg_pin *p)
{
    const struct wsg_member *m = wsg_groups_next_of(t, p, NULL);
    if (!m)
        return;
    wsb_json_key(j, key);
    wsb_json_array(j);
    for (; m; m = wsg_groups_next_of(t, p, m))
        wsb_json_str(j, wsg_group_name(m->group));
    wsb_json_array_end(j);
}

void wsg_hub_put_user(struct wsb_json *j, const struct wsg_hub *h, const struct wsg_pin *p)
{
    const struct wsg_member *user = wsg_groups_next_of(&h->users, p, NULL);
    if (user)
        wsb_json_kstr(j, "user", wsg_group_name(user->group));
}

/* What the session said ends with a brace; ours goes in front of it. */
struct wsb_span wsg_hub_open_meta(struct wsg_hub *h, const struct wsg_pin *p)
{
    struct wsb_json j;
    wsb_buf_clear(&h->said);
    if (wsg_words_unpack(wsb_span(p->meta, p->meta_len), &h->said) != WSB_OK)
        return wsb_span(NULL, 0); /* without memory it is not said; the rest of OPEN is */
    struct wsb_span said = wsb_buf_span(&h->said);
    if (said.len < 2 || (!p->members && !p->open_deliveries))
        return said;
    wsb_buf_clear(&h->text);
    wsb_json_begin(&j, &h->text);
    wsb_json_object(&j);
    if (p->open_deliveries)
        wsb_json_ku64(&j, "deliveries", p->open_deliveries + 1U);
    if (wsg_pin_asks_elsewhere(p))
        wsb_json_kcstr(&j, "gatekeeper", p->route->name);
    wsg_hub_put_user(&j, h, p);
    put_names(&j, "groups", &h->groups, p);
    put_names(&j, "tags", &h->tags, p);
    wsb_json_object_end(&j);
    if (wsb_json_end(&j) != WSB_OK || h->text.len <= 2)
        return said;
    if (said.len > 2) {
        h->text.data[h->text.len - 1] = ',';
        if (wsb_buf_append(&h->text, said.ptr + 1, said.len - 1) != WSB_OK)
            return said;
    }
    return wsb_buf_span(&h->text);
}

/* The value of "subprotocol", between its quotes: a token has nothing to escape. Parameters of the path may have that
 * name as well, deeper inside. */
static bool find_subprotocol(struct wsb_span meta, struct wsb_span *ret)
{
    static const char key[] = "\"subprotocol\":\"";
    const size_t key_len = sizeof key - 1;
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < meta.len; i++) {
        uint8_t c = meta.ptr[i];
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
            continue;
        }
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        if (c == '"' && depth == 1 && meta.len - i > key_len && memcmp(meta.ptr + i, key, key_len) == 0) {
            const uint8_t *value = meta.ptr + i + key_len;
            const uint8_t *end = memchr(value, '"', meta.len - i - key_len);
            *ret = wsb_span(value, end ? (size_t)(end - value) : 0);
            return end != NULL;
        }
        in_string = c == '"';
    }
    return false;
}

void wsg_hub_set_subprotocol(struct wsg_hub *h, struct wsg_pin *p, struct wsb_span name)
{
    struct wsb_span was;
    wsb_buf_clear(&h->said);
    if (wsg_words_unpack(wsb_span(p->meta, p->meta_len), &h->said) != WSB_OK)
        return;
    struct wsb_span said = wsb_buf_span(&h->said);
    if (!find_subprotocol(said, &was) || wsb_span_eq(was, name))
        return;
    size_t head = (size_t)(was.ptr - said.ptr);
    struct wsb_span tail = wsb_span(was.ptr + was.len, said.len - head - was.len);
    wsb_buf_clear(&h->text);
    if (wsb_buf_append(&h->text, said.ptr, head) == WSB_OK && wsb_buf_append(&h->text, name.ptr, name.len) == WSB_OK &&
        wsb_buf_append(&h->text, tail.ptr, tail.len) == WSB_OK)
        (void)wsg_hub_keep_meta(h, p, wsb_buf_span(&h->text));
}
