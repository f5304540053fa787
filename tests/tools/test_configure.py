"""configure says in one sentence what is missing and which package has it.

SPDX-License-Identifier: Apache-2.0
"""

import os
import subprocess
from pathlib import Path
from sysconfig import get_config_var

import pytest
from conftest import ROOT

PYTHON = """#!/bin/sh
case $2 in
*py_version_short*) echo {version} ;;
*INCLUDEPY*) echo {include} ;;
*Py_ENABLE_SHARED*) echo {shared} ;;
*LIBDIR*) echo /usr/lib ;;
*LDLIBRARY*) echo libpython-that-is-not-there.so ;;
*ABIFLAGS*) echo '{flags}' ;;
esac
"""


def configure(directory, *options, **environment):
    return subprocess.run([ROOT / "configure", "-q", *options], cwd=directory, text=True,
                          capture_output=True, env={**os.environ, **environment})


def python(directory, version="3.11", include="/usr/include/python3.11", shared="1",
           flags=""):
    path = directory / "python"
    path.write_text(PYTHON.format(version=version, include=include, shared=shared, flags=flags))
    path.chmod(0o755)
    return f"--with-python={path}"


def assert_error(done, *words):
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line]
    assert len(errors) == 1 and errors[0].startswith("configure: error: "), done.stderr
    for word in words:
        assert word in errors[0]


def test_this_machine_has_all(tmp_path):
    done = configure(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    makefile = (tmp_path / "Makefile").read_text()
    assert "PYTHON = /usr/bin/python3\n" in makefile
    assert "rpath" not in makefile


def test_no_apxs(tmp_path):
    assert_error(configure(tmp_path, ac_cv_path_APXS=""),
                 "apxs was not found", "apache2-dev (Debian)", "httpd-devel (Fedora)")


@pytest.mark.parametrize("apxs", ["/nowhere/apxs", "/bin/true"])
def test_a_wrong_apxs(tmp_path, apxs):
    assert_error(configure(tmp_path, f"--with-apxs={apxs}"),
                 f"{apxs} does not lead to httpd.h", "apache2-dev (Debian)")


def test_no_httpd(tmp_path):
    assert_error(configure(tmp_path, ac_cv_path_HTTPD=""),
                 "the httpd program", "apache2-bin (Debian)", "httpd (Fedora)")


def test_no_python(tmp_path):
    assert_error(configure(tmp_path, "--with-python=/nowhere/python3"),
                 "/nowhere/python3 is not a Python that runs", "--with-python=PATH")


@pytest.mark.parametrize("version", ["2.7", "3.9", "3.10"])
def test_an_old_python(tmp_path, version):
    assert_error(configure(tmp_path, python(tmp_path, version=version)),
                 f"Python {version} is too old", "3.11 or later")


def test_no_python_headers(tmp_path):
    assert_error(configure(tmp_path, python(tmp_path, include="/nowhere/include")),
                 "/nowhere/include/Python.h is missing", "libpython3-dev (Debian)",
                 "python3-devel (Fedora)")


def test_no_libpython(tmp_path):
    assert_error(configure(tmp_path, python(tmp_path)),
                 "/usr/lib/libpython-that-is-not-there.so is missing", "libpython3-dev (Debian)")


def test_no_debug_python(tmp_path):
    assert_error(configure(tmp_path, "--with-python=/nowhere/python3-dbg"),
                 "/nowhere/python3-dbg is not a Python that runs: install python3-dbg, or ")


@pytest.mark.parametrize("include", ["/nowhere/include", "/usr/include/python3.11"])
def test_no_headers_or_library_of_a_debug_python(tmp_path, include):
    assert_error(configure(tmp_path, python(tmp_path, include=include, flags="d")),
                 "is missing: install libpython3-dbg and libpython3-dev (Debian) or python3-debug")


def test_a_static_python(tmp_path):
    assert_error(configure(tmp_path, python(tmp_path, shared="0")),
                 "without a shared libpython", "--enable-shared")


def test_a_python_elsewhere_gets_its_directory_into_the_products(tmp_path):
    (tmp_path / "lib").mkdir()
    library = Path(get_config_var("LIBDIR")) / get_config_var("LDLIBRARY")
    (tmp_path / "lib" / library.name).symlink_to(library)
    real = "/usr/bin/python3"
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\ncase $2 in *LIBDIR*) echo {tmp_path}/lib ;; '
                    f'*) exec {real} "$@" ;; esac\n')
    path.chmod(0o755)
    done = configure(tmp_path, f"--with-python={path}")
    assert done.returncode == 0, done.stderr
    assert f"-Wl,-rpath,{tmp_path}/lib" in (tmp_path / "Makefile").read_text()
