"""tools/check-style and tools/report-size read C.

SPDX-License-Identifier: Apache-2.0
"""

import pytest
from conftest import ROOT

GOOD = "int f(void)\n{\n    return 1; /* not atoi() */\n}\n"


@pytest.fixture
def tree(tree):
    tree.write(".clang-format", (ROOT / ".clang-format").read_text())
    tree.write("src/core/log.c", GOOD)
    return tree


def test_good_style_passes(tree):
    tree.accepts("check-style")


@pytest.mark.parametrize("path, text, finding", [
    ("src/core/log.c", GOOD.replace("\n{", " {"),
     "src/core/log.c:1: clang-format -i would change this"),
    ("tests/unit/core/test_log.c", GOOD.replace("    ", "\t"), "tests/unit/core/test_log.c:2"),
    ("include/wsgi_core.h", "int  x;\n", "include/wsgi_core.h:1"),
    ("src/core/log.c", GOOD.replace("1;", 'atoi("1");'), "src/core/log.c:3: atoi() is banned"),
    ("src/core/log.c", GOOD.replace("1;", "sprintf(a, b);"), "sprintf() is banned"),
    ("src/gateway/call.c", "int f(void)\n{\n    return PyGILState_Check();\n}\n",
     "src/gateway/call.c:3: PyGILState_Check belongs in src/python/attach.c"),
    ("src/python/script.c", "int f(void)\n{\n    Py_BEGIN_ALLOW_THREADS;\n}\n",
     "Py_BEGIN_ALLOW_THREADS belongs in src/python/attach.c"),
])
def test_bad_style_is_refused(tree, path, text, finding):
    tree.write(path, text)
    tree.refuses("check-style", finding)


def test_words_in_comments_and_strings_and_longer_names_pass(tree):
    tree.write("src/core/log.c", 'const char *f(void)\n{\n    return "sprintf()"; // atoi()\n}\n'
                                 "int vsnprintf_(void)\n{\n    return snprintf(0);\n}\n")
    tree.accepts("check-style")


def test_thread_state_is_at_home_in_attach(tree):
    tree.write("src/python/attach.c", "int f(void)\n{\n    return PyGILState_Check();\n}\n")
    tree.accepts("check-style")


def test_sizes_are_reported_and_never_fail(tree):
    lines = "    g();\n" * 90
    tree.write("src/core/long.c", f"static int f(int a, int b, int c, int d, int e, int g, int h)\n"
                                  f"{{\n{lines}}}\n")
    done = tree.run("report-size")
    assert done.returncode == 0
    assert "src/core/long.c:1: f(): 92 lines (look again above 80)" in done.stdout
    assert "f(): 7 parameters (look again above 6)" in done.stdout
    assert "2 functions; median 47.5 lines" in done.stdout
