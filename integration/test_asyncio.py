"""The Python helper for asyncio: over both links it does what the blocking one does, and never holds the loop up."""

import asyncio
import signal
import subprocess

import pytest
import wsbus_aio

from conftest import BUILD, DEADLINE, PYTHON, ROOT, eventually, is_sanitized, run_async, with_libwsbus
from raw import Raw

LIBRARY = BUILD / "libwsbus" / "libwsbus.so.0"
LINKS = ["zmq", "shm"]


@pytest.fixture(params=LINKS)
def link(request, monkeypatch):
    if request.param == "shm":
        if is_sanitized(LIBRARY):
            pytest.skip("the sanitizer would have to be in this process from its beginning")
        monkeypatch.setenv("WSBUS_LIBRARY", str(LIBRARY))
    return request.param


def handler(gate, link, routes=("echo",), **options):
    return wsbus_aio.Handler(routes, over=link, bus=gate.dir, **options)


async def hear(bus, type_):
    event = await bus.read(DEADLINE)
    assert event is not None and event.type == type_, "%r instead of %s" % (event, type_)
    return event


async def in_thread(function, *args):
    return await asyncio.get_running_loop().run_in_executor(None, function, *args)


def test_shm_in_the_example(gate, processes):
    processes(with_libwsbus(PYTHON, ROOT / "examples/python/echo_aio.py", "--bus", gate.dir, "--shm"))
    gate.wait_handlers("echo", 1)
    assert [one["link"] for one in gate.wsctl("handlers")["handlers"]] == ["shm"]
    with Raw(gate) as client:
        client.upgrade()
        client.say("hello")
        assert client.read_message() == "hello"


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_example_in_order(gate, echo, sig):
    process = echo(gate, "python-aio")
    process.signal(sig)
    assert process.process.wait(DEADLINE) == 0, process.output
    eventually(lambda: gate.wsctl("handlers")["handlers"] == [], "it has said BYE")
    assert "Traceback" not in process.output


def test_commands_of_other_tasks_leave_while_one_reads(gate, link):
    async def talk():
        async with handler(gate, link) as bus:
            await hear(bus, "welcome")
            client = await in_thread(lambda: Raw(gate).upgrade())
            conn = (await hear(bus, "open")).conn
            reading = asyncio.ensure_future(bus.read(DEADLINE))
            await asyncio.sleep(0)
            bus.send(conn, "unasked")
            assert await in_thread(client.read_message) == "unasked"
            assert not reading.done()
            await in_thread(client.say, "now")
            assert (await reading).payload == b"now"
            client.close()

    run_async(talk())


def test_a_read_that_is_cancelled_or_late_has_taken_nothing(gate, link):
    async def talk():
        async with handler(gate, link) as bus:
            await hear(bus, "welcome")
            for _ in range(5):
                assert await bus.read(0) is None
                reading = asyncio.ensure_future(bus.read())
                await asyncio.sleep(0)
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
            client = await in_thread(lambda: Raw(gate).upgrade())
            await in_thread(client.say, "1")
            assert [(await hear(bus, type_)).seq for type_ in ("open", "data")] == [1, 2]
            client.close()

    run_async(talk())


def test_what_tasks_have_not_acknowledged_is_anothers(gate, link, take_seat):
    async def talk():
        async with handler(gate, link, manual_ack=True) as bus:
            await hear(bus, "welcome")
            client = await in_thread(lambda: Raw(gate).upgrade())
            for text in ("one", "two", "three"):
                await in_thread(client.say, text)
            events = [await hear(bus, type_) for type_ in ("open", "data", "data", "data")]
            bus.ack(events[1].conn, events[1].seq)  # and all before
            bus.flush()
        return client

    client = run_async(talk())
    seat = take_seat(gate)
    assert seat.hear("open").redelivered
    assert [seat.hear("data").payload for _ in range(2)] == [b"two", b"three"]
    client.close()


def test_it_finds_its_gate_whenever_that_comes_and_again(make_gate, tmp_path, link):
    """And meanwhile the loop turns: a second task counts while the first waits for a gate that is not there."""
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def talk():
        async with wsbus_aio.Handler(["echo"], over=link, bus=str(directory)) as bus:
            counting = asyncio.ensure_future(count())
            assert await bus.read(1) is None
            assert turns > 1000
            first = await in_thread(make_gate, directory)
            epoch = (await hear(bus, "welcome")).meta["epoch"]
            await in_thread(first.kill)
            bus.log("warn", "nobody is there")
            assert await bus.read(0.1) is None
            await in_thread(make_gate, directory)
            assert (await hear(bus, "welcome")).meta["epoch"] != epoch
            counting.cancel()

    run_async(talk())


def test_a_gate_that_does_not_read_costs_no_turn_of_the_loop(gate):
    """Stopped: commands pile up, and another task goes on as before. Of the blocking helper each would wait."""

    async def talk():
        async with handler(gate, "zmq") as bus:
            await hear(bus, "welcome")
            client = await in_thread(lambda: Raw(gate).upgrade())
            conn = (await hear(bus, "open")).conn
            gate.signal(signal.SIGSTOP)
            longest, before = 0, asyncio.get_running_loop().time()
            for _ in range(50000):
                if bus.waiting_bytes > 2 * wsbus_aio.ROOM_BYTES:
                    break
                bus.send(conn, bytes(1 << 10))
                await asyncio.sleep(0)
                now = asyncio.get_running_loop().time()
                longest, before = max(longest, now - before), now
            assert longest < 2, "a turn that waits takes 3 s"
            assert bus.waiting_bytes > wsbus_aio.ROOM_BYTES
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(bus.room(), 0.2)
            gate.signal(signal.SIGCONT)
            await asyncio.wait_for(bus.room(), DEADLINE)
            assert bus.waiting_bytes <= wsbus_aio.ROOM_BYTES
            client.close()

    run_async(talk())


def test_outcomes_come_as_events(gate):
    """Over ZeroMQ: the other helper has none."""

    async def talk():
        async with handler(gate, "zmq") as bus:
            await hear(bus, "welcome")
            client = await in_thread(lambda: Raw(gate).upgrade())
            conn = (await hear(bus, "open")).conn
            number = bus.send(conn, "x", outcome=True)
            event = await hear(bus, "outcome")
            assert (event.seq, event.outcome) == (number, "written")
            client.close()

    run_async(talk())


def test_a_drained_handler_ends_its_loop(gate, link):
    async def talk():
        async with handler(gate, link) as bus:
            await hear(bus, "welcome")
            number = gate.wsctl("handlers")["handlers"][0]["id"]
            await in_thread(gate.wsctl, "handlers", "drain", number)
            types = []
            async for event in bus:
                types.append(event.type)
            assert set(types) <= {"drain"}

    run_async(talk())
    eventually(lambda: gate.wsctl("handlers")["handlers"] == [], "it has said BYE")


def test_what_is_wrong_is_said(gate, link):
    async def talk():
        bus = handler(gate, link)
        await hear(bus, "welcome")
        reading = asyncio.ensure_future(bus.read())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task reads"):
            await bus.read(0)
        await bus.disconnect()
        with pytest.raises(RuntimeError, match="disconnected"):
            await asyncio.wait_for(reading, DEADLINE)
        await bus.disconnect()  # idempotent
        return bus

    bus = run_async(talk())

    async def elsewhere():
        with pytest.raises(RuntimeError, match="another loop"):
            await bus.read(0)

    run_async(elsewhere())


def test_over_shared_memory_no_zeromq_binding_is_needed(gate, tmp_path):
    (tmp_path / "zmq.py").write_text("raise ImportError('not here')")
    code = """
import asyncio, sys
from wsbus_aio import Handler
async def main():
    async with Handler(["echo"], over="shm", bus=sys.argv[1]) as bus:
        print((await bus.read(20)).type)
asyncio.run(main())
"""
    run = subprocess.run(
        with_libwsbus("PYTHONPATH=%s:%s" % (tmp_path, ROOT / "python"), PYTHON, "-B", "-c", code, gate.dir), capture_output=True, text=True,
        timeout=DEADLINE)
    assert (run.returncode, run.stdout) == (0, "welcome\n"), run.stderr
