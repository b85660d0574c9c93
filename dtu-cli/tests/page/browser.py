"""Chromium for the tests of the page and its screenshots: Debian's, driven by playwright, which brings no browser of its own here."""

import os
import shutil
import sys
from contextlib import contextmanager

#: With it a missing tool is a failure instead of a skip.
REQUIRED = "DTU_REQUIRE_TOOLS"


def missing(what):
    """Says what is missing, and ends: as a skip, or as a failure where tools are required."""
    is_required = os.environ.get(REQUIRED) == "1"
    print(f"{'FAILED' if is_required else 'skipped'}: {what}", flush=True)
    sys.exit(1 if is_required else 0)


def find():
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path:
            return path
    return missing("chromium is not installed (apt-get install chromium)")


@contextmanager
def chromium():
    """The browser; ends with the block."""
    path = find()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed (pip install playwright; `playwright install` is not needed)")
    arguments = ["--disable-background-networking", "--disable-component-update", "--disable-gpu", "--no-first-run"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--no-sandbox")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()
