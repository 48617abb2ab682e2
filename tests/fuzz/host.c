/*
 * Hosts. Input: what a client writes into Host.
 * Property: a canonical form is its own canonical form, in every spelling that means the same: upper case, and with the dot
 * of the root; it has no upper case, no empty label and no dot at its end.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void require_same(const struct wsb_host *h, struct wsb_span spelling)
{
    struct wsb_host again;
    require(wsb_host_parse(spelling, &again) == WSB_OK);
    require(strcmp(again.text, h->text) == 0 && again.name_len == h->name_len && again.port == h->port);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wsb_host h;
    char other[WSB_HOST_TEXT_MAX + 2];
    if (wsb_host_parse(wsb_span(data, size), &h) != WSB_OK)
        return 0;
    require(h.text_len <= WSB_HOST_TEXT_MAX && strlen(h.text) == h.text_len && h.name_len > 0);
    require(h.name_len <= h.text_len && (h.has_port ? h.text[h.name_len] == ':' : h.name_len == h.text_len));
    for (size_t i = 0; i < h.name_len; i++)
        require(!isupper((unsigned char)h.text[i]));
    require(h.text[h.name_len - 1] != '.' && h.text[0] != '.');
    require_same(&h, wsb_host_text(&h));
    for (size_t i = 0; i < h.text_len; i++)
        other[i] = (char)toupper((unsigned char)h.text[i]);
    require_same(&h, wsb_span(other, h.text_len));
    if (h.text[0] == '[')
        return 0;
    memcpy(other, h.text, h.name_len);
    other[h.name_len] = '.';
    memcpy(other + h.name_len + 1, h.text + h.name_len, (size_t)(h.text_len - h.name_len));
    require_same(&h, wsb_span(other, (size_t)h.text_len + 1));
    return 0;
}
