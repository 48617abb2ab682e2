/* Both forms go by the same figures. */
#include "report.h"

#include <inttypes.h>

/* What is computed from a result; all rates are of the measured time. */
struct figures {
    double per_s, mb_per_s, published_per_s, connects_per_s;
    double client_us;                    /* CPU time of this client for each message */
    double server_us, server_tick_us;    /* of the server, by schedstat and by clock ticks */
    double system_share;                 /* of the server's CPU time by clock ticks */
    double switches;                     /* of the server for each message */
    double connect_us;                   /* CPU time of the server for each connection */
    double rss_kib, pss_kib;             /* that the server has grown by, for each connection */
    double other_percent, steal_percent; /* of one core, by neither client nor server; taken by other guests */
};

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static double ticks_s(const struct wsl_usage *u)
{
    return u->user_s + u->system_s;
}

static struct figures figures_of(const struct wsl_result *r)
{
    double n = (double)r->received_measured, seconds = r->measured_s, connected = r->connected;
    double server_s = ticks_s(&r->last) - ticks_s(&r->first);
    double busy_s = r->last.busy_s - r->first.busy_s - server_s - r->client_cpu_s;
    return (struct figures){
        .per_s = ratio(n, seconds),
        .mb_per_s = ratio((double)r->bytes_measured, seconds) / 1e6,
        .published_per_s = ratio((double)r->sent_measured, seconds),
        .connects_per_s = ratio(connected, r->connect_s),
        .client_us = ratio(r->client_cpu_s * 1e6, n),
        .server_us = ratio((double)(r->last.running_ns - r->first.running_ns) / 1e3, n),
        .server_tick_us = ratio(server_s * 1e6, n),
        .system_share = ratio(r->last.system_s - r->first.system_s, server_s),
        .switches = ratio((double)(r->last.switches - r->first.switches), n),
        .connect_us = ratio((ticks_s(&r->first) - ticks_s(&r->before)) * 1e6, connected),
        .rss_kib = ratio((double)r->last.rss_kib - (double)r->before.rss_kib, connected),
        .pss_kib = ratio((double)r->last.pss_kib - (double)r->before.pss_kib, connected),
        .other_percent = busy_s > 0 ? ratio(busy_s, seconds) * 100 : 0,
        .steal_percent = ratio(r->last.steal_s - r->first.steal_s, seconds) * 100,
    };
}

static double us(const struct wsl_histogram *h, unsigned ppm)
{
    return (double)wsl_histogram_quantile(h, ppm) / 1e3;
}

/* --- text --------------------------------------------------------------------------------------------------------- */

static void latency_line(FILE *to, const char *name, const struct wsl_histogram *h)
{
    (void)fprintf(to, "  %-12s mean %.1f  p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  p99.99 %.1f  max %.1f µs\n", name,
                  wsl_histogram_mean(h) / 1e3, us(h, 500000), us(h, 900000), us(h, 990000), us(h, 999000),
                  us(h, 999900), (double)h->max / 1e3);
}

static void load_lines(FILE *to, const struct wsl_options *o, const struct wsl_result *r, const struct figures *f)
{
    (void)fprintf(to, "  %-12s %.0f a second, %.1f MB/s; %" PRIu64 " in %.2f s\n",
                  o->mode == WSL_FANOUT ? "deliveries" : "messages", f->per_s, f->mb_per_s, r->received_measured,
                  r->measured_s);
    if (!r->received_measured && r->received)
        (void)fputs("               everything was over before the measured time began: --warm-up 0 measures it\n", to);
    if (o->mode == WSL_FANOUT)
        (void)fprintf(to, "  published    %.0f a second\n", f->published_per_s);
    latency_line(to, "latency", &r->latency);
    if (o->mode == WSL_RATE)
        latency_line(to, "since sent", &r->uncorrected);
    (void)fprintf(to, "  client       %.3f µs of CPU for each message, %.0f %% of a core\n", f->client_us,
                  ratio(r->client_cpu_s, r->measured_s) * 100);
    if (r->processes)
        (void)fprintf(
            to,
            "  server       %.3f µs of CPU for each message (%.3f by clock ticks, %.0f %% in the kernel), %.3f "
            "context switches\n",
            f->server_us, f->server_tick_us, f->system_share * 100, f->switches);
}

static void count_lines(FILE *to, const struct wsl_result *r)
{
    (void)fprintf(to, "  counts       sent %" PRIu64 ", received %" PRIu64, r->sent, r->received);
    if (r->missing)
        (void)fprintf(to, ", missing %" PRIu64, r->missing);
    for (unsigned i = 0; i < WSL_COUNTS; i++) {
        if (r->tally.counts[i])
            (void)fprintf(to, ", %s %" PRIu64, wsl_count_name((enum wsl_count)i), r->tally.counts[i]);
    }
    (void)fputs(wsl_result_is_clean(r) ? "\n" : "   <-- NOT CLEAN\n", to);
    if (r->tally.first.text[0])
        (void)fprintf(to, "  first fault  %s\n", r->tally.first.text);
}

void wsl_report_text(FILE *to, const struct wsl_options *o, const struct wsl_result *r)
{
    struct figures f = figures_of(r);
    (void)fprintf(to,
                  "%s %s%s%s: %" PRIu64 " connections, %" PRIu64 " in flight, %" PRIu64 " bytes, %" PRIu64 " threads\n",
                  wsl_mode_name(o->mode), o->url, o->label ? "  " : "", o->label ? o->label : "", o->connections,
                  o->in_flight, o->size, o->threads);
    (void)fprintf(to, "  connected    %u of %u in %.3f s, %.0f a second; handshake p50 %.0f, p99 %.0f µs\n",
                  r->connected, r->total, r->connect_s, f.connects_per_s, us(&r->handshake, 500000),
                  us(&r->handshake, 990000));
    if (o->mode != WSL_IDLE)
        load_lines(to, o, r, &f);
    if (r->processes)
        (void)fprintf(to,
                      "  memory       RSS %" PRIu64 " -> %" PRIu64
                      " KiB, %.2f for each connection (PSS %.2f); %.1f µs of CPU "
                      "for each handshake\n",
                      r->before.rss_kib, r->last.rss_kib, f.rss_kib, f.pss_kib, f.connect_us);
    (void)fprintf(to, "  machine      others took %.0f %% of a core, other guests %.0f %%\n", f.other_percent,
                  f.steal_percent);
    count_lines(to, r);
}

/* --- JSON --------------------------------------------------------------------------------------------------------- */

/* Only ASCII leaves, so that it is valid whatever the command line or a server said. */
static void json_text(FILE *to, const char *name, const char *text)
{
    (void)fprintf(to, "\"%s\":\"", name);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            (void)fprintf(to, "\\%c", *text);
        else
            (void)fputc(*text < ' ' || *text > '~' ? '?' : *text, to);
    }
    (void)fputs("\",", to);
}

static void json_count(FILE *to, const char *name, uint64_t value)
{
    (void)fprintf(to, "\"%s\":%" PRIu64 ",", name, value);
}

static void json_real(FILE *to, const char *name, double value)
{
    (void)fprintf(to, "\"%s\":%.4f,", name, value);
}

static void json_latency(FILE *to, const char *prefix, const struct wsl_histogram *h)
{
    static const struct {
        const char *name;
        unsigned ppm;
    } quantiles[] = {{"p50", 500000}, {"p90", 900000}, {"p99", 990000}, {"p999", 999000}, {"p9999", 999900}};
    char name[32];
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
        (void)snprintf(name, sizeof name, "%s%s_us", prefix, quantiles[i].name);
        json_real(to, name, us(h, quantiles[i].ppm));
    }
    (void)snprintf(name, sizeof name, "%smean_us", prefix);
    json_real(to, name, wsl_histogram_mean(h) / 1e3);
    (void)snprintf(name, sizeof name, "%smax_us", prefix);
    json_real(to, name, (double)h->max / 1e3);
}

static void json_server(FILE *to, const struct wsl_result *r, const struct figures *f)
{
    json_count(to, "processes", r->processes);
    json_real(to, "server_us", f->server_us);
    json_real(to, "server_tick_us", f->server_tick_us);
    json_real(to, "server_system_share", f->system_share);
    json_real(to, "server_switches", f->switches);
    json_real(to, "server_connect_us", f->connect_us);
    json_count(to, "rss_before_kib", r->before.rss_kib);
    json_count(to, "rss_kib", r->last.rss_kib);
    json_count(to, "pss_before_kib", r->before.pss_kib);
    json_count(to, "pss_kib", r->last.pss_kib);
    json_real(to, "rss_per_connection_kib", f->rss_kib);
    json_real(to, "pss_per_connection_kib", f->pss_kib);
}

static void json_what(FILE *to, const struct wsl_options *o)
{
    json_text(to, "mode", wsl_mode_name(o->mode));
    json_text(to, "url", o->url);
    json_text(to, "label", o->label ? o->label : "");
    json_count(to, "connections", o->connections);
    json_count(to, "in_flight", o->in_flight);
    json_count(to, "size", o->size);
    json_count(to, "threads", o->threads);
    json_real(to, "rate", o->rate);
}

void wsl_report_json(FILE *to, const struct wsl_options *o, const struct wsl_result *r)
{
    struct figures f = figures_of(r);
    (void)fputc('{', to);
    json_what(to, o);
    json_count(to, "connected", r->connected);
    json_count(to, "wanted", r->total);
    json_count(to, "alive", r->alive);
    json_real(to, "connect_s", r->connect_s);
    json_real(to, "connects_per_s", f.connects_per_s);
    json_latency(to, "handshake_", &r->handshake);
    json_real(to, "seconds", r->measured_s);
    json_count(to, "messages", r->received_measured);
    json_real(to, "per_s", f.per_s);
    json_real(to, "mb_per_s", f.mb_per_s);
    json_real(to, "published_per_s", o->mode == WSL_FANOUT ? f.published_per_s : 0);
    json_latency(to, "", &r->latency);
    if (o->mode == WSL_RATE)
        json_latency(to, "since_sent_", &r->uncorrected);
    json_real(to, "client_us", f.client_us);
    json_real(to, "client_percent", ratio(r->client_cpu_s, r->measured_s) * 100);
    json_server(to, r, &f);
    json_real(to, "other_percent", f.other_percent);
    json_real(to, "steal_percent", f.steal_percent);
    json_count(to, "sent", r->sent);
    json_count(to, "received", r->received);
    json_count(to, "missing", r->missing);
    for (unsigned i = 0; i < WSL_COUNTS; i++)
        json_count(to, wsl_count_name((enum wsl_count)i), r->tally.counts[i]);
    json_count(to, "http_status", (uint64_t)r->tally.http_status);
    json_text(to, "fault", r->tally.first.text);
    (void)fprintf(to, "\"clean\":%s}\n", wsl_result_is_clean(r) ? "true" : "false");
}
