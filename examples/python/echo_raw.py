#!/usr/bin/python3
import json, struct, sys, zmq
HELLO, SEND, PONG, DATA, PING, META = 64, 69, 78, 3, 12, 1  # HELLO without "ack": each message at most once, lost with whoever has it
header = struct.Struct("<BBBBIQQQ")  # version, type, code, flags, payload bytes, connection, seq, time
bus = zmq.Context().socket(zmq.DEALER)
bus.connect("ipc://%s/handlers" % sys.argv[-1])  # DIR, or --runtime-dir DIR
while True:
    bus.send_multipart([header.pack(1, HELLO, 0, META, 0, 0, 0, 0), b"", json.dumps({"routes": ["echo"], "kinds": ["websocket"]}).encode()])
    while bus.poll(3000):  # the gate pings every second: silence means that it has been restarted
        head, payload, *_ = bus.recv_multipart()
        _, kind, opcode, _, size, conn, seq, _ = header.unpack(head)
        if kind == DATA:
            bus.send_multipart([header.pack(1, SEND, opcode, 0, size, conn, 0, 0), payload])
        elif kind == PING:  # the gate may wait for the answer before it believes the next one
            bus.send_multipart([header.pack(1, PONG, 0, 0, size, 0, seq, 0), payload])
