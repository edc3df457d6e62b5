import os
import signal
import sys

import pytest

from srez.parallel.child import Child
from tests.conftest import on_linux


def _child(code, **options):
    return Child("name", [sys.executable, "-c", code], **options)


def _ended(code, **options):
    """A child after its own end."""
    with _child(code, **options) as child:
        child.process.wait()
    return child


def test_stdout_and_stderr_stay_apart_and_each_line_gets_the_name(capfd):
    code = (
        "import os, sys; print('one\\ntwo'); print('bad', file=sys.stderr); os.write(1, b'\\xff')"
    )
    _ended(code)
    out, err = capfd.readouterr()
    assert out == "[name] one\n[name] two\n[name] \N{REPLACEMENT CHARACTER}\n"
    assert err == "[name] bad\n"


def test_the_last_lines_are_kept():
    child = _ended("for line in range(30): print(line)")
    assert list(child.last) == [str(line) for line in range(10, 30)]


@pytest.mark.parametrize(
    ("code", "status", "ended"),
    [
        ("", 0, "ended with status 0"),
        ("import sys; sys.exit(3)", 3, "ended with status 3"),
        ("import os; os.kill(os.getpid(), 9)", 137, "was ended by SIGKILL"),
    ],
)
def test_the_status_is_that_of_a_shell_and_signals_are_named(code, status, ended):
    child = _ended(code)
    assert (child.status, child.ended) == (status, ended)


def test_a_running_child_has_no_status_and_is_killed_at_the_end():
    with _child("import time; time.sleep(60)") as child:
        assert child.status is None
    assert child.status == 128 + signal.SIGKILL


def test_variables_are_added_to_ours(monkeypatch):
    monkeypatch.setenv("OURS", "kept")
    code = "import os; print(os.environ['OURS'], os.environ['NEW'])"
    assert list(_ended(code, environment={"NEW": "added"}).last) == ["kept added"]


def test_a_child_is_in_a_group_of_its_own():
    child = _ended("import os; print(os.getpgid(0), os.getpid())")
    group, pid = child.last[0].split()
    assert group == pid == str(child.process.pid)


@on_linux
def test_a_child_is_bound_to_its_cores_and_we_are_not():
    ours = os.sched_getaffinity(0)
    core = max(ours)
    child = _ended("import os; print(*os.sched_getaffinity(0))", cores={core})
    assert list(child.last) == [str(core)]
    assert os.sched_getaffinity(0) == ours
