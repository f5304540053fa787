"""./bootstrap check sums what its stages say, and fails when any of them fails.

SPDX-License-Identifier: Apache-2.0
"""

import os
import re
import shutil
import subprocess

import pytest
from conftest import ROOT

MAKE = """#!/bin/sh
case "$*" in *unit*) echo "{result}"; exit {status} ;; esac
"""


def check(tree, result, status, gate_status, contract_status=0, options=(), root_check="exit 0"):
    """A tree whose unit tests, bench, pytest runs and contract end as told. pytest runs five
    times; the contract wants the reports of four."""
    (tree.root / "tools").mkdir()
    for name in ("check", "server-tests"):
        shutil.copy(ROOT / "tools" / name, tree.root / "tools")
    programs = {"configure": "#!/bin/sh\ntouch Makefile\n",
                "bin/make": MAKE.format(result=result, status=status),
                "bench/bench": f"#!/bin/sh\n[ $1 = gate ] && exit {gate_status}\n",
                "tools/root-check": f"#!/bin/sh\n{root_check}\n",
                "tools/differential": "#!/bin/sh\n",
                "tools/check-compat": "#!/bin/sh\n[ $1 != --may-skip ] || shift\n"
                                      "[ $# -ge 6 ] && [ -f \"$6\" ] && "
                                      f"exit {contract_status}\n"}
    for name, text in programs.items():
        tree.write(name, text).chmod(0o755)
    for folder in ("tools", "server"):
        tree.write(f"tests/{folder}/test_it.py", "def test_one():\n    assert 1 + 1 == 2\n")
    if options:
        tree.write("tests/server/test_big.py",
                   "import pytest\n\n\n@pytest.mark.big\ndef test_big():\n    pass\n")
        tree.write("tests/server/test_references.py", "def test_debug_build():\n    pass\n")
    tree.write("pytest.ini", "[pytest]\nmarkers =\n    big: large\n")
    done = subprocess.run([tree.root / "tools" / "check", *options], capture_output=True, text=True,
                          env={**os.environ, "PATH": f"{tree.root}/bin:{os.environ['PATH']}"})
    return done.returncode, done.stdout.splitlines()


def test_all_is_well(tree):
    status, lines = check(tree, "3 passed, 0 failed", 0, 0)
    assert lines[-1] == "11 passed, 0 failed"
    assert status == 0


@pytest.mark.parametrize("arguments, last", [
    (("2 passed, 1 failed", 1, 0), "9 passed, 2 failed"),
    (("3 passed, 0 failed", 0, 1), "11 passed, 1 failed"),
    (("no summary", 1, 0), "5 passed, 2 failed"),
    (("3 passed, 0 failed", 0, 0, 1), "11 passed, 1 failed"),
])
def test_a_failing_stage_fails_the_check(tree, arguments, last):
    status, lines = check(tree, *arguments)
    assert lines[-1] == last
    assert status == 1


def test_a_stage_that_cannot_be_run_is_told_and_not_counted(tree):
    status, lines = check(tree, "3 passed, 0 failed", 0, 0, options=["--all"],
                          root_check="echo 'skipped: no mirror'; exit 77")
    assert next(line for line in lines if "3.13" in line).endswith("s  skipped: no mirror")
    assert re.fullmatch(r"stages skipped: [23]", lines[-2])
    assert lines[-1].endswith(" passed, 0 failed")
    assert status == 0


def test_an_unknown_option_is_refused():
    done = subprocess.run([ROOT / "tools" / "check", "--frob"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "check: there is no option --frob: see ./bootstrap help\n"
