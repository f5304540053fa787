"""Debian's mod_wsgi, to compare with: downloaded and unpacked into build/peer, never installed.

SPDX-License-Identifier: Apache-2.0
"""

import os
import subprocess
from pathlib import Path

PACKAGE = "libapache2-mod-wsgi-py3"
CACHE = Path(__file__).resolve().parents[1] / "build" / "peer"


class NotAvailable(Exception):
    """One sentence why there is no such module."""


def _run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          **options)
    if done.returncode != 0:
        raise NotAvailable(f"{' '.join(map(str, command))}: {done.stdout.strip()[-600:]}")


def module():
    """Its module file."""
    found = CACHE / "usr" / "lib" / "apache2" / "modules" / "mod_wsgi.so"
    if not found.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        _run(["apt-get", "-q", "download", PACKAGE], cwd=CACHE)
        package = max(CACHE.glob(f"{PACKAGE}_*.deb"), key=os.path.getmtime)
        _run(["dpkg-deb", "-x", str(package), str(CACHE)])
    return found
