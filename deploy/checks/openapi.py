#!/usr/bin/env python3
"""Asks a gateway for the description of its API, and holds it against OpenAPI 3.1. DTU is the binary."""

import json
import os
import re
import subprocess
import sys
from urllib.request import urlopen

from openapi_spec_validator import OpenAPIV31SpecValidator

SERVE = ["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]


def description():
    gateway = subprocess.Popen([os.environ["DTU"], *SERVE], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        for line in gateway.stderr:
            if found := re.search(r"HTTP on (http://\S+)", line):
                with urlopen(f"{found[1]}/openapi.json", timeout=10) as answer:
                    return json.load(answer)
        sys.exit("the gateway does not say where its API is")
    finally:
        gateway.kill()
        gateway.wait()


def main():
    told = description()
    assert told["openapi"].startswith("3.1"), told["openapi"]
    errors = list(OpenAPIV31SpecValidator(told).iter_errors())
    for error in errors:
        print(f"openapi: {'/'.join(map(str, error.absolute_path))}: {error.message}", file=sys.stderr)
    if errors:
        sys.exit(1)
    print(f"openapi: {len(told['paths'])} paths, {len(told['components']['schemas'])} schemas, valid OpenAPI {told['openapi']}")


if __name__ == "__main__":
    main()
