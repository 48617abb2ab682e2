/*
 * What a handler may write to its ring, as the gate reads it: records whole and in parts, put together and taken apart.
 * Input: a script of records: length and kind as they claim to be, and bytes. Every stamp is right.
 * Property: whatever lies there, what is handed out lies in the ring or in memory of our own, no part of it goes beyond the largest
 * message, and an envelope's lengths are true.
 */
#include <stdlib.h>
#include <string.h>

#include "link/shm_receiver.h"
#include "link/shm_wire.h"
#include "ring/region.h"
#include "wire/envelope.h"

enum { SIZE = WSB_RING_MIN, MAX = 4096, SCRIPT_HEAD = 8 };
static const uint64_t KEY = UINT64_C(0x3c6ef372fe94f82b);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

struct writer {
    struct wsb_region region;
    uint64_t tail;
};

/* One record: the first two words are as the script wants them; how far it reaches in the ring follows the first. */
static size_t write_record(struct writer *w, const uint8_t *data, size_t size)
{
    uint32_t words[2];
    memcpy(words, data, sizeof words);
    size_t claimed = words[0] % 4 ? words[0] >> 2 & 0xfff : words[0] >> 2;
    size_t most = wsb_ring_body_max(SIZE) - SCRIPT_HEAD;
    size_t len = size - SCRIPT_HEAD < claimed ? size - SCRIPT_HEAD : claimed;
    len = len < most ? len : most;
    uint8_t *at = wsb_region_data(&w->region) + (w->tail & (SIZE - 1));
    const uint64_t stamp = htole64(wsb_ring_stamp(KEY, w->tail));
    const uint32_t head[2] = {htole32((uint32_t)claimed), htole32(words[1])};
    memcpy(at, &stamp, sizeof stamp);
    memcpy(at + WSB_RING_STAMP, head, sizeof head);
    if (len)
        memcpy(at + WSB_RING_STAMP + sizeof head, data + SCRIPT_HEAD, len);
    w->tail += wsb_ring_size_of(claimed);
    return SCRIPT_HEAD + len;
}

static bool is_inside(struct wsb_span inner, struct wsb_span outer)
{
    return inner.len == 0 || (inner.ptr >= outer.ptr && inner.ptr + inner.len <= outer.ptr + outer.len);
}

static void check_envelope(struct wsb_span record)
{
    struct wsb_envelope e;
    uint8_t *copy = malloc(record.len ? record.len : 1); /* what is read beyond it is found out */
    require(copy != NULL);
    if (record.len)
        memcpy(copy, record.ptr, record.len);
    record.ptr = copy;
    wsb_err err = wsb_record_alone(record, &e);
    require(err == WSB_OK || err == WSB_ERR_PROTO);
    if (!err) {
        require(is_inside(e.payload, record) && is_inside(e.meta, record));
        require(e.payload.len == e.header.payload_len && (e.meta.len != 0) == ((e.header.flags & WSB_FLAG_META) != 0));
    }
    free(copy);
}

/* Read all there is; false: nothing more can be read. */
static bool read_all(struct wsb_receiver *r, const struct writer *w)
{
    const struct wsb_span memory = wsb_span(wsb_region_data(&w->region), 2 * (size_t)SIZE);
    struct wsb_span record;
    bool is_shared;
    wsb_err err;
    while ((err = wsb_receiver_next(r, &record, &is_shared)) == WSB_OK) {
        require(is_shared ? is_inside(record, memory) : record.len <= MAX);
        check_envelope(record);
    }
    require(r->parts.len <= MAX);
    require(err == WSB_AGAIN || err == WSB_ERR_PROTO || err == WSB_ERR_LIMIT);
    (void)wsb_ring_release(&r->ring, r->ring.at);
    return err == WSB_AGAIN;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct writer w; /* mapped once */
    static struct wsb_region words;
    struct wsb_receiver r;
    if (!w.region.base) {
        require(wsb_region_new("fuzz", SIZE, &w.region, NULL) == WSB_OK);
        require(wsb_region_new("fuzz", SIZE, &words, NULL) == WSB_OK);
    }
    memset(w.region.base, 0, WSB_RING_CONTROL + SIZE);
    w.tail = 0;
    wsb_receiver_init(&r, wsb_region_data(&w.region), SIZE, KEY, wsb_region_words(&words), wsb_region_words(&w.region),
                      MAX);
    bool goes_on = true;
    while (goes_on && size >= SCRIPT_HEAD && w.tail < UINT64_C(1) << 32) {
        size_t used = write_record(&w, data, size);
        data += used;
        size -= used;
        goes_on = read_all(&r, &w);
        require(!goes_on || r.ring.at == w.tail);
    }
    wsb_receiver_deinit(&r);
    return 0;
}
