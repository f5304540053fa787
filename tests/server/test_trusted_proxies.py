"""What proxies tell by fields of a request: believed where they are listed, removed otherwise."""

import json
import ssl
import urllib.request

import env
import pytest

# X-Peer stands for the address that the connection comes from, by way of mod_remoteip.
CONFIG = """
RemoteIPHeader X-Peer
RemoteIPInternalProxy 127.0.0.1
SetEnv mod_wsgi.mount_point forged
<Location /each>
    WSGITrustedProxies 127.0.0.1
    WSGITrustedProxies 10.0.0.0/8 192.168.0.0/255.255.0.0 FD00::/8
    WSGITrustedProxyHeaders x-forwarded-for X-CLIENT-IP X-Real-IP
    WSGITrustedProxyHeaders X-Forwarded-Proto X-Forwarded-Scheme X-Scheme
    WSGITrustedProxyHeaders X-Forwarded-HTTPS X-Forwarded-SSL X-HTTPS
    WSGITrustedProxyHeaders X-Forwarded-Host X-Host X-Forwarded-Server X-Forwarded-Port
    WSGITrustedProxyHeaders X-Script-Name X-Forwarded-Script-Name
</Location>
<Location /each/inner>
    WSGITrustedProxyHeaders X-Forwarded-Port
    WSGITrustedProxies 192.0.2.1
</Location>
<Location /few>
    WSGITrustedProxies 127.0.0.1 10.0.0.0/8
    WSGITrustedProxyHeaders X-Client-IP X-Forwarded-For X-Forwarded-SSL X-Forwarded-Proto
</Location>
<Location /all-peers>
    WSGITrustedProxyHeaders X-Forwarded-For
</Location>
<Location /unknown>
    WSGITrustedProxies 127.0.0.1
    WSGITrustedProxyHeaders X-Nothing X-Forwarded-Port
</Location>
<Location /proxies-only>
    WSGITrustedProxies 127.0.0.1
</Location>
""" + "".join(f'WSGIScriptAlias /{name} "${{apps}}/environ.py"\n'
              for name in ("each", "few", "all-peers", "unknown", "proxies-only"))

HERE = "127.0.0.1"
STRANGER = "203.0.113.9"


@pytest.fixture(scope="module")
def server(launch, mode):
    server = launch(mode, config=CONFIG, modules=["env", "remoteip"], start=False)
    server.expect("WSGI1720", "list the addresses .* line [0-9]+")
    server.expect("WSGI1721", "'X-Nothing'")
    return server.start()


def ask(server, path, headers=(), peer=HERE):
    headers = {**dict(headers), **({} if peer == HERE else {"X-Peer": peer})}
    reply = server.get(path, {"Host": "here.example", **headers})
    assert reply.status == 200, reply
    return {key: value for key, (_, value) in reply.json().items()}


def key_of(field):
    return "HTTP_" + field.upper().replace("-", "_")


def cases(row, fields, values, key, untold):
    """`values` pairs what a field says with what becomes of `key`."""
    return [pytest.param(field, value, key, told, untold, id=f"{field}: {value}", marks=row)
            for field in fields.split() for value, told in values]


FIELDS = [
    *cases(pytest.mark.compat("PROXY-for"), "X-Forwarded-For",
           [("192.0.2.7", "192.0.2.7")], "REMOTE_ADDR", STRANGER),
    *cases(pytest.mark.compat("PROXY-client-ip"), "X-Client-IP X-Real-IP",
           [("192.0.2.7", "192.0.2.7"), ("2001:db8::7", "2001:db8::7")], "REMOTE_ADDR", STRANGER),
    *cases(pytest.mark.compat("PROXY-scheme"), "X-Forwarded-Proto X-Forwarded-Scheme X-Scheme",
           [("https", "https"), ("HTTPS", "https"), ("http", "http"), ("wss", "http"),
            ("on", "http")], "wsgi.url_scheme", "http"),
    *cases(pytest.mark.compat("PROXY-scheme-flag"), "X-Forwarded-HTTPS X-Forwarded-SSL X-HTTPS",
           [("On", "https"), ("true", "https"), ("1", "https"), ("Off", "http"),
            ("https", "http")], "wsgi.url_scheme", "http"),
    *cases(pytest.mark.compat("PROXY-host"), "X-Forwarded-Host X-Host",
           [("there:81", "there:81")], "HTTP_HOST", "here.example"),
    *cases(pytest.mark.compat("PROXY-server"), "X-Forwarded-Server",
           [("there", "there")], "SERVER_NAME", "here.example"),
    *cases(pytest.mark.compat("PROXY-port"), "X-Forwarded-Port",
           [("444", "444")], "SERVER_PORT", "80"),
    *cases(pytest.mark.compat("PROXY-script-name"), "X-Script-Name X-Forwarded-Script-Name",
           [("/mount", "/mount")], "SCRIPT_NAME", "/each"),
]


@pytest.mark.compat("DIR-trustedproxyheaders", "MERGE-trusted", "ENV-scheme-trusted")
@pytest.mark.parametrize("field, value, key, told, untold", FIELDS)
def test_a_trusted_field(server, field, value, key, told, untold):
    found = ask(server, "/each", {field: value})
    assert found[key] == told
    assert found[key_of(field)] == value


@pytest.mark.compat("PROXY-untrusted")
@pytest.mark.parametrize("field, value, key, told, untold", FIELDS)
def test_a_field_of_a_stranger(server, field, value, key, told, untold):
    found = ask(server, "/each", {field: value}, peer=STRANGER)
    assert found[key] == untold
    assert key_of(field) not in found
    assert "mod_wsgi.mount_point" not in found


@pytest.mark.compat("PROXY-script-name", "ENV-mount-point", "ENV-raw-path")
def test_mount_point(server):
    found = ask(server, "/each/path", {"X-Script-Name": "/mount"})
    assert found["mod_wsgi.mount_point"] == "/mount"
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("/mount", "/path")
    assert (found["mod_wsgi.script_name"], found["mod_wsgi.path_info"]) == ("/each", "/path")
    assert "mod_wsgi.mount_point" not in ask(server, "/each/path")


@pytest.mark.compat("PROXY-untouched")
def test_without_a_list_fields_are_fields(server):
    fields = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https", "X-Host": "there",
              "X-Script-Name": "/mount"}
    found = ask(server, "/proxies-only", fields)
    assert {key_of(field): value for field, value in fields.items()}.items() <= found.items()
    assert (found["REMOTE_ADDR"], found["wsgi.url_scheme"]) == (HERE, "http")
    found = ask(server, "/few", fields)
    assert found["HTTP_X_HOST"] == "there" and found["HTTP_X_SCRIPT_NAME"] == "/mount"
    assert (found["HTTP_HOST"], found["SCRIPT_NAME"]) == ("here.example", "/few")


@pytest.mark.compat("PROXY-order")
def test_the_last_listed_field_counts(server):
    found = ask(server, "/few", {"X-Forwarded-For": "192.0.2.7", "X-Client-IP": "192.0.2.8",
                                 "X-Real-IP": "192.0.2.9"})
    assert found["REMOTE_ADDR"] == "192.0.2.7"
    assert "HTTP_X_CLIENT_IP" not in found and "HTTP_X_REAL_IP" not in found
    found = ask(server, "/few", {"X-Client-IP": "192.0.2.8", "X-Real-IP": "192.0.2.9"})
    assert found["REMOTE_ADDR"] == "192.0.2.8" and "HTTP_X_REAL_IP" not in found
    found = ask(server, "/few", {"X-Real-IP": "192.0.2.9"})
    assert found["REMOTE_ADDR"] == HERE and "HTTP_X_REAL_IP" not in found
    found = ask(server, "/few", {"X-Forwarded-Proto": "http", "X-Forwarded-SSL": "On"})
    assert found["wsgi.url_scheme"] == "http" and "HTTP_X_FORWARDED_SSL" not in found


@pytest.mark.compat("PROXY-unknown")
def test_unknown_names_are_ignored(server):
    found = ask(server, "/unknown", {"X-Nothing": "x", "X-Forwarded-Port": "444"})
    assert found["SERVER_PORT"] == "444" and found["HTTP_X_NOTHING"] == "x"


@pytest.mark.compat("PROXY-peers", "DIR-trustedproxies", "MERGE-trusted")
@pytest.mark.parametrize("peer, is_trusted", [
    (HERE, True), ("127.0.0.2", False), ("10.255.0.1", True), ("11.0.0.1", False),
    ("192.168.3.4", True), ("192.169.3.4", False), ("fd12::3", True), ("fe80::1", False),
])
def test_peers(server, peer, is_trusted):
    """After mod_remoteip; what /each says in two lines adds up."""
    found = ask(server, "/each", {"X-Client-IP": "192.0.2.7"}, peer)
    assert found["REMOTE_ADDR"] == ("192.0.2.7" if is_trusted else peer)


@pytest.mark.compat("MERGE-trusted")
def test_an_inner_list_replaces_the_outer_one(server):
    fields = {"X-Client-IP": "192.0.2.7", "X-Forwarded-Port": "444"}
    found = ask(server, "/each/inner", fields, peer="192.0.2.1")
    assert (found["REMOTE_ADDR"], found["SERVER_PORT"]) == ("192.0.2.1", "444")
    assert found["HTTP_X_CLIENT_IP"] == "192.0.2.7"
    found = ask(server, "/each/inner", fields)
    assert found["SERVER_PORT"] == "80" and "HTTP_X_FORWARDED_PORT" not in found


@pytest.mark.compat("PROXY-walk", "PROXY-walk-odd")
@pytest.mark.parametrize("chain, address, rest", [
    ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
    ("192.0.2.6, 192.0.2.7", "192.0.2.7", "192.0.2.7"),
    ("192.0.2.6, 192.0.2.7, 10.0.0.1", "192.0.2.7", "192.0.2.7, 10.0.0.1"),
    ("192.0.2.7,10.0.0.1 ,\t10.0.0.2", "192.0.2.7", "192.0.2.7, 10.0.0.1, 10.0.0.2"),
    ("192.0.2.7, fd00::1, ::ffff:10.0.0.1", "192.0.2.7", "192.0.2.7, fd00::1, ::ffff:10.0.0.1"),
    ("2001:db8::7, fd00::1", "2001:db8::7", "2001:db8::7, fd00::1"),
    ("10.0.0.1, 10.0.0.2", "10.0.0.1", "10.0.0.1, 10.0.0.2"),
    ("10.0.0.1, 192.0.2.7, 10.0.0.2", "192.0.2.7", "192.0.2.7, 10.0.0.2"),
    (" ,, 192.0.2.7 ,, 10.0.0.1 ,", "192.0.2.7", "192.0.2.7, 10.0.0.1"),
    ("192.0.2.7, unknown, 10.0.0.1", "unknown", "unknown, 10.0.0.1"),
    ("192.0.2.7, localhost", "localhost", "localhost"),
    ("192.0.2.7, 10.0.0.1:80", "10.0.0.1:80", "10.0.0.1:80"),
    ("10.0.0.1x", "10.0.0.1x", "10.0.0.1x"),
    (" , ,", HERE, None),
    ("", HERE, None),
])
def test_the_walk_along_a_chain(server, chain, address, rest):
    found = ask(server, "/each", {"X-Forwarded-For": chain})
    assert found["REMOTE_ADDR"] == address
    assert found["HTTP_X_FORWARDED_FOR"] == (chain.strip() if rest is None else rest)


@pytest.mark.compat("PROXY-walk")
def test_a_long_chain(server):
    proxies = ", ".join(["10.0.0.1"] * 500)
    found = ask(server, "/each", {"X-Forwarded-For": f"192.0.2.6, 192.0.2.7, {proxies}"})
    assert found["REMOTE_ADDR"] == "192.0.2.7"
    assert found["HTTP_X_FORWARDED_FOR"] == f"192.0.2.7, {proxies}"


@pytest.mark.compat("PROXY-walk-first", "PROXY-no-list", "PROXY-walk-odd")
@pytest.mark.parametrize("chain, address", [
    ("192.0.2.6, 192.0.2.7, 10.0.0.1", "192.0.2.6"),
    (" ,, 192.0.2.6 , 10.0.0.1", "192.0.2.6"),
    ("anything at all", "anything at all"),
    (",", STRANGER),
])
def test_all_peers_are_trusted_without_a_list(server, chain, address):
    found = ask(server, "/all-peers", {"X-Forwarded-For": chain}, peer=STRANGER)
    assert found["REMOTE_ADDR"] == address
    assert found["HTTP_X_FORWARDED_FOR"] == chain.strip()


@pytest.mark.compat("PROXY-values")
@pytest.mark.parametrize("field, key", [
    ("X-Client-IP", "REMOTE_ADDR"), ("X-Host", "HTTP_HOST"), ("X-Forwarded-Server", "SERVER_NAME"),
    ("X-Forwarded-Port", "SERVER_PORT"), ("X-Script-Name", "SCRIPT_NAME"),
])
@pytest.mark.parametrize("value", ["<\"any; thing\" \xe4>", ""])
def test_values_are_taken_as_they_are(server, field, key, value):
    assert ask(server, "/each", {field: value})[key] == value


def test_nothing_stays_for_the_next_request(server):
    """One thread of Python serves both, and keeps what is the same."""
    fields = {"X-Forwarded-For": "192.0.2.7", "X-Script-Name": "/mount", "X-Host": "there",
              "X-Forwarded-Proto": "https", "X-Forwarded-Port": "444"}
    for _ in range(3):
        assert ask(server, "/each", fields)["REMOTE_ADDR"] == "192.0.2.7"
        found = ask(server, "/each")
        assert (found["REMOTE_ADDR"], found["HTTP_HOST"], found["SERVER_PORT"],
                found["SCRIPT_NAME"], found["wsgi.url_scheme"]) == (
                    HERE, "here.example", "80", "/each", "http")
        assert "mod_wsgi.mount_point" not in found


def test_a_request_of_http_1_0_without_a_host(server):
    with server.raw() as raw:
        raw.send("GET /each HTTP/1.0\r\nX-Host: there\r\nX-Script-Name: /mount\r\n\r\n")
        found = json.loads(raw.read_to_end().partition(b"\r\n\r\n")[2])
    assert found["HTTP_HOST"][1] == "there"
    assert found["mod_wsgi.mount_point"][1] == "/mount"


# ---- .htaccess

@pytest.mark.compat("DIR-trustedproxyheaders", "DIR-trustedproxies")
def test_htaccess(launch_once):
    """Where FileInfo may be overridden; nobody is warned at each request."""
    server = launch_once("embedded", modules=["remoteip"], config="""
RemoteIPHeader X-Peer
<Directory "${scripts}/open">
    AllowOverride FileInfo
</Directory>
<Directory "${scripts}/closed">
    AllowOverride AuthConfig
</Directory>
""")
    for folder in ("open", "closed"):
        path = server.directory / "scripts" / folder
        path.mkdir()
        (path / "here.py").symlink_to(server.directory / "apps" / "environ.py")
        (path / ".htaccess").write_text("WSGITrustedProxyHeaders X-Forwarded-Port X-Nothing\n"
                                        "WSGITrustedProxies 127.0.0.1\n")
    for peer, port in ((HERE, "444"), (STRANGER, "80")):
        assert ask(server, "/scripts/open/here.py", {"X-Forwarded-Port": "444"},
                   peer)["SERVER_PORT"] == port
    server.expect(".*", "WSGITrustedProxyHeaders not allowed here")
    assert server.get("/scripts/closed/here.py").status == 500


# ---- TLS

@pytest.mark.compat("PROXY-beats-tls", "ENV-scheme-trusted")
def test_a_scheme_beats_tls_and_the_variable(launch_once, mode):
    server = launch_once(mode, modules=["ssl", "socache_shmcb", "env"], start=False)
    port = server.run.ports.reserve()
    server.config = f"""
Listen 127.0.0.1:{port}
WSGITrustedProxies 127.0.0.1
WSGITrustedProxyHeaders X-Scheme X-HTTPS
<Location /environ>
    SetEnv HTTPS on
</Location>
WSGIScriptAlias /plain "${{apps}}/environ.py"
<VirtualHost *:{port}>
    ServerName localhost
    {server.make_certificate()}
</VirtualHost>
"""
    server.write_configuration()
    server.start()
    context = ssl._create_unverified_context()
    for headers, scheme in (({}, "https"), ({"X-Scheme": "http"}, "http"),
                            ({"X-HTTPS": "0"}, "http"), ({"X-Scheme": "other"}, "https")):
        request = urllib.request.Request(f"https://127.0.0.1:{port}/plain", headers=headers)
        with urllib.request.urlopen(request, context=context, timeout=20 * env.PATIENCE) as reply:
            assert json.load(reply)["wsgi.url_scheme"][1] == scheme
        assert ask(server, "/environ", headers)["wsgi.url_scheme"] == scheme


# ---- the configuration

FIELD_LIST = "WSGITrustedProxyHeaders X-Forwarded-For"
LISTED = "WSGITrustedProxies 192.0.2.0/24 192.0.2.7 2001:db8::/32 ::1 10.0.0.0/255.0.0.0"


def place(text, where="/here"):
    return f"<Location {where}>\n{text}\n</Location>\n"


def host(text):
    return f"<VirtualHost *:1>\n{text}\n</VirtualHost>\n"


@pytest.mark.compat("DIR-trustedproxies")
@pytest.mark.parametrize("word", [
    "proxy.example", "10.0.0.256", "10.0.0.0/33", "10.0.0.0/x", "10.0.0.0/", "fd00::/129",
    "fd00::x", "*",
])
def test_a_wrong_proxy(launch_once, word):
    status, output = launch_once("embedded", start=False,
                                 config=f"WSGITrustedProxies 10.0.0.1 {word}").configtest()
    assert status == 1
    assert "WSGITrustedProxies takes addresses and networks, such as 192.0.2.7, 10.0.0.0/8" in output
    assert f"not '{word}'" in output


@pytest.mark.parametrize("directive", ["WSGITrustedProxies", "WSGITrustedProxyHeaders"])
def test_an_empty_list(launch_once, directive):
    status, output = launch_once("embedded", start=False, config=directive).configtest()
    assert status == 1
    assert f"{directive} requires at least one argument" in output


@pytest.mark.compat("PROXY-no-list")
@pytest.mark.parametrize("config, warnings", [
    (FIELD_LIST, 1),
    (place(FIELD_LIST) + place(FIELD_LIST, "/there"), 2),
    (place(FIELD_LIST + "\n" + FIELD_LIST), 1),
    (place(FIELD_LIST) + place(LISTED, "/there"), 1),
    (host(FIELD_LIST) + host(LISTED), 1),
    (LISTED, 0),
    (FIELD_LIST + "\n" + LISTED, 0),
    (place(LISTED + "\n" + FIELD_LIST), 0),
    (LISTED + "\n" + place(FIELD_LIST), 0),
    (LISTED + "\n" + host(FIELD_LIST), 0),
    (host(LISTED + "\n" + place(FIELD_LIST)), 0),
])
def test_a_warning_at_start(launch_once, config, warnings):
    status, output = launch_once("embedded", start=False, config=config).configtest()
    assert status == 0, output
    assert output.count("WSGI1720") == warnings, output
