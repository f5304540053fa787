"""Faults on purpose, which must turn a sanitizer run red. None of the suite's tests, hence its name:
tests/tools/test_planted_fault.py runs it with a module from `make planted`."""

import http.client

import pytest


@pytest.fixture
def server(launch_once, mode):
    """Whatever httpd and the module say of a process that ends is no matter here."""
    server = launch_once(mode, single_child=True)
    server.tolerate(r"(WSGI|AH)\d+")
    return server


def test_without_a_fault_all_is_well(server):
    assert server.get("/hello").body == b"Hello world\n"


@pytest.mark.parametrize("fault", ["heap-overflow", "undefined"])
def test_a_fault(server, fault):
    """Passes whatever the client sees: it is the harness that has to find the report."""
    try:
        server.get("/hello", headers={"X-Planted-Fault": fault})
    except (OSError, http.client.HTTPException):
        pass
