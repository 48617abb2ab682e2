"""Which connections wsctl means: by user, group and tag as well, in an order, and no more than were asked for. The gate decides, in one step."""

import json
import os
import re
import signal
import socket
import subprocess

import pytest

from conftest import BUILD, DEADLINE, eventually
from raw import Raw

WSCTL = BUILD / "wsctl" / "wsctl"
PEOPLE = ["ann", "bob", "ann", "eve"]


def wsctl(gate, *args, status=0, **kwargs):
    done = subprocess.run([WSCTL, *map(str, args), "-d", gate.dir], capture_output=True, text=True, timeout=DEADLINE, stdin=subprocess.DEVNULL, **kwargs)
    assert done.returncode == status, (args, done.returncode, done.stdout, done.stderr)
    return done


class Party:
    """Four clients: two of ann, one of bob, one of eve; the first three in group one, the last two in two; the second and the last tagged."""

    def __init__(self, gate, seat):
        self.gate, self.seat, self.clients, self.ids = gate, seat, [], []
        for number, name in enumerate(PEOPLE):
            self.clients.append(Raw(gate).upgrade("/echo?who=%s" % name))
            conn = seat.hear("open").conn
            self.ids.append("%016x" % conn)
            eventually(lambda: gate.wsctl("show", self.ids[-1])["age_ms"] > 1, "the next one is younger")
            seat.join(conn, *(["one"] if number < 3 else []), *(["two"] if number > 1 else []))
            if number % 2:
                seat.tag(conn, "odd")
        seat.flush()
        eventually(lambda: len(self.found("--tag", "odd")) == 2 and len(self.found("--group", "two")) == 2, "they have joined")

    def found(self, *filters, status=0):
        rows = self.gate.wsctl("list", *filters, status=status)["connections"]
        return [self.ids.index(row["id"]) for row in rows]

    def heard(self, text):
        """Who has got the text; everybody gets another one behind it, so that nobody is waited for in vain."""
        for id_ in self.ids:
            self.gate.wsctl("send", id_, "-t", "end")
        got = []
        for number, client in enumerate(self.clients):
            while (message := client.read_message()) != "end":
                assert message == text
                got.append(number)
        return got


@pytest.fixture
def party(make_gate, take_seat):
    gate = make_gate(routes=["echo=/echo,user=query:who"], args=["--workers", "2"])
    made = Party(gate, take_seat(gate))
    yield made
    for client in made.clients:
        client.close()


@pytest.mark.parametrize("filters, numbers", [
    (["--user", "ann"], [0, 2]), (["-u", "bob"], [1]), (["--group", "one"], [0, 1, 2]), (["-g", "two"], [2, 3]), (["--tag", "odd"], [1, 3]),
    (["--user", "ann", "--group", "two"], [2]), (["--group", "one", "--tag", "odd"], [1]), (["--user", "nobody"], []),
    (["--group", "nothing"], []), (["--tag", "even"], []), (["--user", "bob", "--route", "echo", "--kind", "websocket"], [1]),
    (["--user", "bob", "--kind", "http"], [])])
def test_filters_by_names(party, filters, numbers):
    assert sorted(party.found(*filters)) == numbers
    gate = party.gate
    told = gate.wsctl("close", *filters, "--dry-run", status=0 if numbers else 1)
    assert told["matched"] == len(numbers)
    if not numbers:
        return
    ends = subprocess.Popen([WSCTL, "close", *filters, "--yes", "--code", "4321", "-d", gate.dir], stdout=subprocess.PIPE, text=True)
    for number in numbers:
        assert party.clients[number].read_close()[0] == 4321
        party.clients[number].close()
    ends.communicate(timeout=DEADLINE)
    assert ends.returncode == 0
    others = [number for number in range(4) if number not in numbers]
    eventually(lambda: sorted(party.found()) == others, "the others stay")


@pytest.mark.parametrize("command", [["list"], ["list", "--watch"], ["close", "--dry-run"], ["close", "--yes"], ["send", "-t", "x"], ["publish", "-t", "x"], ["tap"]], ids=" ".join)
def test_a_route_that_is_not_there_is_an_error(gate, command):
    """Routes are those of the configuration. Groups, users, tags and handlers come and go."""
    answer = json.loads(wsctl(gate, *command, "--route", "ehco", "--json", status=1).stdout)["error"]
    assert (answer["message"], answer["code"]) == ('no route "ehco"', -32001)
    assert 'no route "ehco"' in wsctl(gate, *command, "--route", "ehco", status=1).stderr
    if command == ["list"]:
        for others in (["--route", "echo"], ["--group", "x"], ["--user", "x"], ["--tag", "x"], ["--handler", 9]):
            assert "0 connections" in wsctl(gate, "list", *others).stdout


def test_a_filter_stands_once(party):
    """Of two users the first would be forgotten: send takes several, list and close do not."""
    for command in (["list"], ["close", "--yes"]):
        assert "--user is there twice" in wsctl(party.gate, *command, "--user", "ann", "-u", "bob", status=2).stderr
    assert len(party.found()) == 4


def test_sorted_by_the_gate(party):
    gate, clients = party.gate, party.clients
    for number, count in enumerate([3, 1, 4, 2]):
        for _ in range(count):
            clients[number].say("x" * (10 - count))
            party.seat.hear("data")
    party.seat.send([int(id_, 16) for id_ in party.ids[:2]], "y" * 1000)
    party.seat.flush()
    for client in clients[:2]:
        client.read_message()
    assert party.found() == [0, 1, 2, 3] == party.found("--sort", "age")
    assert party.found("--sort", "age", "--reverse") == [3, 2, 1, 0]
    assert party.found("--sort", "messages-in") == party.found("--sort", "in") == [2, 0, 3, 1]
    assert party.found("--sort", "messages") == [0, 2, 1, 3] or party.found("--sort", "messages")[:2] in ([0, 2], [2, 0])
    assert set(party.found("--sort", "bytes_out", "--limit", 2)) == {0, 1}
    assert party.found("--sort", "bytes-in") == [2, 0, 3, 1]
    peers = [row["peer"] for row in gate.wsctl("list", "--sort", "peer")["connections"]]
    assert peers == sorted(peers) and len(peers) == 4
    ids = [row["id"] for row in gate.wsctl("list", "--sort", "id", "--reverse")["connections"]]
    assert ids == sorted(party.ids, reverse=True)
    # The first ones of all, not some ones in order.
    for limit in (1, 2, 3, 4, 9, 0):
        answer = gate.wsctl("list", "--sort", "messages-in", "--limit", limit)
        assert [party.ids.index(row["id"]) for row in answer["connections"]] == [2, 0, 3, 1][:limit or 4]
        assert (answer["matched"], answer["total"]) == (4, 4)
    assert party.found("--sort", "messages-in", "-n", 1, "--tag", "odd") == [3]
    assert "must be one of age, idle" in wsctl(gate, "list", "--sort", "size", status=2).stderr
    shown = wsctl(gate, "list", "--sort", "in").stdout.splitlines()[1:5]
    assert [party.ids.index(line.split()[0]) for line in shown] == [2, 0, 3, 1]


def test_the_slowest_clients_come_first(make_gate, take_seat):
    gate = make_gate(routes=["echo=/echo,max_queue=64MiB"])
    seat = take_seat(gate)
    conns, clients = [], []
    for _ in range(3):
        clients.append(Raw(gate, receive_buffer=4096).upgrade())
        conns.append(seat.hear("open").conn)
    counts = [8, 24, 16]  # far more than the kernel takes
    for conn, count in zip(conns, counts):
        for _ in range(count):
            seat.send(conn, b"z" * (1 << 20))
    seat.flush()
    eventually(lambda: sorted(row["messages_out"] for row in gate.wsctl("list")["connections"]) == sorted(counts), "all has come to the gate")
    rows = gate.wsctl("list", "--sort", "queue", "--limit", 2)["connections"]
    assert [row["id"] for row in rows] == ["%016x" % conns[1], "%016x" % conns[2]]
    for client in clients:
        client.reset()


def test_a_list_of_many_is_whole(make_gate, echo):
    """More than one walk of a worker brings, over two workers, with some that have gone in between."""
    gate = make_gate(args=["--workers", "2"])
    echo(gate)
    clients = [Raw(gate).upgrade() for _ in range(700)]
    for client in clients[::7]:
        client.reset()
    eventually(lambda: gate.wsctl("status")["connections"] == 600, "those have gone")
    answer = gate.wsctl("list", "--limit", 0)
    assert len({row["id"] for row in answer["connections"]}) == 600 == answer["total"] == answer["matched"]
    ids = [row["id"] for row in answer["connections"]]
    for limit in (5, 128, 129, 599, 600, 601):
        assert [row["id"] for row in gate.wsctl("list", "--limit", limit)["connections"]] == ids[:limit]
    assert gate.wsctl("show", answer["connections"][-1]["id"])["id"] == answer["connections"][-1]["id"]
    assert gate.wsctl("close", "--all", "--dry-run")["matched"] == 600
    for client in clients:
        client.close()


@pytest.mark.parametrize("command", [["list"], ["dead-letters"], ["groups"], ["groups", "--users"], ["groups", "one"]])
def test_limits_mean_the_same(party, command):
    gate = party.gate

    def count(*limit):
        answer = gate.wsctl(*command, *limit)
        rows = answer[{"list": "connections", "dead-letters": "dead_letters"}.get(command[0], "groups")]
        return len(rows[0]["members"]) if "one" in command else len(rows)

    everything = {"list": 4, "dead-letters": 0}.get(command[0], 2 if command == ["groups"] else 3)
    assert count() == count("--limit", 0) == count("-n", 1000000) == everything
    assert count("-n", 1) == min(1, everything)


# --- send and publish are one thing

EACH = pytest.mark.parametrize("command", ["send", "publish"])


@EACH
@pytest.mark.parametrize("targets, numbers", [
    (["--user", "ann"], [0, 2]), (["-g", "one"], [0, 1, 2]), (["--tag", "odd"], [1, 3]), (["-r", "echo"], [0, 1, 2, 3]), (["--all"], [0, 1, 2, 3]),
    (["-u", "ann", "-u", "bob"], [0, 1, 2]), (["-g", "one", "-g", "two"], [0, 1, 2, 3]), (["-u", "eve", "--tag", "odd"], [1, 3]),
    (["-u", "ann", "-g", "two", "--tag", "odd", "-r", "echo"], [0, 1, 2, 3])])
def test_to_all_that_are_named_once_each(party, command, targets, numbers):
    told = party.gate.wsctl(command, *targets, "-t", "news")
    assert (told["targets"], told["outcomes"], told["failures"]) == (len(numbers), {"written": len(numbers)}, [])
    assert party.heard("news") == numbers


@EACH
def test_to_ids_and_not_to_others(party, command):
    gate, ids = party.gate, party.ids
    assert gate.wsctl(command, ids[3], ids[1], ids[3], "-t", "news")["targets"] == 2
    assert party.heard("news") == [1, 3]
    assert gate.wsctl(command, "-g", "one", "--except", ids[0], "--except", ids[3][-12:], "-t", "news")["targets"] == 2
    assert party.heard("news") == [1, 2]
    assert gate.wsctl(command, "--all", "--except", ids[2], "-t", "news")["targets"] == 3
    assert party.heard("news") == [0, 1, 3]
    assert gate.wsctl(command, "-u", "bob", "--except", ids[1], "-t", "news", status=1)["targets"] == 0
    assert party.heard("news") == []


@EACH
def test_what_is_not_clear_is_not_sent(party, command):
    gate, ids = party.gate, party.ids
    said = wsctl(gate, command, "-g", "one", ids[0], "-t", "x", status=2).stderr
    assert "--except" in said, "ids beside a group once were those that do not get it"
    for args in ([], ["--all", "-g", "one"], [ids[0], "--all"], [ids[0], "--except", ids[1]], ["--except", ids[0]], ["-g", ""]):
        wsctl(gate, command, *args, "-t", "x", status=2)
    assert party.heard("x") == []


@EACH
def test_a_name_that_nobody_has(party, command):
    gate = party.gate
    told = gate.wsctl(command, "-u", "ann", "-u", "nobody", "-g", "none", "-t", "news", status=1)
    assert (told["targets"], told["outcomes"]) == (4, {"written": 2, "gone": 2})
    assert told["failures"] == [{"outcome": "gone", "reason": 'no group "none"'}, {"outcome": "gone", "reason": 'no user "nobody"'}]
    assert party.heard("news") == [0, 2]
    said = wsctl(gate, command, "-u", "ann", "-u", "nob\x1b[31mody", "-t", "news", status=1)
    assert said.stdout == "written to 2 of 3\n" and said.stderr == 'gone: no user "nob\\x1b[31mody"\n'
    party.heard("news")
    assert 'no user "nobody"' in gate.wsctl(command, "-u", "nobody", "--tag", "even", "-t", "news", status=1)["error"]["message"]
    long = "\u00e9" * 100  # its reason is cut, and not in the middle of a character
    told = gate.wsctl(command, "-u", "ann", "-u", long, "-t", "news", status=1)
    assert told["failures"][0]["reason"].startswith('no user "' + "\u00e9" * 20)
    party.heard("news")


def test_one_request_does_it(party):
    """No list is fetched and sent by the client."""
    before = party.gate.wsctl("stats")["control"]["requests"]
    party.gate.wsctl("send", "-g", "one", "-u", "eve", "--except", party.ids[0], "-t", "news")
    assert party.gate.wsctl("stats")["control"]["requests"] - before == 2  # itself, and the question
    assert party.heard("news") == [1, 2, 3]


def test_the_gate_ends_in_the_middle_of_a_listing(make_gate, echo):
    gate = make_gate(args=["--workers", "2", "--drain-timeout", "0s"])
    echo(gate)
    clients = [Raw(gate).upgrade() for _ in range(600)]
    asking = []
    for _ in range(8):
        asking.append(socket.socket(socket.AF_UNIX))
        asking[-1].connect("%s/control" % gate.dir)
    for one in asking:  # each is worked on behind the one before
        one.sendall(b'{"jsonrpc":"2.0","id":1,"method":"list","params":{"limit":0,"sort":"peer"}}\n')
    asking[0].close()  # and one does not wait for its answer
    gate.signal(signal.SIGTERM)
    assert gate.process.wait(DEADLINE) == 0, gate.output
    for one in [*asking, *clients]:
        one.close()


def test_the_log_tells_all_targets(party):
    """How many of each kind, and the first three: of `send`, and of `close`."""
    gate, ids = party.gate, party.ids
    gate.wsctl("send", *ids, "-t", "news")
    said = gate.wait_line('msg=send .*what="4 bytes to 4 ids (.{16}) (.{16}) (.{16}) and 1 more"')
    assert len(set(said.groups()) & set(ids)) == 3
    gate.wsctl("send", "-g", "one", "-g", "two", "-u", "ann", "--tag", "odd", "--except", ids[0], "-t", "news")
    gate.wait_line(r'what="4 bytes to 2 groups \\"one\\" \\"two\\", 1 user \\"ann\\", 1 tag \\"odd\\", except 1 id %s"' % ids[0])
    gate.wsctl("send", "-g", "one", *[word for name in "abcd" for word in ("-u", name)], "-t", "news", status=1)
    gate.wait_line(r'1 group \\"one\\", 4 users \\"a\\" \\"b\\" \\"c\\" and 1 more"')
    gate.wsctl("close", "--yes", "--user", "ann", "--group", "two")
    gate.wait_line(r'msg=close .*what="filter user \\"ann\\" group \\"two\\", code 1000"')
    gate.wsctl("close", ids[1], ids[3])
    said = gate.wait_line('msg=close .*what="2 ids (.{16}) (.{16}), code 1000"')
    assert set(said.groups()) == {ids[1], ids[3]}


@pytest.mark.parametrize("name", ["\x01" * 200, '"' * 200, "\u009b" * 100, "\u202e" * 80, "x" * 200])
def test_the_log_has_room_for_the_longest_names(name, processes, tmp_path):
    """A JSON line that does not fit is replaced as a whole: who did it, and to how many, would be lost."""
    gate = processes([BUILD / "wsgate" / "wsgate", "--runtime-dir", tmp_path / "gate", "--listen", "127.0.0.1:0", "--route", "echo=/echo", "--log-format", "json"])
    gate.wait_line('"msg":"ready"')
    names = [word for option in ("-g", "-u", "--tag") for number in range(20) for word in (option, "%s%d" % (name, number))]
    others = [word for number in range(9) for word in ("--except", "%016x" % (number + 1))]
    subprocess.run([WSCTL, "send", "--runtime-dir", tmp_path / "gate", "--route", "echo", *names, *others, "-t", "news"], timeout=DEADLINE)
    line = json.loads(gate.wait_line('.*"msg":"send".*')[0])
    assert line["uid"] == os.geteuid()
    assert re.fullmatch("4 bytes to 1 route .*, 20 groups .* and 17 more, 20 users .* and 17 more, 20 tags .* and 17 more, except 9 ids .* and 6 more", line["what"])
