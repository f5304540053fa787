"""Tables of figures: as text, as Markdown, and in the JSON file of a run.

SPDX-License-Identifier: Apache-2.0
"""

import dataclasses
import datetime
import json
import os
import pathlib
import platform
import re
import subprocess
import sys

import kinds
from figures import figure
from kinds import peer
from servers import ROOT


@dataclasses.dataclass
class Table:
    """columns: (heading, format); a cell is a number, a string or None."""

    name: str
    title: str
    columns: list
    rows: list
    remarks: list = dataclasses.field(default_factory=list)  # why a figure is missing

    def cells(self):
        return [[figure(cell, form) for cell, (_, form) in zip(row, self.columns)]
                for row in self.rows]

    def text(self):
        lines = [[heading for heading, _ in self.columns], *self.cells()]
        widths = [max(map(len, column)) for column in zip(*lines)]
        printed = ["  ".join(cell.rjust(width) if form else cell.ljust(width)
                             for cell, width, (_, form) in zip(line, widths, self.columns)).rstrip()
                   for line in lines]
        return "\n".join([self.title, *printed, *(f"    missing: {each}" for each in self.remarks)])

    def markdown(self):
        lines = ["| " + " | ".join(heading for heading, _ in self.columns) + " |",
                 "| " + " | ".join("--:" if form else "---" for _, form in self.columns) + " |"]
        lines += ["| " + " | ".join(row) + " |" for row in self.cells()]
        remarks = [f"Missing: {each}." for each in self.remarks]
        return "\n".join([f"**{self.title}**", "", *lines, *([""] if remarks else []), *remarks])


def first_line(*command):
    try:
        output = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True).stdout
    except OSError:
        return "not installed"
    return (output.splitlines() or ["unknown"])[0].strip()


def machine():
    """What figures depend on."""
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {
        "date": datetime.date.today().isoformat(),
        "commit": first_line("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "processor": f"{os.cpu_count()} × {cpu.group(1) if cpu else platform.machine()}",
        "kernel": platform.release(),
        "httpd": first_line(kinds.HTTPD, "-v").removeprefix("Server version: "),
        "python": first_line("/usr/bin/python3", "-VV"),
        "peer": first_line("dpkg-query", "-W", "-f", "${Version}", peer.PACKAGE)
        if not list(peer.CACHE.glob("*.deb"))
        else f"{peer.PACKAGE} " + max(peer.CACHE.glob(f"{peer.PACKAGE}_*.deb"),
                                            key=os.path.getmtime).stem.split("_")[1],
        "module": first_line("sha256sum", str(kinds.OURS))[:12],
    }


class Report:
    """Prints tables as they come, keeps them and the lines that they were made of."""

    def __init__(self, path=None):
        self.path = path
        self.tables, self.raw = [], []

    def add(self, table):
        self.tables.append(table)
        print(table.text(), end="\n\n", flush=True)
        self.write()

    def note(self, **line):
        self.raw.append(line)

    def write(self):
        """After each table: what was measured is not lost with a run that breaks off."""
        if self.path:
            document = {"machine": machine(), "command": " ".join(["bench", *sys.argv[1:]]),
                        "tables": [dataclasses.asdict(table) for table in self.tables],
                        "raw": self.raw}
            pathlib.Path(self.path).write_text(json.dumps(document, indent=1,
                                                          ensure_ascii=False) + "\n")


def read(path):
    """A run's file: the document with its tables as Table."""
    document = json.loads(pathlib.Path(path).read_text())
    document["tables"] = [Table(**table) for table in document["tables"]]
    return document
