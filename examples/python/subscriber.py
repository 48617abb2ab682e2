#!/usr/bin/python3
"""Listens to the copies on `events` and answers through `commands`, without being a registered handler.

For routes with deliver = publish, or tap = yes. Answers "time?" with the time, and counts everything it sees.
Usage: subscriber.py [--runtime-dir DIR] [--route NAME], or on TCP, where each has an address of its own,
--runtime-dir tcp://HOST:PORT --commands tcp://HOST:PORT
"""

import argparse
import time

from wsbus import Commander, Subscriber

parser = argparse.ArgumentParser(allow_abbrev=False, description="listen to events, answer through commands")
parser.add_argument("--runtime-dir", metavar="DIR", dest="bus", help="the gate's runtime directory, or its address: tcp://HOST:PORT of its events")
parser.add_argument("--dir", "--bus", dest="bus", help=argparse.SUPPRESS)  # the same
parser.add_argument("--commands", help="tcp://HOST:PORT of its commands")
parser.add_argument("--route", default="feed")
args = parser.parse_args()
if (args.bus or "").startswith("tcp://") and not args.commands:
    parser.error("on TCP --commands has to be there")

try:
    commands = Commander(args.commands or args.bus)
    for topic, event in Subscriber([args.route + " "], args.bus):
        print(topic, event, flush=True)
        if event.type == "data" and event.payload == b"time?":
            commands.send(event.conn, time.strftime("%H:%M:%S"))
except KeyboardInterrupt:
    pass
