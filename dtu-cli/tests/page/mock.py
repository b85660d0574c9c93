"""A gateway that is none: the HTTP API with made-up devices, for the tests of the page and its screenshots.

Only the standard library. Alone: `python3 mock.py --devices 10000 --changed 2000`.
"""

import argparse
import json
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

PAGE = Path(__file__).resolve().parents[2] / "src" / "http" / "page"
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
CSP = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
PIECE = 500

HOSTILE = [
    "<img src=x onerror=window.hacked=1>",
    "\"><script>window.hacked=1</script>",
    "' onmouseover='window.hacked=1",
    "javascript:window.hacked=1",
    "meter-\u202egnp.exe",
    "line\nbreak\rand\ttab",
    "nul\x00esc\x1b[31m",
    "zero\u200bwidth\u2066isolate",
    "slash/../../etc?x=1#y%41",
    "__proto__",
    "constructor",
    "电表-七号-Ω-🔌",
    "a" + "\u0301" * 31,
    "W" * 64,
    " blank at both ends ",
]


def crc(data):
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ 0xA001 if value & 1 else value >> 1
    return value.to_bytes(2, "little")


class Gateway:
    """The state of the made-up gateway. Tests change it and see what the page does."""

    def __init__(self, devices=100, changed=20, token=None, hostile=False, seed=7, version="0.6.0"):
        self.random = random.Random(seed)
        self.token = token
        self.changed = changed
        self.version = version
        self.started = time.time()
        self.sinks = [{"name": "file", "up": True, "breaker_open": False, "records": 81203, "failures": 0}, {"name": "nats", "up": True, "breaker_open": False, "records": 81203, "failures": 3}]
        self.queue = {"records": 12, "capacity": 4096}
        self.draining = False
        self.refusal = "show the token: Authorization: Bearer TOKEN"
        self.counters_extra = {}
        self.rows = {}
        self.logs = {}
        self.gone = []
        self.calls = []
        #: Who was looked at, one device a time.
        self.looks = []
        #: Set when the answer to `dd` may leave.
        self.may_answer = threading.Event()
        self.refuse_streams = False
        self.streams_asked = 0
        #: A stream begins anew without a new connection when this grows.
        self.resets = 0
        #: Streams stay open and say nothing.
        self.is_hung = False
        self.stream_generation = 0
        self.lock = threading.Lock()
        self.tick = threading.Condition()
        self.round = 0
        self.rounds = {}
        sites = ["pump", "meter", "well", "boiler", "feeder"]
        ids = [f"{sites[n % 5]}-{n // 5 + 1:04}" for n in range(devices)]
        for number, name in enumerate((HOSTILE if hostile else []) + ids):
            self.add(name, number)
        threading.Thread(target=self.live, daemon=True).start()

    def now(self):
        return int(time.time() * 1000)

    def add(self, name, number=0, **values):
        rng = self.random
        chance = rng.random()
        state = "connected" if chance < 0.965 else "disconnected" if chance < 0.996 else "closed"
        now = self.now()
        frames = int(rng.lognormvariate(8, 1.4))
        is_noisy = rng.random() < 0.04
        row = {
            "id": name,
            "kind": "transparent" if number % 3 == 1 else "native",
            "state": state,
            "peer": f"10.{number // 65536 % 256}.{number // 256 % 256}.{number % 256}:{40000 + number % 20000}",
            "rtt_ms": round(rng.lognormvariate(3.6, 0.5), 1) if state == "connected" else None,
            "last_seen": now - int(rng.random() * (28_000 if state == "connected" else 7_200_000)),
            "since": now - int(rng.random() * 90_000_000),
            "frames": frames,
            "bytes": frames * 41,
            "errors": int(rng.lognormvariate(3, 1.2)) if is_noisy else 0,
            "takeovers": rng.choice([0, 0, 0, 0, 0, 1, 3]),
            "connections": 1 + int(rng.random() ** 3 * 14),
        }
        row.update(values)
        with self.lock:
            self.rows[name] = row

    def live(self):
        while True:
            time.sleep(1)
            self.step()

    def step(self):
        """A second of the fleet: some devices send, few come and go."""
        rng = self.random
        with self.lock:
            names = rng.sample(list(self.rows), min(self.changed, len(self.rows)))
            now = self.now()
            for name in names:
                row = self.rows[name]
                if row["state"] == "connected":
                    more = rng.choice([1, 1, 2, 4])
                    row["frames"] += more
                    row["bytes"] += 41 * more
                    row["last_seen"] = now - rng.randrange(900)
                    row["rtt_ms"] = max(4.0, round(row["rtt_ms"] * rng.uniform(0.9, 1.11), 1)) if row["rtt_ms"] else 42.0
                    if rng.random() < 0.002:
                        row.update(state="disconnected", since=now, rtt_ms=None)
                elif row["state"] == "disconnected" and rng.random() < 0.05:
                    row.update(state="connected", since=now, rtt_ms=40.0, connections=row["connections"] + 1, last_seen=now)
            data = [json.dumps([self.rows[name] for name in names[at:at + PIECE]]) for at in range(0, len(names), PIECE)]
            gone, self.gone = self.gone, []
        with self.tick:
            self.round += 1
            self.rounds = {n: value for n, value in self.rounds.items() if n > self.round - 5}
            self.rounds[self.round] = (data, gone)
            self.tick.notify_all()

    def remove(self, name):
        with self.lock:
            del self.rows[name]
            self.gone.append(name)

    def drop_streams(self, refuse=False):
        """Ends all streams; with `refuse` new ones get status 503."""
        with self.tick:
            self.refuse_streams = refuse
            self.stream_generation += 1
            self.tick.notify_all()

    def reasons(self):
        down = [f"sink {sink['name']} is down: {sink['error']}" for sink in self.sinks if not sink["up"]]
        return ["draining"] * self.draining + down

    def counters(self):
        states = [row["state"] for row in self.rows.values()]
        return {
            "id": "gw-1",
            "version": self.version,
            "uptime_ms": int((time.time() - self.started) * 1000) + 273_000_000,
            "devices": {"connected": states.count("connected"), "disconnected": states.count("disconnected"), "total": len(states)},
            "ready": not self.reasons(),
            "reasons": self.reasons(),
            "sinks": self.sinks,
            "queue": self.queue,
            **self.counters_extra,
        }

    def timeline(self, row):
        since, now = row["since"], self.now()
        events = [
            (since, "connected", f"from {row['peer']}, resumed, 3 frames repeated"),
            (since - 21_400, "disconnected", "no byte for 45 s"),
            (since - 1_840_000, "skipped", "17 bytes: the checksum does not fit"),
            (since - 3_600_000, "connected", f"from {row['peer']}, takes over"),
            (since - 86_400_000, "identified", "key of the device proven"),
            (since - 86_400_900, "connected", "first time"),
        ]
        if row["state"] == "closed":
            events.insert(0, (now - 9000, "closed", "by the operator: <b>maintenance</b> \u202etsil"))
        if row["state"] == "disconnected":
            events.insert(0, (since, "disconnected", "the peer closed the connection"))
            events.pop(1)
        return [{"at": at, "event": event, "text": text} for at, event, text in events]

    def frames(self, row):
        number = row["frames"]
        rng = random.Random(f"{row['id']} {number // 4}")
        frames = []
        for index in range(8):
            at = row["last_seen"] - index * 2100
            if row["kind"] == "transparent":
                is_up = index % 2 == 0
                if is_up:
                    values = [rng.randrange(2200, 2400), rng.randrange(0, 900), rng.randrange(49, 51) * 100]
                    body = bytes([3, 3, 6]) + b"".join(value.to_bytes(2, "big") for value in values)
                    fields = [(0, 1, "address", "3"), (1, 2, "function", "3 read holding registers"), (2, 3, "bytes", "6")]
                    fields += [(3 + 2 * n, 5 + 2 * n, f"register {n}", str(value)) for n, value in enumerate(values)]
                else:
                    body = bytes([3, 3, 0, 0, 0, 3])
                    fields = [(0, 1, "address", "3"), (1, 2, "function", "3 read holding registers"), (2, 4, "first register", "0"), (4, 6, "count", "3")]
                data = body + crc(body)
                fields.append((len(body), len(data), "CRC", "right"))
                direction, channel, seq = "up" if is_up else "down", 0, None
            else:
                text = json.dumps({"t": round(rng.uniform(14, 31), 1), "p": rng.randrange(980, 1040), "alarm": None}).encode()
                if index == 3:
                    text = bytes(rng.randrange(256) for _ in range(256))
                data = bytes([5, 0, 0, 0]) + (number - index).to_bytes(4, "big") + text
                data = data[:256]
                fields = [(0, 1, "type", "DATA"), (1, 2, "channel", "0"), (2, 4, "flags", "0"), (4, 8, "sequence", str(number - index)), (8, len(data), "body", f"{len(data) - 8} bytes")]
                direction, channel, seq = "up", 0, number - index
            length = 1024 if index == 3 and row["kind"] == "native" else len(data)
            frames.append({"at": at, "direction": direction, "channel": channel, "seq": seq, "hex": data.hex(), "length": length,
                           "fields": [{"from": a, "to": b, "name": name, "text": value} for a, b, name, value in fields]})
        return frames

    def answer(self, name, body):
        """The reply to a request: what a meter with address 1 to 9 gives."""
        if name not in self.rows:
            return 404, error("unknown_device", "no device has this id")
        try:
            data = bytes.fromhex(body.get("hex", ""))
        except ValueError:
            return 400, error("bad_request", "hex: it is no hex")
        if body.get("crc"):
            data += crc(data)
        if data[:1] == b"\xdd":
            self.may_answer.wait(60)
        if data[:1] in (b"\xdd", b"\xee"):
            return 504, error("timed_out", f"no reply in {body.get('timeout_ms')} ms")
        if data[:1] == b"\xef":
            return 429, error("full", "8 requests wait")
        if len(data) < 6:
            return 400, error("bad_request", f"hex: {len(data)} bytes are no request")
        address, function, start, amount = data[0], data[1], int.from_bytes(data[2:4], "big"), int.from_bytes(data[4:6], "big")
        if function in (3, 4):
            if start >= 1000:
                reply = bytes([address, function | 0x80, 2])
            else:
                reply = bytes([address, function, amount * 2]) + b"".join((2300 + 7 * n).to_bytes(2, "big") for n in range(amount))
        elif function in (1, 2):
            reply = bytes([address, function, (amount + 7) // 8]) + bytes([0xA5] * ((amount + 7) // 8))
        else:
            reply = data[:6]
        reply += crc(reply)
        told = {"device": name, "outcome": "replied", "hex": reply.hex(), "round_trip_ms": 87.4}
        if reply[1] & 0x80:
            told["exception"] = reply[2]
        return 200, told


def error(code, text):
    return {"error": {"code": code, "text": text}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    @property
    def gateway(self):
        return self.server.gateway

    def send(self, status, data, kind="application/json"):
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("content-security-policy", CSP)
        self.send_header("x-content-type-options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def is_allowed(self):
        if self.gateway.token is None or self.headers.get("authorization") == f"Bearer {self.gateway.token}":
            return True
        self.send(401, error("unauthorized", self.gateway.refusal))
        return False

    def do_GET(self):
        path = urlsplit(self.path).path
        name = "index.html" if path == "/" else path[1:]
        file = PAGE / name
        if "/" not in name and file.suffix in TYPES and file.is_file():
            return self.send(200, file.read_bytes(), TYPES[file.suffix])
        if not self.is_allowed():
            return None
        if path == "/events":
            return self.events()
        if path == "/counters":
            return self.send(200, self.gateway.counters())
        if path.startswith("/devices/"):
            name = unquote(path.removeprefix("/devices/"))
            self.gateway.looks.append(name)
            row = self.gateway.rows.get(name)
            if row is None:
                return self.send(404, error("unknown_device", "no device has this id"))
            return self.send(200, {"device": row, "timeline": self.gateway.timeline(row), "frames": self.gateway.frames(row)})
        return self.send(404, error("not_found", "nothing is here"))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        if not self.is_allowed():
            return None
        gateway = self.gateway
        parts = urlsplit(self.path).path.split("/")
        if len(parts) != 4 or parts[1] != "devices":
            return self.send(404, error("not_found", "nothing is here"))
        name = unquote(parts[2])
        gateway.calls.append((name, parts[3], body))
        if parts[3] == "request":
            time.sleep(0.05)
            return self.send(*gateway.answer(name, body))
        row = gateway.rows.get(name)
        if row is None:
            return self.send(404, error("unknown_device", "no device has this id"))
        if row["state"] == "closed":
            return self.send(409, error("already_closed", "its session is closed"))
        row.update(state="closed", since=gateway.now(), rtt_ms=None)
        return self.send(200, {"device": name, "closed": True})

    def events(self):
        gateway = self.gateway
        gateway.streams_asked += 1
        if gateway.refuse_streams:
            return self.send(503, error("full", "64 streams are open"))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("cache-control", "no-store")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        generation = gateway.stream_generation
        try:
            seen, resets = self.all(), gateway.resets
            while generation == gateway.stream_generation:
                with gateway.tick:
                    gateway.tick.wait_for(lambda: gateway.round > seen or generation != gateway.stream_generation, timeout=15)
                    rounds = [value for number, value in sorted(gateway.rounds.items()) if number > seen]
                    seen = gateway.round
                if gateway.is_hung:
                    continue
                if gateway.resets != resets:
                    seen, resets = self.all(), gateway.resets
                    continue
                for data, gone in rounds:
                    for piece in data:
                        self.event("devices", piece)
                    if gone:
                        self.event("gone", json.dumps(gone))
                self.event("gateway", json.dumps(gateway.counters()))
        except (BrokenPipeError, ConnectionResetError):
            pass

    def all(self):
        """Begins a stream: all rows, the counters behind the first piece. Gives the round that is in them."""
        gateway = self.gateway
        with gateway.lock:
            rows = list(gateway.rows.values())
            pieces = [json.dumps(rows[at:at + PIECE]) for at in range(0, len(rows), PIECE)]
            seen = gateway.round
        self.event("reset", "[]")
        for piece in pieces[:1]:
            self.event("devices", piece)
        self.event("gateway", json.dumps(gateway.counters()))
        for piece in pieces[1:]:
            self.event("devices", piece)
        return seen

    def event(self, name, data):
        self.wfile.write(f"event: {name}\ndata: {data}\n\n".encode())
        self.wfile.flush()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A browser that goes away in the middle of an answer is no fault."""


def serve(gateway, host="127.0.0.1", port=0):
    """Serves in a thread; gives the server, whose `url` is the page's."""
    server = Server((host, port), Handler)
    server.gateway = gateway
    server.url = f"http://{host}:{server.server_port}/"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--devices", type=int, default=10_000)
    options.add_argument("--changed", type=int, default=2_000, help="rows that change each second")
    options.add_argument("--port", type=int, default=8080)
    options.add_argument("--token")
    options.add_argument("--hostile", action="store_true")
    chosen = options.parse_args()
    server = serve(Gateway(chosen.devices, chosen.changed, chosen.token, chosen.hostile), port=chosen.port)
    print(server.url, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
