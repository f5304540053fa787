"""The grammar of directives and options, and where each may stand."""

import shutil

import processes
import pytest

ALIAS = 'WSGIScriptAlias /here "${apps}/hello.py" '
GROUP = "WSGIDaemonProcess example "
HOST = "<VirtualHost *:${port}>\n{}\n</VirtualHost>"
SECTION = "<Location /here>\n{}\n</Location>"


def configtest(launch_once, config):
    return launch_once("embedded", start=False, config=config).configtest()


def assert_refused(launch_once, config, *words):
    status, output = configtest(launch_once, config)
    assert status == 1, output
    for word in words:
        assert word in output


def assert_right(launch_once, config):
    status, output = configtest(launch_once, config)
    assert (status, output.splitlines()[-1]) == (0, "Syntax OK"), output
    assert ":warn]" not in output and ":error]" not in output


# ---- places

@pytest.mark.compat("CONF-global", "CONF-misplaced")
@pytest.mark.parametrize("place", [HOST, SECTION])
@pytest.mark.parametrize("directive", [
    "WSGIPythonHome /usr", "WSGIPythonPath /tmp", "WSGISocketPrefix /run/wsgi",
    "WSGISocketRotation Off", "WSGIAcceptMutex default",
])
def test_directives_of_the_whole_server(launch_once, place, directive):
    assert_refused(launch_once, place.replace("{}", directive), directive.split()[0],
                   "<VirtualHost> section" if place == HOST else "not allowed")


@pytest.mark.compat("CONF-server", "CONF-misplaced")
@pytest.mark.parametrize("directive", [
    ALIAS, 'WSGIScriptAliasMatch ^/there "${apps}/hello.py"', GROUP,
])
def test_directives_of_a_server(launch_once, directive):
    assert_right(launch_once, HOST.replace("{}", directive))
    assert_refused(launch_once, SECTION.replace("{}", directive), directive.split()[0],
                   "not allowed")


IN_HTACCESS = ["WSGICallableObject application", "WSGIPassAuthorization On",
               "WSGIScriptReloading On"]
IN_SECTIONS = ["WSGIProcessGroup %{GLOBAL}", "WSGIApplicationGroup %{GLOBAL}"]


@pytest.mark.compat("CONF-dir", "CONF-fileinfo")
@pytest.mark.parametrize("place", ["{}", HOST, SECTION])
def test_directives_of_a_section(launch_once, place):
    assert_right(launch_once, place.replace("{}", "\n".join(IN_HTACCESS + IN_SECTIONS)))


@pytest.fixture(scope="module")
def htaccess(launch):
    """answer(folder, directive): the status of a script in a folder with that in .htaccess. In
    "open" it may override FileInfo, in "closed" AuthConfig only."""
    server = launch("embedded", config="""
<Directory "${scripts}/open">
    AllowOverride FileInfo
</Directory>
<Directory "${scripts}/closed">
    AllowOverride AuthConfig
</Directory>
""")

    def answer(folder, directive):
        path = server.directory / "scripts" / folder
        path.mkdir(exist_ok=True)
        shutil.copy(server.directory / "apps" / "hello.py", path)
        (path / ".htaccess").write_text(directive + "\n")
        return server.get(f"/scripts/{folder}/hello.py").status

    answer.server = server
    return answer


@pytest.mark.compat("CONF-fileinfo")
@pytest.mark.parametrize("directive", IN_HTACCESS)
def test_directives_of_htaccess(htaccess, directive):
    assert htaccess("open", directive) == 200
    htaccess.server.expect(".*", f"{directive.split()[0]} not allowed here")
    assert htaccess("closed", directive) == 500


@pytest.mark.compat("CONF-dir", "CONF-misplaced")
@pytest.mark.parametrize("directive", IN_SECTIONS)
def test_no_htaccess_chooses_groups(htaccess, directive):
    htaccess.server.expect(".*", f"{directive.split()[0]} not allowed here")
    assert htaccess("open", directive) == 500


# ---- words

@pytest.mark.compat("CONF-flag")
@pytest.mark.parametrize("directive", ["WSGIScriptReloading {}", "WSGIPassAuthorization {}",
                                       "WSGISocketRotation {}",
                                       ALIAS + "pass-authorization={}"])
def test_switches(launch_once, directive):
    for word in ("On", "off", "oN", "OFF"):
        assert_right(launch_once, directive.replace("{}", word))
    for word in ("yes", "1", "true", "0n"):
        assert_refused(launch_once, directive.replace("{}", word), directive.split()[0],
                       "On or Off", word)


@pytest.mark.compat("CONF-options", "CONF-option-name")
@pytest.mark.parametrize("option, word", [
    ("threads", "threads"), ("threads =5", "threads"), ("Threads=5", "Threads"),
    ("no-such=5", "no-such"), ("=5", ""),
])
def test_options_of_a_group(launch_once, option, word):
    assert_refused(launch_once, GROUP + option, f"'{word}'", "processes threads", " user group ")


@pytest.mark.compat("CONF-options", "CONF-option-name")
@pytest.mark.parametrize("option", ["process-group", "Process-Group=x", "no-such=x"])
def test_options_of_an_alias(launch_once, option):
    assert_refused(launch_once, ALIAS + option, option.split("=")[0],
                   "process-group application-group callable-object pass-authorization")


@pytest.mark.compat("CONF-option-repeated", "CONF-option-quotes")
def test_values_of_options(launch):
    server = launch("daemon", config="""
WSGIDaemonProcess quoted display-name='a first title' "display-name=a last title" \\
    threads=7 threads=3
WSGIScriptAlias /quoted "${apps}/process.py" process-group=tests process-group="quoted"
""")
    found = server.get("/quoted").json()
    assert (found["process_group"], found["threads_per_process"]) == ("quoted", 3)
    assert "a last title" in [processes.title(pid) for pid in server.workers()]


@pytest.mark.compat("CONF-number-range")
def test_a_refused_number_names_option_value_and_range(launch_once):
    assert_refused(launch_once, GROUP + "threads=many", "'example'", "threads", "65533", "'many'")


@pytest.mark.compat("GROUP-name")
def test_a_group_of_two_virtual_hosts(launch_once):
    assert_refused(launch_once, HOST.replace("{}", GROUP) + "\n" + HOST.replace("{}", GROUP),
                   "'example'", "exists already")


@pytest.mark.compat("IMPORT-order")
@pytest.mark.parametrize("loading", [
    "WSGIImportScript /x.py process-group=later application-group=%{GLOBAL}",
    "WSGIScriptAlias /x /x.py process-group=later application-group=%{GLOBAL}",
])
def test_a_group_may_be_defined_later(launch_once, loading):
    assert_right(launch_once, loading + "\nWSGIDaemonProcess later")


# ---- accepted without effect

@pytest.mark.compat("DIR-socketprefix", "DIR-socketrotation", "DIR-acceptmutex")
def test_directives_of_a_mechanism_that_is_not_ours(launch_once):
    server = launch_once("daemon", config="""
WSGISocketPrefix /nonexistent/directory/wsgi
WSGISocketRotation Off
WSGIAcceptMutex FLock
""")
    assert server.get("/hello").status == 200
    assert_refused(launch_once, "WSGIAcceptMutex semaphore", "WSGIAcceptMutex", "posixsem",
                   "'semaphore'")


@pytest.mark.compat("DIR-verbosedebugging")
def test_verbose_debugging(launch_once):
    status, output = configtest(launch_once, "WSGIVerboseDebugging On")
    assert (status, output.count("[wsgi:info]")) == (0, 1), output
    assert "WSGIVerboseDebugging" in output
