#!/usr/bin/env python3
"""The README's screenshots, from a made-up fleet: `python3 dtu-cli/tests/page/shots.py [DIRECTORY] [--url URL]`.

`--url` takes a real gateway without a token instead, and `--device` one of its devices.
"""

import argparse
from pathlib import Path

from browser import chromium
from mock import Gateway, serve

IMAGES = Path(__file__).resolve().parents[3] / "docs" / "images"
#: Long enough that the curve of the rate has a shape.
WARM = 100_000


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("directory", nargs="?", type=Path, default=IMAGES)
    options.add_argument("--url")
    options.add_argument("--device", default="meter-0007")
    options.add_argument("--warm", type=int, default=WARM, help="milliseconds before the pictures")
    chosen = options.parse_args()
    chosen.directory.mkdir(parents=True, exist_ok=True)
    url = chosen.url or serve(Gateway(10_000, 2_000)).url
    with chromium() as browser:

        def page(width, height, scale, scheme="light", path=""):
            context = browser.new_context(viewport={"width": width, "height": height}, device_scale_factor=scale, color_scheme=scheme, reduced_motion="reduce")
            opened = context.new_page()
            opened.goto(url + path)
            return opened

        wide, phone = page(1280, 760, 1), page(360, 740, 2)
        device = page(1280, 860, 1, "dark", f"#/device/{chosen.device}")
        wide.wait_for_timeout(chosen.warm)
        device.click("text=Send")
        device.wait_for_selector(".reply[data-kind]")
        device.mouse.move(0, 0)
        for opened, name in ((wide, "page.png"), (phone, "page-phone.png"), (device, "device.png")):
            path = chosen.directory / name
            opened.screenshot(path=path)
            print(f"{path}: {path.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
