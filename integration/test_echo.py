"""Echo: what a client says comes back, whatever the language of the handler, the kind of message, and its size."""

import asyncio
import random

import pytest
import websockets

from conftest import HANDLERS, run_async

KIB, MIB = 1 << 10, 1 << 20
SIZES = [0, 1, 125, 126, 127, 65535, 65536, MIB, 15 * MIB]
LANGUAGES = list(HANDLERS)


def connect(gate, **kwargs):
    return websockets.connect(gate.url(), compression=None, max_size=16 * MIB, open_timeout=60, ping_interval=None, **kwargs)


def payload_of(size):
    return random.Random(size).randbytes(size)


def text_of(size):
    """So many bytes of UTF-8, with characters of one to four bytes."""
    text = ("aé€😀" * (size // 10 + 1)).encode()[:size].decode(errors="ignore")
    return text + "z" * (size - len(text.encode()))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_size_comes_back_as_it_was(gate, echo, language):
    echo(gate, language)

    async def talk():
        async with connect(gate) as client:
            for size in SIZES:
                for message in (payload_of(size), text_of(size)):
                    await client.send(message)
                    answer = await client.recv()
                    assert type(answer) is type(message), size
                    assert answer == message, size

    run_async(talk())


@pytest.mark.parametrize("language", LANGUAGES)
def test_fragments_become_one_message(gate, echo, language):
    echo(gate, language)

    async def talk():
        async with connect(gate) as client:
            await client.send(["one ", "", "two ", "thr€e"])
            assert await client.recv() == "one two thr€e"
            pieces = [payload_of(size) for size in (1, 0, 126, 70000, 3)]
            await client.send(pieces)
            assert await client.recv() == b"".join(pieces)

    run_async(talk())


@pytest.mark.parametrize("language", LANGUAGES)
def test_order_is_kept(gate, echo, language):
    echo(gate, language)
    messages = ["%d %s" % (i, "x" * (i * 37 % 3000)) for i in range(500)]

    async def talk():
        async with connect(gate) as client:
            async def speak():
                for message in messages:
                    await client.send(message)

            speaking = asyncio.ensure_future(speak())
            assert [await client.recv() for _ in messages] == messages
            await speaking

    run_async(talk())


def test_handlers_of_all_kinds_share_a_route(gate, echo):
    for language in LANGUAGES:
        echo(gate, language)

    async def talk():
        clients = [await connect(gate) for _ in range(3 * len(LANGUAGES))]
        handlers = gate.wsctl("handlers")["handlers"]
        assert [handler["connections"] for handler in handlers] == [3] * len(LANGUAGES)
        for turn in range(20):
            for index, client in enumerate(clients):
                await client.send("%d:%d" % (index, turn))
        for index, client in enumerate(clients):
            assert [await client.recv() for _ in range(20)] == ["%d:%d" % (index, turn) for turn in range(20)]
        for client in clients:
            await client.close()

    run_async(talk())
    for handler in gate.wsctl("handlers")["handlers"]:
        assert handler["events"] > 60, handler  # 3 × (OPEN, 20 DATA), and what else there was
