"""Fixtures of the server tests.

SPDX-License-Identifier: Apache-2.0
"""

import os
import re
from pathlib import Path

import env
import processes
import pytest

MODES = [os.environ["MODE"]] if os.environ.get("MODE") else ["embedded", "daemon"]

needs_root = pytest.mark.skipif(not env.IS_ROOT,
                                reason="only root can make httpd change its user")


@pytest.fixture(scope="session")
def test_run():
    processes.adopt_orphans()
    run = env.TestRun()
    yield run
    run.close()


@pytest.fixture(scope="module", params=MODES)
def mode(request):
    """Tests that use it run once per mode."""
    return request.param


def _launcher(test_run, request, servers):
    """Gives launch(mode, **options) → a running env.Server; the servers end with the scope."""
    mine = []

    def launch(mode, start=True, **options):
        server = env.Server(test_run, re.sub(r"\W+", "-", Path(request.node.name).stem), mode,
                            **options)
        mine.append(server)
        servers.append(server)
        return server.start() if start else server

    yield launch
    failures = []
    for server in reversed(mine):
        try:
            server.retire()
        except Exception as error:
            failures.append(f"{type(error).__name__}: {error}")
        servers.remove(server)
    assert not failures, "\n".join(failures)


@pytest.fixture(scope="session")
def servers():
    """All servers that live now."""
    return []


@pytest.fixture(scope="module")
def launch(test_run, request, servers):
    """Servers that the tests of one file share."""
    yield from _launcher(test_run, request, servers)


@pytest.fixture
def launch_once(test_run, request, servers):
    """Servers of one test."""
    yield from _launcher(test_run, request, servers)


@pytest.fixture(autouse=True)
def oracle(servers):
    """After each test: the error logs hold what was announced and nothing else that is bad."""
    yield
    for server in servers:
        if server.process is not None:
            server.check()


def pytest_itemcollected(item):
    """The ids that a test carries, and its mode, for tools/check-compat to find in the report."""
    ids = {name for mark in item.iter_markers("compat") for name in mark.args}
    item.user_properties += [("compat", name) for name in sorted(ids)]
    mode = item.callspec.params.get("mode") if hasattr(item, "callspec") else None
    if ids and mode:
        item.user_properties.append(("mode", mode))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the error logs of its servers."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for server in item.funcargs.get("servers", []):
            report.sections.append((f"error log of {server.directory.name}",
                                    server.log.text()[-6000:]))
