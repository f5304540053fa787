"""make install puts three files into place, through apxs and below DESTDIR; uninstall takes them out.

SPDX-License-Identifier: Apache-2.0
"""

import os
import re
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

BUILD = Path(os.environ.get("BUILD", ROOT))


def make(*arguments):
    subprocess.run(["make", "-s", "-C", BUILD, *arguments], check=True, capture_output=True)


def query(name):
    return subprocess.check_output(["make", "-s", "-C", BUILD, f"print-{name}"], text=True).strip()


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    make("install", f"DESTDIR={root}")
    return root


def test_install_and_uninstall(installed):
    modules, includes = query("libexecdir"), query("includedir")
    files = {f"/{path.relative_to(installed)}": path.stat().st_mode & 0o777
             for path in installed.rglob("*") if path.is_file()}
    assert files == {f"{modules}/mod_wsgi.so": 0o644,
                     f"{modules}/{Path(query('DAEMON')).name}": 0o755,
                     f"{includes}/mod_wsgi.h": 0o644}
    httpd = subprocess.run(
        [query("HTTPD"), "-t", "-C", f"LoadModule mpm_event_module {modules}/mod_mpm_event.so",
         "-C", f"LoadModule wsgi_module {installed}{modules}/mod_wsgi.so", "-C", "ServerName test",
         "-f", "/dev/null"], capture_output=True, text=True)
    assert "Cannot load" not in httpd.stderr, httpd.stderr
    make("uninstall", f"DESTDIR={installed}")
    assert not [path for path in installed.rglob("*") if path.is_file()]


def test_a_program_can_be_installed_alone(tmp_path):
    """As for another Python: `./configure --with-python=… && make install-daemon`."""
    make("install-daemon", f"DESTDIR={tmp_path}")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    program = Path(query("DAEMON")).name
    assert files == [Path(f"{tmp_path}{query('libexecdir')}/{program}")]
    assert files[0].stat().st_mode & 0o777 == 0o755
    assert re.fullmatch(r"wsgi-daemon-3\.\d+", program)


def test_the_module_exports_its_record_and_nothing_else():
    listing = subprocess.check_output(
        ["nm", "-D", "--defined-only", "--format=posix", BUILD / query("MODULE")], text=True)
    assert re.findall(r"^(\w+) ", listing, re.MULTILINE) == ["wsgi_module"]


def test_neither_program_needs_what_it_should_not():
    needed = subprocess.check_output(["ldd", BUILD / query("DAEMON")], text=True)
    assert "libpython" in needed
    assert "libapr" not in needed
