/*
 * The shape of JSON. Input: a text.
 * Property: what a parser takes is never counted too small: with the depth and the values that it has the text passes, and with
 * a level less it does not.
 */
#include <jansson.h>
#include <stdlib.h>

#include "base/json_shape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void measure(json_t *v, size_t depth, struct wsb_json_shape *seen)
{
    const char *key;
    size_t i;
    json_t *inner;
    bool is_container = json_is_object(v) || json_is_array(v);
    seen->values++;
    seen->depth = depth + is_container > seen->depth ? depth + is_container : seen->depth;
    json_object_foreach(v, key, inner) measure(inner, depth + 1, seen);
    json_array_foreach(v, i, inner) measure(inner, depth + 1, seen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wsb_json_shape seen = {0}, less, enough;
    json_t *v = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (!v)
        return 0;
    measure(v, 0, &seen);
    json_decref(v);
    enough = (struct wsb_json_shape){seen.depth, 2 * seen.values};
    require(wsb_json_shape_check(wsb_span(data, size), &enough) == WSB_OK);
    less = (struct wsb_json_shape){seen.depth - 1, 2 * seen.values};
    require(seen.depth == 0 || wsb_json_shape_check(wsb_span(data, size), &less) == WSB_ERR_LIMIT);
    less = (struct wsb_json_shape){seen.depth, seen.values - 1};
    require(wsb_json_shape_check(wsb_span(data, size), &less) == WSB_ERR_LIMIT || seen.values == 1);
    return 0;
}
