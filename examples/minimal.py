#!/usr/bin/env python3
"""A client for dantok's framed protocol in plain Python 3, written from protocol.md alone.

    minimal.py HOST:PORT NAME ROOM [TEXT ...]

Joins ROOM as NAME, sends each TEXT, prints what NAME has not read yet, and acknowledges it.
"""

import secrets
import socket
import struct
import sys

HELLO, JOIN, SEND, FETCH, ACK = 0, 3, 5, 6, 8  # commands that are used here
REPLY, PART, PUSH, CLOSING = range(4)  # what the daemon sends
CODES = (
    "bad-command bad-argument too-long not-utf8 bad-frame hello-first denied not-joined "
    "no-room room-exists id-reused limit storage stopping no-group epoch set-back"
).split()


class Refused(Exception):
    """The daemon said no; the arguments are its code and its sentence."""


def u64(number):
    return struct.pack("<Q", number)


def text(value):
    value = value.encode() if isinstance(value, str) else value
    return u64(len(value)) + value


def option(value, encode):
    return b"\0" if value is None else b"\1" + encode(value)


class Reader:
    """Takes values off the front of a payload."""

    def __init__(self, payload):
        self.payload, self.at = payload, 0

    def take(self, form):
        (value,) = struct.unpack_from("<" + form, self.payload, self.at)
        self.at += struct.calcsize("<" + form)
        return value

    def bytes(self):
        length = self.take("Q")
        self.at += length
        return self.payload[self.at - length : self.at]

    def text(self):
        return self.bytes().decode()


class Client:
    def __init__(self, host, port, name):
        self.stream = socket.create_connection((host, port))
        self.input = self.stream.makefile("rb")
        self.last_id = 0
        self.ask(HELLO, struct.pack("<H", 1) + text(name) + option(None, text) + option(None, text))

    def ask(self, command, arguments):
        """Sends a request; returns the parts of its answer and a reader at its end's fields."""
        self.last_id += 1
        payload = u64(self.last_id) + struct.pack("<I", command) + arguments
        self.stream.sendall(struct.pack(">I", len(payload)) + payload)
        parts = []
        while True:
            (length,) = struct.unpack(">I", self.exactly(4))
            reader = Reader(self.exactly(length))
            kind = reader.take("I")
            if kind == CLOSING:
                raise Refused(CODES[reader.take("I")], reader.text())
            if kind == PUSH:
                continue
            assert reader.take("Q") == self.last_id
            variant = reader.take("I")
            if kind == PART:
                parts.append((variant, reader))
            elif variant == 11:
                raise Refused(CODES[reader.take("I")], reader.text())
            else:
                return parts, reader

    def exactly(self, length):
        data = self.input.read(length)
        if len(data) < length:
            raise ConnectionError("the daemon closed the connection")
        return data

    def join(self, room):
        """Returns the cursor and the room's last seq."""
        _, end = self.ask(JOIN, text(room) + struct.pack("<I", 0))  # from the start
        return end.take("Q"), end.take("Q")

    def send(self, room, body, message_id=None):
        """Returns the seq. To repeat it safely, give the same id again."""
        message_id = message_id or secrets.token_hex(8)
        _, end = self.ask(SEND, text(room) + option(message_id, text) + text(body) + option(None, u64))
        return end.take("Q")

    def fetch(self, room):
        """Returns [(seq, time in ms, client, body)] and the last seq that was handed over; a gap has no client."""
        parts, end = self.ask(FETCH, text(room) + option(None, u64) + option(None, u64))
        messages = []
        for variant, part in parts:
            part.text()  # the room
            if variant == 0:
                messages.append((part.take("Q"), part.take("Q"), part.text(), part.bytes()))
            else:
                messages.append((part.take("Q"), None, None, b"(gone)"))
        end.text()
        return messages, end.take("Q")

    def ack(self, room, seq):
        """Returns the cursor."""
        _, end = self.ask(ACK, text(room) + option(seq, u64))
        return end.take("Q")


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    host, _, port = sys.argv[1].rpartition(":")
    client, room = Client(host.strip("[]"), int(port), sys.argv[2]), sys.argv[3]
    client.join(room)
    for line in sys.argv[4:]:
        client.send(room, line)
    messages, handed = client.fetch(room)
    for seq, _, sender, body in messages:
        print(seq, sender, repr(body.decode(errors="backslashreplace"))[1:-1], flush=True)
    client.ack(room, handed)


if __name__ == "__main__":
    main()
