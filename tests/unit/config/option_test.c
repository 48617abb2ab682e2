/* Each option once: a good value, what it becomes, a bad one, and the exact refusal; in the file and as a flag. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/cli.h"
#include "config/file.h"
#include "config/option.h"
#include "unit/config/format.h"

#define ROUTE  WSG_SECTION_ROUTE
#define BUS    WSG_SECTION_BUS
#define TIME   " is not a duration: write a number with ms, s, m or h, like 10s"
#define SIZE   " is not a size: write bytes, or a number with KiB, MiB or GiB, like 64KiB"
#define LEVELS " is not one of debug, info, wslog, warn or error"
#define TO_DAY " is out of range: from 1ms to 24h"

static const struct row {
    enum wsg_section section;
    const char *name;
    const char *good;
    const char *becomes; /* as config_format writes it */
    const char *bad;
    const char *refusal;
} rows[] = {
    {WSG_SECTION_TOP, "runtime_dir", "/run/x", "runtime_dir = \"/run/x\"", "", "'' is empty"},
    {WSG_SECTION_TOP, "bus_mode", "0660", "bus_mode = 0660", "0900",
     "'0900' is not a file mode: write it in octal, like 0660"},
    {WSG_SECTION_TOP, "workers", "64", "workers = 64", "65", "'65' is not a number from 1 to 64, or auto"},
    {WSG_SECTION_TOP, "metrics", "[::1]:9464", "metrics = \"[::1]:9464\"", "localhost:9464",
     "'localhost:9464' is not an address: the host is an IPv4 address, an IPv6 address in brackets, or *"},
    {WSG_SECTION_TOP, "metrics_token", "/etc/t", "metrics_token = \"/etc/t\"", "", "'' is empty"},
    {WSG_SECTION_TOP, "trusted_proxies", "10.0.0.0/8", "trusted_proxies = {\"10.0.0.0/8\"}", "10.0.0.1/8",
     "'10.0.0.1/8' has bits behind its 8: write 10.0.0.0/8, or fewer addresses"},
    {WSG_SECTION_TOP, "forwarded", "x-forwarded-for", "forwarded = x-forwarded-for", "yes",
     "'yes' is not one of none, x-forwarded-for or forwarded"},
    {WSG_SECTION_TOP, "request_id", "off", "request_id = no", "maybe", "'maybe' is not yes or no"},
    {WSG_SECTION_TOP, "trace", "make", "trace = make", "on", "'on' is not one of pass or make"},
    {BUS, "handlers", "tcp://[::1]:5555", "handlers = \"tcp://[::1]:5555\"", "tcp://127.0.0.1",
     "'tcp://127.0.0.1' is not an endpoint: write it like tcp://127.0.0.1:5555 or tcp://[::1]:5555"},
    {BUS, "events", "tcp://localhost:*", "events = \"tcp://localhost:*\"", "tcp://127.0.0.1:65536",
     "'tcp://127.0.0.1:65536' is not an endpoint: the port is a number up to 65535, or * for any"},
    {BUS, "commands", "tcp://127.1.2.3:0", "commands = \"tcp://127.1.2.3:0\"", "tcp://gate.example.org:5555",
     "'tcp://gate.example.org:5555' is not an endpoint: the host is an IPv4 address, an IPv6 address in brackets, "
     "localhost, or * for every IPv4 address"},
    {BUS, "curve_secret", "/etc/k", "curve_secret = \"/etc/k\"", "", "'' is empty"},
    {BUS, "shm", "no", "shm = no", "maybe", "'maybe' is not yes or no"},
    {BUS, "shm_ring", "2MiB", "shm_ring = 2097152", "1KiB", "'1KiB' is out of range: from 64KiB to 64MiB"},
    {BUS, "shm_memory", "1GiB", "shm_memory = 1073741824", "0", "'0' is out of range: from 1MiB to 1024GiB"},
    {BUS, "zmq_peers", "8", "zmq_peers = 8", "7", "'7' is out of range: from 8 to 65536"},
    {BUS, "shm_handlers", "3", "shm_handlers = 3", "0", "'0' is out of range: from 1 to 4096"},
    {BUS, "shm_allow", "root @0", "shm_allow = \"root @0\"", "nobody-of-that-name",
     "there is no user 'nobody-of-that-name' on this host"},
    {BUS, "curve_clients", "/etc/c", "curve_clients = \"/etc/c\"", "", "'' is empty"},
    {WSG_SECTION_LISTEN, "mode", "666", "mode = 0666", "0066",
     "'0066' is out of range: from 0600 to 0777, and its owner may always read and write"},
    {WSG_SECTION_LISTEN, "allow", "192.0.2.0/24", "allow = {\"192.0.2.0/24\"}", "192.0.2.0/33",
     "'192.0.2.0/33': a network has 0 to 32 bits"},
    {WSG_SECTION_LISTEN, "deny", "unix", "deny = {\"unix\"}", "localhost",
     "'localhost' is not an address, or a network like 10.0.0.0/8 or 2001:db8::/32, or unix, or unknown"},
    {WSG_SECTION_LISTEN, "proxy_protocol", "yes", "proxy_protocol = yes", "v2", "'v2' is not yes or no"},
    {WSG_SECTION_LISTEN, "max_head", "8KiB", "max_head = 8192", "1", "'1' is out of range: from 1KiB to 1MiB"},
    {WSG_SECTION_LISTEN, "max_headers", "30", "max_headers = 30", "0", "'0' is out of range: from 1 to 10000"},
    {WSG_SECTION_LISTEN, "head_timeout", "5s", "head_timeout = 5000ms", "0", "'0' is out of range: from 1ms to 24h"},
    {WSG_SECTION_LISTEN, "tls_handshake_timeout", "5s", "tls_handshake_timeout = 5000ms", "48h",
     "'48h' is out of range: from 1ms to 24h"},
    {WSG_SECTION_LISTEN, "certificates", "/a.pem", "certificates = {\"/a.pem\"}", "", "'' is empty"},
    {WSG_SECTION_LISTEN, "keys", "/a.key", "keys = {\"/a.key\"}", "", "'' is empty"},
    {WSG_SECTION_LISTEN, "client_certificates", "required", "client_certificates = required", "yes",
     "'yes' is not one of none, optional or required"},
    {WSG_SECTION_LISTEN, "client_ca", "/ca.pem", "client_ca = \"/ca.pem\"", "", "'' is empty"},
    {WSG_SECTION_LISTEN, "tls_min_version", "1.3", "tls_min_version = 1.3", "1.1", "'1.1' is not one of 1.2 or 1.3"},
    {WSG_SECTION_LISTEN, "tls_ciphers", "ECDHE+AESGCM", "tls_ciphers = \"ECDHE+AESGCM\"", "", "'' is empty"},
    {ROUTE, "path", "/a/{b}", "path = \"/a/{b}\"", "a", "pattern \"a\", column 1: a pattern begins with '/'"},
    {ROUTE, "host", "example.org", "host = \"example.org\"", "example.org:80",
     "'example.org:80' is not a host: write it as clients do, without a port, like example.org"},
    {ROUTE, "kind", "http", "kind = http", "HTTP", "'HTTP' is not one of websocket, http, both or gatekeeper"},
    {ROUTE, "deliver", "publish", "deliver = publish", "pub", "'pub' is not one of queue or publish"},
    {ROUTE, "tap", "on", "tap = yes", "2", "'2' is not yes or no"},
    {ROUTE, "accept", "handler", "accept = handler", "", "'' is not one of gate or handler"},
    {ROUTE, "gatekeeper", "door", "gatekeeper = \"door\"", "a b",
     "'a b' is not a route's name: 1 to 64 letters, digits, '_', '.' and '-'"},
    {ROUTE, "no_handler", "wait", "no_handler = wait", "stay", "'stay' is not one of refuse, close or wait"},
    {ROUTE, "handler_wait", "1m", "handler_wait = 60000ms", "0", "'0'" TO_DAY},
    {ROUTE, "handler_full", "drop-old", "handler_full = drop-old", "drop",
     "'drop' is not one of pause, drop-new, drop-old or close"},
    {ROUTE, "max_retained", "1KiB", "max_retained = 1024", "1000", "'1000' is out of range: from 1KiB to 1024GiB"},
    {ROUTE, "max_backlog", "0", "max_backlog = 0", "2000GiB", "'2000GiB' is out of range: from 0 to 1024GiB"},
    {ROUTE, "ack_timeout", "90s", "ack_timeout = 90000ms", "999ms", "'999ms' is out of range: from 1s to 24h"},
    {ROUTE, "handler_grace", "0", "handler_grace = 0ms", "25h", "'25h' is out of range: from 0 to 24h"},
    {ROUTE, "max_deliveries", "5", "max_deliveries = 5", "101", "'101' is out of range: from 0 to 100"},
    {ROUTE, "undeliverable", "skip", "undeliverable = skip", "drop", "'drop' is not one of close or skip"},
    {ROUTE, "pin", "hash", "pin = hash", "key", "'key' is not one of fewest or hash"},
    {ROUTE, "pin_key", "query:user", "pin_key = \"query:user\"", "", "'' is empty"},
    {ROUTE, "user", "cookie:name", "user = \"cookie:name\"", "", "'' is empty"},
    {ROUTE, "join", "room:all", "join = {\"room:all\"}", "", "'' is empty"},
    {ROUTE, "check_text", "no", "check_text = no", "maybe", "'maybe' is not one of yes or no"},
    {ROUTE, "subprotocols", "chat.v1", "subprotocols = {\"chat.v1\"}", "a b",
     "'a b' is not a subprotocol: 1 to 128 letters, digits and !#$%&'*+-./^_`|~"},
    {ROUTE, "compress", "on", "compress = yes", "gzip", "'gzip' is not yes or no"},
    {ROUTE, "compress_takeover", "yes", "compress_takeover = yes", "", "'' is not yes or no"},
    {ROUTE, "compress_threshold", "0", "compress_threshold = 0", "2GiB", "'2GiB' is out of range: from 0 to 1GiB"},
    {ROUTE, "compress_level", "9", "compress_level = 9", "0", "'0' is out of range: from 1 to 9"},
    {ROUTE, "compress_window", "15", "compress_window = 15", "8", "'8' is out of range: from 9 to 15"},
    {ROUTE, "gzip", "on", "gzip = yes", "br", "'br' is not yes or no"},
    {ROUTE, "gzip_level", "9", "gzip_level = 9", "0", "'0' is out of range: from 1 to 9"},
    {ROUTE, "gzip_min", "0", "gzip_min = 0", "2GiB", "'2GiB' is out of range: from 0 to 1GiB"},
    {ROUTE, "max_message", "20MiB", "max_message = 20971520", "2GiB", "'2GiB' is out of range: from 1B to 1GiB"},
    {ROUTE, "max_frame", "64KiB", "max_frame = 65536", "64kb", "'64kb'" SIZE},
    {ROUTE, "max_fragments", "4294967295", "max_fragments = 4294967295", "4294967296",
     "'4294967296' is out of range: from 1 to 4294967295"},
    {ROUTE, "max_queue", "1GiB", "max_queue = 1073741824", "1023", "'1023' is out of range: from 1KiB to 1024GiB"},
    {ROUTE, "max_queue_messages", "1", "max_queue_messages = 1", "0", "'0' is out of range: from 1 to 4294967295"},
    {ROUTE, "slow_client", "conflate", "slow_client = conflate", "drop",
     "'drop' is not one of close, drop-new, drop-old or conflate"},
    {ROUTE, "max_body", "0", "max_body = 0", "-1", "'-1'" SIZE},
    {ROUTE, "expect", "handler", "expect = handler", "client", "'client' is not one of gate or handler"},
    {ROUTE, "half_close", "abort", "half_close = abort", "keep", "'keep' is not one of answer or abort"},
    {ROUTE, "accept_timeout", "1h", "accept_timeout = 3600000ms", "0", "'0'" TO_DAY},
    {ROUTE, "body_timeout", "2m", "body_timeout = 120000ms", "25h", "'25h' is out of range: from 0 to 24h"},
    {ROUTE, "request_timeout", "500ms", "request_timeout = 500ms", "5", "'5'" TIME},
    {ROUTE, "stream_timeout", "0", "stream_timeout = 0ms", "25h", "'25h' is out of range: from 0 to 24h"},
    {ROUTE, "sse_keepalive", "20s", "sse_keepalive = 20000ms", "20", "'20'" TIME},
    {ROUTE, "allow", "2001:db8::/32", "allow = {\"2001:db8::/32\"}", "2001:db8::/129",
     "'2001:db8::/129': a network has 0 to 128 bits"},
    {ROUTE, "deny", "192.0.2.1", "deny = {\"192.0.2.1\"}", "",
     "'' is not an address, or a network like 10.0.0.0/8 or 2001:db8::/32, or unix, or unknown"},
    {ROUTE, "token", "query:token", "token = \"query:token\"", "", "'' is empty"},
    {ROUTE, "token_keys", "/etc/k", "token_keys = \"/etc/k\"", "", "'' is empty"},
    {ROUTE, "token_issuer", "https://id.example", "token_issuer = \"https://id.example\"", "", "'' is empty"},
    {ROUTE, "token_audience", "chat", "token_audience = \"chat\"", "", "'' is empty"},
    {ROUTE, "token_leeway", "0", "token_leeway = 0ms", "2h", "'2h' is out of range: from 0 to 1h"},
    {ROUTE, "token_expiry", "keep", "token_expiry = keep", "end", "'end' is not one of keep or close"},
    {ROUTE, "origins", "https://*.example.org", "origins = {\"https://*.example.org\"}", "example.org",
     "'example.org' is no origin: write any, none, same, null, https://app.example.org or https://*.example.org, "
     "without "
     "a path"},
    {ROUTE, "methods", "PATCH", "methods = {\"PATCH\"}", "TRACE",
     "'TRACE' is not one of GET, HEAD, POST, PUT, DELETE, PATCH or OPTIONS"},
    {ROUTE, "cors_origins", "any", "cors_origins = {\"any\"}", "none",
     "'none' is no origin of other pages: write any, null, https://app.example.org or https://*.example.org"},
    {ROUTE, "cors_methods", "PUT", "cors_methods = {\"PUT\"}", "put",
     "'put' is not one of GET, HEAD, POST, PUT, DELETE, PATCH or OPTIONS"},
    {ROUTE, "cors_headers", "any", "cors_headers = {\"any\"}", "*",
     "'*' is not the name of a header: write it like X-Total"},
    {ROUTE, "cors_expose", "X-Total", "cors_expose = {\"X-Total\"}", "a b",
     "'a b' is not the name of a header: write it like X-Total"},
    {ROUTE, "cors_credentials", "yes", "cors_credentials = yes", "include", "'include' is not yes or no"},
    {ROUTE, "cors_max_age", "2h", "cors_max_age = 7200000ms", "7200", "'7200'" TIME},
    {ROUTE, "require_subprotocol", "no", "require_subprotocol = no", "maybe", "'maybe' is not yes or no"},
    {ROUTE, "max_connections", "1000", "max_connections = 1000", "16777217",
     "'16777217' is out of range: from 0 to 16777216"},
    {ROUTE, "max_pending", "0", "max_pending = 0", "16777217", "'16777217' is out of range: from 0 to 16777216"},
    {ROUTE, "handshake_rate", "100", "handshake_rate = 100", "1000001", "'1000001' is out of range: from 0 to 1000000"},
    {ROUTE, "handshake_burst", "2", "handshake_burst = 2", "1", "'1' is out of range: from 2 to 1000000"},
    {ROUTE, "ping_interval", "0", "ping_interval = 0ms", "25h", "'25h' is out of range: from 0 to 24h"},
    {ROUTE, "ping_timeout", "5s", "ping_timeout = 5000ms", "5", "'5'" TIME},
    {ROUTE, "message_timeout", "30s", "message_timeout = 30000ms", "25h", "'25h' is out of range: from 0 to 24h"},
    {ROUTE, "idle_timeout", "168h", "idle_timeout = 604800000ms", "169h", "'169h' is out of range: from 0 to 168h"},
    {ROUTE, "lifetime", "2h", "lifetime = 7200000ms", "2d", "'2d'" TIME},
    {ROUTE, "message_rate", "0", "message_rate = 0", "1000001", "'1000001' is out of range: from 0 to 1000000"},
    {ROUTE, "message_burst", "0", "message_burst = 0", "-1", "'-1' is not a whole number"},
    {ROUTE, "byte_rate", "64KiB", "byte_rate = 65536", "2000GiB", "'2000GiB' is out of range: from 0 to 1024GiB"},
    {ROUTE, "byte_burst", "0", "byte_burst = 0", "1k", "'1k'" SIZE},
    {ROUTE, "over_rate", "close", "over_rate = close", "drop", "'drop' is not one of pause or close"},
    {WSG_SECTION_STATIC, "gzip_static", "yes", "gzip_static = yes", "always", "'always' is not yes or no"},
    {WSG_SECTION_STATIC, "directory", "/srv", "directory = \"/srv\"", "", "'' is empty"},
    {WSG_SECTION_STATIC, "cors_origins", "any", "cors_origins = {\"any\"}", "none",
     "'none' is no origin of other pages: write any, null, https://app.example.org or https://*.example.org"},
    {WSG_SECTION_STATIC, "cors_headers", "any", "cors_headers = {\"any\"}", "*",
     "'*' is not the name of a header: write it like X-Total"},
    {WSG_SECTION_STATIC, "cors_expose", "X-Total", "cors_expose = {\"X-Total\"}", "a b",
     "'a b' is not the name of a header: write it like X-Total"},
    {WSG_SECTION_STATIC, "cors_credentials", "yes", "cors_credentials = yes", "include", "'include' is not yes or no"},
    {WSG_SECTION_STATIC, "cors_max_age", "2h", "cors_max_age = 7200000ms", "7200", "'7200'" TIME},
    {WSG_SECTION_DIAL, "url", "ws://h/", "url = \"ws://h/\"", "", "'' is empty"},
    {WSG_SECTION_DIAL, "route", "r", "route = \"r\"", "", "'' is empty"},
    {WSG_SECTION_DIAL, "headers", "A: b", "headers = {\"A: b\"}", "", "'' is empty"},
    {WSG_SECTION_DIAL, "subprotocols", "v1", "subprotocols = {\"v1\"}", "a b",
     "'a b' is not a subprotocol: 1 to 128 letters, digits and !#$%&'*+-./^_`|~"},
    {WSG_SECTION_DIAL, "origin", "https://o", "origin = \"https://o\"", "", "'' is empty"},
    {WSG_SECTION_DIAL, "user", "u", "user = \"u\"", "", "'' is empty"},
    {WSG_SECTION_DIAL, "groups", "g", "groups = {\"g\"}", "", "'' is empty"},
    {WSG_SECTION_DIAL, "ca", "/a", "ca = \"/a\"", "", "'' is empty"},
    {WSG_SECTION_DIAL, "certificate", "/a", "certificate = \"/a\"", "", "'' is empty"},
    {WSG_SECTION_DIAL, "key", "/a", "key = \"/a\"", "", "'' is empty"},
    {WSG_SECTION_DIAL, "insecure", "yes", "insecure = yes", "maybe", "'maybe' is not yes or no"},
    {WSG_SECTION_DIAL, "timeout", "3s", "timeout = 3000ms", "0", "'0'" TO_DAY},
    {WSG_SECTION_DIAL, "retry_min", "1s", "retry_min = 1000ms", "0", "'0'" TO_DAY},
    {WSG_SECTION_DIAL, "retry_max", "24h", "retry_max = 86400000ms", "25h", "'25h'" TO_DAY},
    {WSG_SECTION_LOG, "level", "warn", "level = warn", "warning", "'warning'" LEVELS},
    {WSG_SECTION_LOG, "format", "json", "format = json", "xml", "'xml' is not one of logfmt or json"},
    {WSG_SECTION_LOG, "levels", "ws=debug", "levels = {\"ws=debug\"}", "tls=debug",
     "'tls=debug' is not MODULE=LEVEL, where a module is one of gate, http, ws, bus, link, admin or handler"},
    {WSG_SECTION_LOG, "access_log", "/var/log/a", "access_log = \"/var/log/a\"", "", "'' is empty"},
    {WSG_SECTION_LOG, "access_format", "json", "access_format = json", "clf", "'clf' is not one of combined or json"},
    {WSG_SECTION_TIMEOUTS, "tls_handshake", "3s", "tls_handshake = 3000ms", "0", "'0'" TO_DAY},
    {WSG_SECTION_TIMEOUTS, "head", "24h", "head = 86400000ms", "25h", "'25h'" TO_DAY},
    {WSG_SECTION_TIMEOUTS, "keepalive", "2m", "keepalive = 120000ms", "2min", "'2min'" TIME},
    {WSG_SECTION_TIMEOUTS, "close", "1ms", "close = 1ms", "0", "'0'" TO_DAY},
    {WSG_SECTION_TIMEOUTS, "drain", "0", "drain = 0ms", "ms", "'ms'" TIME},
    {WSG_SECTION_TIMEOUTS, "drain_delay", "5s", "drain_delay = 5000ms", "ms", "'ms'" TIME},
    {WSG_SECTION_TIMEOUTS, "drain_spread", "0", "drain_spread = 0ms", "ms", "'ms'" TIME},
    {WSG_SECTION_TIMEOUTS, "ping_interval", "30s", "ping_interval = 30000ms", "1.5s", "'1.5s'" TIME},
    {WSG_SECTION_TIMEOUTS, "ping_timeout", "7s", "ping_timeout = 7000ms", "18446744073709551617ms",
     "'18446744073709551617ms'" TO_DAY},
    {WSG_SECTION_LIMITS, "connections", "1000", "connections = 1000", "0", "'0' is out of range: from 1 to 16777216"},
    {WSG_SECTION_LIMITS, "connections_per_address", "100", "connections_per_address = 100", "x",
     "'x' is not a whole number"},
    {WSG_SECTION_LIMITS, "accept_rate", "20", "accept_rate = 20", "1000001",
     "'1000001' is out of range: from 0 to 1000000"},
    {WSG_SECTION_LIMITS, "accept_burst", "1", "accept_burst = 1", "0", "'0' is out of range: from 1 to 1000000"},
    {WSG_SECTION_LIMITS, "handshake_rate", "500", "handshake_rate = 500", "-1", "'-1' is not a whole number"},
    {WSG_SECTION_LIMITS, "handshake_burst", "1000", "handshake_burst = 1000", "1",
     "'1' is out of range: from 2 to 1000000"},
    {WSG_SECTION_LIMITS, "refuse", "503", "refuse = 503", "429", "'429' is not one of drop or 503"},
    {WSG_SECTION_LIMITS, "tls_handshakes", "5", "tls_handshakes = 5", "0", "'0' is out of range: from 1 to 1048576"},
    {WSG_SECTION_LIMITS, "head", "1KiB", "head = 1024", "18014398509481985KiB",
     "'18014398509481985KiB' is out of range: from 1KiB to 1MiB"},
    {WSG_SECTION_LIMITS, "headers", "10000", "headers = 10000", "0x10", "'0x10' is not a whole number"},
    {WSG_SECTION_LIMITS, "message_memory", "1GiB", "message_memory = 1073741824", "1000",
     "'1000' is out of range: from 1KiB to 1024GiB"},
    {WSG_SECTION_LIMITS, "compress_memory", "1GiB", "compress_memory = 1073741824", "2000GiB",
     "'2000GiB' is out of range: from 0 to 1024GiB"},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static bool wants_origins(const char *name)
{
    return strncmp(name, "cors_", 5) == 0 && strcmp(name, "cors_origins") != 0;
}

/* What stands around the option: everything else that its section needs. */
static void file_text(char *buf, size_t buf_len, const struct row *row, const char *value)
{
    static const char *const before[WSG_SECTIONS] = {"",
                                                     "listen \"unix:/a\" {\n",
                                                     "route r {\npath = /r\n",
                                                     "static / {\ndirectory = /d\n",
                                                     "dial d {\n",
                                                     "bus {\n",
                                                     "log {\n",
                                                     "timeouts {\n",
                                                     "limits {\n"};
    const char *head = before[row->section];
    const char *tail = row->section ? "}\n" : "";
    if (row->section == ROUTE && strcmp(row->name, "path") == 0)
        head = "route r {\n\n";
    if (row->section == ROUTE && strcmp(row->name, "gatekeeper") == 0)
        tail = "kind = websocket\n}\n";
    if (row->section == WSG_SECTION_STATIC && strcmp(row->name, "directory") == 0)
        head = "static / {\n\n";
    if (row->section == WSG_SECTION_DIAL)
        tail = strcmp(row->name, "url") == 0     ? "route = r\n}\n"
               : strcmp(row->name, "route") == 0 ? "url = \"ws://h/\"\n}\n"
               : strcmp(row->name, "key") == 0   ? "url = \"ws://h/\"\nroute = r\ncertificate = /c\n}\n"
                                                 : "url = \"ws://h/\"\nroute = r\n}\n";
    if (row->section == WSG_SECTION_LISTEN && strstr(row->name, "client_ce")) /* what TLS options want each other for */
        tail = "certificates = /a\nclient_ca = /b\n}\n";
    else if (row->section == WSG_SECTION_LISTEN && strcmp(row->name, "client_ca") == 0)
        tail = "certificates = /a\nclient_certificates = optional\n}\n";
    else if (row->section == WSG_SECTION_LISTEN && strcmp(row->name, "mode") != 0 &&
             strcmp(row->name, "certificates") != 0)
        tail = "certificates = /a\n}\n";
    else if (wants_origins(row->name))
        tail = "cors_origins = \"https://a\"\n}\n";
    (void)snprintf(buf, buf_len, "%s%s = \"%s\"\n%s", head, row->name, value, tail);
}

static int line_of(const struct row *row)
{
    return row->section == WSG_SECTION_TOP ? 1 : row->section == ROUTE || row->section == WSG_SECTION_STATIC ? 3 : 2;
}

static void test_option_every_one_has_a_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < wsg_option_count; i++) {
        size_t found = 0;
        for (size_t k = 0; k < ROWS; k++)
            found += rows[k].section == wsg_options[i].section && strcmp(rows[k].name, wsg_options[i].name) == 0;
        if (found != 1)
            fail_msg("%s.%s has %zu rows", wsg_section_name(wsg_options[i].section), wsg_options[i].name, found);
    }
    assert_int_equal(ROWS, wsg_option_count);
}

static void test_option_good_value_in_the_file(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        char text[300];
        char line[80];
        struct wsg_config c;
        struct wsb_fault fault = {0};
        struct wsb_buf out;
        wsg_config_init(&c);
        file_text(text, sizeof text, &rows[i], rows[i].good);
        if (first_of_parse("f", text, strlen(text), &c, &fault))
            fail_msg("%s: %s", rows[i].name, fault.text);
        config_format(&c, &out);
        (void)snprintf(line, sizeof line, "\n%s\n", rows[i].becomes);
        if (!strstr((const char *)out.data, line) &&
            strncmp((const char *)out.data, rows[i].becomes, strlen(rows[i].becomes)) != 0)
            fail_msg("%s is not in:\n%s", rows[i].becomes, (const char *)out.data);
        wsb_buf_deinit(&out);
        wsg_config_deinit(&c);
    }
}

static const struct row *row_of(enum wsg_section section, const char *name)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].section == section && strcmp(rows[i].name, name) == 0)
            return &rows[i];
    }
    fail_msg("a synonym is of %s.%s, and there is no such option", wsg_section_name(section), name);
    return NULL;
}

/* Another name is taken wherever the documented one is, and both together are the same thing twice. */
static void test_option_synonyms_in_the_file(void **state)
{
    (void)state;
    assert_non_null(wsg_option_synonyms[0].word);
    for (const struct wsg_synonym *s = wsg_option_synonyms; s->word; s++) {
        const struct row *row = row_of(s->section, s->name);
        char text[300], again[300], line[80], *at;
        struct wsg_config c;
        struct wsb_fault fault = {0};
        struct wsb_buf out;
        wsg_config_init(&c);
        file_text(text, sizeof text, row, row->good);
        at = strstr(text, row->name);
        assert_non_null(at);
        (void)snprintf(again, sizeof again, "%.*s%s%s", (int)(at - text), text, s->word, at + strlen(row->name));
        if (first_of_parse("f", again, strlen(again), &c, &fault))
            fail_msg("%s: %s", s->word, fault.text);
        config_format(&c, &out);
        (void)snprintf(line, sizeof line, "%s\n", row->becomes);
        assert_non_null(strstr((const char *)out.data, line));
        wsb_buf_deinit(&out);
        wsg_config_deinit(&c);
        wsg_config_init(&c);
        (void)snprintf(again, sizeof again, "%.*s%s = \"%s\"\n%s", (int)(at - text), text, s->word, row->good, at);
        assert_int_equal(first_of_parse("f", again, strlen(again), &c, &fault), WSB_ERR_CONFIG);
        (void)snprintf(line, sizeof line, "%s: it is set twice", row->name);
        assert_non_null(strstr(fault.text, line));
        wsg_config_deinit(&c);
    }
}

static void test_option_synonyms_of_words(void **state)
{
    static const char *const spelled[][2] = {
        {"deliver = handler", "\ndeliver = queue\n"},
        {"deliver = handlers", "\ndeliver = queue\n"},
        {"handler_full = drop_new", "\nhandler_full = drop-new\n"},
        {"handler_full = drop_old", "\nhandler_full = drop-old\n"},
        {"slow_client = drop_new", "\nslow_client = drop-new\n"},
        {"slow_client = drop_old", "\nslow_client = drop-old\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof spelled / sizeof spelled[0]; i++) {
        char text[200];
        struct wsg_config c;
        struct wsb_fault fault = {0};
        struct wsb_buf out;
        wsg_config_init(&c);
        (void)snprintf(text, sizeof text, "route r {\npath = /r\n%s\n}\n", spelled[i][0]);
        if (first_of_parse("f", text, strlen(text), &c, &fault))
            fail_msg("%s: %s", spelled[i][0], fault.text);
        config_format(&c, &out);
        if (!strstr((const char *)out.data, spelled[i][1]))
            fail_msg("%s is not in:\n%s", spelled[i][1], (const char *)out.data);
        wsb_buf_deinit(&out);
        wsg_config_deinit(&c);
    }
}

/* Nobody can tell two names of one thing from two things: a synonym is no name of another option, nor of a section. */
static void test_option_synonyms_mean_one_thing(void **state)
{
    (void)state;
    for (const struct wsg_synonym *s = wsg_option_synonyms; s->word; s++) {
        for (size_t i = 0; i < wsg_option_count; i++)
            assert_false(wsg_options[i].section == s->section && strcmp(wsg_options[i].name, s->word) == 0);
        for (enum wsg_section k = WSG_SECTION_LISTEN; s->section == WSG_SECTION_TOP && k < WSG_SECTIONS; k++)
            assert_string_not_equal(wsg_section_name(k), s->word);
        for (const struct wsg_synonym *t = s + 1; t->word; t++)
            assert_false(t->section == s->section && strcmp(t->word, s->word) == 0);
    }
}

static void test_option_bad_value_in_the_file(void **state)
{
    (void)state;
    static const char *const where[WSG_SECTIONS] = {
        "",      "listen 'unix:/a': ", "route 'r': ", "static '/': ", "dial 'd': ", "bus: ",
        "log: ", "timeouts: ",         "limits: "};
    for (size_t i = 0; i < ROWS; i++) {
        char text[300];
        char want[300];
        struct wsg_config c;
        struct wsb_fault fault = {0};
        wsg_config_init(&c);
        file_text(text, sizeof text, &rows[i], rows[i].bad);
        assert_int_equal(first_of_parse("f", text, strlen(text), &c, &fault), WSB_ERR_CONFIG);
        (void)snprintf(want, sizeof want, "f:%d: %s%s: %s", line_of(&rows[i]), where[rows[i].section], rows[i].name,
                       rows[i].refusal);
        assert_string_equal(fault.text, want);
        assert_int_equal(fault.line, line_of(&rows[i]));
        assert_int_equal(fault.err, WSB_ERR_CONFIG);
        assert_int_equal(first_of_parse("f", text, strlen(text), &c, NULL) != WSB_OK, 1);
        wsg_config_deinit(&c);
    }
}

static wsb_err flag_run(const char *flag, const char *value, struct wsg_config *c, struct wsb_fault *fault)
{
    char arg[200];
    char *argv[] = {(char *)"wsgate",
                    (char *)"--listen=unix:/a",
                    (char *)"--bus-handlers=tcp://127.0.0.1:1", /* these three want each other */
                    (char *)"--curve-secret=/s",
                    (char *)"--curve-clients=/c",
                    (char *)"--metrics=127.0.0.1:9464", /* its token wants it */
                    (char *)"--route=door=,kind=gatekeeper",
                    arg,
                    NULL};
    enum wsg_action action;
    (void)snprintf(arg, sizeof arg, "--%s=%s", flag, value);
    wsg_config_init(c);
    return first_of_args(8, argv, c, &action, fault);
}

static void test_option_flag_says_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        const struct wsg_option *o = wsg_option_find(rows[i].section, rows[i].name);
        struct wsg_config c;
        struct wsb_fault fault = {0};
        struct wsb_buf out;
        char want[300];
        if (!o->flag)
            continue;
        if (flag_run(o->flag, rows[i].good, &c, &fault))
            fail_msg("%s", fault.text);
        config_format(&c, &out);
        if (!strstr((const char *)out.data, rows[i].becomes))
            fail_msg("%s is not in:\n%s", rows[i].becomes, (const char *)out.data);
        wsb_buf_deinit(&out);
        wsg_config_deinit(&c);
        assert_int_equal(flag_run(o->flag, rows[i].bad, &c, &fault), WSB_ERR_CONFIG);
        (void)snprintf(want, sizeof want, "--%s: %s", o->flag, rows[i].refusal);
        assert_string_equal(fault.text, want);
        wsg_config_deinit(&c);
    }
}

/* "key=value" of --route is the same as the option in the section. */
static void test_option_route_key_says_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        struct wsg_config c;
        struct wsb_fault fault = {0};
        struct wsb_buf out;
        char value[200];
        char want[300];
        if (rows[i].section != ROUTE || strcmp(rows[i].name, "path") == 0)
            continue;
        const char *kind = strcmp(rows[i].name, "gatekeeper") == 0 ? "kind=websocket," : ""; /* it wants that */
        const char *with = wants_origins(rows[i].name) ? ",cors_origins=https://a" : "";
        (void)snprintf(value, sizeof value, "r=/r,%s%s=%s%s", kind, rows[i].name, rows[i].good, with);
        if (flag_run("route", value, &c, &fault))
            fail_msg("%s", fault.text);
        config_format(&c, &out);
        if (!strstr((const char *)out.data, rows[i].becomes))
            fail_msg("%s is not in:\n%s", rows[i].becomes, (const char *)out.data);
        wsb_buf_deinit(&out);
        wsg_config_deinit(&c);
        (void)snprintf(value, sizeof value, "r=/r,%s%s=%s", kind, rows[i].name, rows[i].bad);
        assert_int_equal(flag_run("route", value, &c, &fault), WSB_ERR_CONFIG);
        (void)snprintf(want, sizeof want, "--route: 'r': %s: %s", rows[i].name, rows[i].refusal);
        assert_string_equal(fault.text, want);
        wsg_config_deinit(&c);
    }
}

static void assert_file_names_every_option(const char *path, const char *prefix, const char *suffix)
{
    static char text[64 * 1024];
    char full[300];
    (void)snprintf(full, sizeof full, "%s/%s", WSBUS_SOURCE_DIR, path);
    FILE *f = fopen(full, "re");
    if (!f)
        fail_msg("cannot open %s", full);
    size_t len = fread(text, 1, sizeof text - 1, f);
    text[len] = 0;
    (void)fclose(f);
    for (size_t i = 0; i < wsg_option_count; i++) {
        char want[80];
        (void)snprintf(want, sizeof want, "%s%s%s", prefix, wsg_options[i].name, suffix);
        if (!strstr(text, want))
            fail_msg("%s does not document %s (looked for '%s')", path, wsg_options[i].name, want);
    }
    for (size_t s = 1; s < WSG_SECTIONS; s++) {
        if (!strstr(text, wsg_section_name((enum wsg_section)s)))
            fail_msg("%s has no section %s", path, wsg_section_name((enum wsg_section)s));
    }
}

static void test_option_is_documented(void **state)
{
    (void)state;
    assert_file_names_every_option("examples/wsgate.conf", "", " = ");
    assert_file_names_every_option("docs/man/wsgate.conf.5.scd", "*", "* =");
}

static void test_option_example_is_good(void **state)
{
    (void)state;
    struct wsg_config c;
    struct wsb_fault fault = {0};
    wsg_config_init(&c);
    if (first_of_read(WSBUS_SOURCE_DIR "/examples/wsgate.conf", &c, &fault) || first_of_check(&c, &fault))
        fail_msg("%s", fault.text);
    assert_true(c.route_count > 0);
    wsg_config_deinit(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_option_every_one_has_a_row),  cmocka_unit_test(test_option_good_value_in_the_file),
        cmocka_unit_test(test_option_synonyms_in_the_file), cmocka_unit_test(test_option_synonyms_mean_one_thing),
        cmocka_unit_test(test_option_synonyms_of_words),    cmocka_unit_test(test_option_bad_value_in_the_file),
        cmocka_unit_test(test_option_flag_says_the_same),   cmocka_unit_test(test_option_route_key_says_the_same),
        cmocka_unit_test(test_option_is_documented),        cmocka_unit_test(test_option_example_is_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
