"""tools/report-coverage tells for each source which lines the fuzz targets reached. LLVM's tools are
play-acted.

SPDX-License-Identifier: Apache-2.0
"""

import subprocess

import pytest
from conftest import ROOT

LCOV = """SF:/tree/src/core/wire.c
DA:1,7
DA:2,0
DA:3,0
DA:4,1
DA:9,0
DA:4,0
end_of_record
SF:/tree/src/proxy/link.c
DA:5,1
end_of_record
SF:/tree/tests/fuzz/fuzz_wire.c
DA:1,0
end_of_record
"""


@pytest.fixture
def report(tmp_path):
    """Runs it over two programs, with llvm-profdata and llvm-cov as told."""
    def run(profdata="exit 0", cov=f"cat <<'END'\n{LCOV}END"):
        for name, text in (("profdata", profdata), ("cov", cov)):
            (tmp_path / name).write_text(
                f"#!/bin/sh\necho \"$@\" >{tmp_path}/{name}.call\n{text}\n")
            (tmp_path / name).chmod(0o755)
        return subprocess.run(
            [ROOT / "tools" / "report-coverage", f"--profdata={tmp_path}/profdata",
             f"--cov={tmp_path}/cov", tmp_path / "fuzz_wire", tmp_path / "fuzz_head"],
            capture_output=True, text=True)
    return run


def test_lines_are_summed_up_by_file(report):
    done = report()
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [" ".join(line) for line in lines] == [
        "40.0 % of 5 lines core/wire.c not: 2-3 9", "100.0 % of 1 lines proxy/link.c"]


def test_the_profiles_of_all_programs_are_merged(report, tmp_path):
    report()
    call = (tmp_path / "profdata.call").read_text().split()
    assert {f"{tmp_path}/wire.profraw", f"{tmp_path}/head.profraw"} < set(call)
    assert f"-object {tmp_path}/fuzz_head" in (tmp_path / "cov.call").read_text()


def test_without_llvm(tmp_path):
    done = subprocess.run([ROOT / "tools" / "report-coverage", "--profdata=/nowhere/llvm-profdata",
                           tmp_path / "fuzz_wire"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "report-coverage: /nowhere/llvm-profdata is missing: " \
        "install the package llvm\n"


def test_a_tool_that_fails_fails_the_report(report):
    assert report(profdata="exit 1").returncode == 1
