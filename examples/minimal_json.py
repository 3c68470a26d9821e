#!/usr/bin/env python3
"""A client for dantok in plain Python 3 that sends and receives JSON, written from protocol.md alone.

    minimal_json.py HOST:PORT NAME ROOM [TEXT ...]

Joins ROOM as NAME, sends each TEXT, prints what NAME has not read yet, and acknowledges it.
"""

import json
import secrets
import socket
import sys


class Refused(Exception):
    """The daemon said no; the arguments are its code and its sentence."""


class Client:
    def __init__(self, host, port, name):
        self.lines = socket.create_connection((host, port)).makefile("rw", encoding="utf-8", newline="\n")
        self.last_tag = 0
        self.ask("hello", client=name)

    def ask(self, do, **members):
        """Sends a request; returns the objects of its answer, the last of which ends it."""
        self.last_tag += 1
        self.lines.write(json.dumps({"do": do, "tag": self.last_tag, **members}) + "\n")
        self.lines.flush()
        answer = []
        for line in self.lines:
            part = json.loads(line)
            if part["type"] == "error":
                raise Refused(part["code"], part["text"])
            if part.get("tag") == self.last_tag:  # what is pushed has no tag
                answer.append(part)
                if part["type"] in ("ok", "end"):
                    return answer
        raise ConnectionError("the daemon closed the connection")


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    host, _, port = sys.argv[1].rpartition(":")
    client, room = Client(host.strip("[]"), int(port), sys.argv[2]), sys.argv[3]
    client.ask("join", room=room)
    for text in sys.argv[4:]:
        # To repeat it safely after a broken connection, give the same id again.
        client.ask("send", room=room, text=text, id=secrets.token_hex(8))
    *messages, end = client.ask("fetch", room=room)
    for message in messages:
        if message["type"] == "message":
            print(message["seq"], message["client"], repr(message.get("text", "(not text)"))[1:-1], flush=True)
    client.ask("ack", room=room, seq=end["handed"])


if __name__ == "__main__":
    main()
