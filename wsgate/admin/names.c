/*
 * Groups, users and tags with their sizes, or the members of one. Clients choose these names, and there may be very many: they are
 * written some at a time, so that nobody waits for all of them. What comes or goes meanwhile is in the answer, or is not. One request is worked
 * on at a time; the others wait their turn, and each client has at most one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "admin/parts.h"

enum { DEFAULT_LIMIT = 1000, LIMIT_MAX = 100000, A_ROUND = 1024 };

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

struct wsg_naming {
    struct wsg_naming *prev, *next;
    struct wsg_admin_client *client; /* borrowed; NULL: it went away */
    char id[WSG_RPC_ID_MAX];
    const struct wsg_groups *table;    /* borrowed */
    char name[WSG_GROUP_NAME_MAX + 1]; /* of the one whose members are asked for; "": all */
    size_t limit;
    size_t shard; /* all: the next one */
    size_t shown;
    struct wsb_buf line; /* the answer so far */
    struct wsb_json json;
};

/* --------------------------------------------------------------------- writing */

static void begin_group(struct wsb_json *j, const struct wsg_group *g)
{
    wsb_json_object(j);
    wsb_json_kstr(j, "name", wsb_span(g->name, g->name_len));
    wsb_json_ku64(j, "count", g->count);
}

/* A shard is looked at in one round, and its next one in the next. False: that was all. */
static bool write_some_groups(struct wsg_naming *n)
{
    size_t until = n->shown + A_ROUND;
    for (; n->shard < WSG_TABLE_SHARDS && n->shown < until; n->shard++) {
        for (const struct wsg_group *g = n->table->shards[n->shard]; g; g = g->hh.next) {
            if (n->shown == n->limit)
                return false;
            begin_group(&n->json, g);
            wsb_json_object_end(&n->json);
            n->shown++;
        }
    }
    return n->shard < WSG_TABLE_SHARDS;
}

static bool write_some_members(struct wsg_naming *n)
{
    const struct wsg_group *g = wsg_groups_find(n->table, wsb_span_str(n->name));
    size_t count = g ? g->count : 0; /* they may all have left since the round before */
    size_t last = count < n->limit ? count : n->limit;
    size_t until = last - n->shown < A_ROUND ? last : n->shown + A_ROUND;
    for (; n->shown < until; n->shown++)
        wsb_json_id(&n->json, g->members[n->shown]->pin->conn);
    return n->shown < last;
}

static void begin_answer(struct wsg_naming *n, const struct wsg_group *one)
{
    struct wsb_json *j = &n->json;
    wsg_rpc_result_begin(j, &n->line, n->id);
    wsb_json_object(j);
    wsb_json_ku64(j, "total", n->table->count);
    wsb_json_key(j, "groups");
    wsb_json_array(j);
    if (!one)
        return;
    begin_group(j, one);
    wsb_json_key(j, "members");
    wsb_json_array(j);
}

static void end_answer(struct wsg_naming *n)
{
    struct wsb_json *j = &n->json;
    if (*n->name) {
        wsb_json_array_end(j);
        wsb_json_object_end(j);
    }
    wsb_json_array_end(j);
    wsb_json_object_end(j);
    wsg_answer_end(n->client, n->id, j);
}

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
    bool has_more = n->client && (*n->name ? write_some_members(n) : write_some_groups(n));
    if (!has_more) {
        if (n->client) {
            n->client->wait_for_all = false;
            end_answer(n);
            wsg_client_goes_on(n->client);
        }
        DL_DELETE(a->namings, n);
        naming_free(n);
    }
    if (a->namings)
        wsg_loop_post(a->loop, t); /* the next round's */
}

static void begin(const struct wsg_call *call, const struct wsg_naming *wanted, const struct wsg_group *one)
{
    struct wsg_admin *a = call->admin;
    struct wsg_naming *n = malloc(sizeof *n);
    if (!n) {
        wsg_answer_error(call->client, call->id, WSG_RPC_INTERNAL, "out of memory");
        return;
    }
    *n = *wanted;
    n->client = call->client;
    (void)snprintf(n->id, sizeof n->id, "%s", call->id);
    wsb_buf_init(&n->line, 0);
    begin_answer(n, one);
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
    struct wsg_naming n = {0};
    struct wsb_fault fault = {0};
    const char *name = NULL, *noun = NULL;
    uint64_t limit = DEFAULT_LIMIT;
    wsb_err err = wsg_param_str(call->params, "name", &name, &fault);
    if (!err)
        err = table_of(call, &n.table, &noun, &fault);
    if (!err)
        err = wsg_param_u64(call->params, "limit", 0, UINT32_MAX, &limit, &fault);
    if (wsg_call_failed(call, err, &fault))
        return;
    const struct wsg_group *one = name ? wsg_groups_find(n.table, wsb_span_str(name)) : NULL;
    if (name && !one) {
        wsg_answer_error(call->client, call->id, WSG_RPC_NOT_FOUND, "no %s \"%.100s\"", noun, name);
        return;
    }
    if (one)
        memcpy(n.name, one->name, one->name_len);
    n.limit = limit && limit < LIMIT_MAX ? (size_t)limit : LIMIT_MAX;
    begin(call, &n, one);
}
