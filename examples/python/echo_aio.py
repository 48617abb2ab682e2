#!/usr/bin/python3
"""Echo with asyncio. Usage: echo_aio.py [--runtime-dir DIR] [--route NAME]… [--shm]"""

import argparse
import asyncio
import signal

from wsbus_aio import Handler


async def serve(bus):
    async for event in bus:
        if event.type == "data":
            bus.send(event.conn, event.payload, event.opcode)
        elif event.type == "request":
            bus.respond(event.conn, "hello from Python: %s %s\n" % (event.meta["method"], event.meta["target"]))


async def main():
    parser = argparse.ArgumentParser(allow_abbrev=False, description="echo every message")
    parser.add_argument("--runtime-dir", metavar="DIR", dest="bus", help="the gate's runtime directory, or its address: tcp://HOST:PORT")
    parser.add_argument("--dir", "--bus", dest="bus", help=argparse.SUPPRESS)  # the same
    parser.add_argument("--route", action="append", help="a route to serve; default: echo")
    parser.add_argument("--shm", action="store_true", help="through libwsbus, over shared memory")
    args = parser.parse_args()
    async with Handler(args.route or ["echo"], over="shm" if args.shm else "zmq", bus=args.bus, name="echo_aio.py") as bus:
        serving = asyncio.ensure_future(serve(bus))
        for sig in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(sig, serving.cancel)
        await asyncio.wait([serving])


asyncio.run(main())
