"""tools/run-unit counts what cmocka's TAP output says, and crashes as failures.

SPDX-License-Identifier: Apache-2.0
"""

import subprocess

import pytest
from conftest import ROOT


def run(tree, *scripts):
    programs = []
    for number, script in enumerate(scripts):
        path = tree.write(f"core/test_{number}", "#!/bin/sh\n" + script)
        path.chmod(0o755)
        programs.append(path)
    return subprocess.run([ROOT / "tools" / "run-unit", *programs], capture_output=True, text=True)


def test_passes_are_summed(tree):
    done = run(tree, "echo 1..2; echo ok 1 - a; echo ok 2 - b", "echo ok 1 - c")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "3 passed, 0 failed"


@pytest.mark.parametrize("script, last", [
    ("echo ok 1 - a; echo not ok 2 - b; exit 1", "2 passed, 1 failed"),
    ("echo ok 1 - a; kill -SEGV $$", "2 passed, 1 failed"),
    ("echo ok 1 - a; exit 3", "2 passed, 1 failed"),
    ("exit 0", "1 passed, 1 failed"),
])
def test_failures_are_counted_and_shown(tree, script, last):
    done = run(tree, "echo ok 1 - fine", "echo of interest\n" + script)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == last
    assert "of interest" in done.stdout


def test_no_program_at_all_is_a_failure(tree):
    assert run(tree).returncode == 1


def test_what_a_program_says_is_kept_beside_it(tree):
    run(tree, "echo ok 1 - a", "echo not ok 1 - b; exit 1")
    texts = [(tree.root / f"core/test_{number}.tap").read_text() for number in range(2)]
    assert texts == ["ok 1 - a\n", "not ok 1 - b\n"]
