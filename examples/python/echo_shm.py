#!/usr/bin/python3
"""Echo over shared memory, through libwsbus. Usage: echo_shm.py [--runtime-dir DIR] [--route NAME]…"""

import argparse
import signal
import sys

from wsbus_shm import Handler

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
parser = argparse.ArgumentParser(allow_abbrev=False, description="echo every message")
parser.add_argument("--runtime-dir", metavar="DIR", dest="bus", help="the gate's runtime directory, or its address: tcp://HOST:PORT")
parser.add_argument("--dir", "--bus", dest="bus", help=argparse.SUPPRESS)  # the same
parser.add_argument("--route", action="append", help="a route to serve; default: echo")
args = parser.parse_args()

try:
    with Handler(routes=args.route or ["echo"], bus=args.bus, name="echo_shm.py") as bus:
        for event in bus:
            if event.type == "data":
                bus.send(event.conn, event.payload, event.opcode)
            elif event.type == "request":
                bus.respond(event.conn, "hello from Python: %s %s\n" % (event.meta["method"], event.meta["target"]))
except KeyboardInterrupt:
    pass
