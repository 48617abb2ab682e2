#!/usr/bin/python3
"""A gatekeeper: who has a pass comes in, under the name and with the tags that the list of passes gives it.

It serves no clients itself. Routes that say `gatekeeper = door` ask it, and their handlers find `user` and `tags` in OPEN.
The list has a line for each pass, `PASS NAME [TAG…]`; a client shows its pass as `?pass=PASS`, or in a cookie of that name.
"""

import argparse
import hashlib
import http.cookies
import signal
import sys
import urllib.parse

from wsbus import Handler


def digest_of(word):
    """Passes are looked up by this: how long the search takes says nothing of those that are good."""
    return hashlib.sha256(word.encode(errors="replace")).digest()


def read_list(path):
    """{digest: (name, [tag])}"""
    with open(path, encoding="utf-8") as lines:
        words = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    return {digest_of(line[0]): (line[1], line[2:]) for line in words}


def pass_of(meta):
    """What the client shows; None when it is nothing."""
    asked = urllib.parse.parse_qs(meta["query"]).get("pass")
    if asked:
        return asked[0]
    try:
        cookie = http.cookies.SimpleCookie(meta["headers"].get("cookie", "")).get("pass")
    except http.cookies.CookieError:
        return None
    return cookie.value if cookie else None


def decide(bus, event, passes):
    word = pass_of(event.meta)
    guest = passes.get(digest_of(word)) if word else None
    if guest:
        bus.accept(event.conn, user=guest[0], tags=guest[1])
    else:
        bus.reject(event.conn, 401, "a pass, please\n".encode(), headers={"Content-Type": "text/plain; charset=utf-8"})


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False, description="let those in who have a pass")
    parser.add_argument("--runtime-dir", metavar="DIR", dest="bus", help="the gate's runtime directory, or its address: tcp://HOST:PORT")
    parser.add_argument("--dir", "--bus", dest="bus", help=argparse.SUPPRESS)  # the same
    parser.add_argument("--route", action="append", help="the gatekeepers' route; default: door")
    parser.add_argument("passes", help="the list: PASS NAME [TAG…], line by line; it is read again for each client")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    with Handler(routes=args.route or ["door"], bus=args.bus, name="door.py", kinds=["websocket"]) as bus:
        for event in bus:
            if event.type == "open" and event.pending:
                decide(bus, event, read_list(args.passes))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
