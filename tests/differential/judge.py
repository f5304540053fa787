"""Differences, and the table that explains them.

SPDX-License-Identifier: Apache-2.0
"""

import re
from dataclasses import dataclass, field

ABSENT = "-"
COLUMNS = 7
MODES = {"both": ["embedded", "daemon"], "embedded": ["embedded"], "daemon": ["daemon"]}


@dataclass(frozen=True)
class Difference:
    case: str
    mode: str
    item: str
    ours: str
    reference: str

    def __str__(self):
        return (f"{self.case}, {self.mode}: {self.item}\n    ours       {on_a_line(self.ours)}\n"
                f"    reference  {on_a_line(self.reference)}")


def on_a_line(text):
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")


def compare(case, mode, ours, reference):
    """Two dictionaries of items."""
    return [Difference(case, mode, item, ours.get(item, ABSENT), reference.get(item, ABSENT))
            for item in sorted(ours.keys() | reference.keys())
            if ours.get(item, ABSENT) != reference.get(item, ABSENT)]


def matches(pattern, text):
    """* is any text; all other characters stand for themselves."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


@dataclass
class Explanation:
    """One line of explained.txt."""

    line: int
    cases: list
    modes: list
    item: str
    ours: str
    reference: str
    row: str
    reason: str
    seen: set = field(default_factory=set)

    def explains(self, difference):
        cases = [each for each in self.cases if matches(each, difference.case)]
        if not cases or difference.mode not in self.modes or not all((
                matches(self.item, difference.item), self.fits(self.ours, difference.ours),
                self.fits(self.reference, difference.reference))):
            return False
        self.seen.update((each, difference.mode) for each in cases)
        return True

    @staticmethod
    def fits(pattern, text):
        """A * is not for what is absent."""
        return pattern == text if text == ABSENT else matches(pattern, text)

    def unseen(self, modes):
        """(cases, mode) that should have differed and did not."""
        return [(each, mode) for each in self.cases for mode in self.modes
                if mode in modes and (each, mode) not in self.seen]


class BadTable(Exception):
    pass


class Table:
    """explained.txt; `rows` are the ids of docs/compatibility.md."""

    def __init__(self, path, rows):
        self.path = path
        self.lines = [self._read(number, line, rows)
                      for number, line in enumerate(path.read_text().splitlines(), 1)
                      if line.strip() and not line.startswith("#")]

    def _read(self, number, line, rows):
        cells = [cell.strip() for cell in re.split(r"\s\|\s", line)]
        if len(cells) != COLUMNS:
            raise BadTable(f"{self.path}:{number}: {len(cells)} columns instead of {COLUMNS}")
        cases, modes, item, ours, reference, row, reason = cells
        if not reason:
            raise BadTable(f"{self.path}:{number}: there is no reason")
        if row not in rows:
            raise BadTable(f"{self.path}:{number}: {row} is no row of docs/compatibility.md")
        if modes not in MODES:
            raise BadTable(f"{self.path}:{number}: {modes} is no mode")
        return Explanation(number, re.split(r",\s*", cases), MODES[modes], item, ours,
                           reference, row, reason)

    def explains(self, difference):
        return any([line.explains(difference) for line in self.lines])  # each line is to be seen

    def unexplained(self, differences):
        return [each for each in differences if not self.explains(each)]

    def stale(self, modes):
        """What should differ and does not: a sentence for each."""
        return [f"{self.path}:{line.line}: no difference any more: {cases}, {mode}: {line.item}"
                for line in self.lines for cases, mode in line.unseen(modes)]
