"""The Python handler of the chaos test; handler.c says what it does.  Usage: handler.py ADDRESS RECORDS"""

import os
import pathlib
import signal
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "python"))

from wsbus import Handler  # noqa: E402

RECORD = struct.Struct("<QQIIII")


def stop(*_):
    raise KeyboardInterrupt


def main(address, records):
    out = os.open(records, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        with Handler(routes=["chaos"], bus=address, name="chaos-py") as bus:
            for event in bus:
                if event.type == "data":
                    client, number = event.payload.split(None, 2)[:2]
                    os.write(out, RECORD.pack(event.conn, time.monotonic_ns(), int(client), int(number), event.redelivered, 0))
                    bus.send(event.conn, event.payload, event.opcode)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
