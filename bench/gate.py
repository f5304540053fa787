"""The gate: instructions and system calls of a small request against the table in limits.

SPDX-License-Identifier: Apache-2.0
"""

import pathlib

import counters
import kinds
import load
from results import Table
from scenarios import SCENARIOS
from servers import HERE, NotMeasured

LIMITS = HERE / "limits"
MODES = {"embedded": kinds.OURS_EMBEDDED, "daemon": kinds.OURS_DAEMON}


def read_limits(path=LIMITS):
    """"embedded instructions" → the limit."""
    limits = {}
    for line in pathlib.Path(path).read_text().splitlines():
        words = line.partition("#")[0].split()
        if words:
            mode, figure, limit = words
            limits[f"{mode} {figure}"] = float(limit)
    return limits


def instructions_of(directory, table, mode, scenario, requests):
    setup = table.setup(MODES[mode], scenario.application, kinds.COUNTED)
    client = load.Client.of(directory, scenario.name, scenario.classes())
    [(instructions, _)] = counters.instructions(directory, setup, [client], requests)
    return instructions


def measure(directory, table, requests):
    """The figures that limits names."""
    figures = {}
    hello, second = SCENARIOS["hello"], SCENARIOS["second"]
    for mode in MODES:
        first = instructions_of(directory, table, mode, hello, requests)
        other = instructions_of(directory, table, mode, second, requests)
        setup = table.setup(MODES[mode], hello.application, kinds.COUNTED)
        client = load.Client.of(directory, hello.name, hello.classes())
        figures[f"{mode} instructions"] = first
        figures[f"{mode} second-hello"] = other / first
        figures[f"{mode} system-calls"] = counters.system_calls(directory, setup, client, requests)
    return figures


def judge(figures, limits):
    """Rows of (figure, reached, limit, verdict) and whether all hold. A figure that is missing, or
    that nobody limits, does not."""
    rows = []
    for name in sorted({*figures, *limits}):
        reached, limit = figures.get(name), limits.get(name)
        if reached is None or limit is None:
            verdict = "FAILED: no figure" if reached is None else "FAILED: no limit"
        else:
            verdict = "ok" if reached <= limit else f"FAILED: {reached / limit - 1:.1%} too much"
        rows.append([name, reached, limit, verdict])
    return rows, all(row[3] == "ok" for row in rows)


def gate(directory, table, report, requests, limits, figures=None):
    """True where no limit is broken. figures: of an earlier run, measured otherwise."""
    if figures is None:
        try:
            figures = measure(directory, table, requests)
        except NotMeasured as error:
            print(f"gate: {error}")
            return False
    report.note(kind="gate", figures=figures)
    rows, is_good = judge(figures, limits)
    report.add(Table("gate", "A small request against its limits",
                     [("figure", ""), ("reached", ",.2f"), ("limit", ",.2f"), ("", "")],
                     rows))
    return is_good
