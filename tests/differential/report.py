"""The run from the tables to the last line.

SPDX-License-Identifier: Apache-2.0
"""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import env
import processes
import run as pairs
from cases import SUITES

AT_A_TIME = 2  # pairs of servers; they wait more than they work


def chosen(options):
    """(suite, mode, cases) of what is to be run."""
    for suite in SUITES:
        for mode in suite.SETUP.modes:
            cases = [case for case in suite.CASES
                     if mode in case.modes and re.match(options.only, case.name)]
            if cases and options.mode in (None, mode):
                yield suite, mode, cases


def run(options, module, reference, explained):
    processes.adopt_orphans()
    runs = [env.TestRun(module, False), env.TestRun(reference, True)]
    try:
        return _run(options, runs, explained)
    finally:
        for each in runs:
            each.close()


def _run(options, runs, explained):
    passed, failed, number = 0, 0, 0
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for outcome in pool.map(lambda each: run_cases(*each, options, runs, explained),
                                chosen(options)):
            print(*outcome.lines, sep="\n", flush=True)
            passed += outcome.passed
            failed += outcome.failed
            number += outcome.explained
    if not options.only:
        stale = explained.stale([options.mode] if options.mode else ["embedded", "daemon"])
        failed += len(stale)
        for sentence in stale:
            print(sentence)
    print(f"{number} differences are explained by {len(explained.lines)} lines")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


@dataclass
class Outcome:
    lines: list = field(default_factory=list)
    passed: int = 0
    failed: int = 0
    explained: int = 0


def run_cases(suite, mode, cases, options, runs, explained):
    outcome = Outcome()
    begun = time.monotonic()
    with pairs.Pair(runs, suite.SETUP, mode, getattr(suite, "FILES", {}), options.config,
                    explained) as pair:
        for case in cases:
            differences, seen = pair.differences(case)
            if options.show:
                outcome.lines.append(json.dumps({"case": case.name, "mode": mode,
                                                 "ours": seen[0], "reference": seen[1]}))
            unexplained = explained.unexplained(differences)
            outcome.explained += len(differences) - len(unexplained)
            outcome.passed += not unexplained
            outcome.failed += bool(unexplained)
            outcome.lines += map(str, unexplained)
    outcome.lines.append(f"{suite.SETUP.name}, {mode}: {len(cases)} cases, "
                         f"{time.monotonic() - begun:.1f} s")
    return outcome
