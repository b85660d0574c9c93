"""The page on a real gateway, with a native device of a hostile id and transparent ones."""

import os
import re
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

from browser import missing
from fixture import Window

ROOT = Path(__file__).resolve().parents[3]
EVIL = "<img src=x onerror=window.hacked=1>\u202e"
#: A token as an operator would make one.
TOKEN = "0123456789abcdef"


class Real(Window):
    """`dtu serve` on ports that are free, with a token, and the window on it."""

    def __init__(self, browser, binary):
        self.children = []
        self.folder = tempfile.TemporaryDirectory()
        token = Path(self.folder.name) / "token"
        token.write_text(TOKEN + "\n")
        token.chmod(0o600)
        self.binary = binary
        gateway = self.start("serve", "--listen", "127.0.0.1:0", "--transparent", "127.0.0.1:0", "--profile", "plain",
                             "--http", "127.0.0.1:0", "--http-token-file", str(token), stderr=subprocess.PIPE)
        told = {}
        while len(told) < 3:
            line = gateway.stderr.readline()
            assert line, "the gateway ended before it said where it listens"
            found = re.search(r"(HTTP|transparent|^listening)\D* .*?([\d.]+:\d+)", line)
            if found and "warning" not in line:
                told[found[1]] = found[2]
        self.native, self.transparent = told["listening"], told["transparent"]
        super().__init__(browser, f"http://{told['HTTP']}/")

    def start(self, *arguments, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL):
        child = subprocess.Popen([self.binary, *arguments], stdin=stdin, stdout=subprocess.DEVNULL, stderr=stderr, text=True)
        self.children.append(child)
        return child

    def close(self):
        try:
            super().close()
        finally:
            for child in reversed(self.children):
                child.kill()
                child.wait()
            self.folder.cleanup()


def a_real_gateway_is_shown_asked_and_told_to_close(browser):
    binary = os.environ.get("DTU", str(ROOT / "target" / "debug" / "dtu"))
    if not Path(binary).exists():
        missing(f"{binary} is not built (cargo build --package dtu-cli)")
    real = Real(browser, binary)
    try:
        steps(real)
    except BaseException:
        real.close()
        raise
    return real


def steps(real):
    real.expected = ["status of 401", "status of 404"]
    page = real.open()
    page.fill("#token", TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("text=No device yet")
    real.start("sim", real.transparent, "--profile", "plain", "--devices", "2")
    device = real.start("connect", real.native, "--id", EVIL, stdin=subprocess.PIPE)
    device.stdin.write("hello\n")
    device.stdin.flush()
    real.wait("document.querySelector('#count-connected').textContent === '3'")
    page.wait_for_selector("#live[data-state=open]")
    spelled = EVIL.replace("\u202e", "U+202E")
    ids = real.ids()
    assert spelled in ids and len(ids) == 3, ids
    name = next(one for one in ids if one != spelled)
    page.goto(f"{real.url}#/device/{quote(name, safe='')}")
    page.wait_for_selector("#device-title")
    page.click("button:text-is('Send')")
    page.wait_for_selector(".reply[data-kind=good] >> text=function")
    page.wait_for_selector(".frame .fields >> text=address")
    page.wait_for_selector(".timeline >> text=connected")
    page.goto(f"{real.url}#/device/{quote(EVIL, safe='')}")
    page.wait_for_selector(".frame .hex-text >> text=hello")
    assert real.text("#device-title") == spelled
    page.click("text=Close session…")
    page.fill("#confirm input", "maintenance")
    page.click("#confirm-yes")
    page.wait_for_selector("text=The session is closed.")
