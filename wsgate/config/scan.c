/*
 * Strings, comments, variables and words of a configuration file. One walk over the text; every step either moves on or
 * refuses. What passes has: no NUL, no comments, closed strings, only harmless escapes, only variables that are set.
 */
#include "config/scan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 2 }; /* a list in a section */

struct place {
    const char *at;
    const char *line_start;
    int line;
};

struct scan {
    char *at; /* borrowed text */
    char *line_start;
    int line;                     /* from 1 */
    int depth;                    /* open braces */
    struct place open[DEPTH_MAX]; /* where they are */
    struct wsb_fault *fault;
};

static wsb_err refuse(const struct scan *s, const char *at, const char *what)
{
    (void)wsb_fault_set(s->fault, WSB_ERR_CONFIG, 0, "%s", what);
    if (s->fault) {
        s->fault->line = s->line;
        s->fault->column = (int)(at - s->line_start) + 1;
    }
    return WSB_ERR_CONFIG;
}

static void newline(struct scan *s)
{
    s->line++;
    s->line_start = s->at + 1;
}

static void blank_line_comment(struct scan *s)
{
    for (; *s->at && *s->at != '\n'; s->at++)
        *s->at = ' ';
}

static wsb_err blank_block_comment(struct scan *s)
{
    const struct scan start = *s;
    const char *end = strstr(s->at + 2, "*/");
    if (!end)
        return refuse(&start, start.at, "this comment is not closed: '*/' is missing");
    for (; s->at < end + 2; s->at++) {
        if (*s->at == '\n')
            newline(s);
        else
            *s->at = ' ';
    }
    return WSB_OK;
}

/* "${NAME}" or "${NAME:-default}", on one line; s->at is left behind the brace */
static wsb_err variable(struct scan *s)
{
    char name[128];
    const char *start = s->at;
    const char *body = start + 2;
    const char *end = body + strcspn(body, "}\n\"'{$");
    if (*end != '}')
        return refuse(s, start, "this variable is not closed: write ${NAME} or ${NAME:-default}");
    size_t name_len = strcspn(body, ":}");
    if (name_len == 0 || name_len >= sizeof name)
        return refuse(s, start, "a variable needs a name of 1 to 127 bytes: write ${NAME} or ${NAME:-default}");
    if (body[name_len] == ':' && body[name_len + 1] != '-')
        return refuse(s, start, "write ${NAME} or ${NAME:-default}");
    memcpy(name, body, name_len);
    name[name_len] = 0;
    if (body[name_len] == '}' && !getenv(name)) {
        char what[200];
        (void)snprintf(what, sizeof what,
                       "the environment variable '%.60s' is not set: set it, or write ${%.30s:-default}", name, name);
        return refuse(s, start, what);
    }
    s->at += end + 1 - start;
    return WSB_OK;
}

static wsb_err string(struct scan *s)
{
    const struct scan start = *s;
    const char quote = *s->at++;
    while (*s->at != quote) {
        wsb_err err = WSB_OK;
        if (*s->at == 0 || *s->at == '\n')
            return refuse(&start, start.at, "this string is not closed on its line");
        if ((unsigned char)*s->at < 0x20 || *s->at == 0x7f)
            return refuse(s, s->at, "control character in a string");
        if (*s->at == '\\') {
            if (s->at[1] != '\\' && s->at[1] != quote && !(s->at[1] == '$' && quote == '"'))
                return refuse(s, s->at, "only \\\\, \\$ and an escaped quote are known after a backslash");
            s->at += 2;
        } else if (quote == '"' && s->at[0] == '$' && s->at[1] == '{') {
            err = variable(s);
        } else {
            s->at++;
        }
        if (err)
            return err;
    }
    s->at++;
    return WSB_OK;
}

static wsb_err word(struct scan *s)
{
    while (*s->at && !strchr(" \t\r\n\"'#={}(),", *s->at)) {
        const char *at = s->at;
        unsigned char c = (unsigned char)*at;
        if (c < 0x20 || c == 0x7f)
            return refuse(s, at, "control character");
        if (strchr("*\\|", c) || (c == '+' && at[1] != '=') || (at[0] == '/' && (at[1] == '/' || at[1] == '*')))
            return refuse(s, at, "put this value into double quotes");
        if (at[0] == '$' && at[1] == '{') {
            wsb_err err = variable(s);
            if (err)
                return err;
        } else {
            s->at++;
        }
    }
    return WSB_OK;
}

/* libconfuse takes the end of the file for the end of every section. */
static wsb_err brace(struct scan *s)
{
    if (*s->at == '}' && s->depth == 0)
        return refuse(s, s->at, "this '}' closes nothing");
    if (*s->at == '{' && s->depth == DEPTH_MAX)
        return refuse(s, s->at, "sections cannot be nested");
    if (*s->at == '{')
        s->open[s->depth++] = (struct place){s->at, s->line_start, s->line};
    else
        s->depth--;
    s->at++;
    return WSB_OK;
}

static wsb_err end_check(const struct scan *s, const char *end)
{
    if (s->at != end)
        return refuse(s, s->at, "NUL byte: this is not a text file");
    if (s->depth == 0)
        return WSB_OK;
    const struct place *open = &s->open[s->depth - 1];
    (void)wsb_fault_set(s->fault, WSB_ERR_CONFIG, 0, "this '{' is not closed: '}' is missing");
    if (s->fault) {
        s->fault->line = open->line;
        s->fault->column = (int)(open->at - open->line_start) + 1;
    }
    return WSB_ERR_CONFIG;
}

wsb_err wsg_config_scan(char *text, size_t len, struct wsb_fault *fault)
{
    struct scan s = {.at = text, .line_start = text, .line = 1, .fault = fault};
    wsb_err err = WSB_OK;
    while (*s.at && !err) {
        if (*s.at == '\n') {
            newline(&s);
            s.at++;
        } else if (strchr(" \t\r=,", *s.at)) {
            s.at++;
        } else if (*s.at == '{' || *s.at == '}') {
            err = brace(&s);
        } else if (*s.at == '#' || (s.at[0] == '/' && s.at[1] == '/')) {
            blank_line_comment(&s);
        } else if (s.at[0] == '/' && s.at[1] == '*') {
            err = blank_block_comment(&s);
        } else if (*s.at == '"' || *s.at == '\'') {
            err = string(&s);
        } else if (*s.at == '(' || *s.at == ')') {
            err = refuse(&s, s.at, "there are no functions in this file, and no include");
        } else {
            err = word(&s);
        }
    }
    return err ? err : end_check(&s, text + len);
}
