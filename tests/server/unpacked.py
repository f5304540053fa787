"""Debian packages whose installation would start a service or change httpd's configuration: their
files alone, below build/unpacked.

SPDX-License-Identifier: Apache-2.0
"""

import re
import subprocess
import tempfile
from pathlib import Path

import env
import pytest

CACHE = env.ROOT / "build" / "unpacked"


def _run(*command, cwd=None):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        pytest.skip(f"{command[0]}: {done.stderr.strip()[-300:]}")
    return done.stdout


def _fetch(package):
    """The package that this release has of it, with a version in its name."""
    real = re.search(r"Depends: (\S+)", _run("apt-cache", "depends", package))[1]
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as part:
        _run("apt-get", "-q", "download", real, cwd=part)
        _run("dpkg-deb", "-x", *map(str, Path(part).glob("*.deb")), f"{part}/files")
        try:
            Path(part, "files").rename(CACHE / package)
        except OSError:
            assert (CACHE / package).exists(), "another test process was faster"


def find(package, pattern):
    """A file of an unpacked package; skips the test where there is none, or where a library that it
    needs is missing."""
    if not (CACHE / package).exists():
        _fetch(package)
    path = next((CACHE / package).glob(pattern))
    missing = re.findall(r"(\S+) => not found", _run("ldd", str(path)))
    if missing:
        pytest.skip(f"{path.name} needs {' '.join(missing)}")
    return path
