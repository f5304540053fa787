"""tools/check-globals finds variables that change, in compiled objects.

SPDX-License-Identifier: Apache-2.0
"""

import subprocess

import pytest


def compile_and_check(tree, text, allowed=""):
    source = tree.write("src/core/log.c", text)
    tree.write("tools/globals.allow", allowed)
    target = tree.root / "objects" / "core" / "log.o"
    target.parent.mkdir(parents=True)
    subprocess.run(["gcc", "-fPIC", "-c", "-o", target, source], check=True)
    return tree.root / "objects"


@pytest.mark.parametrize("text", [
    "int calls = 1;", "static int calls; int *f(void) { return &calls; }",
    "int *f(void) { static int calls; return &calls; }",
    "_Thread_local int calls;", "static _Thread_local int calls = 1; int f(void) { return calls++; }",
])
def test_a_changing_variable_is_refused(tree, text):
    objects = compile_and_check(tree, text)
    tree.refuses("check-globals", "src/core/log.c: calls changes and is not listed", objects)


@pytest.mark.parametrize("text", [
    "const int table[] = {1, 2};",
    'static const char *const names[] = {"a", "b"}; const char *f(int i) { return names[i]; }',
    "int f(int x) { int y = x; return y; }",
])
def test_constants_pass(tree, text):
    tree.accepts("check-globals", compile_and_check(tree, text))


def test_a_listed_variable_passes(tree):
    allowed = "# a comment\nsrc/core/log.c:calls — counts for a reason\n"
    tree.accepts("check-globals", compile_and_check(tree, "int calls = 1;", allowed))


def test_an_entry_needs_its_variable_and_its_reason(tree):
    allowed = "src/core/log.c:gone — was here once\n"
    tree.refuses("check-globals", "globals.allow:1: src/core/log.c:gone is listed and does not exist",
                 compile_and_check(tree, "int f(void) { return 1; }", allowed))
    tree.write("tools/globals.allow", "src/core/log.c:calls\n")
    tree.refuses("check-globals", "globals.allow:1: is not of the form", tree.root / "objects")


def test_no_objects_is_an_error(tree):
    tree.write("tools/globals.allow", "")
    assert tree.run("check-globals", tree.root / "empty").returncode == 2
