/* wsctl dial [URL | list | stop NAME | start NAME] */
#include <inttypes.h>

#include "common.h"

static int print_all(const json_t *result)
{
    static const struct wsc_column columns[] = {
        {"NAME", false, 6, 0}, {"URL", false, 10, 1},  {"ROUTE", false, 4, 0},   {"STATE", false, 0, 0},
        {"SINCE", true, 0, 2}, {"NEXT", true, 0, 4},   {"ATTEMPTS", true, 0, 5}, {"OPENED", true, 0, 5},
        {"CONN", false, 0, 6}, {"LAST", false, 10, 3},
    };
    struct wsc_table t;
    size_t i;
    json_t *d;
    wsc_table_init(&t, columns, WSC_COUNT(columns));
    json_array_foreach(json_object_get(result, "dials"), i, d)
    {
        char text[WSC_SHORT] = "-";
        wsc_table_add(&t, wsc_str(d, "name"));
        wsc_table_add(&t, wsc_str(d, "url"));
        wsc_table_add(&t, wsc_str(d, "route"));
        wsc_table_add(&t, wsc_bool(d, "stopping") ? "stopping" : wsc_str(d, "state"));
        wsc_duration_format(wsc_u64(d, "since_ms"), text);
        wsc_table_add(&t, text);
        if (json_object_get(d, "next_ms"))
            wsc_duration_format(wsc_u64(d, "next_ms"), text);
        wsc_table_add(&t, json_object_get(d, "next_ms") ? text : "-");
        wsc_table_add_u64(&t, wsc_u64(d, "attempts"));
        wsc_table_add_u64(&t, wsc_u64(d, "opened"));
        wsc_table_add(&t, *wsc_str(d, "conn") ? wsc_str(d, "conn") : "-");
        wsc_table_add(&t, *wsc_str(d, "last") ? wsc_str(d, "last") : "-");
    }
    int status = wsc_print_table(&t);
    wsc_table_deinit(&t);
    return status;
}

static int print_nothing(const json_t *result)
{
    (void)result;
    return WSC_OK;
}

struct terms {
    const char *name, *route, *origin, *user, *ca, *certificate, *key, *timeout, *retry_min, *retry_max;
    struct wsc_texts headers, subprotocols, groups;
    bool once, insecure;
};

/* False: it is not UTF-8, and an option must not be left out for that. */
static bool put_text(json_t *params, const char *name, const char *text)
{
    return !text || json_object_set_new(params, name, json_string(text)) == 0;
}

static bool put_texts(json_t *params, const char *name, const struct wsc_texts *texts)
{
    json_t *all = json_array();
    bool ok = true;
    for (size_t i = 0; i < texts->count; i++)
        ok = json_array_append_new(all, json_string(texts->at[i])) == 0 && ok;
    return json_object_set_new(params, name, all) == 0 && ok;
}

static bool put_terms(json_t *params, const struct terms *t)
{
    bool ok = put_text(params, "name", t->name);
    ok = put_text(params, "route", t->route) && ok;
    ok = put_text(params, "origin", t->origin) && ok;
    ok = put_text(params, "user", t->user) && ok;
    ok = put_text(params, "ca", t->ca) && ok;
    ok = put_text(params, "certificate", t->certificate) && ok;
    ok = put_text(params, "key", t->key) && ok;
    ok = put_text(params, "timeout", t->timeout) && ok;
    ok = put_text(params, "retry_min", t->retry_min) && ok;
    ok = put_text(params, "retry_max", t->retry_max) && ok;
    ok = put_texts(params, "headers", &t->headers) && ok;
    ok = put_texts(params, "subprotocols", &t->subprotocols) && ok;
    ok = put_texts(params, "groups", &t->groups) && ok;
    if (t->insecure)
        (void)json_object_set_new(params, "insecure", json_true());
    if (t->once)
        (void)json_object_set_new(params, "once", json_true());
    return ok;
}

static int dial(struct wsc_run *run, const char *url, const struct terms *t)
{
    json_t *r;
    if (!t->route)
        return wsc_complain(run, WSC_USAGE, "--route is missing: the route whose handlers have the connection");
    json_t *params = json_object();
    if (!put_text(params, "url", url) || !put_terms(params, t)) {
        json_decref(params);
        return wsc_complain(run, WSC_USAGE, "the URL or an option is not UTF-8");
    }
    int status = wsc_ask(run, "dial", params, run->timeout_ms, &r);
    if (status != WSC_GO_ON)
        return status;
    if (run->json)
        wsc_print_json(r);
    else
        (void)printf("%s\n", wsc_str(r, "name"));
    json_decref(r);
    return WSC_OK;
}

int cmd_dial(struct wsc_run *run)
{
    struct terms t = {0};
    const struct wsc_option options[] = {
        {"route", 'r', WSC_TEXT, "NAME", "whose handlers have the connection", &t.route},
        {"name", 0, WSC_TEXT, "NAME", "to stop it by; by default one is made", &t.name},
        {"once", 0, WSC_FLAG, NULL, "one attempt, one connection", &t.once},
        {"header", 'H', WSC_TEXTS, "NAME: VALUE", "one more of the request; may be given again", &t.headers},
        {"subprotocol", 's', WSC_TEXTS, "NAME", "that we speak, the preferred first; may be given again",
         &t.subprotocols},
        {"origin", 'o', WSC_TEXT, "ORIGIN", "for servers that look at it", &t.origin},
        {"user", 'u', WSC_TEXT, "NAME", "the connection's user", &t.user},
        {"group", 'g', WSC_TEXTS, "NAME", "that it joins; may be given again", &t.groups},
        {"ca", 0, WSC_TEXT, "FILE", "wss: whom to trust, instead of the system's authorities", &t.ca},
        {"certificate", 0, WSC_TEXT, "FILE", "wss: our own", &t.certificate},
        {"key", 0, WSC_TEXT, "FILE", "wss: its key, unless it is in the same file", &t.key},
        {"insecure", 'k', WSC_FLAG, NULL, "wss: take any certificate", &t.insecure},
        {"connect-timeout", 0, WSC_TEXT, "TIME", "from the name to the 101; default 10s", &t.timeout},
        {"retry-min", 0, WSC_TEXT, "TIME", "shortest pause after a failure; default 500ms", &t.retry_min},
        {"retry-max", 0, WSC_TEXT, "TIME", "longest; default 60s", &t.retry_max},
    };
    int status = wsc_begin(run, options, WSC_COUNT(options));
    if (status != WSC_GO_ON)
        return status;
    const char *verb = run->argc ? run->argv[0] : "list";
    if (strstr(verb, "://"))
        return run->argc == 1 ? dial(run, verb, &t) : wsc_complain(run, WSC_USAGE, "one URL");
    if (strcmp(verb, "list") == 0 && run->argc <= 1)
        return wsc_show(run, "dials", NULL, print_all);
    bool is_stop = strcmp(verb, "stop") == 0;
    if (!is_stop && strcmp(verb, "start") != 0)
        return wsc_complain(run, WSC_USAGE, "'%.60s' is no ws:// or wss:// URL, nor list, stop or start", verb);
    if (run->argc != 2)
        return wsc_complain(run, WSC_USAGE, "%s NAME: which? wsctl dial list tells", verb);
    return wsc_show(run, is_stop ? "dial_stop" : "dial_start", json_pack("{s:s}", "name", run->argv[1]), print_nothing);
}
