#!/bin/sh
# Makes a Python base image ready for the suite: ps, which Nextflow asks, and no installer.
set -eu
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends procps >/dev/null
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/lib/dpkg/*-old \
  /var/log/apt /var/log/dpkg.log /var/log/alternatives.log
python3 - <<'P'
"""Remove pip, setuptools and wheel, wherever this base keeps them."""
import importlib.metadata
import pathlib
import shutil

for name in ("pip", "setuptools", "wheel"):
    for found in list(importlib.metadata.distributions(name=name)):
        for file in found.files or ():
            found.locate_file(file).resolve().unlink(missing_ok=True)
        folder = pathlib.Path(found.locate_file(name))
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(found._path, ignore_errors=True)
P
# The official images leave the standard library uncompiled; no start should pay for that.
library=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
if [ ! -d "$library/encodings/__pycache__" ]; then
  python3 -m compileall -qq --invalidation-mode unchecked-hash \
    -x '/(test|tests|idlelib|lib2to3|ensurepip|tkinter|turtledemo|site-packages)/' "$library"
fi
