/*
 * A ring, its two ends, and a third who writes into either memory: stamps that are right, lengths that are not, positions that
 * cannot be. Input: a script, one byte for what is done and up to four that say how.
 * Property: each answer is what the rules say of the bytes that lie there, and no position leaves its bounds. As long as
 * nobody lies, records come out as they went in, what was not released stays as it is, and each sleep is ended once.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ring/region.h"

enum { SIZE = WSB_RING_MIN, RECORDS = SIZE / WSB_RING_ALIGN };
static const uint64_t KEY = UINT64_C(0x510e527fade682d1);
#define NEVER UINT64_MAX

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

struct script {
    const uint8_t *ptr, *end;
};

struct record {
    uint64_t end;
    uint32_t len;
    uint8_t seed;
};

/* What we know without the ring. Records are counted for ever; the last RECORDS of them are remembered. */
struct world {
    struct script script;
    struct wsb_ring_tx tx;
    struct wsb_ring_rx rx;
    struct record records[RECORDS];
    uint64_t written, read, released;     /* records */
    uint64_t told, sleeps_at, wants_head; /* positions; NEVER: does not sleep, wants nothing */
    bool is_honest;                       /* nobody wrote what was not his */
    bool is_over;                         /* a record that cannot be */
};

static unsigned next_byte(struct script *s)
{
    return s->ptr < s->end ? *s->ptr++ : 0;
}

static uint32_t next_word(struct script *s)
{
    uint32_t a = next_byte(s), b = next_byte(s), c = next_byte(s), d = next_byte(s);
    return a | b << 8 | c << 16 | d << 24;
}

/* Small ones often, and each length that is allowed. */
static size_t next_len(struct script *s)
{
    unsigned n = next_byte(s) | next_byte(s) << 8;
    size_t most = n & 1 ? 120 : n & 2 ? 2000 : wsb_ring_body_max(SIZE);
    return WSB_RING_BODY_MIN + (n >> 2) % (most - WSB_RING_BODY_MIN + 1);
}

static struct record *record_at(struct world *w, uint64_t number)
{
    return &w->records[number % RECORDS];
}

static void fill(uint8_t *body, const struct record *r)
{
    uint32_t wire = htole32(r->len);
    memcpy(body, &wire, sizeof wire);
    memset(body + 4, r->seed, r->len - 4);
}

static void check_body(const uint8_t *body, const struct record *r)
{
    static uint8_t want[SIZE];
    fill(want, r);
    require(memcmp(body, want, r->len) == 0);
}

/* ------------------------------------------------------------------- the producer */

static void write_record(struct world *w)
{
    struct record r = {.len = (uint32_t)next_len(&w->script), .seed = (uint8_t)w->written};
    uint64_t need = ((uint64_t)r.len + 8 + 63) / 64 * 64, room = SIZE - (w->tx.tail - w->tx.floor);
    uint8_t *body = wsb_ring_reserve(&w->tx, r.len);
    require(wsb_ring_room(&w->tx) == room && (body != NULL) == (need <= room));
    if (!body)
        return;
    require(body == w->tx.data + w->tx.tail % SIZE + 8);
    fill(body, &r);
    wsb_ring_commit(&w->tx, r.len);
    r.end = w->tx.tail;
    *record_at(w, w->written++) = r;
}

static void tell(struct world *w)
{
    bool wakes = w->sleeps_at != NEVER && w->told <= w->sleeps_at && w->sleeps_at < w->tx.tail;
    bool told = wsb_ring_tell(&w->tx);
    require(!w->is_honest || told == wakes);
    require(!wsb_ring_tell(&w->tx)); /* nothing is told twice */
    if (told)
        w->sleeps_at = NEVER;
    w->told = w->tx.tail;
}

static bool is_head_possible(const struct world *w)
{
    uint64_t head = atomic_load(&w->rx.mine->head);
    return head % 64 == 0 && head >= w->tx.head && head <= w->tx.tail;
}

static void look(struct world *w)
{
    uint64_t head = atomic_load(&w->rx.mine->head), before = w->tx.head, floor = w->tx.floor;
    bool is_possible = is_head_possible(w);
    require(wsb_ring_look(&w->tx) == (is_possible ? WSB_OK : WSB_ERR_PROTO));
    require(w->tx.head == (is_possible ? head : before));
    require(w->tx.floor == (w->tx.holds ? floor : w->tx.head));
}

static void want_room(struct world *w)
{
    size_t len = next_len(&w->script);
    uint64_t need = (len + 8 + 63) / 64 * 64;
    bool has_room = need <= SIZE - (w->tx.tail - w->tx.floor), is_possible = is_head_possible(w);
    wsb_err err = wsb_ring_want_room(&w->tx, len);
    if (!has_room)
        w->wants_head = w->tx.tail + need - SIZE;
    if (!has_room && !is_possible)
        require(err == WSB_ERR_PROTO);
    else
        require(err == (need <= SIZE - (w->tx.tail - w->tx.floor) ? WSB_OK : WSB_AGAIN));
}

static void let_go(struct world *w)
{
    uint64_t lines = (w->tx.head - w->tx.floor) / 64;
    wsb_ring_let_go(&w->tx, w->tx.floor + next_byte(&w->script) % (lines + 1) * 64);
}

/* ------------------------------------------------------------------- the consumer */

/* What the bytes say that lie there. */
static wsb_err judge(const struct world *w)
{
    const uint8_t *p = w->rx.data + w->rx.at % SIZE;
    uint64_t stamp, need;
    uint32_t len;
    memcpy(&stamp, p, sizeof stamp);
    memcpy(&len, p + 8, sizeof len);
    if (le64toh(stamp) != wsb_ring_stamp(KEY, w->rx.at))
        return WSB_AGAIN;
    need = ((uint64_t)le32toh(len) + 8 + 63) / 64 * 64;
    return le32toh(len) < 4 || need > SIZE / 4 || w->rx.at + need - w->rx.released > SIZE ? WSB_ERR_PROTO : WSB_OK;
}

static void read_record(struct world *w)
{
    struct wsb_span body = {0};
    uint64_t at = w->rx.at;
    wsb_err want = judge(w);
    require(wsb_ring_has_next(&w->rx) == (want != WSB_AGAIN));
    require(wsb_ring_next(&w->rx, &body) == want);
    if (want) {
        require(w->rx.at == at && !body.ptr && (!w->is_honest || (want == WSB_AGAIN && w->read == w->written)));
        w->is_over = want == WSB_ERR_PROTO;
        return;
    }
    require(body.ptr == w->rx.data + at % SIZE + 8 && body.ptr + body.len <= w->rx.data + 2 * (size_t)SIZE);
    require(w->rx.at == at + wsb_ring_size_of(body.len));
    if (w->is_honest) {
        require(w->read < w->written && w->rx.at == record_at(w, w->read)->end);
        check_body(body.ptr, record_at(w, w->read++));
    }
}

/* Up to one of the records that were read; without honesty, up to any line. */
static void release(struct world *w)
{
    uint64_t before = w->rx.released, position = before, wanted = w->wants_head;
    unsigned n = next_byte(&w->script);
    if (!w->is_honest)
        position = before + n % ((w->rx.at - before) / 64 + 1) * 64;
    for (uint64_t i = n % (w->read - w->released + 1); w->is_honest && i; i--, w->released++) {
        const struct record *r = record_at(w, w->released);
        check_body(w->rx.data + (r->end - wsb_ring_size_of(r->len)) % SIZE + 8, r); /* as it was when we read it */
        position = r->end;
    }
    require(wsb_ring_release(&w->rx, position) == (wanted != NEVER && before < wanted && wanted <= position) ||
            !w->is_honest);
    require(atomic_load(&w->rx.mine->head) == position || position == before);
}

static void may_sleep(struct world *w)
{
    bool has_next = judge(w) != WSB_AGAIN;
    require(wsb_ring_may_sleep(&w->rx) == !has_next);
    w->sleeps_at = w->rx.at;
}

/* ------------------------------------------------------------------- the third */

static uint64_t near(struct script *s, uint64_t position)
{
    uint32_t n = next_word(s);
    if (n % 4 == 0)
        return position + (uint64_t)(int64_t)(int32_t)n * 64;
    return n % 4 == 1   ? position + n % 4096 / 4
           : n % 4 == 2 ? position - (uint64_t)n % 4096 / 4 * 16
                        : (uint64_t)n << n % 64;
}

static void forge_record(struct world *w)
{
    uint64_t at = w->rx.at + (uint64_t)next_byte(&w->script) % 8 * 64, stamp = htole64(wsb_ring_stamp(KEY, at));
    uint32_t n = next_word(&w->script), len = htole32(n % 4 ? n >> 2 & 0x7fff : n);
    memcpy(w->tx.data + at % SIZE, &stamp, sizeof stamp);
    memcpy(w->tx.data + at % SIZE + 8, &len, sizeof len);
    w->is_honest = false;
}

static void scribble(struct world *w)
{
    struct script *s = &w->script;
    unsigned what = next_byte(s);
    uint32_t n;
    w->is_honest = false;
    switch (what % 4) {
    case 0:
        atomic_store(&w->rx.mine->head, near(s, w->tx.head));
        break;
    case 1:
        atomic_store(&w->rx.mine->wake_at, near(s, w->tx.tail));
        break;
    case 2:
        atomic_store(&w->tx.mine->space_at, near(s, w->rx.at));
        break;
    default:
        n = next_word(s);
        memcpy(w->tx.data + n % (2 * SIZE - 4), &n, sizeof n);
    }
}

/* ------------------------------------------------------------------- one script */

static void step(struct world *w)
{
    switch (next_byte(&w->script) % 16) {
    case 8:
        tell(w);
        break;
    case 9:
        look(w);
        break;
    case 10:
        want_room(w);
        break;
    case 11:
        let_go(w);
        break;
    case 12:
        release(w);
        break;
    case 13:
        may_sleep(w);
        break;
    case 14:
        forge_record(w);
        break;
    case 15:
        scribble(w);
        break;
    case 0:
    case 1:
    case 2:
        write_record(w);
        break;
    default:
        read_record(w);
    }
    require(w->tx.floor <= w->tx.head && w->tx.head <= w->tx.tail && w->tx.tail - w->tx.floor <= SIZE);
    require(w->rx.released <= w->rx.at && w->rx.at - w->rx.released <= SIZE && w->rx.at % 64 == 0);
    require(!w->is_honest || (w->tx.head <= w->rx.released && w->rx.at <= w->tx.tail));
}

static void region_reset(struct wsb_region *r)
{
    if (!r->base)
        require(wsb_region_new("fuzz", SIZE, r, NULL) == WSB_OK);
    memset(r->base, 0, WSB_RING_CONTROL + SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct wsb_region up, down; /* once: mapping them is slower than any script */
    static struct world w;
    region_reset(&up);
    region_reset(&down);
    memset(&w, 0, sizeof w);
    w.script = (struct script){data, data + size};
    w.is_honest = true;
    w.sleeps_at = w.wants_head = NEVER;
    wsb_ring_tx_init(&w.tx, wsb_region_data(&up), SIZE, KEY, wsb_region_words(&up), wsb_region_words(&down));
    wsb_ring_rx_init(&w.rx, wsb_region_data(&up), SIZE, KEY, wsb_region_words(&down), wsb_region_words(&up));
    w.tx.holds = next_byte(&w.script) & 1;
    while (w.script.ptr < w.script.end && !w.is_over)
        step(&w);
    return 0;
}
