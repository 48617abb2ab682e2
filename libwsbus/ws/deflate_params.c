/*
 * The four parameters of permessage-deflate. An offer and an answer are read by the same function into the same terms; who
 * may say what is decided afterwards, by the one who reads it.
 */
#include "ws/deflate_params.h"

#include <stdio.h>

static const char extension_name[] = "permessage-deflate";

/* As written. */
struct terms {
    bool server_no_takeover;
    bool client_no_takeover;
    bool has_server_bits;
    bool has_client_bits;
    uint8_t server_bits; /* 8 to 15 */
    uint8_t client_bits; /* 8 to 15; 0: named without a value */
};

/* RFC 7692 §7.1.1: there once, and without a value. */
static bool set_flag(const struct wsb_extension_param *p, bool *flag)
{
    bool is_good = !*flag && !p->has_value;
    *flag = true;
    return is_good;
}

/* RFC 7692 §7.1.2: there once; a decimal number from 8 to 15 without leading zeros. */
static bool set_bits(const struct wsb_extension_param *p, bool *has, uint8_t *bits)
{
    unsigned number = wsb_extension_param_number(p);
    if (*has || number < WSB_DEFLATE_BITS_MIN || number > WSB_DEFLATE_BITS_MAX)
        return false;
    *has = true;
    *bits = (uint8_t)number;
    return true;
}

/* RFC 7692 §7.1.2.2: an offer may name it without a value. */
static bool set_client_bits(const struct wsb_extension_param *p, struct terms *t)
{
    if (p->has_value)
        return set_bits(p, &t->has_client_bits, &t->client_bits);
    return set_flag(p, &t->has_client_bits);
}

/* Names are compared byte by byte, as registered (RFC 6455 §9.1). */
static bool set_param(const struct wsb_extension_param *p, struct terms *t)
{
    if (wsb_span_eq_str(p->name, "server_no_context_takeover"))
        return set_flag(p, &t->server_no_takeover);
    if (wsb_span_eq_str(p->name, "client_no_context_takeover"))
        return set_flag(p, &t->client_no_takeover);
    if (wsb_span_eq_str(p->name, "server_max_window_bits"))
        return set_bits(p, &t->has_server_bits, &t->server_bits);
    if (wsb_span_eq_str(p->name, "client_max_window_bits"))
        return set_client_bits(p, t);
    return false; /* §7.1: an unknown parameter spoils the offer or the answer */
}

static bool read_terms(const struct wsb_extension *e, struct terms *t)
{
    struct wsb_span params = e->params;
    struct wsb_extension_param p;
    *t = (struct terms){0};
    if (!wsb_span_eq_str(e->name, extension_name))
        return false;
    while (wsb_extension_next_param(&params, &p)) {
        if (!set_param(&p, t))
            return false;
    }
    return true;
}

static uint8_t lesser(uint8_t a, uint8_t b)
{
    return a < b ? a : b;
}

/* ------------------------------------------------------------------- server */

bool wsb_deflate_accept(const struct wsb_extension *offer, const struct wsb_deflate_policy *policy,
                        struct wsb_deflate_params *ret)
{
    struct terms t;
    if (!read_terms(offer, &t))
        return false;
    /* §7.1.1: what the client wants must be, what it hints at we hold it to; more of it may be asked of either side. */
    struct wsb_deflate_params p = {
        .server_no_takeover = t.server_no_takeover || !policy->server_takeover,
        .client_no_takeover = t.client_no_takeover || !policy->client_takeover,
        .server_bits = t.has_server_bits ? t.server_bits : WSB_DEFLATE_BITS_MAX,
        .client_bits = t.client_bits ? t.client_bits : WSB_DEFLATE_BITS_MAX,
        .names_server_bits = t.has_server_bits,
    };
    if (p.server_bits < WSB_DEFLATE_WRITE_BITS_MIN)
        return false; /* §7.1.2.1: a window we cannot write; it may have offered another */
    if (!p.server_no_takeover)
        p.server_bits = lesser(p.server_bits, policy->bits);
    if (!p.client_no_takeover && t.has_client_bits) /* §7.1.2.2: only then may the answer limit the client's window */
        p.client_bits = lesser(p.client_bits, policy->bits);
    *ret = p;
    return true;
}

void wsb_deflate_params_format(const struct wsb_deflate_params *p, char ret[WSB_DEFLATE_TEXT_SIZE])
{
    char server[32] = "";
    char client[32] = "";
    if (p->names_server_bits || p->server_bits < WSB_DEFLATE_BITS_MAX)
        (void)snprintf(server, sizeof server, "; server_max_window_bits=%u", (unsigned)p->server_bits);
    if (p->client_bits < WSB_DEFLATE_BITS_MAX)
        (void)snprintf(client, sizeof client, "; client_max_window_bits=%u", (unsigned)p->client_bits);
    (void)snprintf(ret, WSB_DEFLATE_TEXT_SIZE, "%s%s%s%s%s", extension_name,
                   p->server_no_takeover ? "; server_no_context_takeover" : "",
                   p->client_no_takeover ? "; client_no_context_takeover" : "", server, client);
}

/* ------------------------------------------------------------------- client */

void wsb_deflate_offer_format(const struct wsb_deflate_offer *o, char ret[WSB_DEFLATE_TEXT_SIZE])
{
    char server[32] = "";
    char client[32] = "";
    if (o->server_bits)
        (void)snprintf(server, sizeof server, "; server_max_window_bits=%u", (unsigned)o->server_bits);
    if (o->client_bits == WSB_DEFLATE_BITS_MAX)
        (void)snprintf(client, sizeof client, "; client_max_window_bits"); /* as browsers write it */
    else if (o->client_bits)
        (void)snprintf(client, sizeof client, "; client_max_window_bits=%u", (unsigned)o->client_bits);
    (void)snprintf(ret, WSB_DEFLATE_TEXT_SIZE, "%s%s%s%s%s", extension_name,
                   o->server_no_takeover ? "; server_no_context_takeover" : "",
                   o->client_no_takeover ? "; client_no_context_takeover" : "", server, client);
}

/* Does the answer keep to the offer? */
static bool answers(const struct terms *t, const struct wsb_deflate_offer *o)
{
    if (o->server_no_takeover && !t->server_no_takeover)
        return false; /* §7.1.1.1: a server takes such an offer by saying the same */
    if (o->server_bits && (!t->has_server_bits || t->server_bits > o->server_bits))
        return false; /* §7.1.2.1: likewise, or less */
    if (t->has_client_bits && (!o->client_bits || !t->client_bits || t->client_bits > o->client_bits))
        return false; /* §7.1.2.2: only if it was offered, with a value, no larger than the offer's */
    return true;
}

wsb_err wsb_deflate_answer_check(struct wsb_span value, const struct wsb_deflate_offer *offer, bool *ret_agreed,
                                 struct wsb_deflate_params *ret)
{
    struct wsb_extension e, second;
    struct terms t;
    if (value.len == 0) {
        *ret_agreed = false;
        return WSB_OK;
    }
    if (!offer || wsb_extension_next(&value, &e) != WSB_OK || !read_terms(&e, &t) || !answers(&t, offer))
        return WSB_ERR_PROTO;
    if (wsb_extension_next(&value, &second) != WSB_CLOSED)
        return WSB_ERR_PROTO; /* more than what was offered */
    *ret_agreed = true;
    *ret = (struct wsb_deflate_params){
        .server_no_takeover = t.server_no_takeover,
        .client_no_takeover = t.client_no_takeover || offer->client_no_takeover,
        .server_bits = t.has_server_bits ? t.server_bits : WSB_DEFLATE_BITS_MAX,
        .client_bits = t.has_client_bits    ? t.client_bits
                       : offer->client_bits ? offer->client_bits
                                            : WSB_DEFLATE_BITS_MAX,
        .names_server_bits = t.has_server_bits,
    };
    return WSB_OK;
}
