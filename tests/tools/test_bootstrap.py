"""./bootstrap installs only what is missing, and starts nothing. The package tools are play-acted.

SPDX-License-Identifier: Apache-2.0
"""

import shutil
import subprocess

import pytest
from conftest import ROOT

HARMLESS = ("sh", "dirname", "cat", "grep", "env")
DPKG_QUERY = """#!/bin/sh
for package; do :; done
case " $INSTALLED " in *" all "* | *" $package "*) echo 'install ok installed' ;; esac
"""
APT_GET = """#!/bin/sh
echo "$*" >>"$CALLS"
case "$*" in *-s*install*) echo "Inst gcc (12)"; echo "$ALSO" ;; esac
"""


class Machine:
    def __init__(self, directory):
        self.bin = directory / "bin"
        self.bin.mkdir()
        self.calls = directory / "calls"
        for name in HARMLESS:
            (self.bin / name).symlink_to(shutil.which(name))
        self.program("id", '#!/bin/sh\necho "$USER_ID"\n')

    def program(self, name, text):
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def with_apt(self):
        self.program("dpkg-query", DPKG_QUERY)
        self.program("apt-get", APT_GET)
        return self

    def install(self, *options, installed="", user_id="0", also=""):
        done = subprocess.run([ROOT / "bootstrap", "install-deps", *options], capture_output=True, text=True,
                              env={"PATH": str(self.bin), "INSTALLED": installed, "ALSO": also,
                                   "USER_ID": user_id, "CALLS": str(self.calls)})
        calls = self.calls.read_text().splitlines() if self.calls.exists() else []
        return done, calls


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_nothing_missing_asks_nobody(machine):
    done, calls = machine.with_apt().install(installed="all")
    assert (done.returncode, done.stdout, done.stderr, calls) == (0, "", "", [])


def test_only_what_is_missing_is_installed_without_recommends(machine):
    installed = "gcc libc6-dev make autoconf apache2-dev python3 libpython3-dev clang clang-format"
    done, calls = machine.with_apt().install(installed=installed)
    assert done.returncode == 0, done.stderr
    install = calls[-1].split()
    assert "--no-install-recommends" in install and "-y" in install
    packages = install[install.index("install") + 1:]
    assert "apache2-bin" in packages and "libcmocka-dev" in packages
    assert not {"gcc", "apache2", "clang"} & set(packages)


@pytest.mark.parametrize("options, is_asked_for", [((), False), (("--all",), True)])
def test_roots_and_debug_pythons_are_for_all_alone(machine, options, is_asked_for):
    done, calls = machine.with_apt().install(*options)
    assert done.returncode == 0, done.stderr
    for package in ("debootstrap", "python3-dbg", "libpython3-dbg"):
        assert (package in calls[-1].split()) == is_asked_for


def test_a_package_that_would_start_a_server_is_refused(machine):
    done, calls = machine.with_apt().install(also="Inst apache2 (2.4)")
    assert done.returncode == 1
    assert "apache2, which starts a server" in done.stderr
    assert not any("-y" in call.split() for call in calls)


def test_an_ordinary_user_without_sudo_is_told_what_root_should_do(machine):
    done, calls = machine.with_apt().install(installed="gcc", user_id="1000")
    assert done.returncode == 1
    assert "bootstrap: packages are missing and only root can install them" in done.stderr
    assert "run 'apt-get install libc6-dev make " in done.stderr
    assert not any("-y" in call.split() for call in calls)


def test_an_ordinary_user_with_sudo(machine):
    machine.with_apt().program("sudo", '#!/bin/sh\necho sudo >>"$CALLS"\nexec "$@"\n')
    done, calls = machine.install(installed="gcc", user_id="1000")
    assert done.returncode == 0, done.stderr
    assert calls[-2] == "sudo" and "-y" in calls[-1].split()


def test_elsewhere_the_packages_are_named(machine):
    done, _ = machine.install()
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "is missing: install what your system has for Debian's packages gcc " in done.stderr


def test_an_unknown_command_shows_the_usage():
    done = subprocess.run([ROOT / "bootstrap", "frob"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ./bootstrap build")
