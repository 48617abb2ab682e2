/*
 * The configuration file. Input: the file.
 * Property: it is refused with a reason, or what was understood can be written down, read again, and is then the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/file.h"
#include "unit/config/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wsg_config c;
    struct wsg_faults all = {0};
    wsg_config_init(&c);
    wsb_err err = wsg_config_parse("f", (const char *)data, size, &c, &all);
    require((err != WSB_OK) == (all.count > 0) && all.count <= WSG_FAULTS_MAX &&
            (all.count == WSG_FAULTS_MAX || !all.left_out));
    for (size_t i = 0; i < all.count; i++) {
        const struct wsb_fault *fault = &all.at[i];
        require(fault->err && fault->text[0] && memchr(fault->text, 0, sizeof fault->text));
        require(i == 0 || all.at[i - 1].line <= fault->line);
    }
    (void)wsg_config_check(&c, &all); /* a part of one does no harm */
    if (err) {
        require(all.at[0].err == err);
    } else {
        struct wsg_config again;
        struct wsb_buf text;
        struct wsb_buf text_again;
        wsg_config_init(&again);
        config_format(&c, &text);
        require(wsg_config_parse("g", (const char *)text.data, text.len - 1, &again, NULL) == WSB_OK);
        config_format(&again, &text_again);
        require(wsb_span_eq(wsb_buf_span(&text), wsb_buf_span(&text_again)));
        wsb_buf_deinit(&text);
        wsb_buf_deinit(&text_again);
        wsg_config_deinit(&again);
    }
    wsg_config_deinit(&c);
    return 0;
}
