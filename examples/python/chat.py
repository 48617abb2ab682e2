#!/usr/bin/python3
"""Chat with rooms. A client of /chat/{room} sends {"from": NAME, "text": TEXT}; everybody in the room gets it.

The gate keeps the groups, so any number of chat handlers, in any language, serve the same rooms at the same time.
"""

import argparse
import json
import signal
import sys

from wsbus import Handler

MESSAGE_BYTES = 4096


def is_message(payload):
    """True for {"from": str, "text": str} of at most 4 KiB."""
    if len(payload) > MESSAGE_BYTES:
        return False
    try:
        message = json.loads(payload)
    except ValueError:
        return False
    return isinstance(message, dict) and isinstance(message.get("from"), str) and isinstance(message.get("text"), str)


def announce(bus, room, text):
    bus.publish(json.dumps({"from": "*", "text": text}), group="room:" + room)


def main():
    parser = argparse.ArgumentParser(description="chat with rooms")
    parser.add_argument("--bus", help="the gate's runtime directory")
    parser.add_argument("--route", action="append", help="a route with a {room}; default: chat")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    members = {}  # connection -> (room, peer)
    with Handler(routes=args.route or ["chat"], bus=args.bus, name="chat.py") as bus:
        for event in bus:
            if event.type == "welcome":
                members.clear()
            elif event.type == "open":
                room = event.meta["params"].get("room", "lobby")
                members[event.conn] = room, event.meta["peer"]
                bus.join(event.conn, "room:" + room)
                if not event.redelivered:
                    announce(bus, room, event.meta["peer"] + " joined")
            elif event.type == "data":
                if event.opcode == 1 and is_message(event.payload):
                    bus.publish(event.text, group="room:" + members[event.conn][0])
                else:
                    bus.close(event.conn, 1008, 'send {"from": "…", "text": "…"}')
            elif event.type == "closed":
                room, peer = members.pop(event.conn, ("lobby", "somebody"))
                announce(bus, room, peer + " left")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
