"""As much of NATS as it takes to read a stream to its end."""

import base64
import json
import socket


class Stream:
    def __init__(self, port, name):
        self.name = name
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.file = self.socket.makefile("rb")
        self.file.readline()
        self.socket.sendall(b'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\nSUB _INBOX.drill 1\r\nPING\r\n')

    def ask(self, subject, body):
        body = json.dumps(body).encode()
        self.socket.sendall(f"PUB {subject} _INBOX.drill {len(body)}\r\n".encode() + body + b"\r\n")
        while True:
            words = self.file.readline().split()
            if not words:
                raise OSError("NATS has closed the connection")
            if words[0] == b"PING":
                self.socket.sendall(b"PONG\r\n")
            elif words[0] == b"MSG":
                return json.loads(self.file.read(int(words[-1]) + 2))

    def lines(self):
        """The bodies of all messages, in order."""
        state = self.ask(f"$JS.API.STREAM.INFO.{self.name}", {})["state"]
        found = []
        for number in range(state["first_seq"], state["last_seq"] + 1):
            answer = self.ask(f"$JS.API.STREAM.MSG.GET.{self.name}", {"seq": number})
            if "message" in answer:
                found.append(json.loads(base64.b64decode(answer["message"]["data"])))
        return found
