"""The differential suite finds what differs: a key of the environ that a build has lost, above all.

SPDX-License-Identifier: Apache-2.0
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

FOLDER = ROOT / "tests" / "differential"
sys.path.insert(0, str(FOLDER))
import judge  # noqa: E402

BUILD = Path(os.environ.get("BUILD", ROOT / "build"))
ROWS = {"ENV-times", "ENV-gone"}


def differential(module, *arguments):
    done = subprocess.run(
        [ROOT / "tools" / "differential", "--module", module, *arguments],
        capture_output=True, text=True, timeout=120)
    if done.returncode == 77:
        pytest.skip(done.stdout)
    return done


def test_a_build_that_drops_a_key_is_caught():
    subprocess.run(["make", "-s", "-j2", "planted"], cwd=BUILD.parent if BUILD.name == "build"
                   else BUILD, check=True)
    planted = BUILD / "planted" / "mod_wsgi.so"
    arguments = "--only", "env-plain$", "--config"
    assert differential(planted, *arguments, "SetEnv PLANTED_OTHER yes").returncode == 0
    done = differential(planted, *arguments, "SetEnv PLANTED_DROP yes")
    assert done.returncode == 1
    for mode in ("embedded", "daemon"):
        assert (f"env-plain, {mode}: environ REMOTE_PORT\n    ours       -\n"
                "    reference  str PORT\n") in done.stdout


@pytest.fixture(scope="module")
def shown():
    """What both show of two requests."""
    done = differential(BUILD / "mod_wsgi.so", "--only", "env-(plain|variables)$", "--show")
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def rows():
    page = (ROOT / "docs" / "compatibility.md").read_text()
    return {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}


def test_no_key_of_the_environ_can_get_lost(shown):
    """Each of them, taken out of all our answers, is a difference that no line explains, or the end
    of one that a line explains."""
    keys = {item for case in shown for item in case["ours"] if item.startswith("environ ")}
    assert len(keys) > 40
    for key in sorted(keys):
        table = judge.Table(FOLDER / "explained.txt", rows())
        found = []
        for case in shown:
            ours = {item: text for item, text in case["ours"].items() if item != key}
            found += table.unexplained(judge.compare(case["case"], case["mode"], ours,
                                                     case["reference"]))
        missing = [line for line in table.lines if line.item == key and not line.seen]
        assert found or missing, key


# ---- the table

LINE = "a-*, b | both | field X | 1* | - | ENV-times | why"


def table(tmp_path, *lines):
    path = tmp_path / "explained.txt"
    path.write_text("\n".join(["# a comment", "", *lines]))
    return judge.Table(path, ROWS)


def difference(case="a-x", mode="daemon", item="field X", ours="1", reference="-"):
    return judge.Difference(case, mode, item, ours, reference)


def test_a_line_explains_what_it_names(tmp_path):
    explained = table(tmp_path, LINE)
    assert explained.unexplained([difference(), difference(case="b", ours="12")]) == []
    others = [difference(case="ba"), difference(item="field Y"), difference(ours="2"),
              difference(reference=""), difference(ours="-", reference="1")]
    assert explained.unexplained(others) == others


def test_any_text_is_not_the_absence_of_one(tmp_path):
    explained = table(tmp_path, "a | both | field X | * | * | ENV-times | why")
    lost = difference(case="a", ours="-", reference="1")
    assert explained.unexplained([lost]) == [lost]


def test_a_line_without_a_difference_is_told(tmp_path):
    explained = table(tmp_path, LINE)
    explained.unexplained([difference(), difference(case="b")])
    assert explained.stale(["daemon"]) == []
    told = explained.stale(["embedded", "daemon"])
    assert len(told) == 2
    assert told[0].endswith("explained.txt:3: no difference any more: a-*, embedded: field X")


@pytest.mark.parametrize("line, sentence", [
    ("a | both | x | 1 | 2 | NO-such-row | why", "NO-such-row is no row"),
    ("a | both | x | 1 | 2 | ENV-times", "6 columns instead of 7"),
    ("a | neither | x | 1 | 2 | ENV-times | why", "neither is no mode"),
    ("a | both | x | 1 | 2 | ENV-times | ", "there is no reason"),
])
def test_a_bad_line_is_refused(tmp_path, line, sentence):
    with pytest.raises(judge.BadTable, match=sentence):
        table(tmp_path, line)


def test_two_modules_that_are_the_same_do_not_differ(tmp_path):
    """But explanations without a difference fail a whole run, here of nothing else."""
    module = BUILD / "mod_wsgi.so"
    nothing = tmp_path / "nothing.txt"
    nothing.write_text("")
    done = differential(module, "--reference", module, "--explained", nothing, "--only",
                        "env-(plain|host)")
    assert done.returncode == 0, done.stdout
