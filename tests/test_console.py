import gc
import os
import subprocess
import sys
import time
from unittest.mock import Mock

import pytest

from srez import console
from srez.console import duration
from tests.conftest import ROOT

SPEAK = "from srez.console import complain, guard_console, say; guard_console(); "
LINES = "[say(f'line {n}') for n in range(3)]; complain('a word'); open('whole', 'w').write('all')"


def start(code, cwd, redirection="", **popen):
    """A shell that runs Python code with a redirection, such as >&-."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), **popen.pop("env", {})}
    command = f'exec "$0" -c "$1" {redirection}'
    words = ["sh", "-c", command, sys.executable, SPEAK + code]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | popen
    return subprocess.Popen(words, cwd=cwd, env=environment, text=True, **pipes)


OUT, ERR = "line 0\nline 1\nline 2\n", "srez: a word\n"
FULL = "srez: {}: No space left on device: going on without it\n"


@pytest.mark.parametrize(
    ("redirection", "out", "err"),
    [
        ("", OUT, ERR),
        (">&-", "", ERR),
        ("2>&-", OUT, ""),
        (">&- 2>&-", "", ""),
        ("<&- >&- 2>&-", "", ""),
        (">/dev/full 2>/dev/full", "", ""),
        ("2>/dev/full", OUT + FULL.format("stderr"), ""),
        (">/dev/full", "", FULL.format("stdout") + ERR),
    ],
)
def test_what_cant_be_written_is_left_out(tmp_path, redirection, out, err):
    process = start(LINES, tmp_path, redirection)
    assert process.communicate(timeout=60) == (out, err)
    assert process.returncode == 0
    assert (tmp_path / "whole").read_text() == "all"


def test_a_reader_that_is_gone_stops_nothing(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    assert start(LINES, tmp_path, stdout=writer, stderr=writer).wait(timeout=60) == 0
    os.close(writer)
    assert (tmp_path / "whole").read_text() == "all"


def test_a_reader_that_has_stopped_reading_misses_lines_and_is_told(tmp_path):
    code = "import select; [say('x' * 1000) for _ in range(200)]; open('half', 'w'); "
    code += "select.select([], [1], []); say('again')"  # once somebody reads again
    process = start(code, tmp_path)
    while not (tmp_path / "half").exists():
        assert process.poll() is None
        time.sleep(0.05)
    out, _ = process.communicate(timeout=60)
    *lines, told, last = out.splitlines()
    assert set(lines) == {"x" * 1000}
    assert told == f"({200 - len(lines)} lines left out: nobody read them)"
    assert last == "again"


def test_characters_that_the_console_lacks_are_escaped(tmp_path):
    code = "say('caf\\xe9 \\udce9'); complain('caf\\xe9')"
    process = start(code, tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert process.communicate(timeout=60) == ("caf\\xe9 \\udce9\n", "srez: caf\\xe9\n")


def test_a_complaint_of_an_error_leaves_out_its_number(capsys):
    for error in (OSError(30, "Read-only file system", "a\nb"), OSError("two\nlines")):
        console.complain(error)
    assert capsys.readouterr().err == ("srez: Read-only file system: 'a\\nb'\nsrez: two lines\n")


def test_without_a_place_for_temporary_files_it_is_said_what_to_do(monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: ["/nonexistent"])
    with pytest.raises(OSError, match="No usable .*'/nonexistent'.*: set TMPDIR to a folder with"):
        console.load_tensorflow()


def test_no_garbage_is_looked_for_while_tensorflow_comes_and_then_as_before(monkeypatch):
    seen = []
    monkeypatch.setattr("importlib.import_module", lambda _: seen.append(gc.isenabled()))
    for restore in (gc.disable, gc.enable):
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
        restore()
        console.load_tensorflow()
        assert seen.pop() is False and gc.isenabled() is (restore is gc.enable)


@pytest.mark.parametrize(("level", "imports"), [("3", 1), ("0", 0)])
def test_what_a_program_that_uses_srez_starts_is_as_quiet_as_it(monkeypatch, capfd, level, imports):
    imported = []

    def noisy(name):
        imported.append(name)
        os.write(2, b"noise")

    monkeypatch.setattr("importlib.import_module", noisy)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
    console.load_tensorflow()
    assert len(imported) == imports and capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (4.31, "4.3 s"),
        (59.7, "1 min"),
        (210, "3 min 30 s"),
        (1200, "20 min"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
    ],
)
def test_a_time_in_words(seconds, words):
    assert duration(seconds) == words


@pytest.fixture
def clone(here, monkeypatch):
    """A clone that is the folder where the test runs, with an environment that isn't activated."""
    (here / "requirements").mkdir()
    (here / "requirements" / "face.txt").touch()
    (here / ".venv" / "bin").mkdir(parents=True)
    for name in ("python", "python3", "srez"):
        (here / ".venv" / "bin" / name).touch(0o755)
    monkeypatch.setattr(sys, "prefix", str(here / ".venv"))
    monkeypatch.setattr(sys, "executable", str(here / ".venv/bin/python"))
    monkeypatch.setattr(console, "MAIN", here / "srez_main.py")
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    return here


def _activate(monkeypatch, clone):
    monkeypatch.setenv("VIRTUAL_ENV", str(clone / ".venv"))
    monkeypatch.setenv("PATH", f"{clone / '.venv/bin'}:{os.environ['PATH']}")


def test_a_command_is_as_it_has_to_be_typed(clone, monkeypatch):
    assert console.command("--run demo") == ".venv/bin/python srez_main.py --run demo"
    pip = ".venv/bin/python -m pip install"
    assert console.install("face.txt") == f"{pip} -r requirements/face.txt"
    assert console.install("'tensorflow[and-cuda]'") == f"{pip} 'tensorflow[and-cuda]'"
    monkeypatch.setenv("VIRTUAL_ENV", str(clone / ".venv"))
    assert console.command("--run demo") == "python3 srez_main.py --run demo"


@pytest.mark.parametrize("name", ["python", "python3"])
def test_an_activated_python_is_called_as_the_user_called_it(clone, monkeypatch, name):
    _activate(monkeypatch, clone)
    monkeypatch.setattr(sys, "executable", str(clone / ".venv/bin" / name))
    assert console.command("--run demo") == f"{name} srez_main.py --run demo"


@pytest.mark.parametrize("typed", [".venv/bin/srez", "{}/.venv/bin/srez"])
def test_the_command_that_pip_made_is_named_as_the_shell_finds_it(clone, monkeypatch, typed):
    monkeypatch.setattr(sys, "argv", [typed.format(clone), "--run", "train"])
    assert console.command("--run demo") == ".venv/bin/srez --run demo"
    assert console.program() == sys.argv[:1]
    _activate(monkeypatch, clone)
    assert console.command("--run demo") == "srez --run demo"


@pytest.mark.parametrize(
    ("spec", "name"), [("srez_main", "srez_main"), ("srez.__main__", "srez"), ("pytest", None)]
)
def test_a_module_is_named_as_python_was_told_it(clone, monkeypatch, spec, name):
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", Mock())
    sys.modules["__main__"].__spec__.name = spec
    program = f"-m {name}" if name else "srez_main.py"
    assert console.command("--run demo") == f".venv/bin/python {program} --run demo"


def test_far_from_a_clone_srez_is_a_module_and_a_file_of_requirements_an_extra(clone, monkeypatch):
    monkeypatch.setattr(console, "MAIN", clone / "site-packages" / "srez_main.py")
    assert console.command("--run demo") == ".venv/bin/python -m srez --run demo"
    assert console.install("face.txt") == '.venv/bin/python -m pip install "srez[face]"'


def test_in_a_terminal_long_lines_are_broken_between_words_and_nowhere_else(tmp_path):
    code = "say('one two-three four five\\n\\n  six seven\\n  python3 -m srez --run demo');"
    code += "complain('it is a/long/name/of-one')"
    command = [sys.executable, "-c", SPEAK + code]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "16"}
    ours, theirs = os.openpty()
    with open(ours, "rb", buffering=0) as terminal:
        subprocess.run(command, stdout=theirs, stderr=theirs, env=environment, check=True)
        os.close(theirs)
        shown = terminal.read(4096).decode().replace("\r", "")
    lines = ["one two-three", "  four five", "", "  six seven"]
    lines += ["  python3 -m srez --run demo", "srez: it is"]  # a command, to be copied
    assert shown.splitlines() == [*lines, "  a/long/name/of-one"]
    process = subprocess.run(command, capture_output=True, env=environment, check=True, text=True)
    plain = "one two-three four five\n\n  six seven\n  python3 -m srez --run demo\n"
    assert process.stdout == plain


def test_the_end_of_a_bar_is_written_at_once(tmp_path):
    with open(tmp_path / "stderr", "w") as stream:
        assert console.Console(stream, "stderr").write("100%\r") == 5
        assert (tmp_path / "stderr").read_bytes() == b"100%\r"
