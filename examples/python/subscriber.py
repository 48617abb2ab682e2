#!/usr/bin/python3
"""Listens to the copies on `events` and answers through `commands`, without being a registered handler.

For routes with deliver = publish, or tap = yes. Answers "time?" with the time, and counts everything it sees.
Usage: subscriber.py [--bus DIRECTORY] [--route NAME]
"""

import argparse
import time

from wsbus import Commander, Subscriber

parser = argparse.ArgumentParser(description="listen to events, answer through commands")
parser.add_argument("--bus", help="the gate's runtime directory")
parser.add_argument("--route", default="feed")
args = parser.parse_args()

try:
    commands = Commander(args.bus)
    for topic, event in Subscriber([args.route + " "], args.bus):
        print(topic, event, flush=True)
        if event.type == "data" and event.payload == b"time?":
            commands.send(event.conn, time.strftime("%H:%M:%S"))
except KeyboardInterrupt:
    pass
