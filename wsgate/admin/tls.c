/* The certificates of the listeners: what they are, and reading their files anew. */
#include "admin/parts.h"

static void write_certificate(const struct wsb_tls_certificate *c, struct wsb_json *j)
{
    struct wsb_tls_certificate_info info;
    wsb_tls_certificate_info(c, &info);
    wsb_json_object(j);
    wsb_json_kcstr(j, "file", info.file);
    wsb_json_kcstr(j, "subject", info.subject);
    wsb_json_kcstr(j, "key", info.kind);
    wsb_json_key(j, "names");
    wsb_json_array(j);
    for (size_t i = 0; i < info.name_count; i++)
        wsb_json_latin1(j, wsb_span_str(info.names[i]));
    wsb_json_array_end(j);
    wsb_json_ku64(j, "not_before", info.not_before_s > 0 ? (uint64_t)info.not_before_s : 0);
    wsb_json_ku64(j, "not_after", info.not_after_s > 0 ? (uint64_t)info.not_after_s : 0);
    wsb_json_kcstr(j, "fingerprint", info.fingerprint);
    wsb_json_object_end(j);
}

void wsg_on_tls(const struct wsg_call *call)
{
    static const char *const asked[] = {"none", "optional", "required"};
    struct wsg_gate *gate = call->admin->gate;
    const struct wsg_tls_listeners *t = wsg_gate_tls(gate);
    struct wsb_json j;
    wsg_answer_begin(call->admin, call->id, &j);
    wsb_json_object(&j);
    wsb_json_key(&j, "listeners");
    wsb_json_array(&j);
    for (size_t i = 0; i < t->count; i++) {
        if (!t->contexts[i])
            continue;
        wsb_json_object(&j);
        wsb_json_kcstr(&j, "address", wsg_gate_listener(gate, i));
        wsb_json_kcstr(&j, "client_certificates", asked[wsg_gate_config(gate)->listeners[i].client_certificates]);
        wsb_json_key(&j, "certificates");
        wsb_json_array(&j);
        for (size_t k = 0; k < wsb_tls_certificate_count(t->contexts[i]); k++)
            write_certificate(wsb_tls_certificate_at(t->contexts[i], k), &j);
        wsb_json_array_end(&j);
        wsb_json_object_end(&j);
    }
    wsb_json_array_end(&j);
    wsb_json_object_end(&j);
    wsg_answer_end(call->client, call->id, &j);
}

void wsg_on_reload(const struct wsg_call *call)
{
    struct wsb_fault fault = {0};
    wsg_audit(call, "files");
    if (wsg_gate_reload(call->admin->gate, &fault) != WSB_OK)
        wsg_answer_error(call->client, call->id, WSG_RPC_REFUSED, "nothing has changed: %s", fault.text);
    else
        wsg_on_tls(call);
}
