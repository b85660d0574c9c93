"""What a drill needs of a system: processes that it starts and ends, free ports, and waiting with a bound."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

TOKEN = "drill-0123456789abcdef0123456789"
# The longest that anything is waited for, in seconds.
PATIENCE = 30
# A record of a device: its name and its number, so long that what is glued together can be cut again.
RECORD = "{name} {number:09d}\n"


class Failed(Exception):
    """A promise that was not kept."""


def expect(kept, promise):
    if not kept:
        raise Failed(promise)


def until(what, condition, patience=PATIENCE):
    """Seconds until it holds. Nobody tells a process from outside, so it is polled."""
    began = time.monotonic()
    while time.monotonic() - began < patience:
        try:
            if condition():
                return time.monotonic() - began
        except (OSError, ValueError, KeyError):
            pass
        time.sleep(0.05)
    raise Failed(f"not within {patience} s: {what}")


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Process:
    """A process of the drill; its output is in a file of its own."""

    def __init__(self, folder, name, command, **more):
        self.name, self.command, self.log = name, [str(word) for word in command], folder / f"{name}.log"
        self.more, self.process = more, None
        self.start()

    def start(self):
        with self.log.open("ab") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log} | self.more
            self.process = subprocess.Popen(self.command, **streams)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def stop(self, patience=PATIENCE):
        """Asks it to end; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired as late:
            self.kill()
            raise Failed(f"{self.name} does not stop within {patience} s") from late


class Gateway(Process):
    """`dtu serve --config`, and its API."""

    def __init__(self, drill, name, sink, more=""):
        self.native, self.transparent, self.http = free_port(), free_port(), free_port()
        folder = drill.folder / name
        folder.mkdir()
        (folder / "token").write_text(TOKEN)
        (folder / "token").chmod(0o600)
        config = folder / "gateway.toml"
        config.write_text(
            f"""\
[gateway]
id = "{name}"

[[listener]]
kind = "native"
tcp = "127.0.0.1:{self.native}"

[[listener]]
kind = "transparent"
tcp = "127.0.0.1:{self.transparent}"
profile = "plain"

[http]
listen = "127.0.0.1:{self.http}"
token_file = "token"

[log]
level = "info"

{sink}
{more}
"""
        )
        super().__init__(folder, name, [drill.dtu, "serve", "--config", config])
        drill.processes.append(self)

    def ask(self, path, body=None):
        """Status and answer of the API; 0 where nobody listens."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def is_ready(self):
        return self.ask("/health/ready")[0] == 200

    def metric(self, name):
        """A series, or the sum of those that begin with it."""
        status, text = self.ask("/metrics")
        if status != 200:
            raise OSError(status)
        found = re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
        if not found:
            raise KeyError(name)
        return sum(map(float, found))

    def connected(self):
        return self.metric('dtu_devices{state="connected"}')


class Device(threading.Thread):
    """`dtu connect` with a stdin of numbered records, and what it says became of them."""

    def __init__(self, drill, name, servers, rate):
        super().__init__(daemon=True)
        self.name_, self.rate, self.written, self.over = name, rate, 0, threading.Event()
        command = [drill.dtu, "connect", servers, "--id", name, "--drain", PATIENCE, "--failback", "never"]
        self.process = Process(drill.folder, name, command, stdin=subprocess.PIPE)
        drill.processes.append(self.process)
        self.start()

    def run(self):
        stdin = self.process.process.stdin
        try:
            while not self.over.wait(1 / self.rate):
                stdin.write(RECORD.format(name=self.name_, number=self.written).encode())
                stdin.flush()
                self.written += 1
            stdin.close()
        except BrokenPipeError:
            pass

    def finish(self):
        """No more records; what is under way is waited for, by the device itself."""
        self.over.set()
        self.join(PATIENCE)
        expect(not self.is_alive(), f"{self.name_} is still pressed back")
        code = self.process.process.wait(PATIENCE + 10)
        said = self.process.log.read_text().strip().splitlines()[-1]
        expect(code == 0, f"{self.name_} ends with {code}: {said}")


def files_of(path):
    """A file sink's lines, rotated files before the one of now."""
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def check_records(devices, lines):
    """Every record of every device is there, in order; once, where repeats are told apart as the documents say.

    Returns how many records there are, and how many lines were repeats."""
    bodies, streams, repeats = {}, {}, 0
    for line in lines:
        if line["event"] != "data":
            continue
        key = (line["device"], line["stream"], line["seq"])
        if key in bodies:
            expect(bodies[key] == line["body"], f"{key} is two different things")
            repeats += 1
            continue
        bodies[key] = line["body"]
        streams.setdefault(line["device"], {}).setdefault(line["stream"], []).append(line["seq"])
    total = 0
    for device in devices:
        text = ""
        for stream, numbers in streams.get(device.name_, {}).items():
            for number in sorted(numbers):
                text += bytes.fromhex(bodies[(device.name_, stream, number)]).decode()
        wanted = "".join(RECORD.format(name=device.name_, number=number) for number in range(device.written))
        if text != wanted:
            got, all_of_it = set(text.splitlines()), wanted.splitlines()
            missing = [record for record in all_of_it if record not in got]
            raise Failed(f"{device.name_}: {len(all_of_it)} written, {len(missing)} missing, first {missing[:1]}, {len(text.splitlines())} stored")
        total += device.written
    return total, repeats


def end(processes):
    for process in processes:
        process.kill()


def is_root():
    return os.geteuid() == 0
