"""Methods, OPTIONS and pages of other origins: what a browser asks, played by raw sockets and curl, and what a browser does, by its rules."""

import re
import subprocess

import pytest

from conftest import BOTH_WIRES
from raw import Raw, upgrade_request
from test_gatekeeping import configured, refused
from test_http import Worker

APP = "https://app.example.org"

CONF = """
route "api" {
    path = "/api/{rest*}"
    kind = http
    methods = {"GET", "POST", "DELETE"}
    cors_origins = {"https://app.example.org", "https://*.example.net"}
    cors_methods = {"GET", "DELETE"}
    cors_headers = {"Content-Type", "X-Token"}
    cors_expose = {"X-Total"}
    cors_credentials = on
    cors_max_age = 10m
}
route "open" { path = "/open" cors_origins = {"any"} cors_headers = {"any"} }
static "/files/" { directory = "%s" cors_origins = {"https://app.example.org"} }
"""


@pytest.fixture
def gate(make_gate, tmp_path):
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "a.txt").write_text("a file")
    return configured(make_gate, tmp_path, CONF % (tmp_path / "www"), routes=["plain=/plain"])


@pytest.fixture
def handler(gate, take_seat):
    """Answers each request, with fields of CORS of its own, which nobody shall see."""
    worker = Worker(take_seat(gate, ["api", "open", "plain"]), lambda bus, request, body: bus.respond(
        request.conn, request.meta["method"], 200, {"Access-Control-Allow-Origin": "*", "X-Total": "7", "Vary": "Accept"}))
    yield worker.bus
    worker.end()


def ask(gate, method, path, **headers):
    lines = ["%s: %s" % (name.replace("_", "-"), value) for name, value in headers.items()]
    with Raw(gate) as client:
        client.send("\r\n".join(["%s %s HTTP/1.1" % (method, path), "Host: gate.test", *lines, "", ""]))
        return client.read_response(method)


def cors_of(answer):
    return {name.removeprefix("access-control-"): value for name, value in answer.headers.items() if name.startswith("access-control-")}


def words(text):
    return {word.strip().lower() for word in text.split(",")} if text else set()


def browser_lets(gate, path, origin, method, headers=(), credentials=False):
    """What fetch() of a page comes to: does its preflight succeed, by the rules of the Fetch standard?"""
    asked = {"Access_Control_Request_Headers": ",".join(sorted(headers))} if headers else {}
    answer = ask(gate, "OPTIONS", path, Origin=origin, Access_Control_Request_Method=method, **asked)
    told = cors_of(answer)
    allowed = told.get("allow-origin")
    if not 200 <= answer.status <= 299 or (allowed != origin and not (allowed == "*" and not credentials)):
        return False
    if credentials and told.get("allow-credentials") != "true":
        return False
    methods = {word.strip() for word in told.get("allow-methods", "").split(",")}
    return (method in methods or method in ("GET", "HEAD", "POST")) and {h.lower() for h in headers} <= words(told.get("allow-headers"))


@BOTH_WIRES
def test_methods(gate, handler):
    for method, status in {"GET": 200, "HEAD": 200, "POST": 200, "DELETE": 200, "PUT": 405, "PATCH": 405}.items():
        answer = ask(gate, method, "/api/x", Content_Length=0)
        assert (answer.status, answer.headers.get("allow")) == (status, "GET, POST, DELETE, HEAD, OPTIONS" if status == 405 else None), method
    answer = ask(gate, "OPTIONS", "/api/x")
    assert (answer.status, answer.headers["allow"], answer.body) == (204, "GET, POST, DELETE, HEAD, OPTIONS", b"")
    assert ask(gate, "OPTIONS", "/plain").body == b"OPTIONS"  # of a route that names no methods it is the handler's
    answer = ask(gate, "OPTIONS", "*")
    assert (answer.status, answer.headers["allow"]) == (204, "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS")
    answer = ask(gate, "DELETE", "/files/a.txt")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert ask(gate, "OPTIONS", "/files/a.txt").status == 204
    assert refused(gate, "api")["method"] == 2 and refused(gate)["method"] == 1
    gate.wait_line('msg=refused .*status=405 why="the method is not served"')


def test_what_a_browser_lets_a_page_do(gate):
    """Without a handler: preflights are the gate's, before anything else is asked for."""
    rows = [
        ("/api/x", APP, "DELETE", [], True),
        ("/api/x", APP, "GET", ["X-Token", "content-type"], True),
        ("/api/x", "https://a.b.example.net", "DELETE", [], True),
        ("/api/x", APP, "POST", ["content-type"], True),  # forms may, so scripts may
        ("/api/x", APP, "PUT", [], False),
        ("/api/x", APP, "GET", ["x-other"], False),
        ("/api/x", "https://example.net", "GET", ["x-token"], False),
        ("/api/x", "null", "GET", ["x-token"], False),
        ("/api/x", APP + ".evil.test", "GET", ["x-token"], False),
        ("/open", "https://who.ever", "GET", ["authorization", "x-a"], True),
        ("/open", "null", "GET", ["x-a"], True),
        ("/open", "https://who.ever", "PUT", [], False),
        ("/files/a.txt", APP, "GET", [], True),
        ("/files/a.txt", APP, "POST", [], False),
        ("/files/nothing", "https://evil.test", "GET", [], False),
    ]
    for path, origin, method, headers, lets in rows:
        assert browser_lets(gate, path, origin, method, headers) is lets, (path, origin, method, headers)
    assert browser_lets(gate, "/api/x", APP, "GET", credentials=True)
    assert not browser_lets(gate, "/open", APP, "GET", credentials=True)
    answer = ask(gate, "OPTIONS", "/api/x", Origin=APP, Access_Control_Request_Method="GET", Access_Control_Request_Private_Network="true")
    assert cors_of(answer) == {"allow-origin": APP, "allow-credentials": "true", "allow-methods": "GET, DELETE", "allow-headers": "Content-Type, X-Token",
                               "expose-headers": "X-Total", "max-age": "600"}
    assert refused(gate, "api") == {"preflight": 5} and refused(gate, "open") == {"preflight": 1} and refused(gate) == {"preflight": 2}
    gate.wait_line('msg=refused .*status=403 why="pages may not send the headers"')


@BOTH_WIRES
def test_who_may_read(gate, handler):
    everything = {"allow-origin": APP, "allow-credentials": "true", "expose-headers": "X-Total"}
    for method, path, origin, told in [
        ("GET", "/api/x", APP, everything),
        ("GET", "/api/x", "https://evil.test", {}),
        ("PUT", "/api/x", APP, everything),  # an error of the gate's own
        ("GET", "/open", "https://who.ever", {"allow-origin": "https://who.ever"}),
        ("GET", "/files/a.txt", APP, {"allow-origin": APP}),
        ("GET", "/files/nothing", APP, {"allow-origin": APP}),
        ("GET", "/files/a.txt", "https://evil.test", {}),
    ]:
        answer = ask(gate, method, path, Origin=origin)
        assert cors_of(answer) == told, (path, origin)
        assert "origin" in words(answer.headers["vary"]), path
    answer = ask(gate, "GET", "/api/x")
    assert cors_of(answer) == {} and words(answer.headers["vary"]) == {"accept", "origin"}
    answer = ask(gate, "GET", "/plain", Origin=APP)  # where the gate says nothing, the handler does
    assert cors_of(answer) == {"allow-origin": "*"} and "origin" not in words(answer.headers["vary"])


def test_by_curl(gate, handler):
    run = subprocess.run([*gate.curl, "-i", "-H", "Origin: " + APP, "-H", "X-Token: t", gate.http("/api/x")], capture_output=True, text=True, check=True)
    assert re.search(r"(?im)^access-control-allow-origin: %s\r?$" % re.escape(APP), run.stdout) and run.stdout.endswith("GET")
    assert run.stdout.lower().count("access-control-allow-origin") == 1
    run = subprocess.run([*gate.curl, "-i", "-X", "OPTIONS", "--request-target", "*", gate.http("/")], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("HTTP/1.1 204 ") and "\nAllow: GET" in run.stdout


def test_a_preflight_needs_no_token_and_a_handshake_no_method(make_gate, tmp_path, echo):
    keys = tmp_path / "keys.json"
    keys.write_text('{"keys": [{"kty": "oct", "k": "%s"}]}' % ("A" * 43))
    keys.chmod(0o600)
    gate = configured(make_gate, tmp_path, (
        'route "secret" { path = "/secret" token = "header:authorization" token_keys = "%s" cors_origins = {"%s"} cors_headers = {"Authorization"} }\n'
        'route "few" { path = "/few" methods = {"POST"} }\n') % (keys, APP))
    echo(gate, route="few")
    assert browser_lets(gate, "/secret", APP, "GET", ["authorization"])
    answer = ask(gate, "GET", "/secret", Origin=APP)
    assert (answer.status, cors_of(answer)) == (401, {"allow-origin": APP})
    assert ask(gate, "GET", "/few").status == 405
    with Raw(gate).upgrade("/few") as client:
        assert client.ask("x") == "x"
    with Raw(gate) as client:  # a handshake is never told of other origins: it has rules of its own
        answer = client.send(upgrade_request("/secret", extra=["Origin: " + APP])).read_response()
        assert (answer.status, cors_of(answer)) == (401, {})


@pytest.mark.parametrize("route, why", [
    ('methods = {"BREW"}', "methods: 'BREW' is not one of GET, HEAD, POST, PUT, DELETE, PATCH or OPTIONS"),
    ('kind = websocket methods = {"GET"}', "methods: it is for HTTP, which a route of this kind does not speak"),
    ('kind = websocket cors_origins = {"any"}', "cors_origins: it is for HTTP, which a route of this kind does not speak"),
    ('cors_origins = {"same"}', "'same' is no origin of other pages"),
    ('cors_origins = {"any"} cors_credentials = on', "cors_credentials: not with 'any' in cors_origins"),
    ('cors_origins = {"https://a.test", "null"} cors_credentials = on', "cors_credentials: not with 'null' in cors_origins"),
    ('cors_expose = {"X-A"}', "cors_expose: cors_origins is missing"),
    ('cors_origins = {"any"} cors_headers = {"any", "X-A"}', "cors_headers: 'any' stands alone"),
    ('cors_origins = {"any"} methods = {"GET"} cors_methods = {"PUT"}', "cors_methods: 'PUT' is not one of methods"),
])
def test_what_cannot_be_is_said(processes, tmp_path, route, why):
    from conftest import BUILD
    path = tmp_path / "wsgate.conf"
    path.write_text('listen "127.0.0.1:0" {}\nroute r { path = /r %s }\n' % route)
    check = processes([BUILD / "wsgate" / "wsgate", "-t", "-c", path])
    assert check.process.wait(20) == 2
    check.wait_line("wsgate.conf:2: route 'r': .*" + re.escape(why))
