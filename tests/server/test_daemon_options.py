"""WSGIDaemonProcess: every option has an effect that can be seen; and who may use a group. Bad values
are here (BAD), and tried in test_bad_configuration.py. Identity, python= and threads=0 have files of their own."""

import http.client
import os
import re
import resource

import env
import processes
import pytest
from conftest import needs_root

TABLE = (env.ROOT / "src" / "server" / "daemon_options.def").read_text()
OPTIONS = dict(re.findall(r'^OPTION\("([\w-]+)", (\w+),', TABLE, re.MULTILINE))
WITHOUT_EFFECT = sorted(name for name, parser in OPTIONS.items() if parser.startswith("accept_"))

NO_NUMBERS = ["", "many", "-1", "99999999999999999999"]
NO_NAMES = [""]
OPEN = ["'/an/open/quote"]  # of what takes any text
NO_PATHS = ["", "relative/path"]
BAD = {
    "processes": [*NO_NUMBERS, "0", "4097"],
    "threads": [*NO_NUMBERS, "65534"],
    "display-name": OPEN,
    "user": [*NO_NAMES, "nobody-of-this-name", "#-1", "#x"],
    "group": [*NO_NAMES, "no-group-of-this-name", "#-1"],
    "supplementary-groups": [*NO_NAMES, ",", "no-group-of-this-name", "#0,no-group-of-this-name"],
    "umask": ["", "8", "-1", "u=rwx", "1000"],
    "chroot": NO_PATHS,
    "home": NO_PATHS,
    "lang": NO_NAMES,
    "locale": NO_NAMES,
    "script-user": [*NO_NAMES, "nobody-of-this-name"],
    "script-group": [*NO_NAMES, "no-group-of-this-name"],
    "socket-user": NO_NAMES,
    "python": [*NO_PATHS, "/nowhere/at/all", "/bin/sh"],
    "python-home": OPEN,
    "python-path": OPEN,
    "python-eggs": OPEN,
    "switch-interval": ["", "0", "-1", "often", "nan", "inf", "1s", "3601"],
    "stack-size": [*NO_NUMBERS, "0", "2147483648"],
    "cpu-priority": ["", "low", "-21", "20"],
    "memory-limit": NO_NUMBERS,
    "virtual-memory-limit": NO_NUMBERS,
    "cpu-time-limit": [*NO_NUMBERS, "2147483648"],
    "send-buffer-size": [*NO_NUMBERS, "511"],
    "receive-buffer-size": [*NO_NUMBERS, "1", "511"],
    "header-buffer-size": [*NO_NUMBERS, "8191"],
    "response-buffer-size": [*NO_NUMBERS, "65535"],
    "response-flush-delay": NO_NUMBERS,
    "server-metrics": ["", "yes", "1"],
    "listen-backlog": [*NO_NUMBERS, "0", "65536"],
    "maximum-requests": [*NO_NUMBERS, "1000000001"],
    **{name: [*NO_NUMBERS, "31536001"] for name in (
        "connect-timeout", "socket-timeout", "queue-timeout", "response-socket-timeout",
        "startup-timeout", "shutdown-timeout", "graceful-timeout", "eviction-timeout",
        "restart-interval", "inactivity-timeout", "request-timeout", "interrupt-timeout",
        "deadlock-timeout")},
}
GOOD = {
    "umask": ["0", "022", "777"],
    "switch-interval": ["0.01", "1"],
    "stack-size": ["1", "1048576"],
    "cpu-priority": ["0", "-20", "19"],
    "memory-limit": ["0", "1000000000000"],
    "virtual-memory-limit": ["0", "1000000000000"],
    "cpu-time-limit": ["0", "100"],
    "send-buffer-size": ["0", "512"],
    "receive-buffer-size": ["0", "512"],
    "header-buffer-size": ["0", "8192"],
    "response-buffer-size": ["0", "65536"],
    "response-flush-delay": ["0", "5"],
    "server-metrics": ["on", "OFF"],
    "socket-user": ["#5", env.USER],
    "script-user": ["root", "#0"],
    "script-group": ["root"],
    "locale": ["C", "xx_YY"],
    "lang": ["C"],
}
NUMBERS = [name for name, parser in OPTIONS.items()
           if parser in ("option_number", "option_size", "accept_number", "accept_size")]


def configtest(launch_once, options):
    server = launch_once("embedded", start=False, config=f"WSGIDaemonProcess example {options}")
    return server.configtest()


def test_the_table_is_read():
    assert len(OPTIONS) > 25
    assert set(OPTIONS) == set(BAD)


@pytest.mark.parametrize("name", [name for name in BAD if name in GOOD])
def test_good_values(launch_once, name):
    config = "\n".join(f"WSGIDaemonProcess group{number} {name}={value}"
                       for number, value in enumerate(GOOD[name]))
    status, output = launch_once("embedded", start=False, config=config).configtest()
    assert status == 0, output
    if name not in WITHOUT_EFFECT:
        assert output == "Syntax OK\n"


def test_legal_values_are_told(launch_once):
    for option, words in (("umask=9", "octal number from 0 to 777"),
                          ("cpu-priority=99", "from -20 to 19"),
                          ("header-buffer-size=1", "0 (the default) or a number of bytes from 8192"),
                          ("server-metrics=1", "On or Off"),
                          ("switch-interval=0", "from 0.000001 to 3600")):
        assert words in configtest(launch_once, option)[1]


@pytest.mark.compat("CONF-number-junk")
@pytest.mark.parametrize("name", [*NUMBERS, "umask"])
def test_trailing_junk_is_a_warning(launch_once, name):
    number = {"processes": "2", "cpu-priority": "3", "umask": "022"}.get(name, "100000")
    if name == "threads":
        number = "100"
    if name == "processes":
        number = "4"
    if name == "listen-backlog":
        number = "50"
    status, output = configtest(launch_once, f"{name}={number}kB")
    assert status == 0
    assert "WSGI1501" in output and f"{name}={number}kB is taken for {number};" in output
    assert "Syntax OK" in output


@pytest.mark.compat("OPT-socket-user", "OPT-buffer-sizes", "OPT-header-buffer-size",
                    "OPT-response-buffer-size", "OPT-response-flush-delay")
@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_options_without_effect_say_so_at_info(launch_once, name):
    status, output = configtest(launch_once, f"{name}={env.USER if 'user' in name else 65536}")
    assert status == 0
    assert re.search(rf"\[wsgi:info\].*'example': {name} has no effect: \w+", output), output


@pytest.mark.compat("CONF-option-repeated", "OPT-umask")
def test_the_last_one_of_a_repeated_option_wins(launch_once):
    assert configtest(launch_once, "umask=9 umask=022")[0] == 1
    server = launch_once("daemon", daemon="umask=077 umask=027")
    assert server.get("/facts").json()["umask"] == "0027"


@pytest.mark.compat("OPT-script-group")
@pytest.mark.parametrize("pair", ["script-user=root script-group=root",
                                  "python=/usr/bin/python3 python-home=/usr",
                                  "chroot=/srv python=/usr/bin/python3"])
def test_options_that_exclude_each_other(launch_once, pair):
    status, output = configtest(launch_once, pair)
    assert status == 1
    assert "exclude each other" in output
    assert all(word.partition("=")[0] + "=" in output for word in pair.split())


# ---- effects

CONFIG = """
WSGIDaemonProcess plain
WSGIDaemonProcess masked umask=027
WSGIDaemonProcess placed lang=C.UTF-8 python-eggs=/tmp/eggs switch-interval=0.25
WSGIDaemonProcess located locale=C.UTF-8
WSGIDaemonProcess lost lang=xx_XX locale=yy_YY
WSGIDaemonProcess limited cpu-priority=5 LIMITS
WSGIDaemonProcess small stack-size=500000
WSGIDaemonProcess tiny stack-size=1
""" + "".join(f'WSGIScriptAlias /{name} "${{apps}}/facts.py" process-group={name}\n' for name in
              ("plain", "masked", "placed", "located", "lost", "limited", "small", "tiny"))


# AddressSanitizer wants terabytes of address space.
LIMITS = "memory-limit=4000000000 virtual-memory-limit=8000000000"
unlimited = pytest.mark.skipif(env.IS_SANITIZED, reason="a sanitizer cannot live with limits")


@pytest.fixture(scope="module")
def server(launch):
    config = CONFIG.replace("LIMITS", "" if env.IS_SANITIZED else LIMITS)
    server = launch("daemon", config=config, start=False)
    server.tolerate("WSGI1451")
    return server.start()


def ask(server, group):
    return server.get(f"/{group}").json()


@pytest.mark.compat("OPT-umask")
def test_umask(server):
    assert ask(server, "masked")["umask"] == "0027"
    assert ask(server, "plain")["umask"] == f"{processes.umask(server.pid):04o}"


@pytest.mark.compat("OPT-lang")
def test_lang(server):
    found = ask(server, "placed")
    assert (found["environment"]["LANG"], found["environment"]["LC_ALL"]) == ("C.UTF-8", None)


@pytest.mark.compat("OPT-locale")
def test_locale(server):
    found = ask(server, "located")
    assert found["environment"]["LC_ALL"] == "C.UTF-8"
    assert found["locale"] == "C.UTF-8", "of all categories, in the whole process"


@pytest.mark.compat("OPT-locale", "OPT-lang")
def test_unknown_locales_say_what_is_used_instead(server):
    found = ask(server, "lost")
    lines = re.findall(r"WSGI1451: .*", server.log.text())
    assert sorted(lines)[:2] == [
        f"WSGI1451: [lost] {option} is no locale of this machine, C.UTF-8 is used instead: install "
        "it, or name one that `locale -a` lists" for option in ("lang=xx_XX", "locale=yy_YY")]
    assert found["environment"]["LANG"] == ask(server, "plain")["environment"]["LANG"] == "C.UTF-8"
    assert found["encoding"] == "utf-8"


@pytest.mark.compat("OPT-python-eggs")
def test_python_eggs(server):
    assert ask(server, "placed")["environment"]["PYTHON_EGG_CACHE"] == "/tmp/eggs"


@pytest.mark.compat("OPT-switch-interval")
def test_switch_interval(server):
    assert ask(server, "placed")["switch_interval"] == 0.25
    assert ask(server, "plain")["switch_interval"] == 0.005


@pytest.mark.compat("OPT-cpu-priority")
def test_cpu_priority(server):
    found = ask(server, "limited")
    assert found["nice"] == 5
    assert os.getpriority(os.PRIO_PROCESS, processes.parent_of(found["pid"])) == 5
    assert ask(server, "plain")["nice"] == os.getpriority(os.PRIO_PROCESS, server.pid)


@unlimited
@pytest.mark.compat("OPT-memory-limit")
def test_memory_limits_are_the_workers_alone(server):
    found = ask(server, "limited")
    assert found["data"] == [4000000000] * 2
    assert found["space"] == [8000000000] * 2
    limits = open(f"/proc/{processes.parent_of(found['pid'])}/limits").read()
    assert re.search(r"Max data size +unlimited", limits)
    assert re.search(r"Max address space +unlimited", limits)


@unlimited
@pytest.mark.compat("OPT-memory-limit")
def test_memory_limits_that_cannot_be_set_are_warnings(launch_once):
    """More than the hard limit that httpd was started with."""
    limit = 1 << 44
    server = launch_once("daemon", daemon=f"virtual-memory-limit={2 * limit}", start=False,
                         limits={resource.RLIMIT_AS: limit})
    server.expect("WSGI1450", f"virtual-memory-limit={2 * limit} .Operation not permitted")
    server.start()
    assert server.get("/facts").json()["space"] == [limit] * 2


@pytest.mark.compat("OPT-stack-size")
def test_stack_size(server):
    assert 490000 <= ask(server, "small")["stack"] < 600000
    assert 130000 <= ask(server, "tiny")["stack"] < 200000, "too small a size is raised"
    assert ask(server, "plain")["stack"] > 1000000


def test_server_metrics_and_cpu_time_limit_are_accepted(launch_once):
    server = launch_once("daemon", daemon="server-metrics=On cpu-time-limit=1000")
    assert server.get("/hello").status == 200


# ---- script-user, script-group

@pytest.mark.compat("CHECK-owner", "OPT-script-user", "OPT-script-group")
@needs_root
@pytest.mark.parametrize("option, owner, bits, directory_owner, directory_bits, expected", [
    ("script-user=nobody", "nobody", 0o644, "nobody", 0o755, 200),
    ("script-user=#65534", "nobody", 0o604, "nobody", 0o705, 200),
    ("script-user=nobody", "root", 0o644, "nobody", 0o755, "WSGI1535"),
    ("script-user=nobody", "nobody", 0o644, "root", 0o755, "WSGI1535"),
    ("script-user=nobody", "nobody", 0o664, "nobody", 0o755, "WSGI1536"),
    ("script-user=nobody", "nobody", 0o646, "nobody", 0o755, "WSGI1536"),
    ("script-user=nobody", "nobody", 0o644, "nobody", 0o775, "WSGI1536"),
    ("script-user=nobody", "nobody", 0o644, "nobody", 0o757, "WSGI1536"),
    ("script-group=nogroup", "nobody", 0o664, "nobody", 0o775, 200),
    ("script-group=nogroup", "root", 0o644, "nobody", 0o755, "WSGI1535"),
    ("script-group=nogroup", "nobody", 0o644, "root", 0o755, "WSGI1535"),
    ("script-group=nogroup", "nobody", 0o646, "nobody", 0o755, "WSGI1536"),
    ("script-group=nogroup", "nobody", 0o644, "nobody", 0o757, "WSGI1536"),
])
def test_owners_of_scripts(launch_once, option, owner, bits, directory_owner, directory_bits,
                           expected):
    server = launch_once("daemon", daemon=option, start=False, config="""
WSGIScriptAlias /owned "${root}/owned/hello.py"
""")
    directory = server.directory / "owned"
    directory.mkdir()
    script = directory / "hello.py"
    script.write_text((env.APPS / "hello.py").read_text())
    for path, who, its_bits in ((script, owner, bits),
                                (directory, directory_owner, directory_bits)):
        os.chown(path, *((65534, 65534) if who == "nobody" else (0, 0)))
        path.chmod(its_bits)
    server.start()
    if expected != 200:
        wrong = script if (owner, bits & 0o022 if "user" in option else bits & 0o002) != \
            ("nobody", 0) else directory
        server.expect(expected, f"{wrong}/? ")
    assert server.get("/owned").status == (200 if expected == 200 else 403)


@needs_root
def test_owner_of_a_script_that_cannot_be_seen(launch_once):
    """Under a handler script httpd has not looked at the file itself."""
    server = launch_once("daemon", daemon="script-user=root", start=False, config="""
DocumentRoot "${root}/notes"
WSGIHandlerScript mine "${root}/closed/handler.py"
<Location /handled>
    SetHandler mine
</Location>
""")
    (server.directory / "closed").mkdir(mode=0o700)
    server.start()
    server.expect("WSGI1534", "closed/handler.py .Permission denied")
    assert server.get("/handled").status == 403


@needs_root
def test_a_handler_script_is_looked_at_itself(launch_once):
    """It is what runs, whoever owns the resource."""
    server = launch_once("daemon", daemon="script-user=root", start=False, config="""
DocumentRoot "${root}/notes"
WSGIHandlerScript mine "${root}/handlers/good.py"
WSGIHandlerScript theirs "${root}/handlers/bad.py"
<Location /good>
    SetHandler mine
</Location>
<Location /bad>
    SetHandler theirs
</Location>
""")
    (server.directory / "handlers").mkdir()
    for name, owner in (("good", 0), ("bad", 65534)):
        path = server.directory / "handlers" / f"{name}.py"
        path.write_text("def handle_request(environ, start_response):\n"
                        "    start_response('200 OK', [])\n    return [b'handled']\n")
        os.chown(path, owner, owner)
    server.start()
    assert server.get("/good").body == b"handled"
    server.expect("WSGI1535", "handlers/bad.py belongs to uid 65534, and not to 0")
    assert server.get("/bad").status == 403


# ---- who may use a group (compat 2.1)

@pytest.mark.compat("GROUP-name")
def test_names_are_unique_over_all_virtual_hosts(launch_once):
    status, output = launch_once("embedded", start=False, config="""
<VirtualHost *:1>
ServerName one
WSGIDaemonProcess same
</VirtualHost>
<VirtualHost *:1>
ServerName two
WSGIDaemonProcess same
</VirtualHost>
""").configtest()
    assert status == 1
    assert "WSGI1502" in output and "'same'" in output


VHOSTS = """
WSGIDaemonProcess main-group
<VirtualHost 127.0.0.1:${port}>
    ServerName one.example
    ErrorLog "${root}/one.log"
    WSGIDaemonProcess of-one
    WSGIScriptAlias /mine "${scripts}/talk.py" process-group=of-one
    WSGIScriptAlias /main "${apps}/process.py" process-group=main-group
</VirtualHost>
<VirtualHost 127.0.0.1:${port}>
    ServerName two.example
    WSGIScriptAlias /mine "${apps}/process.py" process-group=of-one
    WSGIScriptAlias /restricted "${apps}/process.py" process-group=of-one
    WSGIScriptAliasMatch ^/chosen/.* "${apps}/process.py" process-group=%{ENV:GROUP}
    SetEnvIf Request_URI ^/chosen/(.*) GROUP=$1
    <Location /restricted>
        WSGIRestrictProcess main-group
    </Location>
    <Location /chosen/restricted>
        WSGIRestrictProcess main-group
    </Location>
</VirtualHost>
<VirtualHost 127.0.0.2:${port}>
    ServerName one.example
    WSGIScriptAlias /mine "${apps}/process.py" process-group=of-one
</VirtualHost>
Listen 127.0.0.2:${port}
"""


@pytest.fixture(scope="module")
def vhosts(launch):
    server = launch("daemon", config=VHOSTS, modules=["setenvif"], start=False)
    server.script("talk.py", """
import json, os, sys, mod_wsgi
print("said by", os.getpid(), file=sys.stderr)

def application(environ, start_response):
    start_response("200 OK", [])
    return [json.dumps({"process_group": mod_wsgi.process_group}).encode()]
""")
    return server.start()


def from_vhost(server, host, path):
    return server.get(path, {"Host": host})


@pytest.mark.compat("GROUP-share", "GROUP-place")
def test_the_owning_virtual_host(vhosts):
    assert from_vhost(vhosts, "one.example", "/mine").json()["process_group"] == "of-one"


@pytest.mark.compat("GROUP-log")
def test_a_group_of_a_virtual_host_logs_to_its_error_log(vhosts):
    from_vhost(vhosts, "one.example", "/mine")
    text = processes.wait_until(
        lambda: "said by" in (vhosts.directory / "one.log").read_text() and
        (vhosts.directory / "one.log").read_text(), "the line of the script")
    assert "[of-one] started worker" in text, "the supervisor's lines too"
    assert "said by" not in vhosts.log.text()


@pytest.mark.compat("GROUP-share")
def test_a_group_of_the_main_server(vhosts):
    assert from_vhost(vhosts, "one.example", "/main").json()["process_group"] == "main-group"


@pytest.mark.compat("GROUP-share")
def test_a_virtual_host_of_the_same_name(vhosts):
    """As the HTTP and the HTTPS side of a site."""
    connection = http.client.HTTPConnection("127.0.0.2", vhosts.port, timeout=20)
    connection.request("GET", "/mine", headers={"Host": "one.example"})
    answer = connection.getresponse()
    assert (answer.status, b'"process_group": "of-one"' in answer.read()) == (200, True)
    connection.close()


@pytest.mark.compat("GROUP-share")
def test_another_virtual_host(vhosts):
    vhosts.expect("WSGI0151", "'of-one' belongs to a virtual host of another ServerName")
    assert from_vhost(vhosts, "two.example", "/mine").status == 500


def test_an_unknown_group(vhosts):
    vhosts.expect("WSGI0150", "'nowhere'")
    assert from_vhost(vhosts, "two.example", "/chosen/nowhere").status == 500


@pytest.mark.compat("GROUP-restrict-first")
def test_restrict_process_is_asked_first(vhosts):
    vhosts.expect("WSGI0149", "'of-one'")
    assert from_vhost(vhosts, "two.example", "/restricted").status == 500
    vhosts.expect("WSGI0149", "'restricted'")
    assert from_vhost(vhosts, "two.example", "/chosen/restricted").status == 500


def test_a_group_may_be_defined_behind_what_names_it(launch_once):
    """More than the reference does, which wants it earlier where a script is preloaded."""
    server = launch_once("daemon", config="""
WSGIScriptAlias /later "${apps}/process.py" process-group=later application-group=%{GLOBAL}
WSGIDaemonProcess later
""")
    assert server.get("/later").json()["process_group"] == "later"


@pytest.mark.compat("NAME-whole")
def test_expansions_are_whole_words_only(launch_once):
    """compat 1.4: nothing is embedded in a longer text."""
    server = launch_once("daemon", config="""
WSGIDaemonProcess a%{GROUP} display-name=x%{GROUP}
WSGIScriptAlias /x "${apps}/process.py" process-group=a%{GROUP}
""")
    found = server.get("/x").json()
    assert found["process_group"] == "a%{GROUP}"
    assert processes.title(found["pid"]) == "x%{GROUP}"


@pytest.mark.compat("OPT-display-name-length")
def test_a_long_display_name_is_cut(launch_once):
    server = launch_once("daemon", daemon=f"display-name={'n' * 5000}")
    title = processes.title(server.get("/process").json()["pid"])
    assert 100 < len(title) <= 5000 and set(title) == {"n"}
