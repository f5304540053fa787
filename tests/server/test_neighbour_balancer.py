"""Three servers: mod_proxy_balancer in front of two that run applications, of which one is told of
clients by mod_remoteip and the other by WSGITrustedProxyHeaders."""

import http.client
import os
import re
from collections import Counter

import env
import pytest
from processes import wait_until

# What is behind /app here is /environ there.
FRONT = """
LogFormat "%{{BALANCER_WORKER_ROUTE}}e %>s %U" routes
CustomLog "${{root}}/notes/routes.log" routes
<Proxy balancer://both>
    BalancerMember http://127.0.0.1:{first} route=first ping=5 retry=1
    BalancerMember http://127.0.0.1:{second} route=second ping=5 retry=1
    ProxySet lbmethod=byrequests stickysession=ROUTE
</Proxy>
RequestHeader set X-Forwarded-Proto https
RequestHeader set X-Script-Name /app expr=%{{REQUEST_URI}}=~m#^/app#
ProxyPass /app balancer://both/environ
ProxyPass /both balancer://both
"""

BY_REMOTEIP = """
RemoteIPHeader X-Forwarded-For
RemoteIPInternalProxy 127.0.0.1
"""

BY_FIELDS = """
WSGITrustedProxies 127.0.0.1
WSGITrustedProxyHeaders X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Script-Name
"""

CLIENT = "127.0.0.2"  # an address of this machine that is no proxy's


class Site:
    def __init__(self, launch, mode):
        self.first = launch(mode, config=BY_REMOTEIP, modules=["remoteip"])
        self.second = launch(mode, config=BY_FIELDS)
        self.front = launch("embedded", modules=[
            "headers", "lbmethod_byrequests", "proxy", "proxy_balancer", "proxy_http",
            "slotmem_shm"], config=FRONT.format(first=self.first.port, second=self.second.port))

    def request(self, method, path, body=None, headers=()):
        """(status, body), asked from CLIENT."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.front.port, timeout=20 * env.PATIENCE, source_address=(CLIENT, 0))
        connection.request(method, path, body, dict(headers))
        reply = connection.getresponse()
        text = reply.read()
        connection.close()
        return reply.status, text

    def environ(self, route, headers=()):
        """What the application sees that is reached by a route."""
        reply = self.front.get("/app", {"Cookie": f"ROUTE=x.{route}", **dict(headers)})
        assert reply.status == 200, reply
        return {key: value for key, (_, value) in reply.json().items()}

    def routes(self, path, count):
        """By which routes requests for a path went, from the log in front."""
        def found():
            lines = self.front.note("routes.log").read_text().splitlines()
            return [line.split()[:2] for line in lines if line.split()[2] == path]
        return wait_until(lambda: len(found()) >= count and found(), "the access log")


@pytest.fixture(scope="module")
def site(launch, mode):
    return Site(launch, mode)


def test_requests_are_shared_out(site):
    for _ in range(10):
        assert site.request("GET", "/both/hello") == (200, b"Hello world\n")
    routes = Counter(map(tuple, site.routes("/both/hello", 10)))
    assert routes == {("first", "200"): 5, ("second", "200"): 5}


@pytest.mark.parametrize("route", ["first", "second"])
def test_a_session_sticks(site, route):
    path = f"/both/hello/{route}"
    for _ in range(4):
        site.request("GET", path, headers={"Cookie": f"ROUTE=x.{route}"})
    assert site.routes(path, 4) == [[route, "200"]] * 4


@pytest.mark.parametrize("route", ["first", "second"])
@pytest.mark.parametrize("claim", [None, "192.0.2.66", "192.0.2.66, 127.0.0.1"])
def test_the_clients_address(site, route, claim):
    """What the client itself claims does not count."""
    headers = {"Cookie": f"ROUTE=x.{route}", **({"X-Forwarded-For": claim} if claim else {})}
    status, text = site.request("GET", "/app", headers=headers)
    assert status == 200
    assert re.search(rb'"REMOTE_ADDR": \["str", "([^"]*)"\]', text)[1].decode() == CLIENT


def test_what_the_first_server_says(site):
    found = site.environ("second", {"Host": "site.example"})
    assert (found["HTTP_HOST"], found["wsgi.url_scheme"]) == ("site.example", "https")
    assert (found["SCRIPT_NAME"], found["mod_wsgi.mount_point"]) == ("/app", "/app")
    assert found["mod_wsgi.script_name"] == "/environ"
    found = site.environ("first", {"Host": "site.example"})
    assert found["wsgi.url_scheme"] == "http", "mod_remoteip speaks of addresses only"
    assert (found["SCRIPT_NAME"], found["HTTP_X_SCRIPT_NAME"]) == ("/environ", "/app")


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_body(site, size):
    """mod_proxy asks by Expect whether it may send it (ping=)."""
    body = os.urandom(size)
    for _ in range(4):
        assert site.request("POST", "/both/echo?how=return", body) == (200, body)


def test_a_cut_answer_is_cut_in_front(site):
    for server in (site.first, site.second):
        server.expect("WSGI0174")
        server.expect_output("ZeroDivisionError")
    site.front.expect("AH01110", count=2)
    for route in ("first", "second"):
        with pytest.raises(http.client.HTTPException):
            site.request("GET", "/both/faults/raises-later",
                         headers={"Cookie": f"ROUTE=x.{route}"})


def test_one_of_them_ends(site):
    """The other one takes over, until the first is back."""
    def route_of(path):
        assert site.request("GET", path, headers={"Cookie": "ROUTE=x.first"})[0] == 200
        return site.routes(path, 1)[0]

    site.front.tolerate("AH00957|AH00959|AH01114")  # cannot connect, tried again in a second
    site.first.stop()
    for number in range(4):
        assert route_of(f"/both/hello/without-{number}") == ["second", "200"]
    site.first.start()
    numbers = iter(range(1000))
    wait_until(lambda: route_of(f"/both/hello/back-{next(numbers)}") == ["first", "200"],
               "the first serves again", 10 * env.PATIENCE)
