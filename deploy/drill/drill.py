#!/usr/bin/env python3
"""Plays what goes wrong in production, with real processes on loopback, and checks the recovery.

Each drill has gateways with a configuration file, devices that write numbered records without a pause, and a fault. Health and metrics have to
tell the fault, the devices have to be back without help, and at the end every record has to be where the sink keeps it. Everything
that is waited for has a bound.

  drill.py --dtu target/release/dtu               all of them, short
  drill.py --dtu target/release/dtu --long        longer faults, more devices
  drill.py --dtu target/release/dtu sink disk     some of them
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from jetstream import Stream
from processes import Device, Failed, Gateway, Process, check_records, end, expect, files_of, free_port, is_root, until


class Drill:
    """What one drill has: a folder, processes, and lengths."""

    def __init__(self, dtu, folder, long):
        self.dtu, self.folder, self.processes = dtu, folder, []
        # Seconds of a fault, devices, and records a second of each.
        self.fault, self.devices, self.rate = (20, 50, 20) if long else (2, 6, 20)

    def fleet(self, servers):
        return [Device(self, f"meter-{number}", servers, self.rate) for number in range(self.devices)]

    def file_sink(self, path=None):
        path = path or self.folder / "data.jsonl"
        return f'[[sink]]\nkind = "file"\npath = "{path}"\n', path

    def nats(self):
        """A nats-server with JetStream, and the part of a configuration that names it."""
        port, store = free_port(), self.folder / "jetstream"
        command = ["nats-server", "--addr", "127.0.0.1", "--port", port, "--jetstream", "--store_dir", store]
        server = Process(self.folder, "nats-server", command)
        self.processes.append(server)
        sink = '[[sink]]\nkind = "nats"\nstream = "DRILL"\nprefix = "drill"\n'
        return server, port, sink, f'[nats]\nservers = ["127.0.0.1:{port}"]\n'


def records(fleet, lines):
    count, repeats = check_records(fleet, lines)
    return f"{count} records, all stored; {repeats} lines were repeats"


def settle(seconds):
    """The fault lasts as long as the drill says; nothing is concluded from the pause."""
    time.sleep(seconds)


def node(drill):
    """The only gateway is killed under load and started again."""
    sink, path = drill.file_sink()
    gateway = Gateway(drill, "gw-1", sink)
    until("the gateway is ready", gateway.is_ready)
    fleet = drill.fleet(f"127.0.0.1:{gateway.native}")
    until("all devices are connected", lambda: gateway.connected() == len(fleet))
    settle(1)
    gateway.kill()
    settle(drill.fault)
    began = time.monotonic()
    gateway.start()
    ready = until("it is ready again", gateway.is_ready)
    until("all devices are back", lambda: gateway.connected() == len(fleet), 60)
    back = time.monotonic() - began
    for device in fleet:
        device.finish()
    expect(gateway.stop() == 0, "the gateway does not end with 0")
    return f"ready after {ready:.1f} s, all devices after {back:.1f} s; {records(fleet, files_of(path))}"


def one_of_three(drill):
    """Three gateways share a fleet; one is killed, its devices move, requests go on."""
    _, port, sink, more = drill.nats()
    more += "[cluster]\n"
    gateways = [Gateway(drill, f"gw-{number}", sink, more) for number in (1, 2, 3)]
    for gateway in gateways:
        until("the gateways are ready", gateway.is_ready)
    first, second, third = gateways
    # Most devices name the first gateway first, and have to leave it.
    servers = ",".join(f"127.0.0.1:{gateway.native}" for gateway in gateways)
    fleet = drill.fleet(servers)
    unit = Process(drill.folder, "units", [drill.dtu, "sim", f"127.0.0.1:{second.transparent}", "--profile", "plain", "--devices", "1"])
    drill.processes.append(unit)
    until("all devices are connected", lambda: sum(g.connected() for g in gateways) == len(fleet) + 1)

    # The unit is at the second gateway, and the question goes to the third.
    ask = {"hex": "010300000002", "crc": True, "timeout_ms": 2000}
    answered = lambda: third.ask("/devices/13900000000/request", ask)[0] == 200
    until("a request reaches another gateway's device", answered)
    settle(1)
    first.kill()
    began = time.monotonic()
    until("a request reaches it all the same", answered)
    until("all devices have moved", lambda: sum(g.connected() for g in (second, third)) == len(fleet) + 1, 60)
    moved = time.monotonic() - began
    settle(drill.fault)
    for device in fleet:
        device.finish()
    return f"all devices moved within {moved:.1f} s, requests went on; {records(fleet, Stream(port, 'DRILL').lines())}"


def sink(drill):
    """The broker is stopped under load and started again."""
    server, port, sink, more = drill.nats()
    gateway = Gateway(drill, "gw-1", sink, more)
    until("the gateway is ready", gateway.is_ready)
    fleet = drill.fleet(f"127.0.0.1:{gateway.native}")
    until("all devices are connected", lambda: gateway.connected() == len(fleet))
    settle(1)
    server.kill()
    told = until("the gateway says that it is not ready", lambda: gateway.ask("/health/ready")[0] == 503)
    until("the metrics say that the sink is down", lambda: gateway.metric("dtu_sink_up") == 0)
    expect(gateway.ask("/health/live")[0] == 200, "the gateway is not live without its sink")
    settle(drill.fault)
    expect(gateway.connected() == len(fleet), "devices were lost while the sink was down")
    server.start()
    ready = until("it is ready again", gateway.is_ready, 60)
    for device in fleet:
        device.finish()
    return f"told after {told:.1f} s, ready {ready:.1f} s after the broker; {records(fleet, Stream(port, 'DRILL').lines())}"


def disk(drill):
    """The disk of the file sink is full, and then it is not."""
    if not is_root():
        return None
    volume = drill.folder / "volume"
    volume.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "drill", volume], check=True)
    try:
        sink, path = drill.file_sink(volume / "data.jsonl")
        gateway = Gateway(drill, "gw-1", sink)
        until("the gateway is ready", gateway.is_ready)
        fleet = drill.fleet(f"127.0.0.1:{gateway.native}")
        until("all devices are connected", lambda: gateway.connected() == len(fleet))
        ballast = volume / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(1 << 16)):
                    pass
            except OSError:
                pass
        told = until("the gateway says that it is not ready", lambda: gateway.ask("/health/ready")[0] == 503)
        until("the metrics say that the sink is down", lambda: gateway.metric("dtu_sink_up") == 0)
        settle(drill.fault)
        ballast.unlink()
        ready = until("it is ready again", gateway.is_ready, 60)
        for device in fleet:
            device.finish()
        expect(gateway.stop() == 0, "the gateway does not end with 0")
        return f"told after {told:.1f} s, ready {ready:.1f} s after there was room; {records(fleet, files_of(path))}"
    finally:
        end(drill.processes)
        subprocess.run(["umount", volume], check=True)


def network(drill):
    """Every link is slow, narrow and cut again and again; then the network is well."""
    sink, path = drill.file_sink()
    gateway = Gateway(drill, "gw-1", sink)
    until("the gateway is ready", gateway.is_ready)
    port = free_port()
    way = [drill.dtu, "chaos", "--listen", f"127.0.0.1:{port}", "--upstream", f"127.0.0.1:{gateway.native}"]
    harm = ["--delay", "150ms", "--jitter", "100ms", "--rate", "8000", "--stall", "500ms", "--cut-every", "4s", "--half-close", "--seed", "7"]
    slow = Process(drill.folder, "slow", [*way, *harm])
    drill.processes.append(slow)
    fleet = drill.fleet(f"127.0.0.1:{port}")
    until("all devices were connected", lambda: gateway.metric("dtu_connects_total") >= len(fleet))
    until("links were cut and came back", lambda: gateway.metric("dtu_connects_total") >= 2 * len(fleet), 60)
    settle(drill.fault)
    expect(gateway.is_ready(), "a slow network makes the gateway unready")
    slow.kill()
    drill.processes.append(Process(drill.folder, "well", way))
    back = until("all devices are back", lambda: gateway.connected() == len(fleet), 60)
    for device in fleet:
        device.finish()
    connects = gateway.metric("dtu_connects_total")
    expect(gateway.stop() == 0, "the gateway does not end with 0")
    return f"{connects:.0f} connections for {len(fleet)} devices, all back after {back:.1f} s; {records(fleet, files_of(path))}"


DRILLS = {"node": node, "cluster": one_of_three, "sink": sink, "disk": disk, "network": network}


def play(name, arguments):
    folder = Path(tempfile.mkdtemp(prefix=f"drill-{name}-"))
    drill = Drill(arguments.dtu, folder, arguments.long)
    began = time.monotonic()
    try:
        seen = DRILLS[name](drill)
        verdict = "skipped" if seen is None else "kept"
        seen = seen or "needs root, for a disk that may be full"
        if verdict == "skipped" and os.environ.get("DTU_REQUIRE_TOOLS") == "1":
            verdict = "BROKEN"
    except (Failed, OSError, KeyError, subprocess.SubprocessError) as error:
        verdict, seen = "BROKEN", f"{error}; logs in {folder}"
    finally:
        end(drill.processes)
    if verdict != "BROKEN":
        shutil.rmtree(folder)
    print(f"{name:8} {verdict:8} {time.monotonic() - began:5.1f} s  {seen}", flush=True)
    return verdict != "BROKEN"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtu", type=lambda path: str(Path(path).resolve()), required=True, help="the binary")
    parser.set_defaults(long=False)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--short", dest="long", action="store_false", help="faults of 2 s, 6 devices; the default")
    length.add_argument("--long", action="store_true", help="faults of 20 s, 50 devices")
    parser.add_argument("drills", nargs="*", metavar="DRILL", help=", ".join(DRILLS))
    arguments = parser.parse_args()
    if unknown := set(arguments.drills) - DRILLS.keys():
        parser.error(f"no such drill: {', '.join(sorted(unknown))}")
    # Not `all(...)` over a generator: one that is broken does not keep the others from being played.
    kept = [play(name, arguments) for name in arguments.drills or DRILLS]
    sys.exit(0 if all(kept) else 1)


if __name__ == "__main__":
    main()
