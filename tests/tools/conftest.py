"""A small source tree of its own for each test of a check.

SPDX-License-Identifier: Apache-2.0
"""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Tree:
    """`write` plants files, `run` runs a tool of the real tree over this one."""

    def __init__(self, root):
        self.root = root

    def write(self, path, text):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def run(self, tool, *arguments):
        return subprocess.run([ROOT / "tools" / tool, "--root", self.root, *arguments],
                              capture_output=True, text=True, cwd=self.root)

    def accepts(self, tool, *arguments):
        done = self.run(tool, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    def refuses(self, tool, finding, *arguments):
        """The tool fails and says one thing, the finding."""
        done = self.run(tool, *arguments)
        assert done.returncode == 1, done.stdout + done.stderr
        findings = done.stdout.splitlines()[:-1]
        assert len(findings) == 1 and finding in findings[0], done.stdout


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)
