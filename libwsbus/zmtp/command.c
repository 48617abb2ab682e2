/* Commands: a name with its length, and data. Metadata: names and values with their lengths. */
#include "zmtp/command.h"

enum { VALUE_LEN = 4, TTL_LEN = 2, TTL_UNIT_MS = 100 };

wsb_err wsb_zmtp_command_parse(struct wsb_span body, struct wsb_zmtp_command *ret)
{
    if (body.len == 0 || body.ptr[0] == 0 || (size_t)body.ptr[0] + 1 > body.len)
        return WSB_ERR_PROTO;
    size_t name_len = body.ptr[0];
    ret->name = wsb_span(body.ptr + 1, name_len);
    ret->data = wsb_span(body.ptr + 1 + name_len, body.len - 1 - name_len);
    return WSB_OK;
}

static struct wsb_span take(struct wsb_span *rest, size_t len)
{
    struct wsb_span taken = wsb_span(rest->ptr, len);
    *rest = wsb_span(rest->ptr + len, rest->len - len);
    return taken;
}

static wsb_err property_next(struct wsb_span *rest, struct wsb_span *ret_name, struct wsb_span *ret_value)
{
    size_t name_len = rest->ptr[0];
    if (name_len == 0 || rest->len < 1 + name_len + VALUE_LEN)
        return WSB_ERR_PROTO;
    (void)take(rest, 1);
    *ret_name = take(rest, name_len);
    struct wsb_span size = take(rest, VALUE_LEN);
    size_t value_len = (size_t)size.ptr[0] << 24 | (size_t)size.ptr[1] << 16 | (size_t)size.ptr[2] << 8 | size.ptr[3];
    if (value_len > rest->len)
        return WSB_ERR_PROTO;
    *ret_value = take(rest, value_len);
    return WSB_OK;
}

wsb_err wsb_zmtp_metadata_parse(struct wsb_span in, struct wsb_zmtp_metadata *ret)
{
    struct wsb_zmtp_metadata found = {0};
    struct wsb_span name, value;
    while (in.len) {
        wsb_err err = property_next(&in, &name, &value);
        if (err)
            return err;
        if (wsb_span_ieq_str(name, "Socket-Type"))
            found.socket_type = value;
        else if (wsb_span_ieq_str(name, "Identity"))
            found.identity = value;
    }
    if (found.identity.len > WSB_ZMTP_IDENTITY_MAX)
        return WSB_ERR_PROTO;
    *ret = found;
    return WSB_OK;
}

static size_t property_write(uint8_t *out, const char *name, const char *value)
{
    size_t name_len = strlen(name), value_len = strlen(value);
    out[0] = (uint8_t)name_len;
    memcpy(out + 1, name, name_len);
    uint8_t *at = out + 1 + name_len;
    at[0] = at[1] = at[2] = 0;
    at[3] = (uint8_t)value_len;
    memcpy(at + VALUE_LEN, value, value_len);
    return 1 + name_len + VALUE_LEN + value_len;
}

size_t wsb_zmtp_metadata_write(uint8_t out[WSB_ZMTP_METADATA_MAX], const char *socket_type)
{
    return property_write(out, "Socket-Type", socket_type);
}

wsb_err wsb_zmtp_ping_parse(struct wsb_span data, struct wsb_zmtp_ping *ret)
{
    if (data.len < TTL_LEN || data.len > TTL_LEN + WSB_ZMTP_CONTEXT_MAX)
        return WSB_ERR_PROTO;
    ret->ttl_ms = ((uint32_t)data.ptr[0] << 8 | data.ptr[1]) * TTL_UNIT_MS;
    ret->context = wsb_span(data.ptr + TTL_LEN, data.len - TTL_LEN);
    return WSB_OK;
}

size_t wsb_zmtp_pong_write(uint8_t out[WSB_ZMTP_PONG_MAX], struct wsb_span context)
{
    static const uint8_t name[] = {4, 'P', 'O', 'N', 'G'};
    memcpy(out, name, sizeof name);
    if (context.len)
        memcpy(out + sizeof name, context.ptr, context.len);
    return sizeof name + context.len;
}
