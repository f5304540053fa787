"""tools/check-compat holds the page of promises to the tests and to their results.

SPDX-License-Identifier: Apache-2.0
"""

import ast
import subprocess
import sys

import pytest
from conftest import ROOT

HEAD = "# Page\n\n| id | what holds | mode | state |\n| --- | --- | --- | --- |\n"
ROWS = {
    "MAP-one": "| `MAP-one` | an alias \\| two | both | tested |",
    "MAP-two": "| `MAP-two` | by a unit test | both | tested |",
    "MAP-three": "| `MAP-three` | not yet | embedded | planned (issue 4) |",
    "MAP-four": "| `MAP-four` | otherwise | daemon | differs: for a reason |",
    "MAP-five": "| `MAP-five` | nothing | both | none: Windows |",
}
SERVER = '''
import pytest

@pytest.mark.compat("MAP-one", "MAP-four")
@pytest.mark.parametrize("case", [pytest.param(1, marks=pytest.mark.compat("MAP-one"))])
def test_one(case):
    pass
'''
UNIT = """
/* compat: MAP-two
 * MAP-one */
static void test_two(void **state)
{
}
"""
CASE = '<testcase name="{name}"><properties>{properties}</properties>{result}</testcase>'


def write_page(tree, **changes):
    rows = {**ROWS, **{f"MAP-{name}": row for name, row in changes.items()}}
    return tree.write("docs/compatibility.md", HEAD + "\n".join(rows.values()) + "\n")


@pytest.fixture
def tree(tree):
    write_page(tree)
    tree.write("tests/server/test_one.py", SERVER)
    tree.write("tests/unit/server/test_two.c", UNIT)
    return tree


# ---- page and sources

def test_a_tree_in_order_passes(tree):
    tree.accepts("check-compat")


@pytest.mark.parametrize("row, finding", [
    ("| `map-six` | text | both | planned (issue 4) |", "'map-six' is no id"),
    ("| `MAP-Six` | text | both | planned (issue 4) |", "'MAP-Six' is no id"),
    ("| `MAP-six-` | text | both | planned (issue 4) |", "'MAP-six-' is no id"),
    ("| `MAP-one` | text | both | tested |", "MAP-one stands there 2 times"),
    ("| `MAP-six` | text | both | done |", "MAP-six: 'done' is no state"),
    ("| `MAP-six` | text | both | planned |", "MAP-six: 'planned' is no state"),
    ("| `MAP-six` | text | both | differs |", "MAP-six: 'differs' is no state"),
    ("| `MAP-six` | text | both | none: whim |", "MAP-six: 'none: whim' is no state"),
    ("| `MAP-six` | text | both |", "MAP-six: '' is no state"),
    ("| `MAP-six` | text | prefork | planned (issue 4) |", "MAP-six: 'prefork' is no mode"),
    ("| `MAP-six` | | both | planned (issue 4) |", "MAP-six does not say what holds"),
    ("| `MAP-six` | text | both | tested |", "MAP-six is called tested, but no test carries it"),
])
def test_a_wrong_row_is_refused(tree, row, finding):
    write_page(tree, six=row)
    tree.refuses("check-compat", finding)


@pytest.mark.parametrize("path, text, finding", [
    ("tests/server/test_x.py", 'import pytest\npytestmark = pytest.mark.compat("MAP-gone")\n',
     "tests/server/test_x.py:2: MAP-gone is not in docs/compatibility.md"),
    ("tests/server/test_x.py", "import pytest\npytestmark = pytest.mark.compat(NAME)\n",
     "tests/server/test_x.py:2: a compat mark takes ids"),
    ("tests/server/test_x.py", "import pytest\npytestmark = pytest.mark.compat()\n",
     "tests/server/test_x.py:2: a compat mark takes ids"),
    ("tests/unit/core/test_x.c", "\n/* compat: MAP-gone */\nstatic void test_x(void **state)\n",
     "tests/unit/core/test_x.c:2: MAP-gone is not in docs/compatibility.md"),
    ("tests/unit/core/test_x.c", "/* compat: MAP-one */\nstatic void help(void)\n",
     "tests/unit/core/test_x.c:1: a compat comment takes ids and stands right above a test"),
    ("tests/unit/core/test_x.c", "/* compat: */\nstatic void test_x(void **state)\n",
     "tests/unit/core/test_x.c:1: a compat comment takes ids"),
])
def test_a_wrong_mark_is_refused(tree, path, text, finding):
    tree.write(path, text)
    tree.refuses("check-compat", finding)


def test_no_page_is_a_failure(tree):
    (tree.root / "docs" / "compatibility.md").unlink()
    assert tree.run("check-compat").returncode != 0


# ---- results

def case(name, ids, result="", mode=""):
    properties = "".join(f'<property name="compat" value="{each}"/>' for each in ids.split())
    if mode:
        properties += f'<property name="mode" value="{mode}"/>'
    return CASE.format(name=name, properties=properties, result=result)


def report(tree, name, *cases):
    return tree.write(name, f'<testsuites><testsuite>{"".join(cases)}</testsuite></testsuites>')


def units(tree, line="ok 1 - test_two"):
    tree.write("unit/server/test_two.tap", f"1..1\n{line}\n")
    return "--unit", tree.root / "unit"


EMBEDDED = case("test_one[embedded]", "MAP-one MAP-four", mode="embedded")
DAEMON = case("test_one[daemon]", "MAP-one MAP-four", mode="daemon")
SKIPPED = '<skipped message="no"/>'
FAILED = '<failure message="no"/>'


def test_results_in_order_pass(tree):
    tree.accepts("check-compat", *units(tree), report(tree, "a.xml", EMBEDDED),
                 report(tree, "b.xml", DAEMON, case("test_one", "MAP-one", SKIPPED),
                        case("test_three", "MAP-three", '<skipped type="pytest.xfail"/>')))


@pytest.mark.parametrize("cases, finding", [
    ([EMBEDDED, case("test_one", "MAP-one", FAILED)],
     "MAP-one is called tested, but fails: test_one in a.xml"),
    ([EMBEDDED, case("test_one", "MAP-one", '<error message="no"/>')],
     "MAP-one is called tested, but fails: test_one in a.xml"),
    ([EMBEDDED, case("test_four", "MAP-four", FAILED)],
     "MAP-four is called differs, but fails: test_four in a.xml"),
    ([EMBEDDED, case("test_three", "MAP-three")],
     "MAP-three is planned, but passes: test_three in a.xml; call it tested"),
])
def test_wrong_results_are_refused(tree, cases, finding):
    tree.refuses("check-compat", finding, *units(tree), report(tree, "a.xml", *cases))


@pytest.mark.parametrize("cases, finding", [
    ([], "MAP-one is called tested, but did not run"),
    ([case("test_one", "MAP-one", SKIPPED)], "MAP-one is called tested, but was skipped"),
    ([EMBEDDED], "MAP-one holds in both modes, but was not seen daemon"),
])
def test_missing_results_are_refused(tree, cases, finding):
    """Without the unit test, which knows no mode and would do for both."""
    tree.write("tests/unit/server/test_two.c", UNIT.replace(" * MAP-one", " *"))
    tree.refuses("check-compat", finding, *units(tree), report(tree, "a.xml", *cases))


def test_skipped_tests_may_do(tree):
    tree.write("tests/unit/server/test_two.c", UNIT.replace(" * MAP-one", " *"))
    skipped = report(tree, "a.xml", case("test_one", "MAP-one", SKIPPED))
    tree.accepts("check-compat", *units(tree), "--may-skip", skipped)
    tree.refuses("check-compat", "MAP-one is called tested, but did not run", *units(tree),
                 "--may-skip", report(tree, "a.xml"))


@pytest.mark.parametrize("line, finding", [
    ("not ok 1 - test_two", "MAP-two is called tested, but fails: server/test_two:test_two"),
    ("ok 1 - test_other", "MAP-two is called tested, but did not run"),
])
def test_unit_tests_count(tree, line, finding):
    write_page(tree, one="")
    tree.write("tests/unit/server/test_two.c", UNIT.replace(" * MAP-one", " *"))
    tree.write("tests/server/test_one.py", "")
    tree.refuses("check-compat", finding, *units(tree, line))


def test_a_report_that_cannot_be_read_is_refused(tree):
    tree.refuses("check-compat", "cannot be read as a report", *units(tree),
                 report(tree, "a.xml", EMBEDDED), tree.root / "missing.xml")


def test_marks_reach_the_report(tree):
    """Through the hook of the server tests' conftest, for skipped tests too."""
    source = (ROOT / "tests" / "server" / "conftest.py").read_text()
    hook = next(node for node in ast.parse(source).body
                if getattr(node, "name", "") == "pytest_itemcollected")
    tree.write("tests/server/conftest.py", ast.get_source_segment(source, hook) + "\n")
    tree.write("pytest.ini", "[pytest]\njunit_family = xunit1\nmarkers =\n    compat: ids\n")
    tree.write("tests/server/test_one.py", SERVER + '''
@pytest.fixture(params=["embedded", "daemon"])
def mode(request):
    return request.param

@pytest.mark.compat("MAP-one")
def test_modes(mode):
    assert mode == "embedded" or pytest.skip()
''')
    subprocess.run([sys.executable, "-m", "pytest", "--junitxml=a.xml", "tests/server"],
                   cwd=tree.root, stdout=subprocess.DEVNULL, check=True)
    tree.accepts("check-compat", *units(tree), tree.root / "a.xml")
    text = (tree.root / "a.xml").read_text()
    assert text.count('name="compat" value="MAP-one"') == 3
    assert text.count('name="mode" value="daemon"') == 1
