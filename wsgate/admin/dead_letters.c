/* The events that were set aside, the latest first: whose they were, and the beginning of each. */
#include "admin/parts.h"
#include "base/base64.h"
#include "base/utf8.h"

static void write_payload(const struct wsg_dead_letter *d, struct wsb_json *j)
{
    char base64[4 * ((WSG_DEAD_LETTER_BYTES + 2) / 3)];
    if (wsb_utf8_is_valid(d->payload, d->kept)) {
        wsb_json_kstr(j, "text", wsb_span(d->payload, d->kept));
        return;
    }
    size_t n = wsb_base64_encode(wsb_span(d->payload, d->kept), base64);
    wsb_json_kstr(j, "base64", wsb_span(base64, n));
}

static void write_letter(const struct wsg_dead_letter *d, struct wsb_json *j)
{
    wsb_json_object(j);
    wsb_json_ku64(j, "number", d->number);
    wsb_json_ku64(j, "time_ms", d->time_ns / 1000000);
    wsb_json_kcstr(j, "route", d->route);
    wsb_json_key(j, "conn");
    wsb_json_id(j, d->conn);
    wsb_json_ku64(j, "seq", d->seq);
    wsb_json_kcstr(j, "event", wsb_type_name(d->type));
    wsb_json_ku64(j, "deliveries", d->deliveries);
    wsb_json_kcstr(j, "handler", d->handler);
    wsb_json_ku64(j, "len", d->payload_len);
    wsb_json_kbool(j, "cut", d->kept < d->payload_len);
    write_payload(d, j);
    wsb_json_object_end(j);
}

void wsg_on_dead_letters(const struct wsg_call *call)
{
    const struct wsg_dead_letters *t = &wsg_gate_hub(call->admin->gate)->dead_letters;
    struct wsb_fault fault = {0};
    uint64_t limit = WSG_DEAD_LETTERS_MAX;
    struct wsb_json j;
    wsb_err err = wsg_param_u64(call->params, "limit", 0, UINT32_MAX, &limit, &fault);
    limit = limit && limit < WSG_DEAD_LETTERS_MAX ? limit : WSG_DEAD_LETTERS_MAX;
    if (wsg_call_failed(call, err, &fault))
        return;
    wsg_answer_begin(call->admin, call->id, &j);
    wsb_json_object(&j);
    wsb_json_ku64(&j, "total", t->count);
    wsb_json_key(&j, "dead_letters");
    wsb_json_array(&j);
    for (uint64_t i = 0; i < limit; i++) {
        const struct wsg_dead_letter *d = wsg_dead_letters_latest(t, i);
        if (d)
            write_letter(d, &j);
    }
    wsb_json_array_end(&j);
    wsb_json_object_end(&j);
    wsg_answer_end(call->client, call->id, &j);
}
