"""tools/check-layers refuses each kind of include that the table forbids.

SPDX-License-Identifier: Apache-2.0
"""

import pytest
from conftest import ROOT


@pytest.fixture
def tree(tree):
    tree.write("tools/layers.txt", (ROOT / "tools" / "layers.txt").read_text())
    tree.write("include/wsgi_core.h", "#include <stddef.h>\n")
    tree.write("include/wsgi_python.h", "#include <Python.h>\n#include \"wsgi_core.h\"\n")
    tree.write("include/wsgi_proxy.h", '#include "wsgi_core.h"\n')
    tree.write("src/python/python_private.h", '#include "wsgi_python.h"\n')
    tree.write("src/python/script.c", '#include "python_private.h"\n')
    tree.write("src/server/server_private.h", '#include "httpd.h"\n#include "wsgi_core.h"\n')
    return tree


def test_a_tree_within_the_table_passes(tree):
    tree.accepts("check-layers")


@pytest.mark.parametrize("path, text, finding", [
    ("src/core/log.c", '#include "wsgi_proxy.h"\n',
     "src/core/log.c:1: core may not include wsgi_proxy.h, of proxy"),
    ("src/proxy/relay.c", "\n#include <Python.h>\n",
     "src/proxy/relay.c:2: proxy may not include Python.h, of Python"),
    ("src/core/log.c", "#include <sys/socket.h>\n", "core may not include sys/socket.h"),
    ("src/gateway/input.c", '#include "python_private.h"\n',
     "gateway includes python_private.h, which is private to python"),
    ("src/gateway/input.c", '#include "../python/python_private.h"\n', "private to python"),
    ("src/core/log.c", '#include "nowhere.h"\n', "nowhere.h is not found"),
    ("include/wsgi_surprise.h", "\n", "belongs to no layer"),
    ("src/novel/thing.c", "\n", "belongs to no layer"),
])
def test_an_include_is_refused(tree, path, text, finding):
    tree.write(path, text)
    tree.refuses("check-layers", finding)


def test_an_include_is_followed_through_headers(tree):
    tree.write("include/wsgi_proxy.h", '#include "wsgi_python.h"\n')
    tree.write("src/proxy/proxy_private.h", '#include "wsgi_proxy.h"\n')
    tree.write("src/proxy/relay.c", '#include "proxy_private.h"\n')
    done = tree.run("check-layers")
    assert ("src/proxy/relay.c:1: proxy may not include Python.h by way of proxy_private.h and "
            "wsgi_proxy.h and wsgi_python.h, of Python") in done.stdout
    assert done.returncode == 1


def test_python_and_httpd_never_meet_in_one_source_whatever_the_table_allows(tree):
    table = (ROOT / "tools" / "layers.txt").read_text()
    tree.write("tools/layers.txt", table.replace("server:    httpd", "server: httpd Python python"))
    tree.write("src/server/handler.c", '#include "server_private.h"\n#include "wsgi_python.h"\n')
    tree.refuses("check-layers", "src/server/handler.c: reaches headers of Python and of httpd")


def test_a_cycle_between_folders_is_refused(tree):
    table = (ROOT / "tools" / "layers.txt").read_text()
    tree.write("tools/layers.txt", table.replace("metrics:   core\n", "metrics:   core proxy\n"))
    tree.refuses("check-layers", "a cycle: ")


def test_an_include_in_a_comment_does_not_count(tree):
    tree.write("src/core/log.c", '/*\n#include "wsgi_proxy.h"\n*/\n')
    tree.accepts("check-layers")
