/*
 * What a client reads: URLs, and answers to its handshake. Input: a URL, a newline, and an answer.
 * Property: a URL that is taken makes a request of one head; an answer's verdict is that of some prefix of it, and
 * everything shorter wants more; what is behind the head changes nothing.
 */
#include <stdlib.h>

#include "ws/dial.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void check_request(const struct wsb_url *url)
{
    static const char *const headers[] = {"X: y"};
    static const struct wsb_deflate_offer offer = {0};
    struct wsb_dial_request r = {.url = url, .headers = headers, .header_count = 1, .offer = &offer};
    struct wsb_buf out;
    wsb_buf_init(&out, 0);
    require(wsb_dial_write(&out, &r, "dGhlIHNhbXBsZSBub25jZQ==", NULL) == WSB_OK);
    const uint8_t *end = memmem(out.data, out.len, "\r\n\r\n", 4);
    require(end && end + 4 == out.data + out.len);
    require(memchr(out.data, 0, out.len) == NULL);
    wsb_buf_deinit(&out);
}

static void check_answer(struct wsb_span in)
{
    static const char *const offered[] = {"chat"};
    static const struct wsb_deflate_offer offer = {.client_bits = 12, .server_bits = 10};
    struct wsb_dial_request r = {.subprotocols = offered, .subprotocol_count = 1, .offer = &offer};
    struct wsb_dial_answer a = {0};
    size_t used = 0;
    wsb_err err = wsb_dial_read(in, &r, "dGhlIHNhbXBsZSBub25jZQ==", &used, &a, NULL);
    if (err == WSB_OK || err == WSB_ERR_REFUSED) {
        struct wsb_dial_answer again = {0};
        size_t used_again = 0;
        require(used > 0 && used <= in.len && (a.status == 101) == (err == WSB_OK));
        require(wsb_dial_read(wsb_span(in.ptr, used), &r, "dGhlIHNhbXBsZSBub25jZQ==", &used_again, &again, NULL) ==
                err);
        require(used_again == used && again.status == a.status);
        require(a.subprotocol.len == 0 || wsb_span_eq_str(a.subprotocol, "chat"));
        size_t before = used - 1;
        wsb_err sooner =
            wsb_dial_read(wsb_span(in.ptr, before), &r, "dGhlIHNhbXBsZSBub25jZQ==", &used_again, &again, NULL);
        require(sooner == WSB_MORE);
    } else {
        require(err == WSB_MORE || err == WSB_ERR_PROTO);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *newline = size ? memchr(data, '\n', size) : NULL;
    size_t len = newline ? (size_t)(newline - data) : size;
    char *text = malloc(len + 1);
    struct wsb_url *url = malloc(sizeof *url);
    if (text && url) {
        if (len)
            memcpy(text, data, len);
        text[len] = 0;
        if (wsb_url_parse(text, url, NULL) == WSB_OK)
            check_request(url);
    }
    if (newline)
        check_answer(wsb_span(newline + 1, size - len - 1));
    free(url);
    free(text);
    return 0;
}
