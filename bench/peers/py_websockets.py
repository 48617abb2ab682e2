"""A peer of the bench: echo and fan-out with the module websockets. usage: py_websockets.py PORT"""

import asyncio
import sys

import websockets

subscribers = set()


async def handle(connection, path=None):
    path = path or connection.path
    if path == "/sub":
        subscribers.add(connection)
    try:
        async for message in connection:
            if path == "/pub":
                websockets.broadcast(subscribers, message)
            else:
                await connection.send(message)
    finally:
        subscribers.discard(connection)


async def main():
    async with websockets.serve(handle, "127.0.0.1", int(sys.argv[1]), compression=None, max_size=64 << 20, backlog=4096):
        await asyncio.Future()


asyncio.run(main())
