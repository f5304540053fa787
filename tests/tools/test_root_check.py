"""tools/root-check says in one line why a machine cannot have a Debian root.

SPDX-License-Identifier: Apache-2.0
"""

import os
import subprocess

import pytest
from conftest import ROOT

TOOL = ROOT / "tools" / "root-check"
NOBODY = 65534
APT_GET = "#!/bin/sh\necho 'http://127.0.0.1:9/debian Debian Debian'\n"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="what is missing is asked after that")


def root_check(directory, *arguments, programs=(), **options):
    """Runs it with a PATH of these programs: a name alone does nothing, and well."""
    for name, text in programs:
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    return subprocess.run(["/usr/bin/python3", TOOL, "--roots", directory / "roots", *arguments],
                          capture_output=True, text=True, env={"PATH": str(directory)}, **options)


def assert_skipped(done, reason):
    assert (done.returncode, done.stderr) == (77, "")
    assert done.stdout.startswith(f"skipped: {reason}") and done.stdout.count("\n") == 1


def test_without_the_rights_of_root(tmp_path):
    options = {"user": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    with open(TOOL) as tool:
        done = subprocess.run(["/usr/bin/python3", "-", "trixie"], stdin=tool, cwd="/",
                              capture_output=True, text=True, **options)
    assert_skipped(done, "only root can make a Debian root")


@needs_root
def test_without_debootstrap(tmp_path):
    assert_skipped(root_check(tmp_path, "trixie"), "debootstrap is missing: install the package")


@needs_root
def test_without_the_right_to_mount(tmp_path):
    done = root_check(tmp_path, "trixie", programs=[
        ("debootstrap", ""), ("unshare", "#!/bin/sh\necho 'unshare failed: no' >&2\nexit 1\n")])
    assert_skipped(done, "root may not mount here: unshare failed: no")


@needs_root
@pytest.mark.parametrize("apt, reason", [
    ("#!/bin/sh\n", "apt has no source of Debian's"),
    ("#!/bin/sh\nexit 1\n", "apt is missing"),
    (APT_GET, "http://127.0.0.1:9/debian does not give trixie: "),
])
def test_without_a_mirror(tmp_path, apt, reason):
    done = root_check(tmp_path, "trixie", programs=[
        ("debootstrap", ""), ("unshare", "#!/bin/sh\n"), ("apt-get", apt)])
    assert_skipped(done, reason)


@needs_root
def test_a_root_that_is_there_needs_no_mirror(tmp_path):
    made = tmp_path / "roots" / "trixie" / "var" / "lib" / "quetzal-packages"
    made.parent.mkdir(parents=True)
    made.write_text("")
    done = root_check(tmp_path, "trixie", programs=[
        ("debootstrap", ""), ("unshare", "#!/bin/sh\necho $*\n")])
    assert done.returncode == 0 and "--kill-child=KILL" in done.stdout


@pytest.mark.parametrize("arguments", [(), ("buster",), ("trixie", "--frob")])
def test_a_wrong_command_line(tmp_path, arguments):
    done = root_check(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ")


def test_help(tmp_path):
    done = root_check(tmp_path, "--help")
    assert done.returncode == 0
    for word in ("trixie", "--roots", "--fresh", "--packages", "skipped"):
        assert word in done.stdout
