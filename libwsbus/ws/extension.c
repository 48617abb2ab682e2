/*
 * A small recursive descent over the grammar: a cursor, and functions that take one element from its front or leave it as
 * it was. One pass checks an extension, the next one walks over parameters that are known to be good.
 */
#include "ws/extension.h"

#include "ws/field.h"

static void skip(struct wsb_span *s, size_t n)
{
    s->ptr += n;
    s->len -= n;
}

static void skip_blanks(struct wsb_span *s)
{
    while (s->len && (s->ptr[0] == ' ' || s->ptr[0] == '\t'))
        skip(s, 1);
}

static bool take_char(struct wsb_span *s, char c)
{
    if (!s->len || s->ptr[0] != (uint8_t)c)
        return false;
    skip(s, 1);
    return true;
}

static bool take_token(struct wsb_span *s, struct wsb_span *ret)
{
    size_t n = 0;
    while (n < s->len && wsb_field_is_token_char(s->ptr[n]))
        n++;
    *ret = wsb_span(s->ptr, n);
    if (n)
        skip(s, n);
    return n > 0;
}

/* RFC 6455 §9.1: what is between the quotes must be a token when the backslashes are gone. The opening quote is taken. */
static bool take_quoted(struct wsb_span *s, struct wsb_span *ret)
{
    size_t n = 0;
    while (n < s->len && s->ptr[n] != '"') {
        n += s->ptr[n] == '\\';
        if (n == s->len || !wsb_field_is_token_char(s->ptr[n]))
            return false;
        n++;
    }
    if (n == 0 || n == s->len)
        return false; /* empty, or not closed */
    *ret = wsb_span(s->ptr, n);
    skip(s, n + 1);
    return true;
}

/* Behind its ';'. RFC 9110 lets blanks stand around the separators; around '=' too, as recipients have always borne it. */
static bool take_param(struct wsb_span *s, struct wsb_extension_param *ret)
{
    *ret = (struct wsb_extension_param){.has_value = false};
    skip_blanks(s);
    if (!take_token(s, &ret->name))
        return false;
    skip_blanks(s);
    if (!take_char(s, '='))
        return true;
    ret->has_value = true;
    skip_blanks(s);
    bool is_good = take_char(s, '"') ? take_quoted(s, &ret->value) : take_token(s, &ret->value);
    skip_blanks(s);
    return is_good;
}

wsb_err wsb_extension_next(struct wsb_span *rest, struct wsb_extension *ret)
{
    struct wsb_extension_param ignored;
    do {
        skip_blanks(rest); /* RFC 9110 §5.6.1.2: elements of a list may be empty */
    } while (take_char(rest, ','));
    if (!rest->len)
        return WSB_CLOSED;

    struct wsb_extension e;
    if (!take_token(rest, &e.name))
        return WSB_ERR_PROTO;
    skip_blanks(rest);
    e.params = *rest;
    while (take_char(rest, ';')) {
        if (!take_param(rest, &ignored))
            return WSB_ERR_PROTO;
    }
    e.params.len -= rest->len;
    if (rest->len && !take_char(rest, ','))
        return WSB_ERR_PROTO;
    *ret = e;
    return WSB_OK;
}

bool wsb_extension_next_param(struct wsb_span *params, struct wsb_extension_param *ret)
{
    return take_char(params, ';') && take_param(params, ret);
}

unsigned wsb_extension_param_number(const struct wsb_extension_param *p)
{
    unsigned number = 0;
    for (size_t i = 0; i < p->value.len; i++) {
        uint8_t c = p->value.ptr[i];
        if (c == '\\')
            continue; /* the grammar lets it stand before each character, and never at the end */
        if (c < '0' || c > '9' || number > 9 || (number == 0 && c == '0'))
            return 0;
        number = number * 10 + (unsigned)(c - '0');
    }
    return number;
}
