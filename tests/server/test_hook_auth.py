"""WSGIAuthUserScript and WSGIAuthGroupScript: users and their groups for httpd's own modules."""

import base64
import hashlib
import json
import re

import pytest
from conftest import needs_root

# Users and groups whose names say what is returned. The environ is noted.
USERS = '''
import json, os, sys
import mod_wsgi
NOTES = os.path.join(os.path.dirname(os.path.dirname(__file__)), "notes")

def note(environ, *arguments):
    with open(NOTES + "/seen", "w") as file:
        json.dump({"arguments": arguments, "pid": os.getpid(), "keys": sorted(environ),
                   "interpreter": mod_wsgi.application_group}, file)

ANSWERS = {
    "yes": True, "no": False, "unknown": None, "renamed": "other", "r\\xf6misch": "g\\xf6ttlich",
    "empty": "", "bytes": b"other", "one": 1, "zero": 0, "list": ["yes"], "nul": "other\\0user",
    "surrogate": "\\ud800", "r\\xf6": True,
}

def answer(user):
    if user == "raises":
        raise LookupError("no such user")
    if user == "exits":
        sys.exit("no more users")
    return ANSWERS[user]

def check_password(environ, user, password):
    note(environ, user, password)
    return answer(user) if password == "p\\xe4ss:word" else False

def get_realm_hash(environ, user, realm):
    import hashlib
    note(environ, user, realm)
    digest = hashlib.md5(f"{user}:{realm}:secret".encode("latin-1")).hexdigest()
    return {"yes": digest, "upper": digest.upper(), "bytes": digest.encode(), "r\\xf6": digest,
            "short": digest[:31], "empty": "", "number": 1, "true": True, "wide": "\\u20ac" * 32,
            "nul": digest + "\\0"}.get(user) if user != "raises" else answer(user)
'''

GROUPS = '''
import json, os, sys
NOTES = os.path.join(os.path.dirname(os.path.dirname(__file__)), "notes")

def generate(*names):
    for name in names:
        if name == "raise":
            raise LookupError("no more groups")
        yield name

def groups_for_user(environ, user):
    with open(NOTES + "/asked", "w") as file:
        json.dump([user, sorted(environ)], file)
    return eval(environ["HTTP_X_GROUPS"])
'''

# mod_auth_digest of httpd 2.4.68 does not take AuthName from an outer section.
CONFIG = """
WSGIRestrictEmbedded On
DocumentRoot "${root}/site"
<AuthnProviderAlias wsgi renamed>
    WSGIAuthUserScript "${scripts}/users.py" application-group=aliased
</AuthnProviderAlias>
<Location />
    AuthName "the realm"
    AuthType Basic
    AuthBasicProvider wsgi
    WSGIAuthUserScript "${scripts}/users.py"
    Require valid-user
</Location>
<Location /named>
    WSGIAuthUserScript "${scripts}/users.py" application-group=the-users
</Location>
<Location /more>
    AuthBasicProvider wsgi file
    AuthUserFile "${root}/passwords"
</Location>
<Location /alias>
    AuthBasicProvider renamed
</Location>
<Location /digest>
    AuthName "the realm"
    AuthType Digest
    AuthDigestProvider wsgi
</Location>
<Location /digest/more>
    AuthName "the realm"
    AuthDigestProvider wsgi file
    AuthUserFile "${root}/digests"
</Location>
<Location /group>
    WSGIAuthGroupScript "${scripts}/groups.py"
    WSGIGroupAuthoritative Off
    Require wsgi-group staff "two words" g\u00e4ste
</Location>
<Location /group/nobody>
    <RequireAll>
        Require valid-user
        <RequireNone>
            Require wsgi-group staff
        </RequireNone>
    </RequireAll>
</Location>
<Location /group/not>
    <RequireAll>
        Require valid-user
        Require not wsgi-group staff
    </RequireAll>
</Location>
<Location /group/anybody>
    <RequireAny>
        Require wsgi-group staff
        Require user yes
    </RequireAny>
</Location>
<Location /group/own>
    AuthGroupFile "${root}/groups"
    Require group staff
</Location>
<Location /group/missing>
    WSGIAuthGroupScript "${scripts}/none.py"
</Location>
<Location /group/users>
    WSGIAuthGroupScript "${scripts}/users.py"
</Location>
<Location /group/exits>
    WSGIAuthGroupScript "${scripts}/group-exits.py"
</Location>
<Location /ungrouped>
    Require wsgi-group staff
</Location>
<Location /ungrouped-not>
    <RequireAll>
        Require valid-user
        Require not wsgi-group staff
    </RequireAll>
</Location>
""" + "".join(f"""
<Location /{name}>
    WSGIAuthUserScript "${{scripts}}/{name}.py"
</Location>
<Location /digest/{name}>
    WSGIAuthUserScript "${{scripts}}/{name}.py"
</Location>""" for name in ("missing", "syntax", "exits", "groups", "unreadable"))

MODULES = ["auth_basic", "auth_digest", "authn_core", "authn_file", "authz_user", "authz_groupfile"]
PASSWORD = "p\xe4ss:word"
PAGES = ["index.html", "named", "more", "alias", "digest/page", "digest/more", "group/page",
         "group/nobody", "group/not", "group/anybody", "group/own", "group/missing", "group/users",
         "group/exits", "ungrouped", "ungrouped-not", *(
             f"{place}{name}" for place in ("", "digest/") for name in (
                 "missing", "syntax", "exits", "groups", "unreadable"))]


@pytest.fixture(scope="module")
def server(launch, mode):
    """Pages without any application: httpd's children have Python for the scripts alone."""
    server = launch(mode, single_child=True, modules=MODULES, start=False, config=CONFIG)
    for name in PAGES:
        path = server.directory / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a page\n")
    for path in [server.directory / "site", *(server.directory / "site").rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    sha1 = base64.b64encode(hashlib.sha1(b"filed").digest()).decode()
    (server.directory / "passwords").write_text(f"unknown:{{SHA}}{sha1}\n")
    (server.directory / "groups").write_text("staff: renamed\n")
    digest = hashlib.md5(b"unknown:the realm:secret").hexdigest()
    (server.directory / "digests").write_text(f"unknown:the realm:{digest}\n")
    server.script("users.py", USERS)
    server.script("groups.py", GROUPS)
    server.script("unreadable.py", USERS, mode=0)
    server.script("syntax.py", "def check_password(:\n")
    server.script("exits.py", "import sys\nsys.exit()\n")
    server.script("group-exits.py", "import sys\nsys.exit(0)\n")
    # What httpd says of those that it turns away.
    server.tolerate("AH01617|AH01618|AH01631|AH01790|AH01788|AH01794")
    return server.start()


def basic(user, password=PASSWORD, **headers):
    credentials = base64.b64encode(f"{user}:{password}".encode("latin-1")).decode()
    return {"Authorization": f"Basic {credentials}", **headers}


def seen(server):
    return json.loads(server.note("seen").read_text())


def log_in(server, user, path="/index.html", password=PASSWORD):
    return server.get(path, basic(user, password)).status


# ---- Basic

@pytest.mark.compat("AUTH-basic", "DIR-authuserscript", "AUTH-provider")
@pytest.mark.parametrize("user, status", [
    ("yes", 200), ("no", 401), ("unknown", 401), ("renamed", 200)])
def test_basic(server, user, status):
    assert log_in(server, user) == status


@pytest.mark.compat("AUTH-provider")
def test_challenge_is_httpds(server):
    for headers in {}, basic("no"):
        reply = server.get("/index.html", headers)
        assert (reply.status, reply.header("WWW-Authenticate")) == (401, 'Basic realm="the realm"')


@pytest.mark.compat("AUTH-basic")
def test_next_provider(server):
    """Is asked where the script does not know the user, and only there."""
    assert log_in(server, "unknown", "/more", "filed") == 401, "the password is wrong to the script"
    server.script("users.py", USERS.replace("else False", "else ANSWERS[user]"), mtime=10**9)
    assert log_in(server, "unknown", "/more", "filed") == 200
    assert log_in(server, "no", "/more", "filed") == 401
    server.script("users.py", USERS)


@pytest.mark.compat("AUTH-basic-error")
@pytest.mark.parametrize("user", ["empty", "bytes", "one", "zero", "list", "nul", "surrogate"])
def test_other_answers_are_errors(server, user):
    server.expect("WSGI1223", "check_password.*True, False, None or the name")
    assert log_in(server, user) == 500


@pytest.mark.compat("AUTH-basic-error")
@pytest.mark.parametrize("user, id", [
    ("raises", "WSGI0174"), ("nobody knows", "WSGI0174"), ("exits", "WSGI0175")])
def test_exceptions_are_errors(server, user, id):
    server.expect(id, "users.py")
    if id == "WSGI0174":
        server.expect_output("LookupError|KeyError")
    assert log_in(server, user) == 500
    assert log_in(server, "yes") == 200


FAILURES = [
    ("missing", "WSGI1220"), ("groups", "WSGI1222"), ("syntax", "WSGI0174|WSGI1221"), pytest.param("unreadable", "WSGI1220", marks=needs_root),
]


@pytest.mark.compat("AUTH-basic-error")
@pytest.mark.parametrize("script, id", [*FAILURES, ("exits", "WSGI0175")])
def test_scripts_that_cannot_be_asked_are_errors(server, script, id):
    server.expect(id, count=None)
    if script == "syntax":
        server.expect_output("SyntaxError")
    assert log_in(server, "yes", f"/{script}") == 500


@pytest.mark.compat("AUTH-text")
def test_user_and_password_are_latin_1(server):
    assert log_in(server, "r\xf6") == 200
    assert seen(server)["arguments"] == ["r\xf6", PASSWORD]


@pytest.mark.compat("AUTH-basic-user")
def test_new_user(launch_once, mode):
    """Of the script's choice, for all that follows."""
    server = launch_once(mode, modules=["auth_basic", "authn_core", "authz_user"], config="""
<Location /scripts/show.py>
    AuthType Basic
    AuthName realm
    AuthBasicProvider wsgi
    WSGIAuthUserScript "${scripts}/users.py"
    Require user yes other g\xf6ttlich
</Location>
""")
    server.script("users.py", USERS)
    url = server.script("show.py", """
def application(environ, start_response):
    start_response("200 OK", [])
    return [environ["REMOTE_USER"].encode("latin-1"), b" ", environ["AUTH_TYPE"].encode()]
""")
    for user, name in ("yes", "yes"), ("renamed", "other"), ("r\xf6misch", "g\xf6ttlich"):
        assert server.get(url, basic(user)).body == f"{name} Basic".encode()


# ---- Digest

def digest_log_in(server, user, path="/digest/page", password="secret"):
    reply = server.get(path)
    assert reply.status == 401
    challenge = dict(re.findall(r'(\w+)="?([^",]*)"?', reply.header("WWW-Authenticate")))
    raw = user.encode("latin-1")

    def md5(*parts):
        return hashlib.md5(b":".join(parts)).hexdigest().encode()

    nonce = challenge["nonce"].encode()
    secret = md5(raw, b"the realm", password.encode())
    response = md5(secret, nonce, b"00000001", b"abc", b"auth", md5(b"GET", path.encode()))
    return server.get(path, {"Authorization": (
        f'Digest username="{user}", realm="the realm", nonce="{nonce.decode()}", uri="{path}", '
        f'response="{response.decode()}", qop=auth, nc=00000001, cnonce="abc", algorithm=MD5')
        .encode("latin-1")}).status


@pytest.mark.compat("AUTH-digest", "DIR-authuserscript")
@pytest.mark.parametrize("user, password, status", [
    ("yes", "secret", 200), ("yes", "wrong", 401), ("bytes", "secret", 200),
    ("upper", "secret", 200), ("nobody", "secret", 401)])
def test_digest(server, user, password, status):
    assert digest_log_in(server, user, password=password) == status


@pytest.mark.compat("AUTH-digest")
def test_digest_by_the_next_provider(server):
    assert digest_log_in(server, "unknown", "/digest/more") == 200


@pytest.mark.compat("AUTH-digest")
@pytest.mark.parametrize("user, id", [
    ("short", "WSGI1703"), ("empty", "WSGI1703"), ("number", "WSGI1223"), ("true", "WSGI1223"),
    ("wide", "WSGI1223"), ("nul", "WSGI1223"), ("raises", "WSGI0174")])
def test_digest_errors(server, user, id):
    server.expect(id)
    if id == "WSGI0174":
        server.expect_output("LookupError")
    assert digest_log_in(server, user) == 500


@pytest.mark.compat("AUTH-digest")
@pytest.mark.parametrize("script, id", FAILURES)
def test_digest_scripts_that_cannot_be_asked(server, script, id):
    server.expect(id, count=None)
    if script == "syntax":
        server.expect_output("SyntaxError")
    assert digest_log_in(server, "yes", f"/digest/{script}") == 500


@pytest.mark.compat("AUTH-text")
def test_digest_user_is_latin_1(server):
    assert digest_log_in(server, "r\xf6") == 200
    assert seen(server)["arguments"] == ["r\xf6", "the realm"]


# ---- groups

def ask_for_groups(server, groups, path="/group/page", user="yes"):
    return server.get(path, basic(user, **{"X-Groups": groups})).status


@pytest.mark.compat("AUTH-groups", "DIR-authgroupscript", "DIR-groupauthoritative")
@pytest.mark.parametrize("groups", [
    "['staff']", "('other', 'staff')", "{'staff'}", "[b'staff']", "generate('a', 'staff', 'raise')",
    "['STAFF']", "['two words']", "['g\\xe4ste']", "['g\\xe4ste'.encode()]", "{'staff': 1}"])
def test_one_of_the_groups(server, groups):
    """In any letter case, as with httpd's own Require group."""
    assert ask_for_groups(server, groups) == 200


@pytest.mark.compat("AUTH-groups")
@pytest.mark.parametrize("groups", [
    "[]", "['other']", "['two', 'words']", "['staff ']", "['staff\\0']", "[b'']",
    "['\\ud800']", "iter(())"])
def test_none_of_the_groups(server, groups):
    assert ask_for_groups(server, groups) == 401


@pytest.mark.compat("AUTH-groups-failure")
@pytest.mark.parametrize("groups, id", [
    ("None", "WSGI1223"), ("True", "WSGI1223"), ("'staff'", "WSGI1223"), ("b'staff'", "WSGI1223"),
    ("[1, 'staff']", "WSGI1223"), ("[None]", "WSGI1223"), ("1 / 0", "WSGI0174"),
    ("generate('a', 'raise')", "WSGI0174"), ("sys.exit(0)", "WSGI0175")])
def test_failures_let_nobody_in(server, groups, id):
    """Not a denial: Require not would make access of that."""
    paths = ("/group/page", "/group/not", "/group/nobody")
    server.expect(id, count=len(paths))
    if id == "WSGI0174":
        server.expect_output("Error")
    for path in paths:
        assert ask_for_groups(server, groups, path) == 500


@pytest.mark.compat("AUTH-groups-failure")
@pytest.mark.parametrize("path, id", [
    ("/group/missing", "WSGI1220"), ("/group/users", "WSGI1222"),
    ("/group/exits", "WSGI0175"), ("/ungrouped", "WSGI1702"), ("/ungrouped-not", "WSGI1702")])
def test_group_scripts_that_cannot_be_asked_let_nobody_in(server, path, id):
    server.expect(id)
    assert ask_for_groups(server, "['staff']", path) == 500


@pytest.mark.compat("AUTH-groups")
@pytest.mark.parametrize("path, groups, status", [
    ("/group/not", "['other']", 200), ("/group/not", "['staff']", 401),
    ("/group/nobody", "['other']", 200), ("/group/nobody", "['staff']", 401),
    ("/group/anybody", "[]", 200), ("/group/anybody", "['staff']", 200)])
def test_rules_combine(server, path, groups, status):
    assert ask_for_groups(server, groups, path) == status


@pytest.mark.compat("AUTH-groups-anonymous")
def test_without_a_user(server):
    """The script is not asked about nobody."""
    server.note("asked").unlink(missing_ok=True)
    reply = server.get("/group/page", {"X-Groups": "['staff']"})
    assert (reply.status, reply.header("WWW-Authenticate")) == (401, 'Basic realm="the realm"')
    assert not server.note("asked").exists()
    assert ask_for_groups(server, "['staff']") == 200
    assert json.loads(server.note("asked").read_text())[0] == "yes"


@pytest.mark.compat("AUTH-groups", "AUTH-basic-user")
def test_groups_of_the_new_user(server):
    assert ask_for_groups(server, "['staff'] if user == 'other' else []", user="renamed") == 200


@pytest.mark.compat("AUTH-groups-own")
def test_require_group_is_httpds(server):
    server.note("asked").unlink(missing_ok=True)
    assert ask_for_groups(server, "['staff']", "/group/own", "yes") == 401
    assert not server.note("asked").exists()


# ---- where they run, what they see

@pytest.mark.compat("AUTH-place")
@pytest.mark.parametrize("path, name", [("/index.html", ""), ("/named", "the-users")])
def test_interpreter(server, path, name):
    assert log_in(server, "yes", path) == 200
    assert seen(server)["interpreter"] == name
    assert seen(server)["pid"] in server.httpd_children()


@pytest.mark.compat("AUTH-alias")
def test_alias(server):
    """The script is the alias's own."""
    assert log_in(server, "yes", "/alias") == 200
    assert seen(server)["interpreter"] == "aliased"
    assert log_in(server, "no", "/alias") == 401


@pytest.mark.compat("AUTH-environ")
def test_environ_has_no_credentials(server):
    assert ask_for_groups(server, "['staff']") == 200
    for keys in seen(server)["keys"], json.loads(server.note("asked").read_text())[1]:
        assert {"REQUEST_URI", "SCRIPT_NAME", "mod_ssl.is_https", "wsgi.errors"} <= set(keys)
        assert "HTTP_AUTHORIZATION" not in keys and "wsgi.input" not in keys


def test_provider_without_a_script(launch_once):
    server = launch_once("daemon", modules=["auth_basic", "auth_digest", "authn_core", "authz_user"],
                         config="""
<Location /hello>
    AuthName "the realm"
    AuthType Basic
    AuthBasicProvider wsgi
    Require valid-user
</Location>
<Location /hello/digest>
    AuthName "the realm"
    AuthType Digest
    AuthDigestProvider wsgi
</Location>
""")
    server.expect("WSGI1701", count=2)
    assert log_in(server, "yes", "/hello") == 500
    assert digest_log_in(server, "yes", "/hello/digest") == 500
