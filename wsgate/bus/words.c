/*
 * The words of handshakes, as the gate writes them. The list may change with every version: nothing that was packed leaves the process. Of two
 * words that begin alike the longer stands first.
 */
#include "bus/words.h"

#include <string.h>

enum { MARK = 0xff, LEAST = 4 };

static const char *const words[] = {
    "{\"route\":\"",
    "\",\"params\":{},\"target\":\"",
    "\",\"params\":{",
    "},\"target\":\"",
    "\",\"path\":\"",
    "\",\"query\":\"\",\"host\":\"",
    "\",\"query\":\"",
    "\",\"host\":\"",
    "\",\"peer\":\"",
    "\",\"scheme\":\"ws\",\"origin\":\"\",\"subprotocol\":\"\",\"offered\":[],\"headers\":{",
    "\",\"scheme\":\"ws\",\"origin\":\"",
    "\",\"scheme\":\"wss\",\"origin\":\"",
    "\",\"subprotocol\":\"\",\"offered\":[],\"headers\":{",
    "\",\"subprotocol\":\"",
    "\",\"offered\":[",
    "],\"headers\":{",
    "\"host\":\"",
    "\",\"upgrade\":\"websocket\",\"connection\":\"Upgrade\",\"sec-websocket-key\":\"",
    "\",\"upgrade\":\"websocket\"",
    "\"upgrade\":\"websocket\"",
    "\",\"connection\":\"Upgrade\"",
    "\"connection\":\"Upgrade\"",
    "\"connection\":\"",
    "\"sec-websocket-key\":\"",
    "\",\"sec-websocket-version\":\"13\"}}",
    "\",\"sec-websocket-version\":\"13\"",
    "\"sec-websocket-version\":\"13\"",
    "\"sec-websocket-extensions\":\"permessage-deflate; client_max_window_bits\"",
    "\"sec-websocket-extensions\":\"",
    "\"sec-websocket-protocol\":\"",
    "\"pragma\":\"no-cache\",\"cache-control\":\"no-cache\"",
    "\"pragma\":\"no-cache\"",
    "\"cache-control\":\"no-cache\"",
    "\"user-agent\":\"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/",
    "\"user-agent\":\"Mozilla/5.0 (",
    "\"user-agent\":\"",
    "Windows NT 10.0; Win64; x64",
    "Macintosh; Intel Mac OS X ",
    "X11; Linux x86_64",
    "Linux; Android ",
    "iPhone; CPU iPhone OS ",
    ") AppleWebKit/537.36 (KHTML, like Gecko) Chrome/",
    ".0.0.0 Safari/537.36",
    " Mobile Safari/537.36",
    ") Gecko/20100101 Firefox/",
    "\"accept-encoding\":\"gzip, deflate, br, zstd\"",
    "\"accept-encoding\":\"gzip, deflate, br\"",
    "\"accept-encoding\":\"",
    "\"accept-language\":\"en-US,en;q=0.9\"",
    "\"accept-language\":\"",
    "\"accept\":\"*/*\"",
    "\"origin\":\"https://",
    "\"origin\":\"http://",
    "\"cookie\":\"",
    "\"authorization\":\"Bearer ",
    "\"x-forwarded-for\":\"",
    "\"x-forwarded-proto\":\"https\"",
    "\"sec-fetch-dest\":\"",
    "\"sec-fetch-mode\":\"websocket\"",
    "\"sec-fetch-site\":\"same-origin\"",
    "https://",
    "http://",
    "127.0.0.1:",
    "localhost:",
};

enum { WORDS = sizeof words / sizeof *words };
_Static_assert(WORDS < sizeof((struct wsg_words *)0)->next, "each has a place in the index");

static unsigned slot_of(const uint8_t *p)
{
    return (p[0] + p[1] * 7u + p[2] * 31u + p[3] * 131u) & 255u;
}

void wsg_words_init(struct wsg_words *w)
{
    memset(w, 0, sizeof *w);
    for (size_t i = WORDS; i-- > 0;) { /* from the end, so that each list is in the order above */
        unsigned slot = slot_of((const uint8_t *)words[i]);
        w->next[i] = w->heads[slot];
        w->heads[slot] = (uint8_t)(i + 1);
    }
}

/* The first word that the text begins with; WORDS: none. */
static size_t find(const struct wsg_words *w, struct wsb_span text, size_t *ret_len)
{
    if (text.len < LEAST)
        return WORDS;
    for (uint8_t at = w->heads[slot_of(text.ptr)]; at; at = w->next[at - 1]) {
        size_t len = strlen(words[at - 1]);
        if (len <= text.len && memcmp(words[at - 1], text.ptr, len) == 0) {
            *ret_len = len;
            return at - 1u;
        }
    }
    return WORDS;
}

wsb_err wsg_words_pack(const struct wsg_words *w, struct wsb_span text, struct wsb_buf *out)
{
    wsb_err err = WSB_OK;
    while (text.len && !err) {
        size_t len = 1;
        size_t word = find(w, text, &len);
        const uint8_t pair[2] = {MARK, word < WORDS ? (uint8_t)word : MARK};
        if (word < WORDS || text.ptr[0] == MARK)
            err = wsb_buf_append(out, pair, sizeof pair);
        else
            err = wsb_buf_append(out, text.ptr, 1);
        text = wsb_span(text.ptr + len, text.len - len);
    }
    return err;
}

wsb_err wsg_words_unpack(struct wsb_span packed, struct wsb_buf *out)
{
    wsb_err err = WSB_OK;
    while (packed.len && !err) {
        const uint8_t *mark = memchr(packed.ptr, MARK, packed.len);
        size_t plain = mark ? (size_t)(mark - packed.ptr) : packed.len;
        err = plain ? wsb_buf_append(out, packed.ptr, plain) : WSB_OK;
        packed = wsb_span(packed.ptr + plain, packed.len - plain);
        if (err || !mark)
            continue;
        if (packed.len < 2 || (mark[1] >= WORDS && mark[1] != MARK))
            return WSB_ERR_PROTO;
        err = mark[1] == MARK ? wsb_buf_append(out, mark, 1) : wsb_buf_append_str(out, words[mark[1]]);
        packed = wsb_span(packed.ptr + 2, packed.len - 2);
    }
    return err;
}
