"""What is wrong in a configuration is told by one error that names the directive, the value, what
would be legal, the file and the line. Every directive and option of the tables has a case: those of
directives are in test_directives.BAD, those of WSGIDaemonProcess in test_daemon_options.BAD, those of
the options that scripts have in SCRIPT_OPTIONS below."""

import re

import env
import pytest
import test_daemon_options
import test_directives

pytestmark = pytest.mark.skipif(env.MPM != "event", reason="the same for each MPM")

SOURCES = env.ROOT / "src" / "server"


def complaint(launch_once, *lines):
    """What `apache2 -t` says of the lines, which begin at line 3 of a file of their own."""
    server = launch_once("embedded", start=False, config='Include "${root}/wrong.conf"')
    (server.directory / "wrong.conf").write_text("\n".join(["# one", "# two", *lines]) + "\n")
    status, output = server.configtest()
    assert status == 1, output
    assert "Syntax OK" not in output
    return output


def check(output, *words, line=3):
    """One sentence with all the words, and its place."""
    for word in words:
        assert re.search(word, output), (word, output)
    place = rf"(on line {line} of \S*wrong\.conf|\(\S*wrong\.conf, line {line}\))"
    assert len(re.findall(place, output)) == 1, output
    assert len(output.strip().splitlines()) <= 2, output


# ---- directives

# What is legal, as the parser of the table says it; httpd itself counts the words of those that take
# a fixed number of them, and adds the help of the table.
LEGAL = {
    "wsgi_directive_set_flag": "takes On or Off",
    "wsgi_directive_clear_flag": "takes On or Off",
    "wsgi_directive_accept_flag": "takes On or Off",
    "set_dir_flag": "takes On or Off",
    "accept_dir_flag": "takes On or Off",
    "set_chunked_request": "takes On, Off or Buffer",
    "set_map_head": "takes On, Off or Auto",
    "wsgi_directive_set_optimize": "takes a level, 0 or more",
    "wsgi_directive_set_hash_seed": "takes random or a number from 0 to 4294967295",
    "wsgi_directive_set_switch_interval": "takes seconds, from 0.000001 to 3600",
    "wsgi_directive_accept_mutex": "takes default, flock, fcntl, sysvsem, posixsem or pthread",
    "wsgi_directive_add_alias": "wants: URL path, script|options are: |must begin with '/'|"
                                "takes On or Off|takes a name",
    "wsgi_directive_add_alias_match": "wants: regular expression|is not a regular expression",
    "wsgi_directive_add_handler_script": "wants: handler name|options are: |takes On or Off",
    "wsgi_directive_add_import_script": "wants: script|wants both process-group= and|take a name or "
                                        r"%\{GLOBAL\}",
    "wsgi_directive_set_hook_script": "wants: script|options are: application-group",
    "wsgi_directive_add_group": "wants: name of a daemon process group",
    "wsgi_directive_open_interpreter_options": "options are: process-group application-group|twice",
    "wsgi_directive_add_trusted_header": "requires at least one argument, ",
    "wsgi_directive_add_trusted_proxy": "takes addresses and networks, such as .*, not '|"
                                        "requires at least one argument, ",
    "set_process_group": "defines the process group 'nowhere': correct the name",
    "set_callable_object": "takes a name, not an empty text",
}
PARSERS = {
    name: (arguments, parser)
    for name, arguments, parser in re.findall(r"^DIRECTIVE\((<?\w+), \w+, (\w+), (\w+),",
                                              test_directives.TABLE, re.MULTILINE)}
BAD_DIRECTIVES = [(name, value) for name, values in test_directives.BAD.items() for value in values]


def test_every_directive_has_a_bad_value():
    assert len(PARSERS) > 40
    assert set(test_directives.BAD) | test_directives.WITHOUT_BAD == set(PARSERS)
    assert all(test_directives.BAD.values())


@pytest.mark.compat("CONF-flag", "CONF-misplaced", "CONF-options")
@pytest.mark.parametrize("name, value", BAD_DIRECTIVES)
def test_directive(launch_once, name, value):
    arguments, parser = PARSERS[name]
    line = test_directives.line_of(name, value)
    is_in_section = test_directives.DIRECTIVES[name][0] == "AUTHCFG"
    output = complaint(launch_once, *(["<Location /x>", line, "</Location>"] if is_in_section else
                                      [line]))
    words = [re.escape(name)]
    if arguments == "TAKE1" and (value in ("", "''") or " " in value):
        words = [f"{name} takes one argument, ."]
    elif arguments == "TAKE1":
        words += [re.escape(value.strip("'")), LEGAL[parser]]
    else:
        words += [LEGAL[parser]]
    if parser == "set_process_group" and value == "nowhere":
        words.remove(re.escape(name))  # found as all names are resolved
    check(output, *words, line=4 if is_in_section else 3)


# ---- options of WSGIDaemonProcess

BAD_OPTIONS = [(name, value) for name, values in test_daemon_options.BAD.items()
               for value in values]
BOUNDS = {name: (least, most) for name, least, most in re.findall(
    r'^OPTION\("([\w-]+)", \w+, [\w.]+, (-?\w+), (-?\w+),', test_daemon_options.TABLE, re.MULTILINE)}
NAMED = {"INT32_MAX": str(2**31 - 1), "INT64_MAX": str(2**63 - 1), "0777": "777"}
LEGAL_OPTIONS = {
    "number": "takes a number from {least} to {most}",
    "size": r"takes 0 \(the default\) or a number of bytes from {least} to {most}",
    "octal": "takes an octal number from 0 to {most}",
    "interval": "takes seconds, from 0.000001 to 3600",
    "flag": "takes On or Off",
    "name": "takes a name, not an empty text",
    "path": "takes an absolute path",
    "text": "not of the form option=value; options are: ",
    "display_name": "not of the form option=value; options are: ",
}
# What is found as the settings are resolved: no such user, group, installation of Python.
RESOLVED = {
    "user": "no user|correct it|#uid", "group": "no group|#gid",
    "supplementary-groups": "no group|#gid|takes a comma-separated list", "script-user": "no user", "script-group": "no group",
    "python": "/nowhere/at/all|/bin/sh",
}


@pytest.mark.compat("CONF-number-range", "OPT-buffer-sizes", "OPT-header-buffer-size",
                    "OPT-response-buffer-size", "OPT-response-flush-delay", "OPT-umask",
                    "OPT-cpu-priority", "OPT-stack-size", "OPT-switch-interval",
                    "OPT-memory-limit")
@pytest.mark.parametrize("name, value", BAD_OPTIONS)
def test_daemon_option(launch_once, name, value):
    output = complaint(launch_once, f"WSGIDaemonProcess example {name}={value}")
    kind = test_daemon_options.OPTIONS[name].partition("_")[2]
    least, most = (NAMED.get(bound, bound) for bound in BOUNDS[name])
    legal = LEGAL_OPTIONS[kind].format(least=least, most=most)
    if name in RESOLVED and value and not (kind == "path" and not value.startswith("/")):
        legal = RESOLVED[name]
    shown = [re.escape(value.lstrip("#0,"))] if kind not in ("text", "display_name") else []
    check(output, "WSGIDaemonProcess", name, legal, *shown)


# ---- options of directives that name a script

USERS = {"ALIAS": {"WSGIScriptAlias": "/x /x.py", "WSGIScriptAliasMatch": "^/x /x.py"},
         "HANDLER": {"WSGIHandlerScript": "name /x.py"},
         "IMPORT": {"WSGIImportScript": "/x.py application-group=a process-group=%{GLOBAL}"},
         "HOOK": {"WSGIDispatchScript": "/x.py"}}
# A wrong value and what is said of it; None: any text is right.
SCRIPT_OPTIONS = {
    "process-group": ("nowhere", "defines the process group 'nowhere': correct the name"),
    "application-group": None,
    "callable-object": ("''", "callable-object takes a name, not an empty text"),
    "pass-authorization": ("perhaps", "pass-authorization takes On or Off, not 'perhaps'"),
}
KNOWN = [(name, users.split(" | ")) for name, users in re.findall(
    r'^    \{"([\w-]+)", ([A-Z_| ]+), option_\w+\},',
    (SOURCES / "script_directives.c").read_text(), re.MULTILINE)]
KNOWN_USERS = sorted({user for _, users in KNOWN for user in users})
CASES = [(option, directive, words) for option, users in KNOWN for user in users
         for directive, words in USERS.get(user, {}).items()]


def test_every_option_of_scripts_has_a_case():
    assert {name for name, _ in KNOWN} == set(SCRIPT_OPTIONS)
    assert set(KNOWN_USERS) <= set(USERS)


@pytest.mark.compat("CONF-options", "CONF-option-name")
@pytest.mark.parametrize("option, directive, words", CASES)
def test_script_option(launch_once, option, directive, words):
    if SCRIPT_OPTIONS[option] is None:
        value, legal = "'open", f"'{option}' is not of the form option=value; options are: "
    else:
        value, legal = SCRIPT_OPTIONS[option]
    output = complaint(launch_once, f"{directive} {words} {option}={value}")
    check(output, legal, "" if "nowhere" in legal else directive)


@pytest.mark.compat("CONF-option-name")
@pytest.mark.parametrize("user", KNOWN_USERS)
def test_an_unknown_option_is_told_which_are_known(launch_once, user):
    directive, words = next(iter(USERS[user].items()))
    known = [name for name, users in KNOWN if user in users]
    output = complaint(launch_once, f"{directive} {words} Process-Group=a")
    check(output, f"{directive}: 'Process-Group' is no option; options are: {' '.join(known)}\n")


@pytest.mark.compat("CONF-option-name")
def test_an_unknown_option_of_a_process_group(launch_once):
    output = complaint(launch_once, "WSGIDaemonProcess example Threads=5")
    check(output, "WSGIDaemonProcess: 'Threads' is no option; options are: " +
          " ".join(test_daemon_options.OPTIONS))


# ---- more than one thing at a time

@pytest.mark.parametrize("lines, line, words", [
    (["WSGIDaemonProcess a", "WSGIDaemonProcess a"], 4, ["'a'", "exists already"]),
    (["<VirtualHost *:1>", "WSGIProcessGroup nowhere", "</VirtualHost>"], 4, ["'nowhere'"]),
    (["<Location /x>", "WSGIDaemonProcess a", "</Location>"], 4, ["WSGIDaemonProcess not allowed"]),
    (["<VirtualHost *:1>", "WSGIPythonHome /usr", "</VirtualHost>"], 4,
     ["WSGIPythonHome cannot occur|WSGIPythonHome not allowed|WSGIPythonHome"]),
    (["<WSGIInterpreterOptions>", "WSGIPythonHome /usr", "</WSGIInterpreterOptions>"], 4,
     ["WSGIPythonHome is not allowed inside <WSGIInterpreterOptions>", "WSGIPythonPath"]),
    (["<WSGIInterpreterOptions>", "WSGIRestrictStdin 1", "</WSGIInterpreterOptions>"], 4,
     ["WSGIRestrictStdin takes On or Off, not '1'"]),
    (["<VirtualHost *:1>", "<WSGIInterpreterOptions>", "</WSGIInterpreterOptions>",
      "</VirtualHost>"], 4, ["WSGIInterpreterOptions> cannot occur|WSGIInterpreterOptions"]),
])
def test_place(launch_once, lines, line, words):
    check(complaint(launch_once, *lines), *words, line=line)


@pytest.mark.compat("CONF-option-repeated")
def test_only_the_last_of_a_repeated_option_is_looked_at(launch_once):
    server = launch_once("embedded", start=False, config="""
WSGIScriptAlias /x /y process-group=nowhere process-group=%{GLOBAL}""")
    assert server.configtest() == (0, "Syntax OK\n")


def test_all_that_resolving_finds_is_told_at_once(launch_once):
    output = complaint(launch_once, "WSGIProcessGroup nowhere",
                       "WSGIDaemonProcess a user=nobody-of-this-name", "WSGIDaemonProcess a")
    for number in (3, 4, 5):
        assert len(re.findall(rf"wrong\.conf, line {number}\)", output)) == 1, output
