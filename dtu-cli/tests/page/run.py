#!/usr/bin/env python3
"""The page in headless Chromium against a made-up gateway, and against a real one where `target/debug/dtu` is (or `DTU` says another):
`python3 dtu-cli/tests/page/run.py [NAME…]`.

`bench` as a name measures long tasks with 10 000 devices; it is not among the tests. Each test has a gateway and a browser context of
its own. After each, besides what it asserts: nothing hostile ran, no error is in the console, no other host was asked.
"""

import inspect
import sys
import time
import traceback

import device_tests
import fleet_tests
import look_tests
import real_tests
from bench import bench
from browser import chromium

#: Functions of these modules that take a browser are tests.
MODULES = [fleet_tests, device_tests, look_tests, real_tests]


def tests_of(module):
    functions = [one for one in vars(module).values() if inspect.isfunction(one) and one.__module__ == module.__name__]
    return [one for one in functions if list(inspect.signature(one).parameters) == ["browser"]]


TESTS = [test for module in MODULES for test in tests_of(module)]


def main():
    wanted = sys.argv[1:]
    tests = [bench] if wanted == ["bench"] else [test for test in TESTS if not wanted or any(part in test.__name__ for part in wanted)]
    failed = []
    with chromium() as browser:
        for test in tests:
            began = time.monotonic()
            try:
                test(browser).close()
                print(f"ok {test.__name__} ({time.monotonic() - began:.1f} s)", flush=True)
            except Exception:
                failed.append(test.__name__)
                print(f"FAILED {test.__name__}\n{traceback.format_exc()}", flush=True)
    print(f"page: {len(tests) - len(failed)} of {len(tests)} passed")
    sys.exit(1 if failed or not tests else 0)


if __name__ == "__main__":
    main()
