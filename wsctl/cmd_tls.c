/* wsctl tls [show], wsctl reload */
#include <inttypes.h>
#include <time.h>

#include "common.h"

static void print_date(const char *name, uint64_t at_s)
{
    char text[32] = "?";
    struct tm tm;
    time_t at = (time_t)at_s;
    if (gmtime_r(&at, &tm))
        (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &tm);
    bool is_over = at < time(NULL);
    wsc_print_field(name, "%s%s", text, is_over ? ", which is over" : "");
}

static void print_certificate(const json_t *c)
{
    size_t i;
    json_t *name;
    wsc_print_field("certificate", "%s", wsc_str(c, "file"));
    wsc_print_field("  subject", "%s", wsc_str(c, "subject"));
    json_array_foreach(json_object_get(c, "names"), i, name)
        wsc_print_field(i ? "" : "  names", "%s", json_string_value(name) ? json_string_value(name) : "");
    wsc_print_field("  key", "%s", wsc_str(c, "key"));
    print_date("  ends", wsc_u64(c, "not_after"));
    wsc_print_field("  fingerprint", "%s", wsc_str(c, "fingerprint"));
}

static int print_all(const json_t *result)
{
    size_t i, k;
    json_t *l, *c;
    const json_t *listeners = json_object_get(result, "listeners");
    if (json_array_size(listeners) == 0) {
        (void)puts("No listener speaks TLS.");
        return WSC_OK;
    }
    json_array_foreach(listeners, i, l)
    {
        wsc_print_field("listener", "%s", wsc_str(l, "address"));
        wsc_print_field("of clients", "%s", wsc_str(l, "client_certificates"));
        json_array_foreach(json_object_get(l, "certificates"), k, c) print_certificate(c);
    }
    return WSC_OK;
}

int cmd_tls(struct wsc_run *run)
{
    int status = wsc_begin(run, NULL, 0);
    if (status != WSC_GO_ON)
        return status;
    bool is_reload = strcmp(run->command->name, "reload") == 0;
    if (run->argc && strcmp(run->argv[0], "show") != 0)
        return wsc_complain(run, WSC_USAGE, "'%.40s' is not show; wsctl reload reads the files anew", run->argv[0]);
    return wsc_show(run, is_reload ? "reload" : "tls", NULL, print_all);
}
