/*
 * The handles of the process. A handle is a slot number and a generation; a slot is never given back to the system, so its
 * lock and its descriptor may be used by a call that comes too late, which then finds another generation. This is the one
 * mutable global of the library: without it, a value could not be told from garbage.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define IS_ALONE __libc_single_threaded
#else
#define IS_ALONE 0 /* this C library does not say */
#endif
#include <time.h>
#include <unistd.h>

#include "api/handle.h"

struct wsb_slot {
    pthread_mutex_t lock;
    bool is_locked;           /* by whoever is inside; false: there is nobody to lock out */
    _Atomic uint64_t value;   /* of the open handle; 0: free */
    _Atomic int signal_fd;    /* owned; stays when the handle goes: a late wsb_wake() then hits nobody else's */
    _Atomic bool interrupted; /* wsb_wake() was called */
    bool is_signaled;         /* signal_fd is readable, as far as we have made it so */
    struct wsb_alarm alarm;   /* the same, for a thread that sleeps on the link's own */
    uint64_t generation;
    uint64_t name;             /* the value that the handle was given, also when it is closed */
    struct wsb_handle *handle; /* owned by itself */
};

enum { SLOT_BITS = 8 };

static struct wsb_slot slots[WSB_HANDLERS_MAX] = {
    [0 ... WSB_HANDLERS_MAX - 1] = {.lock = PTHREAD_MUTEX_INITIALIZER, .signal_fd = -1},
};

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static _Atomic uint64_t threads;

/* What the last call on each slot came to, in this thread; and the last open. */
struct note {
    uint64_t handle;
    enum wsb_reason reason;
};
static _Thread_local struct note notes[WSB_HANDLERS_MAX];
static _Thread_local enum wsb_reason open_note;
/* A few bytes in the program's own block, even if the library was loaded late: no call to find them. */
static _Thread_local __attribute__((tls_model("initial-exec"))) uint64_t thread_number;
static _Thread_local __attribute__((tls_model("initial-exec"))) struct note *my_notes; /* NULL: not asked for yet */

/* In a child nothing of the parent's handles may be touched: their locks may be held by threads that are not here, their
 * sockets and descriptors are shared. They are left alone, and their values become invalid. */
static void forget_all(void)
{
    for (size_t i = 0; i < WSB_HANDLERS_MAX; i++) {
        struct wsb_slot *s = &slots[i];
        int fd = atomic_exchange(&s->signal_fd, -1);
        if (fd >= 0)
            (void)close(fd);
        atomic_store(&s->value, 0);
        atomic_store(&s->interrupted, false);
        s->is_signaled = false;
        s->handle = NULL;
        s->is_locked = false;
        (void)pthread_mutex_init(&s->lock, NULL);
    }
}

static void watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL, forget_all);
}

static struct wsb_slot *slot_of(wsb_handler h)
{
    uint64_t number = h.v & ((1u << SLOT_BITS) - 1);
    return h.v && number < WSB_HANDLERS_MAX ? &slots[number] : NULL;
}

/* A process with one thread needs no lock, and most handlers are that. It gets a second one only from that thread, which is not
 * inside then; whoever is has noted whether the lock is held. */
static void lock(struct wsb_slot *s)
{
    if (IS_ALONE)
        return;
    (void)pthread_mutex_lock(&s->lock);
    s->is_locked = true;
}

static void unlock(struct wsb_slot *s)
{
    if (!s->is_locked)
        return;
    s->is_locked = false;
    (void)pthread_mutex_unlock(&s->lock);
}

struct wsb_handle *wsb_peek(wsb_handler h)
{
    struct wsb_slot *s = slot_of(h);
    if (!s || atomic_load_explicit(&s->value, memory_order_acquire) != h.v)
        return NULL;
    lock(s);
    if (atomic_load_explicit(&s->value, memory_order_acquire) == h.v)
        return s->handle;
    unlock(s);
    return NULL;
}

struct wsb_handle *wsb_enter(wsb_handler h)
{
    struct wsb_handle *handle = wsb_peek(h);
    if (!handle)
        wsb_note_reason(h, WSB_REASON_MISUSE);
    return handle;
}

bool wsb_done(struct wsb_handle *h, enum wsb_reason reason)
{
    struct wsb_slot *s = h->slot;
    if (h->trouble.is_pending && !h->closing)
        wsb_tell_trouble(h); /* first: the program may call us in it */
    wsb_note_reason(wsb_handle_value(h), reason);
    wsb_tell_pollers(h);
    unlock(s);
    return reason == WSB_REASON_OK;
}

void wsb_lock(struct wsb_handle *h)
{
    lock(h->slot);
}

void wsb_unlock(struct wsb_handle *h)
{
    unlock(h->slot);
}

static bool fill_slot(struct wsb_slot *s, struct wsb_handle *h, wsb_handler *ret)
{
    if (atomic_load(&s->signal_fd) < 0)
        atomic_store(&s->signal_fd, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (atomic_load(&s->signal_fd) < 0)
        return false;
    s->handle = h;
    h->slot = s;
    wsb_signal_clear(h);
    atomic_store(&s->interrupted, false);
    s->generation++;
    s->name = s->generation << SLOT_BITS | (uint64_t)(s - slots);
    *ret = (wsb_handler){s->name};
    atomic_store(&s->value, s->name);
    return true;
}

enum wsb_reason wsb_slots_add(struct wsb_handle *h, wsb_handler *ret)
{
    enum wsb_reason reason = WSB_REASON_MISUSE; /* too many */
    (void)pthread_once(&fork_once, watch_forks);
    for (size_t i = 0; i < WSB_HANDLERS_MAX && reason == WSB_REASON_MISUSE; i++) {
        struct wsb_slot *s = &slots[i];
        lock(s);
        if (!s->handle)
            reason = fill_slot(s, h, ret) ? WSB_REASON_OK : WSB_REASON_IO;
        unlock(s);
    }
    return reason;
}

void wsb_slots_close(struct wsb_handle *h)
{
    atomic_store(&h->slot->value, 0);
}

void wsb_slots_free(struct wsb_handle *h)
{
    struct wsb_slot *s = h->slot;
    s->handle = NULL;
    unlock(s);
}

wsb_handler wsb_handle_value(const struct wsb_handle *h)
{
    return (wsb_handler){h->slot->name};
}

/* ------------------------------------------------------------------ reasons */

static struct note *note_of(const struct wsb_slot *s)
{
    if (!my_notes)
        my_notes = notes;
    return &my_notes[s - slots];
}

void wsb_note_reason(wsb_handler h, enum wsb_reason reason)
{
    struct wsb_slot *s = slot_of(h);
    if (s)
        *note_of(s) = (struct note){h.v, reason};
    else if (h.v == 0)
        open_note = reason;
}

enum wsb_reason wsb_reason(wsb_handler h)
{
    struct wsb_slot *s = slot_of(h);
    if (h.v == 0)
        return open_note;
    if (!s)
        return WSB_REASON_MISUSE;
    const struct note *n = note_of(s);
    if (n->handle == h.v)
        return n->reason;
    return atomic_load(&s->value) == h.v ? WSB_REASON_OK : WSB_REASON_MISUSE;
}

enum wsb_reason wsb_reason_of(wsb_err err)
{
    switch (err) {
    case WSB_OK:
        return WSB_REASON_OK;
    case WSB_AGAIN:
    case WSB_CLOSED:
        return WSB_REASON_GATE_GONE;
    case WSB_ERR_NOMEM:
        return WSB_REASON_NOMEM;
    case WSB_ERR_LIMIT:
        return WSB_REASON_TOO_BIG;
    case WSB_ERR_UTF8:
        return WSB_REASON_UTF8;
    case WSB_ERR_CONFIG:
    case WSB_ERR_UNSUPPORTED:
        return WSB_REASON_ADDRESS;
    case WSB_ERR_MISUSE:
        return WSB_REASON_MISUSE;
    default:
        return WSB_REASON_IO;
    }
}

uint64_t wsb_thread_number(void)
{
    if (!thread_number)
        thread_number = atomic_fetch_add(&threads, 1) + 1;
    return thread_number;
}

/* ------------------------------------------------------------------- waking */

int wsb_signal_fd(const struct wsb_handle *h)
{
    return atomic_load(&h->slot->signal_fd);
}

static void ring(struct wsb_slot *s)
{
    const uint64_t one = 1;
    int before = errno; /* this runs in signal handlers */
    int fd = atomic_load(&s->signal_fd);
    if (fd >= 0)
        (void)!write(fd, &one, sizeof one); /* cannot block; when it is full it is readable already */
    wsb_alarm_ring(&s->alarm);
    errno = before;
}

struct wsb_alarm *wsb_alarm_of(struct wsb_handle *h)
{
    return &h->slot->alarm;
}

void wsb_signal_set(struct wsb_handle *h)
{
    if (!h->slot->is_signaled)
        ring(h->slot);
    h->slot->is_signaled = true;
}

void wsb_signal_clear(struct wsb_handle *h)
{
    uint64_t count;
    (void)!read(wsb_signal_fd(h), &count, sizeof count); /* does not block */
    h->slot->is_signaled = false;
}

bool wsb_signal_is_set(const struct wsb_handle *h)
{
    return h->slot->is_signaled;
}

void wsb_wake(wsb_handler h)
{
    struct wsb_slot *s = slot_of(h);
    if (!s || atomic_load(&s->value) != h.v)
        return;
    atomic_store(&s->interrupted, true);
    ring(s);
}

bool wsb_take_interrupt(struct wsb_handle *h)
{
    if (!atomic_load_explicit(&h->slot->interrupted, memory_order_relaxed) ||
        !atomic_exchange(&h->slot->interrupted, false))
        return false;
    wsb_signal_clear(h);
    return true;
}

bool wsb_is_interrupted(const struct wsb_handle *h)
{
    return atomic_load(&h->slot->interrupted);
}

void wsb_cond_wait(struct wsb_handle *h, uint64_t until_ms)
{
    struct wsb_slot *s = h->slot;
    struct timespec at = {.tv_sec = (time_t)(until_ms / 1000), .tv_nsec = (long)(until_ms % 1000) * 1000000};
    if (!s->is_locked) /* we were alone when we came in */
        (void)pthread_mutex_lock(&s->lock);
    if (until_ms == WSB_FOREVER)
        (void)pthread_cond_wait(&h->changed, &s->lock);
    else
        (void)pthread_cond_timedwait(&h->changed, &s->lock, &at);
    s->is_locked = true; /* others were inside meanwhile */
}
