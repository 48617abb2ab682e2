#!/usr/bin/python3
"""A drawing that is moved from both sides: by whoever drags a shape in a browser, and by this program.

Messages, both ways: {"id": SHAPE, "x": NUMBER, "y": NUMBER}. A client that connects is told where everything is.
"""

import argparse
import json
import math
import signal
import sys
import time

from wsbus import Handler

WIDTH, HEIGHT = 800, 450
TICK_MS = 50
REST_S = 3  # a shape that somebody has dragged is left alone for so long


class Drawing:
    def __init__(self):
        self.places = {"sun": (400, 225), "planet": (550, 225), "moon": (580, 225)}
        self.dragged = {}

    def take(self, payload, now):
        """The move that a client asks for, inside the picture; None when it is not one."""
        try:
            move = json.loads(payload)
            shape, x, y = move["id"], float(move["x"]), float(move["y"])
        except (ValueError, TypeError, KeyError):
            return None
        if not isinstance(shape, str) or shape not in self.places or not (math.isfinite(x) and math.isfinite(y)):
            return None
        self.dragged[shape] = now
        return self.put(shape, min(max(x, 0), WIDTH), min(max(y, 0), HEIGHT))

    def put(self, shape, x, y):
        self.places[shape] = x, y
        return json.dumps({"id": shape, "x": round(x, 1), "y": round(y, 1)})

    def everything(self):
        return [self.put(shape, x, y) for shape, (x, y) in self.places.items()]

    def step(self, now):
        """The planet goes round the sun and the moon round the planet, unless somebody holds them."""
        for shape, centre, radius, period in (("planet", "sun", 150, 12), ("moon", "planet", 40, 4)):
            if now - self.dragged.get(shape, 0) < REST_S:
                continue
            x, y = self.places[centre]
            angle = 2 * math.pi * now / period
            yield self.put(shape, x + radius * math.cos(angle), y + radius * math.sin(angle))


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False, description="a drawing moved from both sides")
    parser.add_argument("--runtime-dir", metavar="DIR", dest="bus", help="the gate's runtime directory, or its address: tcp://HOST:PORT")
    parser.add_argument("--dir", "--bus", dest="bus", help=argparse.SUPPRESS)  # the same
    parser.add_argument("--route", default="drawing")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    drawing, viewers, due = Drawing(), set(), 0
    with Handler(routes=[args.route], bus=args.bus, name="drawing.py", kinds=["websocket"]) as bus:
        while True:
            event, now = bus.read(TICK_MS), time.monotonic()
            if event is None:
                pass
            elif event.type == "drain" and not event.more:
                break
            elif event.type == "welcome":
                viewers.clear()
            elif event.type == "open":
                viewers.add(event.conn)
                for move in drawing.everything():
                    bus.send(event.conn, move)
            elif event.type in ("closed", "revoked"):
                viewers.discard(event.conn)
            elif event.type == "data":
                move = drawing.take(event.payload, now)
                if move:
                    bus.publish(move, route=args.route, but=[event.conn])
            if viewers and now >= due:
                due = now + TICK_MS / 1000
                for move in drawing.step(now):
                    bus.publish(move, route=args.route)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
