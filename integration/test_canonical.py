"""One thing has one name where access is decided: hosts and paths in every spelling, and values that are said twice."""

import pytest

from raw import Raw, upgrade_request

CONFIG = """
route "admin" { host = "Admin.Test" path = "/{rest*}" token = "query:token" token_keys = "%(keys)s" }
route "six" { host = "[0:0::1]" path = "/{rest*}" token = "query:token" token_keys = "%(keys)s" }
route "four" { host = "127.0.0.1" path = "/{rest*}" token = "query:token" token_keys = "%(keys)s" }
route "inner" { path = "/admin/{rest*}" token = "query:token" token_keys = "%(keys)s" }
route "all" { path = "/{rest*}" user = "header:X-User" pin = hash pin_key = "query:key" }
"""
KEYS = '{"keys": [{"kty": "oct", "k": "%s"}]}' % ("A" * 43)


@pytest.fixture
def gate(make_gate, tmp_path):
    (tmp_path / "keys.json").write_text(KEYS)
    (tmp_path / "keys.json").chmod(0o600)
    (tmp_path / "wsgate.conf").write_text(CONFIG % {"keys": tmp_path / "keys.json"})
    return make_gate(args=["-c", tmp_path / "wsgate.conf"], routes=())


def get(path, host="gate.test", *lines):
    return "\r\n".join(["GET %s HTTP/1.1" % path, "Host: " + host, *lines, "", ""]).encode()


def status_of(gate, request):
    with Raw(gate) as client:
        return client.send(request).read_response().status


def refused(gate):
    return {name: route["refused_by"]["token"] for name, route in gate.wsctl("stats")["routes"].items() if route["refused_by"]["token"]}


@pytest.mark.parametrize("host, route", [
    ("admin.test", "admin"), ("ADMIN.test", "admin"), ("admin.test.", "admin"), ("Admin.Test.:80", "admin"), ("admin.test:", "admin"),
    ("admin.test:00080", "admin"), ("[::1]", "six"), ("[0:0:0:0:0:0:0:1]", "six"), ("[::0001]:8080", "six"),
    ("[0:0:0:0:0:0:0.0.0.1]", "six"), ("127.0.0.1", "four"), ("127.0.0.1.", "four"), ("[::ffff:127.0.0.1]", "four"),
    ("[::ffff:7f00:1]:80", "four"),
])
def test_a_host_is_the_same_in_every_spelling(gate, host, route):
    assert status_of(gate, get("/x", host)) == 401
    assert status_of(gate, upgrade_request("/x", host=host)) == 401
    assert status_of(gate, get("http://%s/x" % host, host)) == 401
    assert refused(gate) == {route: 3}


@pytest.mark.parametrize("host", ["admin.test..", ".admin.test", "admin..test", "admin%2etest", "admin.test@other.test", "127.1",
                                  "0x7f.0.0.1", "2130706433", "127.0.0.01", "[::ffff:127.0.0.1]x", "[::1%25lo]", "admin.test:80:80"])
def test_a_host_that_readers_could_take_for_another_is_refused(gate, host):
    assert status_of(gate, get("/x", host)) == 400


@pytest.mark.parametrize("path", ["/admin/x", "//admin/x", "/admin//x", "///admin///x", "/%61dmin/x", "/admin/%78", "//%61dmin//x?y"])
def test_a_path_is_the_same_in_every_spelling(gate, path):
    assert status_of(gate, get(path)) == 401
    assert status_of(gate, upgrade_request(path)) == 401
    assert refused(gate) == {"inner": 2}


@pytest.mark.parametrize("path", ["/./admin/x", "/y/../admin/x", "/%2e/admin/x", "/y/%2E./admin/x", "/admin%2fx", "/admin\\x", "/admin/x/..",
                                  "/admin%00/x", "/%c1%a1dmin/x"])
def test_a_path_that_readers_could_take_for_another_is_refused(gate, path):
    assert status_of(gate, get(path)) == 400


def test_the_absolute_form_says_the_host(gate, take_seat):
    """RFC 9112 §3.2.2: Host is not looked at then, and handlers see no other one."""
    assert status_of(gate, get("http://admin.test/x", "gate.test")) == 401
    seat = take_seat(gate, ["all"])
    with Raw(gate) as client:
        client.send(get("http://gate.test/x", "admin.test"))
        meta = seat.hear("request").meta
        assert (meta["host"], meta["headers"]["host"]) == ("gate.test", "gate.test")


def test_handlers_are_told_the_one_form(gate, take_seat):
    seat = take_seat(gate, ["all"])
    with Raw(gate) as client:
        client.send(get("//a%2Db//c?d//e", "Gate.Test.:080"))
        meta = seat.hear("request").meta
        assert (meta["host"], meta["path"], meta["params"]) == ("gate.test:80", "/a-b/c", {"rest": "a-b/c"})
        assert (meta["target"], meta["query"]) == ("//a%2Db//c?d//e", "d//e")


@pytest.mark.parametrize("lines, user", [(["X-User: ann"], "ann"), (["X-User: eve", "X-User: ann"], None),
                                         (["X-User: ann", "x-user: ann"], None)])
def test_a_header_that_is_there_twice_names_nobody(gate, take_seat, lines, user):
    """A proxy that adds its own behind the client's would else let the client choose."""
    seat = take_seat(gate, ["all"])
    with Raw(gate).upgrade("/x", extra=lines):
        assert seat.hear("open").meta.get("user") == user


@pytest.mark.parametrize("query", ["token=%s&token=%s", "token=%s&%%74oken=%s", "%%74oken=%s&tok%%65n=%s", "token=%s&token=x%s", "token&token=%s%s"])
def test_a_token_that_is_there_twice_is_none(gate, query):
    assert status_of(gate, get("/admin/x?" + query % ("a", "b"))) == 401
    gate.wait_line("token.*more than once")
