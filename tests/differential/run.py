"""Runs the cases on pairs of servers, and gives their differences.

SPDX-License-Identifier: Apache-2.0
"""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import env
import normalise
import observe
from judge import ABSENT, Difference, compare
from model import Script, Syntax

LOG_PATIENCE_S = 0.6
LOG_PAUSE_S = 0.02
ONE_AT_A_TIME = threading.Lock()  # ports and directories are given out
FIXED_TIME = 946684800  # of files: the first day of 2000


class Side:
    """One server of a pair."""

    def __init__(self, run, setup, mode, files, more_config):
        self.server = env.Server(run, f"differ-{setup.name}", mode, daemon=setup.daemon,
                                 config=setup.text + more_config, modules=setup.modules,
                                 environment=setup.environment, single_child=True)
        self.server.log.allow_anything()
        for source in (env.ROOT / "tests" / "differential" / "apps").glob("*.py"):
            self.write(source.name, source.read_text())
        for name, text in files.items():
            self.write(name, text, mtime=FIXED_TIME)
        self.log = observe.LogReader(self.server.log.path)
        self.writes = 0

    def write(self, name, text, mtime=None):
        path = self.server.directory / "scripts" / name
        part = path.with_name(f".{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text)
        if mtime is not None:
            os.utime(part, (mtime, mtime))
        part.rename(path)

    def start(self):
        self.server.start()
        self.log.go_on()

    def take(self, steps):
        """What the steps show, all but the log, under the numbers of the requests after the
        first."""
        seen, count = {}, 0
        for step in steps:
            if isinstance(step, Script):
                self.writes += 1
                self.write(step.name, step.source, mtime=FIXED_TIME + self.writes)
                continue
            count += 1
            prefix = f"{count}. " if count > 1 else ""
            answer = observe.ask(self.server.port, self.placed(step))
            seen |= {prefix + item: text for item, text in answer.items()}
        return seen

    def configtest(self, text):
        self.server.config = text
        self.server.write_configuration()
        return "refused" if self.server.configtest()[0] else "accepted"

    def placed(self, request):
        head = request.head.replace("${scripts}", str(self.server.directory / "scripts"))
        return replace(request, head=head)

    def made_equal(self, seen):
        return normalise.items(seen, self.server.directory, self.server.port)

    def logged(self):
        return normalise.log(self.log.look(), self.server.directory, self.server.port)


class Pair:
    """Ours and the reference with one configuration in one mode."""

    def __init__(self, runs, setup, mode, files, more_config, explained):
        self.mode = mode
        self.is_run = setup.is_run
        self.explained = explained
        with ONE_AT_A_TIME:
            self.sides = [Side(run, setup, mode, files, more_config) for run in runs]
        # It lives as long as the servers, which end with the thread that has started them.
        self.pool = ThreadPoolExecutor(len(self.sides))

    def __enter__(self):
        if self.is_run:
            self._both(Side.start)
        return self

    def __exit__(self, *exc_info):
        self._both(lambda side: side.server.kill())
        self.pool.shutdown()

    def _both(self, do):
        return list(self.pool.map(do, self.sides))

    def differences(self, case):
        if isinstance(case, Syntax):
            seen = self._both(lambda side: {"configtest": side.configtest(case.text)})
            return compare(case.name, self.mode, *seen), seen
        seen = [side.made_equal(side.take(case.steps)) for side in self.sides]
        for one, log in zip(seen, self._logs(case), strict=True):
            if log:
                one["log"] = log
        return compare(case.name, self.mode, *seen), seen

    def _logs(self, case):
        """Of both; where they differ, and should not, or are still being written, a line may be on
        its way."""
        deadline, before = time.monotonic() + LOG_PATIENCE_S, None
        while True:
            logs = [" / ".join(side.logged()) for side in self.sides]
            is_known = logs == before and self.explained.explains(
                Difference(case.name, self.mode, "log", *[log or ABSENT for log in logs]))
            if logs[0] == logs[1] or is_known or time.monotonic() > deadline:
                break
            before = logs
            time.sleep(LOG_PAUSE_S)
        for side in self.sides:
            side.log.go_on()
        return logs
