"""Who serves: names that a request expands, what a place forbids, the callable, merging."""

import pytest

WHO = '''
import json

def answer(which):
    def run(environ, start_response):
        body = json.dumps({"group": environ["mod_wsgi.process_group"],
                           "interpreter": environ["mod_wsgi.application_group"],
                           "callable": environ["mod_wsgi.callable_object"],
                           "which": which}).encode()
        start_response("200 OK", [("Content-Type", "application/json")])
        return [body]
    return run

application = answer("application")
other = answer("other")
'''

CONFIG = """
WSGIDaemonProcess blue threads=2
WSGIDaemonProcess green threads=2

WSGIScriptAlias /host "${scripts}/who.py" application-group=%{HOST}
WSGIScriptAlias /env "${scripts}/who.py" application-group=%{ENV:INTERPRETER}
WSGIScriptAlias /group "${scripts}/who.py" process-group=%{ENV:GROUP}
WSGIScriptAlias /callable "${scripts}/who.py"
WSGIScriptAlias /raw "${scripts}/who.py" callable-object=%{ENV:CALLABLE}
WSGIScriptAlias /odd "${scripts}/who.py"
WSGIScriptAlias /blue-only "${scripts}/who.py" process-group=%{ENV:GROUP}
WSGIScriptAlias /nothing "${scripts}/who.py"
WSGIScriptAlias /embedded-only "${scripts}/who.py" process-group=%{ENV:GROUP}
SetEnvIf X-Interpreter (.+) INTERPRETER=$1
SetEnvIf X-Group (.+) GROUP=$1
SetEnvIf X-Callable (.+) CALLABLE=$1
<Location /callable>
    WSGICallableObject %{ENV:CALLABLE}
</Location>
<Location /odd>
    WSGICallableObject %{SERVER}
</Location>
<Location /blue-only>
    WSGIRestrictProcess blue
</Location>
<Location /nothing>
    WSGIRestrictProcess
</Location>
<Location /embedded-only>
    WSGIRestrictProcess %{GLOBAL}
</Location>
<VirtualHost *>
    ServerName first
    WSGIApplicationGroup outer
    WSGIScriptAlias /both "${scripts}/who.py"
    WSGIScriptAlias /inner "${scripts}/who.py"
    WSGIScriptAlias /overridden "${scripts}/who.py" application-group=option
    <Location /inner>
        WSGIApplicationGroup inner
        WSGICallableObject other
    </Location>
    WSGIScriptAlias /aliased "${scripts}/who.py" application-group=of-the-host
</VirtualHost>
WSGIScriptAlias /aliased "${scripts}/who.py" application-group=of-the-server
WSGIScriptAlias /aliased/deeper "${scripts}/who.py" application-group=never
"""


@pytest.fixture(scope="module")
def server(launch):
    server = launch("embedded", config=CONFIG, modules=["setenvif"], single_child=True)
    server.script("who.py", WHO)
    return server


def ask(server, path, **headers):
    reply = server.get(path, headers={name.replace("_", "-"): value
                                      for name, value in headers.items()})
    assert reply.status == 200, reply
    return reply.json()


@pytest.mark.compat("NAME-host")
def test_host_is_the_name_that_the_client_asked_for(server):
    assert ask(server, "/host", Host=f"asked.example:{server.port}")["interpreter"] == \
        f"asked.example:{server.port}"


@pytest.mark.compat("NAME-env")
def test_variable_names_the_interpreter(server):
    assert ask(server, "/env", X_Interpreter="chosen")["interpreter"] == "chosen"


@pytest.mark.compat("NAME-env-again")
@pytest.mark.parametrize("value, expected", [
    ("%{GLOBAL}", ""),
    ("%{SERVER}", "first:PORT"),
    ("%{RESOURCE}", "first:PORT|/env"),
    ("%{ENV:OTHER}", "%{ENV:OTHER}"),
    ("%{NONSENSE}", "%{NONSENSE}"),
])
def test_variable_is_expanded_once_more(server, value, expected):
    found = ask(server, "/env", Host=f"first:{server.port}", X_Interpreter=value)
    assert found["interpreter"] == expected.replace("PORT", str(server.port))


@pytest.mark.compat("NAME-env-unset")
def test_variable_that_does_not_exist_is_a_literal(server):
    assert ask(server, "/env")["interpreter"] == "%{ENV:INTERPRETER}"


@pytest.mark.compat("NAME-env", "NAME-env-again")
def test_variable_names_the_process_group(server):
    assert ask(server, "/group", X_Group="blue")["group"] == "blue"
    assert ask(server, "/group", X_Group="green")["group"] == "green"
    assert ask(server, "/group", X_Group="%{GLOBAL}")["group"] == ""


@pytest.mark.compat("CHECK-group-unknown", "NAME-env-unset")
@pytest.mark.parametrize("headers, name", [
    ({"X-Group": "red"}, "'red'"),
    ({}, r"'%\{ENV:GROUP\}'"),
])
def test_variable_that_leads_to_no_group_is_500(server, headers, name):
    server.expect("WSGI0150", name)
    assert server.get("/group", headers=headers).status == 500


@pytest.mark.compat("NAME-callable", "NAME-env", "NAME-env-unset", "DIR-callableobject")
def test_callable_object(server):
    assert ask(server, "/callable", X_Callable="other")["which"] == "other"
    assert ask(server, "/callable")["callable"] == "application"
    assert ask(server, "/odd")["callable"] == "application"


@pytest.mark.compat("NAME-callable-alias")
def test_callable_object_of_an_alias_is_a_literal(server):
    server.expect("WSGI0089", r"no callable '%\{ENV:CALLABLE\}'.*answer, application, other")
    assert server.get("/raw", headers={"X-Callable": "other"}).status == 500


@pytest.mark.compat("DIR-restrictprocess", "CHECK-group-restricted", "GROUP-restrict-first")
def test_restrict_process(server):
    assert ask(server, "/blue-only", X_Group="blue")["group"] == "blue"
    assert ask(server, "/embedded-only", X_Group="%{GLOBAL}")["group"] == ""
    for path, group, shown in (("/blue-only", "green", "'green'"),
                               ("/blue-only", "%{GLOBAL}", "'%{GLOBAL}'"),
                               ("/blue-only", "unknown", "'unknown'"),
                               ("/embedded-only", "blue", "'blue'")):
        server.expect("WSGI0149", shown)
        assert server.get(path, headers={"X-Group": group}).status == 500
        server.check()


@pytest.mark.compat("DIR-restrictprocess-none")
def test_restrict_process_without_a_name_allows_nothing(server):
    server.expect("WSGI0149")
    assert server.get("/nothing").status == 500


@pytest.mark.compat("MERGE-inner", "MERGE-vhost", "MAP-options")
def test_merging(server):
    host = {"Host": "first"}
    assert ask(server, "/both", **host)["interpreter"] == "outer"
    found = ask(server, "/inner", **host)
    assert (found["interpreter"], found["which"]) == ("inner", "other")
    assert ask(server, "/overridden", **host)["interpreter"] == "option"


@pytest.mark.compat("MERGE-alias-order")
def test_aliases_of_the_virtual_host_come_first_and_in_order(server):
    assert ask(server, "/aliased", Host="first")["interpreter"] == "of-the-host"
    assert ask(server, "/aliased/deeper", Host="first")["interpreter"] == "of-the-host"


@pytest.mark.compat("NAME-host")
def test_clients_cannot_make_interpreters_without_end(launch_once, mode):
    server = launch_once(mode, single_child=True, config="""
WSGIScriptAlias /host "${apps}/hello.py" application-group=%{HOST}
""")
    statuses = []
    server.expect("WSGI0210|WSGI\\d+|interpreter", count=None)
    server.log.allow_anything()
    for number in range(70):
        statuses.append(server.get("/host", headers={"Host": f"h{number}.example"}).status)
    assert statuses[:60] == [200] * 60
    assert statuses[-1] == 500
    assert server.get("/host", headers={"Host": "h1.example"}).status == 200, "those that exist"
    assert server.get("/hello").status == 200, "and those of the configuration"
    assert "64" in server.log.text()


@pytest.mark.compat("DIR-restrictembedded", "DIR-restrictembedded-python", "CHECK-embedded-off")
def test_restrict_embedded(launch_once):
    server = launch_once("embedded", config="""
WSGIRestrictEmbedded On
WSGIDaemonProcess blue threads=2
WSGIScriptAlias /blue "${apps}/process.py" process-group=blue
""")
    server.expect("WSGI0143", "WSGIProcessGroup")
    assert server.get("/hello").status == 500
    assert server.get("/blue").json()["process_group"] == "blue"
    for pid in server.httpd_children():
        with open(f"/proc/{pid}/maps") as maps:
            assert "lib-dynload" not in maps.read(), "Python has not started in a child"


@pytest.mark.compat("NAME-env-notes")
def test_a_note_comes_before_a_variable(launch_once):
    server = launch_once("embedded", modules=["lua", "setenvif"], start=False, config="""
WSGIScriptAlias /noted "${scripts}/who.py" application-group=%{ENV:INTERPRETER}
SetEnvIf X-Interpreter (.+) INTERPRETER=$1
<Location /noted>
    LuaHookFixups "${root}/note.lua" note
</Location>
""")
    server.script("who.py", WHO)
    (server.directory / "note.lua").write_text('''
function note(r)
    if r.args == "noted" then
        r.notes["INTERPRETER"] = "of the note"
    end
    return apache2.DECLINED
end
''')
    server.start()
    assert ask(server, "/noted", X_Interpreter="of-the-variable")["interpreter"] == \
        "of-the-variable"
    assert ask(server, "/noted?noted", X_Interpreter="of-the-variable")["interpreter"] == \
        "of the note"
