"""A client in the machine: client.py PORT TEXT…  says each, prints what comes back; client.py PORT --hold: stays, a line for each answer."""

import sys

from raw import Raw

port, words = int(sys.argv[1]), sys.argv[2:]
with Raw(port) as client:
    client.upgrade()
    if words == ["--hold"]:
        print("open", flush=True)
        words = (line.rstrip("\n") for line in sys.stdin)
    for word in words:
        client.say(word)
        print(client.read_message(), flush=True)
