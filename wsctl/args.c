/* Command line options. */
#include "args.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/near.h"
#include "text.h"

enum { OPTIONS_MAX = 64 };

/* Other names for an option, in whichever subcommand it is; a single character is a letter. */
static const struct synonym {
    const char *word, *name;
} synonyms[] = {
    {"dir", "runtime-dir"},
    {"bus", "runtime-dir"},
    {"ca-file", "ca"},
    {"cacert", "ca"},
    {"cert", "certificate"},
    /* Letters that once had another meaning in another subcommand. */
    {"b", "bytes"},
    {"c", "code"},
    {"c", "claims"},
    {"k", "keys"},
    {"n", "name"},
    {"t", "ttl"},
    {"u", "unix"},
    {"u", "users"},
    {"w", "wait"},
};

static const struct wsc_option *find_documented(const struct wsc_option *options, size_t count, const char *name,
                                                size_t len)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
            return &options[i];
    }
    return NULL;
}

static const struct wsc_option *find_synonym(const struct wsc_option *options, size_t count, const char *word,
                                             size_t len)
{
    const struct wsc_option *o = NULL;
    for (size_t i = 0; i < sizeof synonyms / sizeof *synonyms && !o; i++) {
        const struct synonym *s = &synonyms[i];
        if (strlen(s->word) == len && memcmp(s->word, word, len) == 0)
            o = find_documented(options, count, s->name, strlen(s->name));
    }
    return o;
}

static const struct wsc_option *find_long(const struct wsc_option *options, size_t count, const char *name, size_t len)
{
    const struct wsc_option *o = find_documented(options, count, name, len);
    return o || len < 2 ? o : find_synonym(options, count, name, len);
}

static const struct wsc_option *find_short(const struct wsc_option *options, size_t count, char letter)
{
    for (size_t i = 0; i < count; i++) {
        if (options[i].letter == letter)
            return &options[i];
    }
    return find_synonym(options, count, &letter, 1);
}

static wsb_err refuse_unknown(const struct wsc_option *options, size_t count, const char *arg, size_t len,
                              struct wsb_fault *fault)
{
    struct wsb_near near = wsb_near_to(arg[1] == '-' ? arg + 2 : "", len);
    for (size_t i = 0; i < count && arg[1] == '-'; i++)
        wsb_near_offer(&near, options[i].name);
    return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "unknown option %.60s%s%s%s", arg,
                         near.found ? "; did you mean --" : "", near.found ? near.found : "", near.found ? "?" : "");
}

static bool parse_number(const char *text, uint64_t *ret)
{
    uint64_t n = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || n > (UINT32_MAX - 9) / 10)
            return false;
        n = n * 10 + (uint64_t)(*text - '0');
    }
    *ret = n;
    return true;
}

static wsb_err add_text(const struct wsc_option *o, struct wsc_texts *texts, const char *value, struct wsb_fault *fault)
{
    if (!*value)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--%s must not be empty", o->name);
    if (texts->count == WSC_TEXTS_MAX)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--%s: more than %d of them", o->name, WSC_TEXTS_MAX);
    texts->at[texts->count++] = value;
    return WSB_OK;
}

static wsb_err set_value(const struct wsc_option *o, const char *value, struct wsb_fault *fault)
{
    switch (o->kind) {
    case WSC_FLAG:
        *(bool *)o->ret = true;
        return WSB_OK;
    case WSC_TEXT:
        if (!*value)
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--%s must not be empty", o->name);
        *(const char **)o->ret = value;
        return WSB_OK;
    case WSC_TEXTS:
        return add_text(o, o->ret, value, fault);
    case WSC_NUMBER:
        if (!parse_number(value, o->ret))
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--%s: '%.60s' is not a whole number", o->name, value);
        return WSB_OK;
    case WSC_DURATION:
        if (!wsc_duration_parse(value, o->ret))
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--%s: '%.60s' is not a time like 30s, 5m, 1h30m", o->name,
                                 value);
        return WSB_OK;
    }
    return WSB_ERR_INTERNAL;
}

/* One option at argv[at]; *ret_used is 2 when its value is the next argument. */
static wsb_err take_option(const struct wsc_option *options, size_t count, const char *arg, const char *next,
                           bool seen[OPTIONS_MAX], int *ret_used, struct wsb_fault *fault)
{
    bool is_long = arg[1] == '-';
    const char *name = arg + (is_long ? 2 : 1);
    size_t len = is_long ? strcspn(name, "=") : 1;
    const struct wsc_option *o = is_long ? find_long(options, count, name, len) : find_short(options, count, *name);
    const char *value = name[len] ? name + len + (is_long ? 1 : 0) : NULL;
    if (!o)
        return refuse_unknown(options, count, arg, len, fault);
    *ret_used = 1;
    if (o->kind == WSC_FLAG && value)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--%s takes no value", o->name);
    if (o->kind != WSC_FLAG && !value) {
        if (!next)
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--%s wants a value: %s", o->name, o->value_name);
        value = next;
        *ret_used = 2;
    }
    if (o->kind == WSC_TEXT && seen[o - options]) /* the first would be forgotten without a word */
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--%s is there twice", o->name);
    seen[o - options] = true;
    return set_value(o, value, fault);
}

wsb_err wsc_args_parse(const struct wsc_option *options, size_t option_count, int argc, char **argv, int *ret_count,
                       struct wsb_fault *fault)
{
    int others = 0;
    bool only_others = false;
    bool seen[OPTIONS_MAX] = {false};
    assert(option_count <= OPTIONS_MAX);
    for (int i = 0; i < argc;) {
        int used = 1;
        if (!only_others && strcmp(argv[i], "--") == 0) {
            only_others = true;
        } else if (only_others || argv[i][0] != '-' || !argv[i][1]) {
            argv[others++] = argv[i];
        } else {
            wsb_err err =
                take_option(options, option_count, argv[i], i + 1 < argc ? argv[i + 1] : NULL, seen, &used, fault);
            if (err)
                return err;
        }
        i += used;
    }
    *ret_count = others;
    return WSB_OK;
}

wsb_err wsc_args_describe(const struct wsc_option *options, size_t option_count, struct wsb_buf *out)
{
    wsb_err err = WSB_OK;
    for (size_t i = 0; i < option_count && !err; i++) {
        const struct wsc_option *o = &options[i];
        char left[64];
        char letter[8] = "    ";
        if (o->letter)
            (void)snprintf(letter, sizeof letter, "-%c, ", o->letter);
        (void)snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name, o->kind == WSC_FLAG ? "" : " ",
                       o->kind == WSC_FLAG ? "" : o->value_name);
        err = wsb_buf_printf(out, "  %-30s %s\n", left, o->help);
    }
    return err;
}
