/* The negotiation of permessage-deflate: offers and what a server answers; answers and what a client makes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ws/deflate_params.h"
#include "ws/handshake.h"

#define PMD  "permessage-deflate"
#define SNCT "; server_no_context_takeover"
#define CNCT "; client_no_context_takeover"
#define SB   "; server_max_window_bits"
#define CB   "; client_max_window_bits"

/* --- the server --- */

static const struct wsb_deflate_policy alone = {.bits = 12};
static const struct wsb_deflate_policy keep = {.server_takeover = true, .client_takeover = true, .bits = 15};
static const struct wsb_deflate_policy keep12 = {.server_takeover = true, .client_takeover = true, .bits = 12};
static const struct wsb_deflate_policy theirs = {.client_takeover = true, .bits = 10};

static const struct offer {
    const char *name;
    const char *offer; /* a value; '\n' begins another header */
    const struct wsb_deflate_policy *policy;
    const char *answer; /* "": declined */
} offers[] = {
    {"§7 nothing in particular, all kept", PMD, &keep, PMD},
    {"§7.1.1 the server asks for less unasked", PMD, &alone, PMD SNCT CNCT},
    {"§7.1.1.1 asked for by the client", PMD SNCT, &keep, PMD SNCT},
    {"§7.1.1.2 hinted at by the client", PMD CNCT, &keep, PMD CNCT},
    {"§7.1.1 both", PMD SNCT CNCT, &keep, PMD SNCT CNCT},
    {"§7.1.2.1 a window that we need not name", PMD, &keep12, PMD "; server_max_window_bits=12"},
    {"§7.1.2.1 named by the client: as large", PMD SB "=15", &keep, PMD SB "=15"},
    {"§7.1.2.1 named by the client: smaller here", PMD SB "=15", &keep12, PMD SB "=12"},
    {"§7.1.2.1 named by the client: smaller there", PMD SB "=10", &keep12, PMD SB "=10"},
    {"§7.1.2.1 smallest that zlib writes", PMD SB "=9", &keep, PMD SB "=9"},
    {"§7.1.2.1 8: a window we cannot write", PMD SB "=8", &keep, ""},
    {"§7.1.2.1 8, and then another offer", PMD SB "=8, " PMD, &keep, PMD},
    {"§7.1.2.1 without takeover the window is the client's business", PMD SB "=14", &alone, PMD SNCT CNCT SB "=14"},
    {"§7.1.2.2 as browsers write it", PMD CB, &keep, PMD},
    {"§7.1.2.2 as browsers write it, a small window here", PMD CB, &keep12, PMD SB "=12" CB "=12"},
    {"§7.1.2.2 as browsers write it, nothing kept", PMD CB, &alone, PMD SNCT CNCT},
    {"§7.1.2.2 not offered: no limit in the answer", PMD, &theirs, PMD SNCT},
    {"§7.1.2.2 offered with a value", PMD CB "=10", &keep, PMD CB "=10"},
    {"§7.1.2.2 offered with a larger value than ours", PMD CB "=14", &keep12, PMD SB "=12" CB "=12"},
    {"§7.1.2.2 8 can be read", PMD CB "=8", &keep, PMD CB "=8"},
    {"§7.1.2.2 15", PMD CB "=15", &keep, PMD},
    {"RFC 6455 §9.1 quoted values", PMD SB "=\"10\"" CB "=\"1\\1\"", &keep, PMD SB "=10" CB "=11"},
    {"all four", PMD SNCT CNCT SB "=10" CB "=9", &keep, PMD SNCT CNCT SB "=10" CB "=9"},
    {"§5 the first that can be taken", PMD SNCT ", " PMD, &keep, PMD SNCT},
    {"§5 behind another extension", "x-other; a=b, " PMD, &keep, PMD},
    {"§5 in another header", "x-other\n" PMD SNCT, &keep, PMD SNCT},
    {"§5 offers in two headers, the first is bad", PMD "; x\n" PMD, &keep, PMD},

    {"§5.1 other extensions only", "x-webkit-deflate-frame, x-other", &keep, ""},
    {"§5.1 no offer", "", &keep, ""},
    {"RFC 6455 §9.1 names are what is registered", "Permessage-Deflate", &keep, ""},
    {"§7.1 an unknown parameter", PMD "; server_max_window", &keep, ""},
    {"§7.1 an unknown parameter with a value", PMD "; x=1", &keep, ""},
    {"§7.1.1.1 with a value", PMD SNCT "=1", &keep, ""},
    {"§7.1.1.2 with a value", PMD CNCT "=true", &keep, ""},
    {"§7.1 server_no_context_takeover twice", PMD SNCT SNCT, &keep, ""},
    {"§7.1 client_no_context_takeover twice", PMD CNCT CNCT, &keep, ""},
    {"§7.1 server_max_window_bits twice", PMD SB "=10" SB "=10", &keep, ""},
    {"§7.1 client_max_window_bits twice", PMD CB CB, &keep, ""},
    {"§7.1 client_max_window_bits twice, first without a value", PMD CB CB "=10", &keep, ""},
    {"§7.1 client_max_window_bits twice, then without a value", PMD CB "=10" CB, &keep, ""},
    {"§7.1.2.1 without a value", PMD SB, &keep, ""},
    {"§7.1.2.1 too small", PMD SB "=7", &keep, ""},
    {"§7.1.2.1 too large", PMD SB "=16", &keep, ""},
    {"§7.1.2.1 a leading zero", PMD SB "=09", &keep, ""},
    {"§7.1.2.1 not a number", PMD SB "=x", &keep, ""},
    {"§7.1.2.1 negative", PMD SB "=-10", &keep, ""},
    {"§7.1.2.2 too small", PMD CB "=7", &keep, ""},
    {"§7.1.2.2 too large", PMD CB "=16", &keep, ""},
    {"§7.1.2.2 a leading zero", PMD CB "=010", &keep, ""},
    {"§7.1.2.2 0", PMD CB "=0", &keep, ""},
    {"a bad offer, then a good one", PMD "; x, " PMD SNCT, &keep, PMD SNCT},
};

static size_t headers_of(const char *text, struct wsb_handshake_header headers[4])
{
    size_t count = 0;
    while (*text) {
        size_t len = strcspn(text, "\n");
        headers[count++] = (struct wsb_handshake_header){wsb_span_str("sec-websocket-EXTENSIONS"), wsb_span(text, len)};
        text += len + (text[len] == '\n');
    }
    return count;
}

static void test_deflate_offers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof offers / sizeof offers[0]; i++) {
        struct wsb_handshake_header headers[4];
        struct wsb_handshake_request req = {.headers = headers, .header_count = headers_of(offers[i].offer, headers)};
        struct wsb_deflate_params p;
        char answer[WSB_DEFLATE_TEXT_SIZE] = "";
        if (wsb_handshake_choose_deflate(&req, offers[i].policy, &p))
            wsb_deflate_params_format(&p, answer);
        if (strcmp(answer, offers[i].answer) != 0)
            fail_msg("%s: %s", offers[i].name, answer);
    }
}

/* --- the client --- */

static const struct wsb_deflate_offer nothing = {0};
static const struct wsb_deflate_offer browser = {.client_bits = 15};
static const struct wsb_deflate_offer no_server_context = {.server_no_takeover = true};
static const struct wsb_deflate_offer hint = {.client_no_takeover = true};
static const struct wsb_deflate_offer limits = {.server_bits = 10, .client_bits = 11};

static const struct answer {
    const char *name;
    const struct wsb_deflate_offer *offer;
    const char *answer;
    const char *want; /* "server takeover and bits / client's", "plain", "fail" */
} answers[] = {
    {"§5.1 no answer", &nothing, "", "plain"},
    {"§5.1 no answer, no offer", NULL, "", "plain"},
    {"§7 taken as it is", &nothing, PMD, "keep 15 / keep 15"},
    {"§7.1.1.1 unasked", &nothing, PMD SNCT, "alone 15 / keep 15"},
    {"§7.1.1.2 unasked", &nothing, PMD CNCT, "keep 15 / alone 15"},
    {"§7.1.2.1 unasked", &nothing, PMD SB "=9", "keep 9 / keep 15"},
    {"§7.1.2.1 8 can be read", &nothing, PMD SB "=8", "keep 8 / keep 15"},
    {"§7.1.2.2 offered without a value, answered with one", &browser, PMD CB "=9", "keep 15 / keep 9"},
    {"§7.1.2.2 offered, not taken up", &browser, PMD, "keep 15 / keep 15"},
    {"§7.1.1.1 asked for and given", &no_server_context, PMD SNCT, "alone 15 / keep 15"},
    {"§7.1.1.2 the hint need not be repeated", &hint, PMD, "keep 15 / alone 15"},
    {"§7.1.2 limits, equal", &limits, PMD SB "=10" CB "=11", "keep 10 / keep 11"},
    {"§7.1.2 limits, lower", &limits, PMD SB "=9" CB "=8", "keep 9 / keep 8"},
    {"§7.1.2.2 the client's own limit holds without an answer to it", &limits, PMD SB "=10", "keep 10 / keep 11"},
    {"RFC 6455 §9.1 quoted", &limits, PMD SB "=\"10\"", "keep 10 / keep 11"},

    {"RFC 6455 §9.1 an answer to no offer", NULL, PMD, "fail"},
    {"RFC 6455 §9.1 an extension that was not offered", &nothing, "x-other", "fail"},
    {"RFC 6455 §9.1 one more than was offered", &nothing, PMD ", x-other", "fail"},
    {"§5.1 the same twice", &nothing, PMD ", " PMD, "fail"},
    {"RFC 6455 §9.1 malformed", &nothing, PMD ";", "fail"},
    {"RFC 6455 §9.1 malformed behind a good one", &nothing, PMD ", ;", "fail"},
    {"RFC 6455 §9.1 empty list", &nothing, " , ", "fail"},
    {"§7.1 an unknown parameter", &nothing, PMD "; x", "fail"},
    {"§7.1 a parameter twice", &nothing, PMD SNCT SNCT, "fail"},
    {"§7.1.1.1 with a value", &nothing, PMD SNCT "=1", "fail"},
    {"§7.1.1.1 asked for and not given", &no_server_context, PMD, "fail"},
    {"§7.1.2.1 asked for and not given", &limits, PMD CB "=11", "fail"},
    {"§7.1.2.1 larger than asked for", &limits, PMD SB "=11", "fail"},
    {"§7.1.2.1 without a value", &nothing, PMD SB, "fail"},
    {"§7.1.2.1 too small", &nothing, PMD SB "=7", "fail"},
    {"§7.1.2.2 not offered", &nothing, PMD CB "=10", "fail"},
    {"§7.1.2.2 without a value", &browser, PMD CB, "fail"},
    {"§7.1.2.2 larger than offered", &limits, PMD SB "=10" CB "=12", "fail"},
    {"§7.1.2.2 too large", &browser, PMD CB "=16", "fail"},
};

static void test_deflate_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct wsb_deflate_params p;
        bool agreed = false;
        char got[64] = "plain";
        wsb_err err = wsb_deflate_answer_check(wsb_span_str(answers[i].answer), answers[i].offer, &agreed, &p);
        if (err) {
            assert_int_equal(err, WSB_ERR_PROTO);
            (void)snprintf(got, sizeof got, "fail");
        } else if (agreed) {
            (void)snprintf(got, sizeof got, "%s %u / %s %u", p.server_no_takeover ? "alone" : "keep",
                           (unsigned)p.server_bits, p.client_no_takeover ? "alone" : "keep", (unsigned)p.client_bits);
        }
        if (strcmp(got, answers[i].want) != 0)
            fail_msg("%s: %s", answers[i].name, got);
    }
}

static void test_deflate_offer_texts(void **state)
{
    (void)state;
    static const struct wsb_deflate_offer all = {
        .server_no_takeover = true, .client_no_takeover = true, .server_bits = 15, .client_bits = 14};
    char text[WSB_DEFLATE_TEXT_SIZE];
    wsb_deflate_offer_format(&nothing, text);
    assert_string_equal(text, PMD);
    wsb_deflate_offer_format(&browser, text);
    assert_string_equal(text, PMD CB);
    wsb_deflate_offer_format(&all, text);
    assert_string_equal(text, PMD SNCT CNCT SB "=15" CB "=14");
}

/* Whatever a client can ask for and a server can want: the client takes the answer, and both mean the same by it. */
static void test_deflate_both_ends_agree(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4u * 9 * 9 * 4 * 7; i++) {
        unsigned rest = i;
        const struct wsb_deflate_offer o = {.server_no_takeover = rest & 1,
                                            .client_no_takeover = rest >> 1 & 1,
                                            .server_bits = (uint8_t)(rest / 4 % 9 ? rest / 4 % 9 + 7 : 0),
                                            .client_bits = (uint8_t)(rest / 36 % 9 ? rest / 36 % 9 + 7 : 0)};
        rest /= 324;
        const struct wsb_deflate_policy policy = {
            .server_takeover = rest & 1, .client_takeover = rest >> 1 & 1, .bits = (uint8_t)(9 + rest / 4)};
        char text[WSB_DEFLATE_TEXT_SIZE];
        struct wsb_deflate_params server, client;
        bool agreed;
        wsb_deflate_offer_format(&o, text);
        struct wsb_handshake_header header = {wsb_span_str("Sec-WebSocket-Extensions"), wsb_span_str(text)};
        struct wsb_handshake_request req = {.headers = &header, .header_count = 1};
        bool taken = wsb_handshake_choose_deflate(&req, &policy, &server);
        assert_int_equal(taken, o.server_bits != 8);
        if (!taken)
            continue;
        wsb_deflate_params_format(&server, text);
        assert_int_equal(wsb_deflate_answer_check(wsb_span_str(text), &o, &agreed, &client), WSB_OK);
        assert_true(agreed);
        assert_int_equal(client.server_no_takeover, server.server_no_takeover);
        assert_int_equal(client.client_no_takeover, server.client_no_takeover);
        assert_int_equal(client.server_bits, server.server_bits);
        assert_int_equal(client.client_bits, server.client_bits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deflate_offers),
        cmocka_unit_test(test_deflate_answers),
        cmocka_unit_test(test_deflate_offer_texts),
        cmocka_unit_test(test_deflate_both_ends_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
