#!/usr/bin/env python3
"""Proves of the image that `just image` has built what deploy.md says of it, without a container runtime.

The binary is linked statically. The image has a user, an entry point and three files. In its file system and nothing else, as its user, with no
capability and no way to new ones, the binary says its version, checks its configuration, serves a device that dials it by a
name, answers for its health, and stops on SIGTERM. Needs root, to change into that file system.

Everything is on loopback in a network namespace of its own, so that a name server can be at the port where one is looked for.
"""

import ctypes
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

IMAGE = Path("target/image")
USER = 65532
NAME = "gateway.dtu.test"
TOKEN = "0123456789abcdef0123456789abcdef"
CONFIG = f"""\
[gateway]
drain = "1s"

[[listener]]
kind = "native"
tcp = "127.0.0.1:55125"
keys = "/etc/dtu/secret/keys"

[[sink]]
kind = "file"
path = "/var/lib/dtu/data.jsonl"

[http]
listen = "127.0.0.1:55180"
token_file = "/etc/dtu/secret/token"
"""
KEY = "00112233445566778899aabbccddeeff"
DEADLINE = 20
LIBC = ctypes.CDLL(None)


def is_static(binary):
    """No program header asks for an interpreter, and no entry of the dynamic section for a library."""
    raw = binary.read_bytes()
    assert raw[:6] == b"\x7fELF\x02\x01", "not a 64-bit ELF"
    offset, size, count = struct.unpack_from("<Q", raw, 32)[0], *struct.unpack_from("<HH", raw, 54)
    for at in range(offset, offset + size * count, size):
        kind, _, start, _, _, length = struct.unpack_from("<IIQQQQ", raw, at)
        assert kind != 3, "asks for an interpreter"
        if kind == 2:
            tags = {struct.unpack_from("<q", raw, start + entry)[0] for entry in range(0, length, 16)}
            assert 1 not in tags, "asks for a library"


def unpack(root):
    """The image's files, layer by layer, and its configuration."""
    layout = IMAGE / "dtu.oci"
    blob = lambda digest: layout / "blobs" / digest.replace(":", "/")
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = json.loads(blob(entry["digest"]).read_text())
    for layer in manifest["layers"]:
        subprocess.run(["tar", "--extract", "--file", blob(layer["digest"]), "--directory", root], check=True)
    return json.loads(blob(manifest["config"]["digest"]).read_text())["config"]


def image_is_as_told(config, root):
    assert config["User"] == f"{USER}:{USER}", config["User"]
    assert config["Entrypoint"] == ["/dtu"] and config["Cmd"] == ["serve", "--config", "/etc/dtu/gateway.toml"]
    assert set(config["ExposedPorts"]) == {"55125/tcp", "55125/udp", "55127/tcp", "55180/tcp"}
    assert config["StopSignal"] == "SIGTERM" and config["WorkingDir"] == "/var/lib/dtu"
    files = {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}
    assert files == {"dtu", "etc/nsswitch.conf", "etc/ssl/certs/ca-certificates.crt"}, files
    for path in root.rglob("*"):
        mode, owner = path.lstat().st_mode, path.lstat().st_uid
        assert not mode & 0o6000, f"{path}: setuid or setgid"
        assert owner == (USER if path == root / "var/lib/dtu" else 0), f"{path}: belongs to {owner}"
        assert not mode & 0o002, f"{path}: everybody may write it"


class Names(threading.Thread):
    """A name server that knows one name."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))
        self.asked = set()

    def run(self):
        while True:
            query, peer = self.socket.recvfrom(512)
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1 : at + 1 + query[at]].decode())
                at += 1 + query[at]
            name, kind = ".".join(labels), struct.unpack_from(">H", query, at + 1)[0]
            self.asked.add(name)
            answers = 1 if name == NAME and kind == 1 else 0
            flags = 0x8180 if name == NAME else 0x8183
            reply = query[:2] + struct.pack(">HHHHH", flags, 1, answers, 0, 0) + query[12 : at + 5]
            if answers:
                reply += b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([127, 0, 0, 1])
            self.socket.sendto(reply, peer)


def run(root, *arguments, **more):
    """The image's binary in the image's file system, as the image's user."""

    def enter():
        os.chroot(root)
        os.chdir("/var/lib/dtu")
        os.umask(0o027)
        os.setgroups([])
        os.setresgid(USER, USER, USER)
        # Takes the capabilities along, and no program brings them back after PR_SET_NO_NEW_PRIVS.
        os.setresuid(USER, USER, USER)
        assert LIBC.prctl(38, 1, 0, 0, 0) == 0

    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(["/dtu", *arguments], preexec_fn=enter, env={}, **(streams | more))


def finish(process, stdin=b""):
    out, err = process.communicate(stdin, timeout=DEADLINE)
    assert process.returncode == 0, f"{process.args}: exit code {process.returncode}\n{err.decode()}"
    return out.decode()


def until(what, condition):
    """Polls, as nobody tells a process from outside; no verdict depends on the pause."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.05)
    sys.exit(f"not within {DEADLINE} s: {what}")


def ask(path, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:55180{path}", headers=headers)) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def lay_configuration(root):
    secret = root / "etc/dtu/secret"
    secret.mkdir(parents=True, exist_ok=True)
    (root / "etc/dtu/gateway.toml").write_text(CONFIG)
    (root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (secret / "token").write_text(TOKEN)
    (secret / "keys").write_text(f"{KEY} meter-7\n")
    # As the chart mounts them: root's, and the gateway's group may read them.
    for file in secret.iterdir():
        os.chown(file, 0, USER)
        file.chmod(0o440)


def mount(root):
    """What every container runtime lays over an image: /proc, and devices, here those that are used."""
    mounts = [(Path(device), root / device[1:]) for device in ("/proc", "/dev/null", "/dev/random", "/dev/urandom")]
    for source, target in mounts:
        target.parent.mkdir(exist_ok=True)
        target.mkdir() if source.is_dir() else target.touch()
    shut(root)
    for source, target in mounts:
        subprocess.run(["mount", "--bind", source, target], check=True)


def shut(root):
    """The file system as with readOnlyRootFilesystem: nothing to be written but the volume."""
    subprocess.run(["mount", "--bind", root, root], check=True)
    subprocess.run(["mount", "--options", "remount,bind,ro", root], check=True)
    volume = root / "var/lib/dtu"
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=16m,mode=0750,uid={USER},gid={USER}", "data", volume], check=True)


def serves_and_stops(root, names):
    gateway = run(root, "serve", "--config", "/etc/dtu/gateway.toml")
    try:
        until("live", lambda: ask("/health/live")[0] == 200)
        until("ready", lambda: ask("/health/ready")[0] == 200)
        status = Path(f"/proc/{gateway.pid}/status").read_text()
        assert re.search(rf"^Uid:\t{USER}\t{USER}\t{USER}\t{USER}$", status, re.M), status
        assert re.search(r"^CapEff:\t0+$", status, re.M) and re.search(r"^CapPrm:\t0+$", status, re.M)
        assert re.search(r"^NoNewPrivs:\t1$", status, re.M)
        assert ask("/metrics")[0] == 401 and ask("/metrics", "wrong")[0] == 401
        assert "dtu_build_info" in ask("/metrics", TOKEN)[1]

        device = run(root, "connect", f"{NAME}:55125", "--id", "meter-7", "--key", KEY, "--once")
        finish(device, b"by name")
        assert NAME in names.asked, "the name server was not asked"
        stored = (root / "var/lib/dtu/data.jsonl").read_text()
        assert b"by name".hex() in stored, f"acknowledged and not in the file:\n{stored}"
        gateway.send_signal(signal.SIGTERM)
        finish(gateway)
    finally:
        gateway.kill()


def main():
    if "DTU_PROVE_INSIDE" not in os.environ:
        command = ["unshare", "--net", "--mount", sys.executable, __file__]
        sys.exit(subprocess.run(command, env=os.environ | {"DTU_PROVE_INSIDE": "1"}).returncode)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir(mode=0o755)
        Path(folder).chmod(0o755)
        image_is_as_told(unpack(root), root)
        is_static(root / "dtu")
        lay_configuration(root)
        mount(root)
        try:
            version = finish(run(root, "--version")).strip()
            finish(run(root, "config", "check", "/etc/dtu/gateway.toml"))
            names = Names()
            names.start()
            serves_and_stops(root, names)
        finally:
            subprocess.run(["umount", "--recursive", root], check=True)
    print(f"image: {version}, static; served, dialled by name and stopped in its own file system as {USER}")


if __name__ == "__main__":
    main()
