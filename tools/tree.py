"""What the checks in this folder share: finding sources, reading C without comments, reporting.

SPDX-License-Identifier: Apache-2.0
"""

import argparse
import re
import sys
from pathlib import Path

TOKENS = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def arguments(description):
    """A parser with --root, the tree to look at (default: the one that holds this folder)."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent,
                        help="the source tree")
    return parser


def sources(root, *folders, suffixes=(".c", ".h")):
    """Files below these folders of root, in a stable order."""
    return sorted(path for folder in folders for path in (root / folder).rglob("*")
                  if path.suffix in suffixes and path.is_file())


def blank(text, keep_strings=False):
    """C text with comments, and the insides of strings unless kept, turned into blanks. Offsets
    and line numbers stay."""
    def replace(match):
        token = match.group()
        if token[0] in "\"'":
            return token if keep_strings else token[0] + " " * (len(token) - 2) + token[0]
        return re.sub(r"[^\n]", " ", token)
    return TOKENS.sub(replace, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


class Findings:
    """Prints each finding as path:line: sentence, with paths relative to the root."""

    def __init__(self, root):
        self.root = root
        self.count = 0

    def add(self, path, line, sentence):
        self.count += 1
        path = path.relative_to(self.root) if path.is_absolute() else path
        print(f"{path}:{line}: {sentence}" if line else f"{path}: {sentence}")

    def finish(self, name, looked_at):
        """Ends the program: 0 without findings, 1 with some, 2 where there was nothing to see."""
        if not looked_at:
            print(f"{name}: nothing to look at below {self.root}")
            sys.exit(2)
        print(f"{name}: {looked_at} looked at, {self.count} findings")
        sys.exit(1 if self.count else 0)
