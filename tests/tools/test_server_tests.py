"""tools/server-tests: a test that fails gets one more try, and no more than that.

SPDX-License-Identifier: Apache-2.0
"""

import subprocess

from conftest import ROOT

TESTS = """
from pathlib import Path

def test_good():
    pass

def once(name):
    path = Path(__file__).with_name(name)
    was_there = path.exists()
    path.touch()
    return was_there
"""


def run(directory, source):
    (directory / "test_planted.py").write_text(TESTS + source)
    (directory / "pytest.ini").write_text("[pytest]\njunit_family = xunit1\n"
                                          "addopts = -p no:cacheprovider\n")
    done = subprocess.run([ROOT / "tools" / "server-tests", directory / "report.xml",
                           "test_planted.py"], cwd=directory, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=100)
    return done.returncode, done.stdout


def test_all_good(tmp_path):
    status, output = run(tmp_path, "")
    assert (status, "second try" in output) == (0, False)


def test_one_that_fails_once(tmp_path):
    status, output = run(tmp_path, """
import pytest
@pytest.mark.parametrize("what", ["a b", "c::d[1]"])
def test_late(what):
    assert once(what.replace("/", ""))
""")
    assert status == 0, output
    assert "passed at the second try: test_planted.py::test_late[a b]" in output
    assert "test_late" not in (tmp_path / "report.xml").read_text()
    assert "test_late" in (tmp_path / "report-again.xml").read_text()


def test_one_whose_fixture_fails_at_its_end_once(tmp_path):
    status, output = run(tmp_path, """
import pytest
@pytest.fixture
def server():
    yield
    assert once("ended")

def test_late(server):
    pass
""")
    assert status == 0, output


def test_one_that_fails_twice(tmp_path):
    status, output = run(tmp_path, """
def test_bad():
    assert False
""")
    assert status == 1
    assert "second try: 1" in output and "passed at the second try" not in output
    assert "test_bad" in (tmp_path / "report.xml").read_text()


def test_many_that_fail_are_not_tried_again(tmp_path):
    status, output = run(tmp_path, """
import pytest
@pytest.mark.parametrize("number", range(6))
def test_late(number):
    assert once(str(number))
""")
    assert (status, "second try" in output) == (1, False)


def test_tests_that_cannot_be_collected(tmp_path):
    status, output = run(tmp_path, "this is no Python")
    assert status != 0
