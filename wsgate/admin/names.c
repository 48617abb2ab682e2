/*
 * Groups, users and tags with their sizes, or the members of one. A piece is written in each round, so that nobody waits for all of
 * them. One request is worked on at a time; the others wait their turn, and each client has at most one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "admin/name_list.h"
#include "admin/parts.h"

enum { DEFAULT_LIMIT = 1000, LIMIT_MAX = 100000 };

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

struct wsg_naming {
    struct wsg_naming *prev, *next;
    struct wsg_admin_client *client; /* borrowed; NULL: it went away */
    char id[WSG_RPC_ID_MAX];
    struct wsg_name_list list;
    struct wsb_buf line; /* the answer so far */
    struct wsb_json json;
};

/* --------------------------------------------------------------------- its turn */

static void naming_free(struct wsg_naming *n)
{
    wsb_buf_deinit(&n->line);
    free(n);
}

void wsg_on_names_task(struct wsg_task *t)
{
    struct wsg_admin *a = CONTAINER(t, struct wsg_admin, names_task);
    struct wsg_naming *n = a->namings;
    if (!n->client || !wsg_name_list_go_on(&n->list, &n->json)) {
        if (n->client) {
            n->client->wait_for_all = false;
            wsg_name_list_end(&n->list, &n->json);
            wsg_answer_end(n->client, n->id, &n->json);
            wsg_client_goes_on(n->client);
        }
        DL_DELETE(a->namings, n);
        naming_free(n);
    }
    if (a->namings)
        wsg_loop_post(a->loop, t); /* the next round's */
}

static void begin(const struct wsg_call *call, const struct wsg_groups *table, const struct wsg_group *one,
                  size_t limit)
{
    struct wsg_admin *a = call->admin;
    struct wsg_naming *n = calloc(1, sizeof *n);
    if (!n) {
        wsg_answer_error(call->client, call->id, WSG_RPC_INTERNAL, "out of memory");
        return;
    }
    n->client = call->client;
    (void)snprintf(n->id, sizeof n->id, "%s", call->id);
    wsb_buf_init(&n->line, 0);
    wsg_rpc_result_begin(&n->json, &n->line, n->id);
    wsg_name_list_begin(&n->list, table, one, limit, &n->json);
    call->client->wait_for_all = true;
    if (!a->namings)
        wsg_loop_post(a->loop, &a->names_task);
    DL_APPEND(a->namings, n);
}

void wsg_namings_forget(struct wsg_admin_client *c)
{
    struct wsg_naming *n;
    DL_FOREACH (c->admin->namings, n) {
        if (n->client == c)
            n->client = NULL; /* the task frees it when it is its turn */
    }
}

void wsg_namings_deinit(struct wsg_admin *a)
{
    struct wsg_naming *n, *next;
    DL_FOREACH_SAFE (a->namings, n, next)
        naming_free(n);
    a->namings = NULL;
}

/* --------------------------------------------------------------------- the method */

static wsb_err table_of(const struct wsg_call *call, const struct wsg_groups **ret, const char **ret_noun,
                        struct wsb_fault *fault)
{
    const struct wsg_hub *hub = wsg_gate_hub(call->admin->gate);
    const struct {
        const char *of, *noun;
        const struct wsg_groups *table;
    } tables[] = {{"groups", "group", &hub->groups}, {"users", "user", &hub->users}, {"tags", "tag", &hub->tags}};
    const char *of = "groups";
    wsb_err err = wsg_param_str(call->params, "of", &of, fault);
    for (size_t i = 0; !err && i < sizeof tables / sizeof *tables; i++) {
        if (strcmp(of, tables[i].of) != 0)
            continue;
        *ret = tables[i].table;
        *ret_noun = tables[i].noun;
        return WSB_OK;
    }
    return err ? err : wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"of\" must be groups, users or tags");
}

void wsg_on_groups(const struct wsg_call *call)
{
    struct wsb_fault fault = {0};
    const struct wsg_groups *table = NULL;
    const char *name = NULL, *noun = NULL;
    uint64_t limit = DEFAULT_LIMIT;
    wsb_err err = wsg_param_str(call->params, "name", &name, &fault);
    if (!err)
        err = table_of(call, &table, &noun, &fault);
    if (!err)
        err = wsg_param_u64(call->params, "limit", 0, UINT32_MAX, &limit, &fault);
    if (wsg_call_failed(call, err, &fault))
        return;
    const struct wsg_group *one = name ? wsg_groups_find(table, wsb_span_str(name)) : NULL;
    if (name && !one)
        wsg_answer_error(call->client, call->id, WSG_RPC_NOT_FOUND, "no %s \"%.100s\"", noun, name);
    else
        begin(call, table, one, limit && limit < LIMIT_MAX ? (size_t)limit : LIMIT_MAX);
}
