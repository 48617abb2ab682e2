/*
 * Preloaded into a gate by bench/longest_step.py: how long a loop went on between two waits, in CPU time of its thread, so that what else
 * the machine does is not counted. The longest of each thread stands in the file that WSBUS_STEPS names.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 64 };

struct steps {
    _Atomic uint64_t longest_ns, count;
};

static struct steps *file;
static _Atomic unsigned thread_count;
static _Thread_local struct steps *mine;
static _Thread_local uint64_t since_ns;
static int (*real_wait)(int, struct epoll_event *, int, int);
static int (*real_pwait2)(int, struct epoll_event *, int, const struct timespec *, const sigset_t *);

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("WSBUS_STEPS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    real_wait = (int (*)(int, struct epoll_event *, int, int))dlsym(RTLD_NEXT, "epoll_wait");
    real_pwait2 = (int (*)(int, struct epoll_event *, int, const struct timespec *, const sigset_t *))dlsym(
        RTLD_NEXT, "epoll_pwait2");
    if (fd < 0)
        return;
    void *at = mmap(NULL, THREADS * sizeof *file, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    file = at == MAP_FAILED ? NULL : at;
    close(fd);
}

static void end_step(void)
{
    if (!file)
        return;
    if (!mine) {
        mine = &file[atomic_fetch_add(&thread_count, 1) % THREADS];
        return; /* the first one began before there was a loop */
    }
    uint64_t took = cpu_ns() - since_ns;
    if (took > atomic_load_explicit(&mine->longest_ns, memory_order_relaxed))
        atomic_store_explicit(&mine->longest_ns, took, memory_order_relaxed);
    atomic_fetch_add_explicit(&mine->count, 1, memory_order_relaxed);
}

static void begin_step(void)
{
    if (file)
        since_ns = cpu_ns();
}

__attribute__((visibility("default"))) int epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
    end_step();
    int n = real_wait(fd, events, max, timeout);
    begin_step();
    return n;
}

__attribute__((visibility("default"))) int epoll_pwait2(int fd, struct epoll_event *events, int max,
                                                        const struct timespec *timeout, const sigset_t *mask)
{
    end_step();
    int n = real_pwait2(fd, events, max, timeout, mask);
    begin_step();
    return n;
}
