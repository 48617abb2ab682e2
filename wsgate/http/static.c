/*
 * Names of static files. The request parser has refused dot segments already and the kernel will refuse to leave the
 * directory; this is checked here once more because a name must be safe on its own, whoever asks.
 */
#include "http/static.h"

static const char INDEX[] = "index.html";

static bool is_segment_ok(const uint8_t *p, size_t len)
{
    if (len == 0 || p[0] == '.') /* ".", ".." and everything hidden: .git, .htpasswd */
        return false;
    return !memchr(p, 0, len) && !memchr(p, '\\', len);
}

static bool is_name_ok(struct wsb_span name)
{
    size_t begin = 0;
    for (size_t i = 0; i <= name.len; i++) {
        if (i < name.len && name.ptr[i] != '/')
            continue;
        bool is_last_empty = i == name.len && begin == i; /* "dir/": index.html comes behind it */
        if (!is_last_empty && !is_segment_ok(name.ptr + begin, i - begin))
            return false;
        begin = i + 1;
    }
    return true;
}

enum wsg_static_what wsg_static_map(struct wsb_span path, struct wsb_span prefix, char ret_name[WSG_STATIC_NAME_SIZE])
{
    if (prefix.len && path.len == prefix.len - 1 && wsb_span_eq(path, wsb_span(prefix.ptr, prefix.len - 1)))
        return path.len ? WSG_STATIC_REDIRECT : WSG_STATIC_OUTSIDE;
    if (path.len < prefix.len || !wsb_span_eq(wsb_span(path.ptr, prefix.len), prefix))
        return WSG_STATIC_OUTSIDE;
    struct wsb_span name = wsb_span(path.ptr + prefix.len, path.len - prefix.len);
    bool is_directory = name.len == 0 || name.ptr[name.len - 1] == '/';
    size_t need = name.len + (is_directory ? sizeof INDEX : 1);
    if (need > WSG_STATIC_NAME_SIZE || !is_name_ok(name))
        return WSG_STATIC_REFUSED;
    if (name.len)
        memcpy(ret_name, name.ptr, name.len);
    memcpy(ret_name + name.len, is_directory ? INDEX : "", need - name.len);
    return WSG_STATIC_FILE;
}

static bool is_path_char(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c != 0 && strchr("/-._~", c));
}

wsb_err wsg_static_location_write(struct wsb_buf *out, struct wsb_span path, struct wsb_span query)
{
    size_t begin = out->len;
    wsb_err err = WSB_OK;
    for (size_t i = 0; !err && i < path.len; i++) {
        if (is_path_char(path.ptr[i]))
            err = wsb_buf_append(out, path.ptr + i, 1);
        else
            err = wsb_buf_printf(out, "%%%02X", (unsigned)path.ptr[i]);
    }
    if (!err)
        err = wsb_buf_append_str(out, "/");
    if (!err && query.ptr)
        err = wsb_buf_append_str(out, "?");
    if (!err && query.ptr)
        err = wsb_buf_append(out, query.ptr, query.len);
    if (err)
        out->len = begin;
    return err;
}
