"""tools/check-messages and tools/gen-docs hold sources and pages to messages.def.

SPDX-License-Identifier: Apache-2.0
"""

import pytest

TABLE = """\
/* A head comment
 * of two lines. */

/* core and metrics */
WSGI_MESSAGE(1001, ERR, "the first \\"cause\\"",
             "the first "
             "remedy")
/* proxy */
WSGI_MESSAGE(1301, WARNING, "a|b", "do it")
"""
OPTIONS = """\
/* A head comment. */

/* processes */
OPTION("threads", option_number, group.settings.threads, 0, 65533, "15",
       "requests at a time")
OPTION("buffer", accept_size, ignored, 512, INT32_MAX, "0", "none is needed")
"""
DIRECTIVES = """\
/* A head comment. */

/* routing */
DIRECTIVE(WSGIOne, SERVER, TAKE1, set_one, PLACE(one), "On",
          "the first "
          "sentence")
/* the rest */
DIRECTIVE(WSGITwo, FILEINFO, ITERATE, set_two, NONE, "", "the <second>")
"""
MODULE = """\
/* A head comment. */
VALUE(mod_wsgi, version, make_version, "tuple", "three, (numbers)")
LATER(apache, late, make_late, "class", "made later")
"""
EVENTS = """\
/* A head comment. */
SUBSCRIPTION(ANY, subscribe_events, event_callbacks, "each event")
EVENT(request_started, ANY, "it begins")
KEY(request_started, thread_id, make_thread_id, "int", "of the thread")
"""
LOG = 'void f(void)\n{\n    wsgi_log(WSGI_LOG_ERR, WSGI_ID(1001) "cannot (%d)", 1);\n}\n'
RELAY = 'void g(void)\n{\n    wsgi_log(WSGI_LOG_WARNING, WSGI_ID(1301) "slow");\n}\n'


@pytest.fixture
def tree(tree):
    tree.write("src/core/messages.def", TABLE)
    tree.write("src/server/daemon_options.def", OPTIONS)
    tree.write("src/server/directives.def", DIRECTIVES)
    for folder, module, events in (("python", MODULE, ""), ("gateway", "", EVENTS)):
        tree.write(f"src/{folder}/module.def", module)
        tree.write(f"src/{folder}/events.def", events)
    tree.write("src/core/log.c", LOG)
    tree.write("src/proxy/relay.c", RELAY)
    return tree


def test_a_tree_in_order_passes(tree):
    tree.write("src/core/info.c", 'void h(void)\n{\n    wsgi_log(WSGI_LOG_INFO, "hello");\n}\n')
    tree.write("src/python/stream.c", 'void i(void) { wsgi_log(WSGI_LOG_ERR, "%s", line); }\n')
    tree.accepts("check-messages")


@pytest.mark.parametrize("path, text, finding", [
    ("src/core/more.c", LOG, "src/core/more.c:3: WSGI1001 is used before"),
    ("src/core/more.c", LOG.replace("1001", "1002"), "WSGI1002 has no line"),
    ("src/core/more.c", LOG.replace("WSGI_ID(1001) ", ""),
     "src/core/more.c:3: a message of level ERR without WSGI_ID(n)"),
    ("src/server/more.c", 'void f(void) { ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,\n"no"); }',
     "src/server/more.c:1: a message of level WARNING without WSGI_ID(n)"),
    ("src/core/log.c", LOG.replace("1001", "1301"), "WSGI1301 is outside core's range"),
    ("src/proxy/relay.c", "", "WSGI1301 is used nowhere"),
    ("src/proxy/relay.c", RELAY.replace("_WARNING", "_ERR"),
     "WSGI1301 is logged at ERR, messages.def says WARNING"),
    ("src/core/messages.def", TABLE + 'WSGI_MESSAGE(1001, ERR, "again", "again")\n',
     "WSGI1001 is defined 2 times"),
    ("src/core/messages.def", TABLE.replace('"do it"', '""'), "lacks its cause or its remedy"),
])
def test_disorder_is_refused(tree, path, text, finding):
    tree.write(path, text)
    done = tree.run("check-messages")
    assert done.returncode == 1
    assert finding in done.stdout


def test_the_page_follows_the_table(tree):
    tree.run("gen-docs")
    page = tree.write("docs/messages.md", "old")
    tree.refuses("gen-docs", "docs/messages.md: does not say what its table says", "--check")
    assert page.read_text() == "old"
    tree.run("gen-docs")
    assert '| WSGI1001 | err | the first "cause" | the first remedy |' in page.read_text()
    assert "## Core and metrics" in page.read_text()
    assert "| WSGI1301 | warning | a\\|b | do it |" in page.read_text()
    tree.accepts("gen-docs", "--check")


def test_the_page_of_options(tree):
    tree.run("gen-docs")
    page = (tree.root / "docs/daemon-options.md").read_text()
    assert "## Processes" in page
    assert "| `threads` | 0 … 65533 | 15 | requests at a time |" in page
    assert "| `buffer` | 0, or 512 … 2147483647 | 0 | **no effect:** none is needed |" in page


def test_the_page_of_directives(tree):
    tree.run("gen-docs")
    page = (tree.root / "docs/directives.md").read_text()
    assert "## Routing" in page
    assert "| `WSGIOne` | one | virtual host | `On` | the first sentence |" in page
    assert "| `WSGITwo` | ITERATE | .htaccess |  | the &lt;second> |" in page


def test_the_page_of_the_modules(tree):
    tree.run("gen-docs")
    page = (tree.root / "docs/python-api.md").read_text()
    assert "| `version` | tuple | three, (numbers) |" in page
    assert "| `late` | class | made later |" in page.split("## Module apache")[1]
    assert "| `event_callbacks` | list |" in page
    assert "### request_started\n\nIt begins." in page
    assert "| `thread_id` | int | of the thread |" in page
