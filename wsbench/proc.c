/* Files of /proc are read in one go: they are made when they are read. */
#include "proc.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT = 8192, PATH = 64 };

/* A file as a string; false: there is none any more. */
static bool slurp(const char *path, char text[TEXT])
{
    size_t len = 0;
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    while (len < TEXT - 1 && (n = read(fd, text + len, TEXT - 1 - len)) > 0)
        len += (size_t)n;
    (void)close(fd);
    text[len] = 0;
    return len > 0;
}

/* Words that are divided by spaces, as numbers; what is none is 0. */
static void numbers(const char *text, uint64_t *ret, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        text += strspn(text, " ");
        ret[i] = isdigit((unsigned char)*text) ? strtoull(text, NULL, 10) : 0;
        text += strcspn(text, " ");
    }
}

/* Places in the file stat behind the name of the process: proc(5) counts from 3 there. */
enum { STAT_PARENT = 4 - 3, STAT_USER = 14 - 3, STAT_SYSTEM = 15 - 3 };

struct stat_line {
    int parent;
    double user_s, system_s;
};

static bool read_stat(int pid, struct stat_line *ret)
{
    char path[PATH], text[TEXT];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (!slurp(path, text))
        return false;
    const char *name_end = strrchr(text, ')'); /* the name itself may hold anything */
    if (!name_end)
        return false;
    uint64_t fields[STAT_SYSTEM + 1] = {0};
    numbers(name_end + 1, fields, STAT_SYSTEM + 1);
    double per_s = (double)sysconf(_SC_CLK_TCK);
    *ret = (struct stat_line){.parent = (int)fields[STAT_PARENT],
                              .user_s = (double)fields[STAT_USER] / per_s,
                              .system_s = (double)fields[STAT_SYSTEM] / per_s};
    return true;
}

static uint64_t number_behind(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

/* --- which processes ---------------------------------------------------------------------------------------------- */

static bool has(const struct wsl_pids *p, int pid)
{
    for (size_t i = 0; i < p->count; i++) {
        if (p->pids[i] == pid)
            return true;
    }
    return false;
}

static wsb_err add(struct wsl_pids *p, int pid)
{
    if (has(p, pid))
        return WSB_OK;
    if (p->count == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 16;
        int *pids = realloc(p->pids, cap * sizeof *pids);
        if (!pids)
            return WSB_ERR_NOMEM;
        p->pids = pids;
        p->cap = cap;
    }
    p->pids[p->count++] = pid;
    return WSB_OK;
}

/* One pass over all processes: a child of one that is in the set comes in too. */
static wsb_err add_children(struct wsl_pids *p)
{
    wsb_err err = WSB_OK;
    DIR *all = opendir("/proc");
    struct dirent *entry;
    while (all && !err && (entry = readdir(all))) {
        struct stat_line stat;
        int pid = (int)strtol(entry->d_name, NULL, 10); /* 0: not one */
        if (pid && read_stat(pid, &stat) && has(p, stat.parent))
            err = add(p, pid);
    }
    if (all)
        (void)closedir(all);
    return err;
}

wsb_err wsl_pids_find(const int *given, size_t count, bool descendants, struct wsl_pids *ret, int *ret_missing)
{
    struct wsl_pids p = {0};
    wsb_err err = WSB_OK;
    for (size_t i = 0; i < count && !err; i++) {
        struct stat_line stat;
        *ret_missing = given[i];
        err = read_stat(given[i], &stat) ? add(&p, given[i]) : WSB_ERR_NOT_FOUND;
    }
    for (size_t before = 0; descendants && !err && before != p.count;) {
        before = p.count;
        err = add_children(&p);
    }
    if (err)
        wsl_pids_free(&p);
    else
        *ret = p;
    return err;
}

void wsl_pids_free(struct wsl_pids *p)
{
    free(p->pids);
    *p = (struct wsl_pids){0};
}

/* --- what they use ------------------------------------------------------------------------------------------------ */

static void add_threads(struct wsl_usage *u, int pid)
{
    char path[PATH], text[TEXT];
    (void)snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *threads = opendir(path);
    struct dirent *entry;
    while (threads && (entry = readdir(threads))) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        (void)snprintf(path, sizeof path, "/proc/%d/task/%.16s/schedstat", pid, entry->d_name);
        if (slurp(path, text))
            u->running_ns += strtoull(text, NULL, 10);
        (void)snprintf(path, sizeof path, "/proc/%d/task/%.16s/status", pid, entry->d_name);
        if (slurp(path, text))
            u->switches += number_behind(text, "\nvoluntary_ctxt_switches:") +
                           number_behind(text, "\nnonvoluntary_ctxt_switches:");
    }
    if (threads)
        (void)closedir(threads);
}

/* The columns of the machine's stat. */
enum { CPU_USER, CPU_NICE, CPU_SYSTEM, CPU_IDLE, CPU_IOWAIT, CPU_IRQ, CPU_SOFTIRQ, CPU_STEAL };

static void add_machine(struct wsl_usage *u)
{
    char text[TEXT];
    if (!slurp("/proc/stat", text) || strncmp(text, "cpu ", 4) != 0)
        return;
    uint64_t ticks[CPU_STEAL + 1] = {0};
    double per_s = (double)sysconf(_SC_CLK_TCK);
    numbers(text + 4, ticks, CPU_STEAL + 1);
    u->busy_s =
        (double)(ticks[CPU_USER] + ticks[CPU_NICE] + ticks[CPU_SYSTEM] + ticks[CPU_IRQ] + ticks[CPU_SOFTIRQ]) / per_s;
    u->steal_s = (double)ticks[CPU_STEAL] / per_s;
}

struct wsl_usage wsl_usage_cpu(const struct wsl_pids *p)
{
    struct wsl_usage u = {0};
    for (size_t i = 0; i < p->count; i++) {
        struct stat_line stat;
        if (!read_stat(p->pids[i], &stat))
            continue;
        u.user_s += stat.user_s;
        u.system_s += stat.system_s;
        add_threads(&u, p->pids[i]);
    }
    add_machine(&u);
    return u;
}

struct wsl_usage wsl_usage_memory(const struct wsl_pids *p)
{
    struct wsl_usage u = {0};
    for (size_t i = 0; i < p->count; i++) {
        char path[PATH], text[TEXT];
        (void)snprintf(path, sizeof path, "/proc/%d/smaps_rollup", p->pids[i]);
        if (!slurp(path, text))
            continue;
        u.rss_kib += number_behind(text, "\nRss:");
        u.pss_kib += number_behind(text, "\nPss:");
    }
    return u;
}
