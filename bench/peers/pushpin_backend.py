#!/usr/bin/python3
"""A peer of the bench: what stands behind Pushpin. Usage: pushpin_backend.py REQUESTS PUBLISH (ZeroMQ endpoints)

Pushpin turns the frames of a WebSocket into requests that carry events, here over ZeroMQ instead of HTTP. Each event is echoed;
who opens /sub is subscribed to a channel, and what comes at /pub is published to that."""

import json
import sys
import urllib.parse

import zmq

CHANNEL = "bench"
SUBSCRIBE = b"c:" + json.dumps({"type": "subscribe", "channel": CHANNEL}).encode()


def pack(value):
    """A tnetstring: length, colon, bytes, and a letter for the type."""
    if isinstance(value, bytes):
        body, kind = value, b","
    elif isinstance(value, bool):
        body, kind = (b"true" if value else b"false"), b"!"
    elif isinstance(value, int):
        body, kind = str(value).encode(), b"#"
    elif isinstance(value, list):
        body, kind = b"".join(map(pack, value)), b"]"
    else:
        body, kind = b"".join(pack(key) + pack(one) for key, one in value.items()), b"}"
    return str(len(body)).encode() + b":" + body + kind


def unpack(data):
    """The first value, and what is behind it."""
    length, rest = data.split(b":", 1)
    size = int(length)
    body, kind, rest = rest[:size], rest[size:size + 1], rest[size + 1:]
    if kind == b",":
        return body, rest
    if kind in b"]}":
        values = []
        while body:
            one, body = unpack(body)
            values.append(one)
        return (values if kind == b"]" else dict(zip(values[::2], values[1::2]))), rest
    return (int(body) if kind == b"#" else body == b"true" if kind == b"!" else None), rest


def events_of(body):
    """Pairs of a type and its content; None where there is none."""
    while body:
        line, body = body.split(b"\r\n", 1)
        kind, _, size = line.partition(b" ")
        if size:
            content, body = body[:int(size, 16)], body[int(size, 16) + 2:]
        yield kind, content if size else None


def event(kind, content=None):
    return kind + (b"\r\n" if content is None else b" %x\r\n%s\r\n" % (len(content), content))


def answer(path, body, publish):
    said = b""
    for kind, content in events_of(body):
        if kind == b"OPEN":
            said += event(b"OPEN") + (event(b"TEXT", SUBSCRIBE) if path == "/sub" else b"")
        elif kind in (b"TEXT", b"BINARY") and path == "/pub":
            publish(content)
        elif kind in (b"TEXT", b"BINARY", b"CLOSE", b"PING"):
            said += event(b"PONG" if kind == b"PING" else kind, content)
    return said


def main():
    requests_at, publish_at = sys.argv[1:]
    context = zmq.Context()
    requests, out = context.socket(zmq.REP), context.socket(zmq.PUSH)
    requests.connect(requests_at)  # the proxy binds
    out.connect(publish_at)

    def publish(content):
        item = {"channel": CHANNEL, "formats": {"ws-message": {"content": content.decode()}}}
        out.send(b"J" + json.dumps(item).encode())

    while True:
        request, _ = unpack(requests.recv()[1:])
        path = urllib.parse.urlsplit(request[b"uri"].decode()).path
        headers = [[b"Content-Type", b"application/websocket-events"]]
        if path == "/sub":
            headers.append([b"Sec-WebSocket-Extensions", b'grip; message-prefix=""'])
        requests.send(b"T" + pack({b"id": request[b"id"], b"code": 200, b"reason": b"OK", b"headers": headers,
                                   b"body": answer(path, request.get(b"body", b""), publish)}))


if __name__ == "__main__":
    main()
