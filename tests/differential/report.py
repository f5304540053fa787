"""The run from the tables to the last line.

SPDX-License-Identifier: Apache-2.0
"""

import json
import re
import time

import env
import processes
import run as pairs
from cases import SUITES


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
    for suite, mode, cases in chosen(options):
        begun = time.monotonic()
        with pairs.Pair(runs, suite.SETUP, mode, getattr(suite, "FILES", {}),
                        options.config, explained) as pair:
            for case in cases:
                differences, seen = pair.differences(case)
                if options.show:
                    print(json.dumps({"case": case.name, "mode": mode, "ours": seen[0],
                                      "reference": seen[1]}))
                unexplained = explained.unexplained(differences)
                number += len(differences) - len(unexplained)
                passed += not unexplained
                failed += bool(unexplained)
                for each in unexplained:
                    print(each, flush=True)
        print(f"{suite.SETUP.name}, {mode}: {len(cases)} cases, "
              f"{time.monotonic() - begun:.1f} s", flush=True)
    if not options.only:
        stale = explained.stale([options.mode] if options.mode else ["embedded", "daemon"])
        failed += len(stale)
        for sentence in stale:
            print(sentence)
    print(f"{number} differences are explained by {len(explained.lines)} lines")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0
