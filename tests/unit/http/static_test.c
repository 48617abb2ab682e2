/* File names, redirects and content types. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "http/mime.h"
#include "http/static.h"

static void test_map(void **state)
{
    (void)state;
    static const struct {
        const char *prefix;
        const char *path;
        enum wsg_static_what what;
        const char *name;
    } rows[] = {
        {"/", "/", WSG_STATIC_FILE, "index.html"},
        {"/", "/a.txt", WSG_STATIC_FILE, "a.txt"},
        {"/", "/a/b c\xc3\xa9", WSG_STATIC_FILE, "a/b c\xc3\xa9"},
        {"/", "/a/", WSG_STATIC_FILE, "a/index.html"},
        {"/", "/a..b/c.", WSG_STATIC_FILE, "a..b/c."},
        {"/", "", WSG_STATIC_OUTSIDE, NULL},
        {"/", "*", WSG_STATIC_OUTSIDE, NULL},
        {"/", "//a", WSG_STATIC_REFUSED, NULL},
        {"/", "//", WSG_STATIC_REFUSED, NULL},
        {"/", "/a//b", WSG_STATIC_REFUSED, NULL},
        {"/", "/a//", WSG_STATIC_REFUSED, NULL},
        {"/", "/..", WSG_STATIC_REFUSED, NULL},
        {"/", "/../a", WSG_STATIC_REFUSED, NULL},
        {"/", "/a/../b", WSG_STATIC_REFUSED, NULL},
        {"/", "/a/..", WSG_STATIC_REFUSED, NULL},
        {"/", "/./a", WSG_STATIC_REFUSED, NULL},
        {"/", "/.git/config", WSG_STATIC_REFUSED, NULL},
        {"/", "/a/.htpasswd", WSG_STATIC_REFUSED, NULL},
        {"/", "/a\\b", WSG_STATIC_REFUSED, NULL},
        {"/docs/", "/docs/a", WSG_STATIC_FILE, "a"},
        {"/docs/", "/docs/", WSG_STATIC_FILE, "index.html"},
        {"/docs/", "/docs", WSG_STATIC_REDIRECT, NULL},
        {"/docs/", "/docsx", WSG_STATIC_OUTSIDE, NULL},
        {"/docs/", "/doc", WSG_STATIC_OUTSIDE, NULL},
        {"/docs/", "/Docs/a", WSG_STATIC_OUTSIDE, NULL},
        {"/docs/", "/docs//etc/passwd", WSG_STATIC_REFUSED, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char name[WSG_STATIC_NAME_SIZE] = "untouched";
        enum wsg_static_what what = wsg_static_map(wsb_span_str(rows[i].path), wsb_span_str(rows[i].prefix), name);
        if (what != rows[i].what)
            fail_msg("%s below %s: %d", rows[i].path, rows[i].prefix, (int)what);
        assert_string_equal(name, rows[i].name ? rows[i].name : "untouched");
    }
}

static void test_map_refuses_nul_and_names_too_long(void **state)
{
    (void)state;
    static char path[WSG_STATIC_NAME_SIZE + 2];
    char name[WSG_STATIC_NAME_SIZE];
    struct wsb_span root = wsb_span_str("/");
    assert_int_equal(wsg_static_map(wsb_span("/a\0b", 4), root, name), WSG_STATIC_REFUSED);
    memset(path, 'a', sizeof path);
    path[0] = '/';
    assert_int_equal(wsg_static_map(wsb_span(path, WSG_STATIC_NAME_SIZE), root, name), WSG_STATIC_FILE);
    assert_int_equal(strlen(name), WSG_STATIC_NAME_SIZE - 1);
    assert_int_equal(wsg_static_map(wsb_span(path, WSG_STATIC_NAME_SIZE + 1), root, name), WSG_STATIC_REFUSED);
    size_t directory_max = WSG_STATIC_NAME_SIZE - sizeof "index.html" + 1; /* with both slashes */
    path[directory_max - 1] = '/';
    assert_int_equal(wsg_static_map(wsb_span(path, directory_max), root, name), WSG_STATIC_FILE);
    assert_int_equal(strlen(name), WSG_STATIC_NAME_SIZE - 1);
    path[directory_max - 1] = 'a';
    path[directory_max] = '/';
    assert_int_equal(wsg_static_map(wsb_span(path, directory_max + 1), root, name), WSG_STATIC_REFUSED);
}

static void test_location_is_encoded(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        const char *query;
        const char *want;
    } rows[] = {
        {"/a/b", NULL, "/a/b/"},          {"/a", "", "/a/?"},
        {"/a", "b=%20&c", "/a/?b=%20&c"}, {"/a b?#%\xc3\xa9\r\n", NULL, "/a%20b%3F%23%25%C3%A9%0D%0A/"},
        {"/-._~", NULL, "/-._~/"},        {"/a;b:c@d\"<", NULL, "/a%3Bb%3Ac%40d%22%3C/"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct wsb_buf out = {0};
        assert_int_equal(wsg_static_location_write(&out, wsb_span_str(rows[i].path), wsb_span_str(rows[i].query)),
                         WSB_OK);
        if (!wsb_span_eq_str(wsb_buf_span(&out), rows[i].want))
            fail_msg("%s: %.*s", rows[i].path, (int)out.len, (char *)out.data);
        wsb_buf_deinit(&out);
    }
    struct wsb_buf small;
    wsb_buf_init(&small, 4);
    assert_int_equal(wsg_static_location_write(&small, wsb_span_str("/abcd"), wsb_span_str(NULL)), WSB_ERR_LIMIT);
    assert_int_equal(small.len, 0);
    wsb_buf_deinit(&small);
}

static void test_mime(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *want;
    } rows[] = {
        {"index.html", "text/html; charset=utf-8"},
        {"a/b.JS", "text/javascript; charset=utf-8"},
        {"a.tar.gz", "application/gzip"},
        {"a.wasm", "application/wasm"},
        {"a.7z", "application/x-7z-compressed"},
        {"a.zst", "application/zstd"},
        {"a.svg", "image/svg+xml; charset=utf-8"},
        {"a.webmanifest", "application/manifest+json"},
        {"README", "application/octet-stream"},
        {"a.b/README", "application/octet-stream"},
        {"html", "application/octet-stream"},
        {"a.", "application/octet-stream"},
        {"", "application/octet-stream"},
        {"a.unknown", "application/octet-stream"},
        {"a.htmlhtmlhtmlhtml", "application/octet-stream"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(wsg_mime_type(wsb_span_str(rows[i].name)), rows[i].want);
}

/* The table is bisected: every extension in it has to be found, which an unsorted one would not allow. */
static void test_mime_finds_all_of_its_table(void **state)
{
    (void)state;
    static const char *const all[] = {
        "aac",         "apng", "atom", "avif",  "bmp",   "bz2",  "css", "csv",  "eot",  "epub", "flac", "geojson",
        "gif",         "glb",  "gltf", "gz",    "htm",   "html", "ico", "ics",  "jpeg", "jpg",  "js",   "json",
        "jsonld",      "jxl",  "log",  "m4a",   "map",   "md",   "mid", "mjs",  "mov",  "mp3",  "mp4",  "mpeg",
        "ndjson",      "oga",  "ogg",  "ogv",   "opus",  "otf",  "pdf", "png",  "rss",  "rtf",  "svg",  "tar",
        "tif",         "tiff", "toml", "ts",    "tsv",   "ttf",  "txt", "vtt",  "wasm", "wav",  "weba", "webm",
        "webmanifest", "webp", "woff", "woff2", "xhtml", "xml",  "xz",  "yaml", "yml",  "zip",  "zst",  "7z",
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "x.%s", all[i]);
        if (strcmp(wsg_mime_type(wsb_span_str(name)), "application/octet-stream") == 0)
            fail_msg("%s is not found", all[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_map_refuses_nul_and_names_too_long),
        cmocka_unit_test(test_location_is_encoded),
        cmocka_unit_test(test_mime),
        cmocka_unit_test(test_mime_finds_all_of_its_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
