"""Process groups, one for each option that shows, and what the application finds in them.

SPDX-License-Identifier: Apache-2.0
"""

from model import Setup, ask, case

OPTIONS = {
    "plain": "",
    "threads-1": "threads=1",
    "threads-3": "threads=3",
    "processes-1": "processes=1",
    "processes-2": "processes=2 threads=2",
    "run-once": "threads=1 maximum-requests=1 shutdown-timeout=1",
    "home": 'home="${scripts}/site"',
    "umask": "umask=0027",
    "lang": "lang=de_DE.UTF-8",
    "locale": "locale=C.UTF-8",
    "locale-unknown": "locale=xx_YY",
    "display": "display-name=a-title",
    "display-group": "display-name=%{GROUP}",
    "path": 'python-path="${scripts}/site:${scripts}"',
    "eggs": 'python-eggs="${scripts}/eggs"',
    "nice": "cpu-priority=5",
    "memory": "memory-limit=4000000000",
    "space": "virtual-memory-limit=8000000000",
    "cpu": "cpu-time-limit=1000",
    "user": 'user=nobody group=nogroup home="${scripts}"',
    "groups": 'user=nobody group=nogroup home="${scripts}" '
              "supplementary-groups=daemon,bin",
    "user-number": 'user=#65534 group=#65534 home="${scripts}"',
    "stack": "stack-size=524288",
    "trailing": "threads=2x",
    "repeated": "threads=2 threads=3",
    "buffers": "send-buffer-size=4096 receive-buffer-size=4096 header-buffer-size=8192 "
               "response-buffer-size=65536 listen-backlog=10",
    "times": "deadlock-timeout=60 inactivity-timeout=100 request-timeout=60 connect-timeout=5 "
             "socket-timeout=10 queue-timeout=10 shutdown-timeout=2 graceful-timeout=1 "
             "eviction-timeout=1 restart-interval=1000 startup-timeout=15 "
             "response-socket-timeout=10",
    "script-user": "script-user=root",
    "script-group": "script-group=root",
    "server-metrics": "server-metrics=On",
}

SETUP = Setup("options", modes=("daemon",), daemon="threads=2", text="\n".join(
    ['DocumentRoot "${scripts}/site"']
    + [f"WSGIDaemonProcess {name} {options}" for name, options in OPTIONS.items()]
    + [f'WSGIScriptAlias /{name} "${{scripts}}/facts.py" process-group={name}'
       for name in OPTIONS]))

FILES = {"site/empty": "", "eggs/empty": ""}

CASES = [
    *[case(f"option-{name}", ask(f"/{name}")) for name in OPTIONS],
    case("option-run-once-again", ask("/run-once"), ask("/run-once")),
]
