/* Files of certificates and keys, and what is to be said about them. */
#include "gate/tls_listeners.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "config/value.h"

static const char *key_file_of(const struct wsg_listener_config *l, size_t index)
{
    return l->keys.count ? l->keys.at[index] : l->certificates.at[index];
}

static enum wsb_tls_client_certificates clients_of(enum wsg_client_certificates asked)
{
    static const enum wsb_tls_client_certificates map[] = {[WSG_CLIENTS_NONE] = WSB_TLS_CLIENT_NONE,
                                                           [WSG_CLIENTS_OPTIONAL] = WSB_TLS_CLIENT_OPTIONAL,
                                                           [WSG_CLIENTS_REQUIRED] = WSB_TLS_CLIENT_REQUIRED};
    return map[asked];
}

/* *ret stays NULL for a listener without certificates. */
static wsb_err load_one(const struct wsg_listener_config *l, struct wsb_tls_tickets *tickets,
                        struct wsb_tls_context **ret, struct wsb_fault *fault)
{
    struct wsb_tls_files *files;
    size_t count = l->certificates.count;
    if (count == 0)
        return WSB_OK;
    files = calloc(count, sizeof *files);
    if (!files)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    for (size_t i = 0; i < count; i++)
        files[i] = (struct wsb_tls_files){l->certificates.at[i], key_file_of(l, i)};
    struct wsb_tls_server_config config = {
        .files = files,
        .file_count = count,
        .client_certificates = clients_of(l->client_certificates),
        .client_ca = l->client_ca,
        .min_version = l->tls_1_3_only ? WSB_TLS_1_3 : WSB_TLS_1_2,
        .ciphers = l->tls_ciphers,
        .alpn = "http/1.1,http/1.0",
        .tickets = tickets,
    };
    wsb_err err = wsb_tls_server_new(&config, ret, fault);
    free(files);
    if (err)
        (void)wsg_origin_blame(&l->origin, "--listen", "certificates", fault);
    return err;
}

static void drop(struct wsb_tls_context **contexts, size_t count)
{
    for (size_t i = 0; i < count && contexts; i++)
        wsb_tls_context_unref(contexts[i]);
    free(contexts);
}

wsb_err wsg_tls_listeners_load(struct wsg_tls_listeners *t, const struct wsg_config *config, struct wsb_fault *fault)
{
    wsb_err err = WSB_OK;
    size_t count = config->listener_count;
    struct wsb_tls_context **contexts = calloc(count ? count : 1, sizeof(struct wsb_tls_context *));
    if (!contexts || (!t->tickets && wsb_tls_tickets_new(&t->tickets) != WSB_OK))
        err = wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    for (size_t i = 0; i < count && !err; i++)
        err = load_one(&config->listeners[i], t->tickets, &contexts[i], fault);
    if (err) {
        drop(contexts, count);
        return err;
    }
    drop(t->contexts, t->count);
    t->contexts = contexts;
    t->count = count;
    return WSB_OK;
}

void wsg_tls_listeners_check(struct wsg_tls_listeners *t, const struct wsg_config *config, struct wsg_faults *all)
{
    struct wsb_fault fault = {0};
    size_t count = config->listener_count;
    t->contexts = calloc(count ? count : 1, sizeof(struct wsb_tls_context *));
    if (!t->contexts || wsb_tls_tickets_new(&t->tickets) != WSB_OK) {
        (void)wsb_fault_set(&fault, WSB_ERR_NOMEM, 0, "out of memory");
        (void)wsg_faults_add(all, &fault);
        return;
    }
    t->count = count;
    for (size_t i = 0; i < count; i++) {
        const struct wsg_listener_config *l = &config->listeners[i];
        fault = (struct wsb_fault){0};
        if (l->origin.is_bad || load_one(l, t->tickets, &t->contexts[i], &fault) == WSB_OK)
            continue;
        (void)wsg_faults_add(all, &fault);
    }
}

void wsg_tls_listeners_deinit(struct wsg_tls_listeners *t)
{
    drop(t->contexts, t->count);
    wsb_tls_tickets_unref(t->tickets);
    *t = (struct wsg_tls_listeners){0};
}

bool wsg_tls_listeners_has_any(const struct wsg_tls_listeners *t)
{
    return wsg_tls_listeners_end_s(t) != 0;
}

static void info_of(const struct wsg_tls_listeners *t, size_t listener, size_t index,
                    struct wsb_tls_certificate_info *ret)
{
    wsb_tls_certificate_info(wsb_tls_certificate_at(t->contexts[listener], index), ret);
}

int64_t wsg_tls_listeners_end_s(const struct wsg_tls_listeners *t)
{
    int64_t first = 0;
    for (size_t i = 0; i < t->count; i++) {
        for (size_t k = 0; t->contexts[i] && k < wsb_tls_certificate_count(t->contexts[i]); k++) {
            struct wsb_tls_certificate_info info;
            info_of(t, i, k, &info);
            if (first == 0 || info.not_after_s < first)
                first = info.not_after_s;
        }
    }
    return first;
}

/* -------------------------------------------------------------------- warnings */

static void say_when(void (*warn)(const char *text), const char *file, const char *what, int64_t at_s)
{
    char text[400], date[32] = "?";
    struct tm tm;
    time_t at = (time_t)at_s;
    if (gmtime_r(&at, &tm))
        (void)strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S UTC", &tm);
    (void)snprintf(text, sizeof text, "%.250s: the certificate %s %s", file, what, date);
    warn(text);
}

static void warn_of_key(const char *file, void (*warn)(const char *text))
{
    char text[400];
    struct stat st;
    if (stat(file, &st) != 0 || !(st.st_mode & (S_IROTH | S_IWOTH)))
        return;
    (void)snprintf(text, sizeof text, "%.250s: others can %s this key (mode %04o)", file,
                   st.st_mode & S_IWOTH ? "change" : "read", (unsigned)st.st_mode & 07777u);
    warn(text);
}

void wsg_tls_listeners_warn(const struct wsg_tls_listeners *t, const struct wsg_config *config, int64_t now_s,
                            void (*warn)(const char *text))
{
    for (size_t i = 0; i < t->count; i++) {
        for (size_t k = 0; t->contexts[i] && k < wsb_tls_certificate_count(t->contexts[i]); k++) {
            struct wsb_tls_certificate_info info;
            info_of(t, i, k, &info);
            if (info.not_after_s < now_s)
                say_when(warn, info.file, "has expired on", info.not_after_s);
            if (info.not_before_s > now_s)
                say_when(warn, info.file, "is not valid before", info.not_before_s);
            warn_of_key(key_file_of(&config->listeners[i], k), warn);
        }
    }
}
