"""The error log as an oracle: a test announces what it provokes, all else fails it.

SPDX-License-Identifier: Apache-2.0
"""

import re
from dataclasses import dataclass, field

BAD_LEVELS = ("emerg", "alert", "crit", "error", "warn")
BAD_IDS = ("AH00051", "AH00052")  # a child of httpd ended by a signal, which httpd only notes

_LINE = re.compile(
    r"^\[\w{3} \w{3} [ \d]\d [\d:.]+ \d{4}\] "
    r"\[(?P<module>[\w-]*):(?P<level>\w+)\] "
    r"\[pid (?P<pid>\d+)(?::tid \d+)?\] "
    r"(?:\(\d+\)[^:]*: )?"
    r"(?:\[client (?P<client>[^\]]*)\] )?"
    r"(?P<text>.*)$"
)
_ID = re.compile(r"\b(?:WSGI|AH)\d{4,5}(?=: )")


@dataclass
class Line:
    raw: str
    module: str = ""
    level: str = "unformatted"
    id: str = ""
    text: str = ""

    @property
    def is_bad(self):
        """Warning or worse; or no log line at all, as when a process dies of an assertion."""
        return self.level in (*BAD_LEVELS, "unformatted") or self.id in BAD_IDS

    @property
    def is_output(self):
        """Text of the application: tracebacks, wsgi.errors, print()."""
        return self.module == "wsgi" and not self.id


def parse(raw):
    match = _LINE.match(raw)
    if not match:
        return Line(raw, text=raw)
    found = _ID.search(match["text"])
    return Line(raw, match["module"], match["level"], found.group() if found else "",
                match["text"])


@dataclass
class Expectation:
    """A message that a test announces: its id, a pattern of its text, how many lines."""

    id: str
    pattern: str
    count: object  # an exact number, or None: one or more
    lines: list = field(default_factory=list)

    def takes(self, line):
        return re.fullmatch(self.id, line.id) and re.search(self.pattern, line.text) is not None

    @property
    def is_met(self):
        return bool(self.lines) if self.count is None else len(self.lines) >= self.count

    def __str__(self):
        number = "at least one line" if self.count is None else f"{self.count} line(s)"
        return f"{number} {self.id or '(application output)'} /{self.pattern}/"


class ErrorLog:
    def __init__(self, path):
        self.path = path
        self._offset = 0
        self._expected = []
        self._tolerated = []
        self._allows_anything = False

    def text(self):
        return self.path.read_text(errors="replace") if self.path.exists() else ""

    def recent(self):
        """The lines since the last verify(), parsed; an unfinished last line is left out."""
        if not self.path.exists():
            return []
        with open(self.path, "rb") as file:
            file.seek(self._offset)
            complete = file.read().rpartition(b"\n")[0]
        return [parse(raw.decode(errors="replace")) for raw in complete.split(b"\n") if raw]

    def expect(self, id, pattern="", count=1):
        self._expected.append(Expectation(id, pattern, count))

    def expect_output(self, pattern, count=None):
        """Text that the application or its traceback writes; allows all its other lines too."""
        self._expected.append(Expectation("", pattern, count))

    def tolerate(self, id):
        """Lines that may come or not, depending on who is faster, for as long as the server lives."""
        self._tolerated.append(id)

    def allow_anything(self):
        """For the server that is not ours."""
        self._allows_anything = True

    def _distribute(self):
        """Gives each recent line to the expectations; returns the bad lines that none takes."""
        for expectation in self._expected:
            expectation.lines.clear()
        has_output = any(not expectation.id for expectation in self._expected)
        strangers = []
        for line in self.recent():
            takers = [each for each in self._expected if each.takes(line)]
            for taker in takers:
                taker.lines.append(line)
            is_known = takers or (has_output and line.is_output) or any(
                re.fullmatch(id, line.id) for id in self._tolerated)
            if line.is_bad and not is_known:
                strangers.append(line)
        return strangers

    def is_complete(self):
        self._distribute()
        return self._allows_anything or all(each.is_met for each in self._expected)

    def verify(self):
        """Fails on bad lines nobody announced and on announced ones that are missing or too many.
        Begins a new page either way."""
        strangers = self._distribute()
        wrong = [each for each in self._expected
                 if not each.is_met or (each.count is not None and len(each.lines) > each.count)]
        self._expected = []
        if self.path.exists():
            self._offset = self.path.stat().st_size
        if self._allows_anything:
            return
        complaints = [f"not announced: {line.raw}" for line in strangers[:10]]
        complaints += [f"… and {len(strangers) - 10} more"] if len(strangers) > 10 else []
        complaints += [f"announced {each}, found {len(each.lines)}:\n  "
                       + "\n  ".join(line.raw for line in each.lines) for each in wrong]
        assert not complaints, "error log:\n" + "\n".join(complaints)
