/*
 * The client of libwebsockets at an echo server: messages of the sizes given, binary and text, each cut into fragments at
 * random, must come back as they were. Prints "end COUNT" when the connection is closed.
 *
 * Usage: lws_client HOST PORT PATH CA|- deflate|plain SEED SIZE...
 */
#include <libwebsockets.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const char *const *sizes;
    int size_count;
    int sent, heard; /* messages: each size twice */
    unsigned char *data; /* of the message under way */
    unsigned char *leaving; /* of its latest fragment, with room in front: libwebsockets masks it, and may come back to it */
    size_t len, at;      /* at: bytes of it that have left */
    size_t got;          /* bytes of it that came back */
    bool is_under_way;
    bool is_over;
    unsigned chance;
} run;

static size_t size_of(int number)
{
    return (size_t)strtoull(run.sizes[number / 2], NULL, 10);
}

static bool is_text(int number)
{
    return number % 2 != 0;
}

static size_t chance(size_t below)
{
    run.chance = run.chance * 1103515245u + 12345u;
    return below ? (run.chance >> 8) % below : 0;
}

static void fail(const char *what)
{
    (void)printf("wrong: %s in message %d, at byte %zu of %zu\n", what, run.heard, run.got, run.len);
    exit(1);
}

/* Known by its size and number alone, as in test_interop.py. */
static void begin(int number)
{
    free(run.data);
    run.len = size_of(number);
    run.at = run.got = 0;
    run.data = malloc(run.len + 1);
    if (!run.data)
        fail("no memory");
    for (size_t i = 0; i < run.len; i++)
        run.data[i] = (unsigned char)((i * 31 + (size_t)(number / 2) * 7 + (i >> 9)) & 0x7f);
    run.is_under_way = true;
}

/* One fragment. */
static int send_some(struct lws *wsi)
{
    if (!run.is_under_way)
        begin(run.sent);
    size_t left = run.len - run.at;
    size_t count = left > 1 && chance(3) ? 1 + chance(left - 1) : left;
    bool is_last = count == left;
    int how = run.at ? LWS_WRITE_CONTINUATION : is_text(run.sent) ? LWS_WRITE_TEXT : LWS_WRITE_BINARY;
    free(run.leaving);
    run.leaving = malloc(LWS_PRE + count + 1);
    if (!run.leaving)
        fail("no memory");
    memcpy(run.leaving + LWS_PRE, run.data + run.at, count);
    int n = lws_write(wsi, run.leaving + LWS_PRE, count,
                      (enum lws_write_protocol)(how | (is_last ? 0 : LWS_WRITE_NO_FIN)));
    if (n < (int)count)
        return -1;
    run.at += count;
    if (is_last)
        run.sent++;
    else
        lws_callback_on_writable(wsi);
    return 0;
}

static int hear(struct lws *wsi, const unsigned char *data, size_t len)
{
    if ((bool)lws_frame_is_binary(wsi) == is_text(run.heard))
        fail("the opcode");
    if (run.got + len > run.len || memcmp(run.data + run.got, data, len) != 0)
        fail("a byte");
    run.got += len;
    if (lws_remaining_packet_payload(wsi) || !lws_is_final_fragment(wsi))
        return 0;
    if (run.got != run.len)
        fail("the length");
    run.heard++;
    run.is_under_way = false;
    if (run.heard < 2 * run.size_count) {
        lws_callback_on_writable(wsi);
        return 0;
    }
    lws_close_reason(wsi, LWS_CLOSE_STATUS_NORMAL, (unsigned char *)"enough", 6);
    return -1;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *session, void *data, size_t len)
{
    (void)session;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        (void)printf("wrong: %s\n", data ? (const char *)data : "no connection");
        exit(1);
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        lws_callback_on_writable(wsi);
        return 0;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return run.heard < 2 * run.size_count && run.sent == run.heard ? send_some(wsi) : 0;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        return hear(wsi, data, len);
    case LWS_CALLBACK_CLIENT_CLOSED:
        run.is_over = true;
        return 0;
    default:
        return 0;
    }
}

int main(int argc, char **argv)
{
    static const struct lws_protocols protocols[] = {
        {.name = "echo", .callback = on_event, .rx_buffer_size = 65536}, {0}};
    static const struct lws_extension extensions[] = {
        {"permessage-deflate", lws_extension_callback_pm_deflate, "permessage-deflate; client_max_window_bits"},
        {0}};
    if (argc < 8)
        return 2;
    bool is_tls = strcmp(argv[4], "-") != 0;
    run.chance = (unsigned)strtoul(argv[6], NULL, 10);
    run.sizes = (const char *const *)argv + 7;
    run.size_count = argc - 7;
    const struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = protocols,
        .extensions = strcmp(argv[5], "deflate") == 0 ? extensions : NULL,
        .options = is_tls ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0,
        .client_ssl_ca_filepath = is_tls ? argv[4] : NULL,
        .pt_serv_buf_size = 65536,
    };
    lws_set_log_level(LLL_ERR, NULL);
    struct lws_context *context = lws_create_context(&info);
    if (!context)
        return 1;
    const struct lws_client_connect_info to = {
        .context = context,
        .address = argv[1],
        .host = argv[1],
        .origin = argv[1],
        .port = atoi(argv[2]),
        .path = argv[3],
        .ssl_connection = is_tls ? LCCSCF_USE_SSL : 0,
    };
    if (!lws_client_connect_via_info(&to))
        fail("no connection begun");
    while (!run.is_over && lws_service(context, 0) >= 0)
        ;
    (void)printf("end %d\n", run.heard);
    lws_context_destroy(context);
    free(run.data);
    free(run.leaving);
    return run.heard == 2 * run.size_count ? 0 : 1;
}
