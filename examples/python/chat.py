#!/usr/bin/python3
"""Chat with rooms. A client of /chat/{room} sends {"from": NAME, "text": TEXT}; everybody in the room gets it.

The gate keeps the groups, so any number of chat handlers, in any language, serve the same rooms at the same time.
"""

import argparse
import json
import signal
import sys

from wsbus import TEXT, Handler

MESSAGE_BYTES = 4096


def fault_of(event):
    """The close code for what is not a message; None when it is one. What it says is for the clients to read."""
    if event.opcode != TEXT:
        return 1003
    return 1009 if len(event.payload) > MESSAGE_BYTES else None


def announce(bus, room, text):
    bus.publish(json.dumps({"from": "*", "text": text}), group="room:" + room)


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False, description="chat with rooms")
    parser.add_argument("--runtime-dir", metavar="DIR", dest="bus", help="the gate's runtime directory, or its address: tcp://HOST:PORT")
    parser.add_argument("--dir", "--bus", dest="bus", help=argparse.SUPPRESS)  # the same
    parser.add_argument("--route", action="append", help="a route with a {room}; default: chat")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    members = {}  # connection -> (room, peer)
    with Handler(routes=args.route or ["chat"], bus=args.bus, name="chat.py", kinds=["websocket"]) as bus:
        for event in bus:
            if event.type == "welcome":
                members.clear()
            elif event.type == "open":
                room = event.meta["params"].get("room", "lobby")
                members[event.conn] = room, event.meta["peer"]
                bus.join(event.conn, "room:" + room)
                if not event.redelivered:
                    announce(bus, room, event.meta["peer"] + " joined")
            elif event.type == "revoked":  # another handler has the connection now
                members.pop(event.conn, None)
            elif event.type == "data" and event.conn in members:
                fault = fault_of(event)
                if fault:
                    bus.close(event.conn, fault, "text of at most 4 KiB, please")
                else:
                    bus.publish(event.text, group="room:" + members[event.conn][0])
            elif event.type == "closed":
                room, peer = members.pop(event.conn, ("lobby", "somebody"))
                announce(bus, room, peer + " left")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
