"""Scripts that httpd asks: access, authentication, groups, dispatch.

SPDX-License-Identifier: Apache-2.0
"""

from model import Setup, ask, case

RESULTS = {"true": "True", "false": "False", "none": "None", "number": "1", "text": "'other'",
           "empty": "''", "raises": "1 / 0", "bytes": "b'x'"}


def place(name, directives):
    return (f"<Location /{name}>\n{directives}\n</Location>\n"
            f'WSGIScriptAlias /{name} "${{apps}}/environ.py"\n')


BASIC = "AuthType Basic\nAuthName here\nAuthBasicProvider wsgi\nRequire {}\n"

TEXT = 'DocumentRoot "${scripts}/site"\n' + "".join([
    *[place(f"access-{name}", f'WSGIAccessScript "${{scripts}}/access-{name}.py"')
      for name in RESULTS],
    *[place(f"user-{name}", BASIC.format("valid-user")
            + f'WSGIAuthUserScript "${{scripts}}/user-{name}.py"') for name in RESULTS],
    place("access-missing", 'WSGIAccessScript "${scripts}/not-there.py"'),
    place("access-no-function", 'WSGIAccessScript "${scripts}/empty.py"'),
    place("user-no-function", BASIC.format("valid-user")
          + 'WSGIAuthUserScript "${scripts}/empty.py"'),
    *[place(f"groups-{name}", BASIC.format("wsgi-group wanted another")
            + 'WSGIAuthUserScript "${scripts}/user-true.py"\n'
            + f'WSGIAuthGroupScript "${{scripts}}/groups-{name}.py"')
      for name in ("in", "out", "bytes", "none", "raises")],
    *[place(f"dispatch-{name}", f'WSGIDispatchScript "${{scripts}}/dispatch-{name}.py"')
      for name in ("application", "callable", "none", "number", "raises", "token", "process",
                   "empty", "environ", "missing")],
])

SETUP = Setup("hooks", TEXT, modules=("auth_basic", "authn_core", "authz_user", "env"))

FILES = {
    "empty.py": "x = 1\n", "site/empty": "",
    **{f"access-{name}.py": f"def allow_access(environ, host):\n    return {result}\n"
       for name, result in RESULTS.items()},
    **{f"user-{name}.py": f"def check_password(environ, user, password):\n    return {result}\n"
       for name, result in RESULTS.items()},
    **{f"groups-{name}.py": f"def groups_for_user(environ, user):\n    return {result}\n"
       for name, result in {"in": "['x', 'wanted']", "out": "['x']", "bytes": "[b'another']",
                            "none": "None", "raises": "1 / 0"}.items()},
    **{f"dispatch-{name}.py": f"def {function}(environ):\n    return {result}\n"
       for name, function, result in (
           ("application", "application_group", "'chosen'"),
           ("callable", "callable_object", "'application'"), ("none", "application_group", "None"),
           ("number", "application_group", "5"), ("raises", "application_group", "1 / 0"),
           ("token", "application_group", "'%{GLOBAL}'"), ("process", "process_group", "'unknown'"),
           ("environ", "application_group", "' '.join(sorted(environ))"))},
    "dispatch-empty.py": "x = 1\n",
}

CREDENTIAL = "Authorization: Basic bWU6bWUtc2VjcmV0"

CASES = [
    *[case(f"hook-access-{name}", ask(f"/access-{name}"))
      for name in (*RESULTS, "missing", "no-function")],
    *[case(f"hook-user-{name}", ask(f"/user-{name}", CREDENTIAL))
      for name in (*RESULTS, "no-function")],
    case("hook-user-without", ask("/user-true")),
    *[case(f"hook-groups-{name}", ask(f"/groups-{name}", CREDENTIAL))
      for name in ("in", "out", "bytes", "none", "raises")],
    case("hook-groups-without", ask("/groups-in")),
    *[case(f"hook-dispatch-{name}", ask(f"/dispatch-{name}"))
      for name in ("application", "callable", "none", "number", "raises", "token", "process",
                   "empty", "environ", "missing")],
]
