"""A sanitizer run of the server tests turns red where there is a fault: two are planted.

SPDX-License-Identifier: Apache-2.0
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

SANITIZED = Path(os.environ.get("SANITIZED_BUILD", ROOT / "build" / "check" / "sanitizers"))


@pytest.fixture(scope="module")
def planted():
    """The planted module; its objects, save one, are those of the build with sanitizers."""
    SANITIZED.mkdir(parents=True, exist_ok=True)
    if not (SANITIZED / "Makefile").exists():
        subprocess.run([ROOT / "configure", "-q", "--enable-sanitizers"], cwd=SANITIZED, check=True)
    subprocess.run(["make", "-s", "-j2", "planted"], cwd=SANITIZED, check=True)
    return SANITIZED / "planted" / "mod_wsgi.so"


def server_tests(module):
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-o", "addopts=", "-rpfE",
         "tests/server/planted_fault.py"], cwd=ROOT, capture_output=True, text=True, timeout=120,
        env={**environment, "WSGI_MODULE": str(module), "WSGI_SANITIZED": "1", "MPM": "event"})


@pytest.fixture(scope="module")
def red(planted):
    """What pytest says of a run in which each fault is committed, once in each mode."""
    done = server_tests(planted)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"^6 passed, 4 errors in ", done.stdout, re.M), done.stdout
    return done.stdout


@pytest.mark.parametrize("mode", ["embedded", "daemon"])
@pytest.mark.parametrize("fault, report", [
    ("heap-overflow", "ERROR: AddressSanitizer: heap-buffer-overflow on address"),
    ("undefined", "runtime error: signed integer overflow: 2147483647 + 1"),
])
def test_a_fault_is_found(red, mode, fault, report):
    _, title, failure = red.partition(f"_ ERROR at teardown of test_a_fault[{mode}-{fault}] _")
    assert title, red
    assert report in failure.partition("_ ERROR at teardown of")[0], failure


@pytest.mark.parametrize("mode", ["embedded", "daemon"])
def test_without_a_fault_nothing_is_found(red, mode):
    name = f"test_without_a_fault_all_is_well[{mode}]"
    assert re.findall(rf"^(\w+) \S+::{re.escape(name)}", red, re.M) == ["PASSED"]


def test_no_product_holds_it(planted):
    subprocess.run(["make", "-s", "-j2"], cwd=SANITIZED, check=True)
    for path in planted.parent.iterdir():
        if path.is_file():
            product = SANITIZED / path.name
            holds = [b"planted_fault" in file.read_bytes() for file in (path, product)]
            assert holds == [True, False], path.name
