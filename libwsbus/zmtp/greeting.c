/*
 * The greeting. Version 1 of the protocol has none: its peers begin with a frame. Version 2 has the signature and a smaller
 * number behind it. Both are told apart from rubbish, because who runs them has to hear what is wrong.
 */
#include "zmtp/greeting.h"

enum {
    SIGNATURE = 10, /* 0xff, eight bytes that mean nothing, 0x7f */
    MAJOR = 10,
    MINOR = 11,
    MECHANISM = 12,
    MECHANISM_LEN = 20,
    AS_SERVER = 32,
    OLDEST = 3
};

static const char *const names[] = {[WSB_ZMTP_NULL] = "NULL", [WSB_ZMTP_CURVE] = "CURVE"};

void wsb_zmtp_greeting_write(uint8_t out[WSB_ZMTP_GREETING], enum wsb_zmtp_mechanism mechanism)
{
    memset(out, 0, WSB_ZMTP_GREETING);
    out[0] = 0xff;
    out[SIGNATURE - 1] = 0x7f;
    out[MAJOR] = 3;
    out[MINOR] = 1;
    memcpy(out + MECHANISM, names[mechanism], strlen(names[mechanism]));
    out[AS_SERVER] = mechanism == WSB_ZMTP_CURVE;
}

static wsb_err refuse(enum wsb_zmtp_why why, enum wsb_zmtp_why *ret_why)
{
    *ret_why = why;
    return WSB_ERR_PROTO;
}

/* RFC 13 and 15: the first frame of version 1 is the identity: its length and flags, which are 0 or 1; or 0xff, a length of eight
 * bytes whose last one is what 0x7f stands for since version 2. */
static wsb_err parse_signature(struct wsb_span in, enum wsb_zmtp_why *ret_why)
{
    if (in.len < 2)
        return WSB_MORE;
    if (in.ptr[0] != 0xff)
        return refuse(in.ptr[0] && in.ptr[1] <= 1 ? WSB_ZMTP_WHY_VERSION : WSB_ZMTP_WHY_GREETING, ret_why);
    if (in.len < SIGNATURE)
        return WSB_MORE;
    return in.ptr[SIGNATURE - 1] == 0x7f ? WSB_OK : refuse(WSB_ZMTP_WHY_GREETING, ret_why);
}

wsb_err wsb_zmtp_greeting_parse(struct wsb_span in, enum wsb_zmtp_mechanism mechanism, enum wsb_zmtp_why *ret_why)
{
    char wanted[MECHANISM_LEN] = "";
    wsb_err err = parse_signature(in, ret_why);
    if (err)
        return err;
    if (in.len <= MAJOR)
        return WSB_MORE;
    if (in.ptr[MAJOR] < OLDEST)
        return refuse(WSB_ZMTP_WHY_VERSION, ret_why);
    if (in.len < WSB_ZMTP_GREETING)
        return WSB_MORE;
    memcpy(wanted, names[mechanism], strlen(names[mechanism]));
    if (memcmp(in.ptr + MECHANISM, wanted, MECHANISM_LEN) != 0)
        return refuse(WSB_ZMTP_WHY_MECHANISM, ret_why);
    /* RFC 25: one of the two is the server, and that is who binds. With NULL the field says nothing. */
    if (mechanism == WSB_ZMTP_CURVE && in.ptr[AS_SERVER] != 0)
        return refuse(WSB_ZMTP_WHY_MECHANISM, ret_why);
    return WSB_OK;
}
