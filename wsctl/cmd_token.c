/* wsctl token: makes keys and tokens, and looks at tokens, without a gate. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "token/token.h"

struct wanted {
    const char *keys, *kid, *route, *claims, *user, *issuer;
    uint64_t ttl_ms;
};

static int complain_fault(const struct wsc_run *run, const struct wsb_fault *fault)
{
    return wsc_complain(run, WSC_USAGE, "%s", fault->text);
}

static int load_keys(const struct wsc_run *run, const struct wanted *w, struct wsb_token_keys **ret)
{
    struct wsb_fault fault = {0};
    if (!w->keys)
        return wsc_complain(run, WSC_USAGE, "--keys FILE is missing; wsctl token new FILE makes one");
    return wsb_token_keys_load(ret, w->keys, &fault) ? complain_fault(run, &fault) : WSC_GO_ON;
}

/* --------------------------------------------------------------------- new */

static int file_write(const struct wsc_run *run, const char *path, const char *text)
{
    size_t len = strlen(text);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600); /* never over a key that is there */
    if (fd < 0)
        return wsc_complain(run, WSC_NO, "%s: %s", path, strerror(errno));
    ssize_t n = write(fd, text, len);
    bool ok = n == (ssize_t)len && fsync(fd) == 0;
    int code = errno;
    if (close(fd) == 0 && ok)
        return WSC_OK;
    (void)unlink(path);
    return wsc_complain(run, WSC_NO, "%s: %s", path, strerror(code));
}

static int token_new(const struct wsc_run *run, const struct wanted *w)
{
    char *json = NULL;
    char today[16] = "k";
    time_t now = time(NULL);
    struct tm tm;
    if (!w->kid && gmtime_r(&now, &tm))
        (void)strftime(today, sizeof today, "k%Y%m%d", &tm);
    if (run->argc != 2)
        return wsc_complain(run, WSC_USAGE, "which file shall be made? wsctl token new FILE");
    if (wsb_token_keys_generate(w->kid ? w->kid : today, &json) != WSB_OK)
        return wsc_complain(run, WSC_NO, "cannot make a key");
    int status = file_write(run, run->argv[1], json);
    free(json);
    json_t *made = status == WSC_OK && run->json ? json_pack("{s:s}", "file", run->argv[1]) : NULL;
    if (made)
        wsc_print_json(made);
    json_decref(made);
    return status;
}

/* -------------------------------------------------------------------- make */

static bool put(json_t *claims, const char *name, json_t *value)
{
    return json_object_set_new(claims, name, value) == 0;
}

static int claims_of(const struct wsc_run *run, const struct wanted *w, json_t **ret)
{
    json_error_t error;
    json_t *claims = w->claims ? json_loads(w->claims, JSON_REJECT_DUPLICATES, &error) : json_object();
    json_int_t now_s = (json_int_t)time(NULL);
    if (!json_is_object(claims)) {
        json_decref(claims);
        return wsc_complain(run, WSC_USAGE, "--claims: not a JSON object: %.100s", claims ? w->claims : error.text);
    }
    bool ok = put(claims, "iat", json_integer(now_s)) &&
              put(claims, "exp", json_integer(now_s + (json_int_t)((w->ttl_ms + 999) / 1000)));
    ok = ok && (!w->route || put(claims, "aud", json_string(w->route)));
    ok = ok && (!w->user || put(claims, "sub", json_string(w->user)));
    ok = ok && (!w->issuer || put(claims, "iss", json_string(w->issuer)));
    if (!ok) {
        json_decref(claims);
        return wsc_complain(run, WSC_USAGE, "an option is not UTF-8");
    }
    *ret = claims;
    return WSC_GO_ON;
}

static void print_token(const struct wsc_run *run, const char *token, json_t *claims)
{
    json_t *both = run->json ? json_pack("{s:s, s:O}", "token", token, "claims", claims) : NULL;
    if (both)
        wsc_print_json_line(both);
    else
        (void)puts(token);
    json_decref(both);
}

static int token_make(const struct wsc_run *run, const struct wanted *w)
{
    struct wsb_token_keys *keys = NULL;
    json_t *claims = NULL;
    char *token = NULL;
    if (run->argc != 1)
        return wsc_complain(run, WSC_USAGE, "token make has options only; see wsctl token --help");
    int status = load_keys(run, w, &keys);
    if (status == WSC_GO_ON)
        status = claims_of(run, w, &claims);
    if (status != WSC_GO_ON)
        goto out;
    wsb_err err = wsb_token_make(keys, w->kid, claims, &token);
    status = WSC_OK;
    if (err == WSB_ERR_NOT_FOUND)
        status =
            wsc_complain(run, WSC_NO, "%s: no symmetric key%s%s", w->keys, w->kid ? " " : "", w->kid ? w->kid : "");
    else if (err == WSB_ERR_LIMIT)
        status = wsc_complain(run, WSC_USAGE, "the claims are too much: at most %d levels and %d values",
                              WSB_TOKEN_DEPTH_MAX, WSB_TOKEN_VALUES_MAX);
    else if (err)
        status = wsc_complain(run, WSC_NO, "cannot sign");
    else if (strlen(token) > WSB_TOKEN_MAX)
        status = wsc_complain(run, WSC_USAGE, "the claims are too long: a token has at most %d bytes", WSB_TOKEN_MAX);
    else
        print_token(run, token, claims);
out:
    free(token);
    json_decref(claims);
    wsb_token_keys_unref(keys);
    return status;
}

/* ------------------------------------------------------------------- check */

static int token_check(const struct wsc_run *run, const struct wanted *w)
{
    struct wsb_token_rules rules = {.issuer = w->issuer, .audience = w->route, .leeway_ms = 0};
    struct wsb_token_keys *keys = NULL;
    json_t *claims = NULL;
    const char *why;
    if (run->argc != 2)
        return wsc_complain(run, WSC_USAGE, "which token? wsctl token check TOKEN");
    int status = load_keys(run, w, &keys);
    if (status != WSC_GO_ON)
        return status;
    status = WSC_OK;
    if (wsb_token_check(keys, wsb_span_str(run->argv[1]), &rules, (int64_t)time(NULL), &claims, &why) != WSB_OK)
        status = wsc_complain(run, WSC_NO, "%s", why);
    else
        wsc_print_json(claims);
    json_decref(claims);
    wsb_token_keys_unref(keys);
    return status;
}

int cmd_token(struct wsc_run *run)
{
    struct wanted w = {.ttl_ms = 600000};
    const struct wsc_option options[] = {
        {"keys", 0, WSC_TEXT, "FILE", "the key set, as the gate's token_keys", &w.keys},
        {"kid", 0, WSC_TEXT, "NAME", "which of its keys; of a new one: its name", &w.kid},
        {"route", 'r', WSC_TEXT, "NAME", "the route that it is for (aud)", &w.route},
        {"ttl", 0, WSC_DURATION, "TIME", "how long it is good; default 10m", &w.ttl_ms},
        {"user", 'u', WSC_TEXT, "NAME", "whose it is (sub)", &w.user},
        {"issuer", 0, WSC_TEXT, "TEXT", "who made it (iss)", &w.issuer},
        {"claims", 0, WSC_TEXT, "JSON", "what it says besides: an object", &w.claims},
    };
    int status = wsc_begin(run, options, WSC_COUNT(options));
    if (status != WSC_GO_ON)
        return status;
    if (strcmp(run->argv[0], "new") == 0)
        return token_new(run, &w);
    if (strcmp(run->argv[0], "make") == 0)
        return token_make(run, &w);
    if (strcmp(run->argv[0], "check") == 0)
        return token_check(run, &w);
    return wsc_complain(run, WSC_USAGE, "no verb '%.40s'; there are new, make and check", run->argv[0]);
}
