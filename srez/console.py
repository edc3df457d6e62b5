"""Lines to the user, whether or not somebody reads them, and TensorFlow without its own."""

import contextlib
import gc
import importlib
import os
import re
import select
import shutil
import sys
import tempfile
import textwrap
from pathlib import Path

import tqdm

_NUMBER = re.compile(r"^\[(Errno|WinError) \d+\] ")  # of an error, which tells a user nothing
MAIN = Path(__file__).parents[1] / "srez_main.py"
_WRAPPING = {"subsequent_indent": "  ", "break_long_words": False, "break_on_hyphens": False}
QUIET = "3"  # of TF_CPP_MIN_LOG_LEVEL
PATIENCE = 1.0  # seconds that a line waits for a reader who has stopped reading


def guard_console():
    """Makes stdout and stderr streams that never stop the program; see `Console`."""
    for number in range(3):  # the next file that is opened would take the place of a closed one
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name) or os.fdopen(number, "w", closefd=False)  # None if closed
        setattr(sys, name, Console(stream, name))


class Console:
    """A text stream, stdout or stderr, that leaves out what can't be written.

    After an error nothing more is written, which is said once on the other stream. While nobody
    reads, lines are left out, and then it is said how many. Characters that the stream's encoding
    lacks are escaped.
    """

    def __init__(self, stream, name):
        self._stream = stream
        self._name = name
        self._line = ""  # up to its end, or to a flush
        self._left_out = None  # lines, since the reader has stopped reading
        stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        """Writes whole lines, or leaves them out; returns the text's length."""
        self._line += text
        if text.endswith(("\n", "\r")):  # a bar ends with \r, and others write after it
            self.flush()
        return len(text)

    def flush(self):
        """Writes what there is of a line, or leaves it out."""
        text, self._line = self._line, ""
        if not self._is_read():
            self._left_out = (self._left_out or 0) + text.count("\n")
            return
        if self._left_out:
            text = f"({self._left_out} lines left out: nobody read them)\n{text}"
        self._left_out = None
        try:
            self._stream.write(text)
            self._stream.flush()
        except RuntimeError:  # a signal's handler speaks in the middle of a line
            return
        except OSError as error:
            # What is buffered goes there, too: else it would fail again at the end.
            with open(os.devnull, "w") as nowhere, contextlib.suppress(OSError):
                os.dup2(nowhere.fileno(), self._stream.fileno())
            other = sys.stderr if self._name == "stdout" else sys.stdout
            other.write(f"srez: {self._name}: {error.strerror}: going on without it\n")

    def _is_read(self):
        patience = PATIENCE if self._left_out is None else 0
        try:
            return bool(select.select([], [self._stream], [], patience)[1])
        except (OSError, ValueError):  # Windows can't tell
            return True


def say(text):
    """Prints lines to stdout at once, above a progress bar if there is one."""
    tqdm.tqdm.write(_fitted(str(text), sys.stdout), file=sys.stdout)
    sys.stdout.flush()


def complain(text):
    """Prints one line about what went wrong, a text or an error, to stderr."""
    line = " ".join(str(text).split())
    line = f"srez: {re.sub(_NUMBER, '', line)}"
    tqdm.tqdm.write(_fitted(line, sys.stderr), file=sys.stderr)
    sys.stderr.flush()


def _fitted(text, stream):
    """The text; lines that are too long for the stream's terminal are broken between words."""
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns - 1
    lines = text.split("\n")
    return "\n".join(
        line if _is_command(line) else textwrap.fill(line, width, **_WRAPPING) for line in lines
    )


def _is_command(line):
    """Whether a line is left to the terminal, which breaks it so that it can be copied."""
    return line.startswith("  ") and bool(re.search(" --run | pip install ", line))


def counted(number, noun):
    """A number and its noun, such as "1 batch", "2 batches" or "0.5 minutes"."""
    text = f"{number:,}" if isinstance(number, int) else f"{number:.3g}"
    ending = "es" if noun.endswith("tch") else "s"
    return f"{text} {noun}" + ("" if text == "1" else ending)


def duration(seconds):
    """A time in words, such as "4.3 s", "3 min 30 s", "20 min" or "2 h 5 min"."""
    if round(seconds) < 60:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h" + (f" {minutes} min" if minutes else "")
    return f"{minutes} min" + (f" {rest} s" if rest else "")


def command(words):
    """A command line of srez with these words, as its user types it here."""
    *module, script = program()
    if module:
        return f"{_python()} -m {script} {words}"
    if script == os.fspath(MAIN):
        return f"{_python()} {_from_here(MAIN)} {words}"
    return f"{_found(script) or _from_here(script)} {words}"


def program():
    """What Python has to run to start srez as this process was: a script, or -m and a module."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)  # None of a script
    name = spec.name.removesuffix(".__main__") if spec else ""
    if name in ("srez", MAIN.stem):
        return ["-m", name]
    if Path(sys.argv[0]).name == "srez":  # the command that pip has made
        return [sys.argv[0]]
    return [os.fspath(MAIN)] if MAIN.with_name("requirements").is_dir() else ["-m", "srez"]


def install(what):
    """A command line that installs a package, or what a file of requirements/ lists.

    Outside a clone there is no such file, but an extra of its name.
    """
    if what.endswith(".txt"):
        path = MAIN.with_name("requirements") / what
        what = f"-r {_from_here(path)}" if path.is_file() else f'"srez[{path.stem}]"'
    return f"{_python()} -m pip install {what}"


def _python():
    is_activated = sys.prefix in (sys.base_prefix, os.environ.get("VIRTUAL_ENV"))
    usual = "python3" if is_activated else _from_here(sys.executable)
    return _found(sys.executable) or usual


def _found(path):
    """The name of a program, if the shell finds this one by it; else None."""
    name = os.path.basename(path)
    found = shutil.which(name)
    return name if found and os.path.abspath(found) == os.path.abspath(path) else None


def _from_here(path):
    relative = os.path.relpath(path)
    return os.fspath(path) if relative.startswith(os.pardir) else relative


def need_temporary():
    """Raises OSError: there is no place for temporary files."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise OSError(f"{error.strerror}: set TMPDIR to a folder with room") from error


def load_tensorflow(verbose=False):
    """Imports TensorFlow without its start-up messages, unless the user wants them.

    TensorFlow's variable for that, TF_CPP_MIN_LOG_LEVEL, doesn't silence the first messages any
    more (https://github.com/tensorflow/tensorflow/issues/100442). So stderr is closed meanwhile.
    What other threads write to it in these seconds is lost: they had better say nothing.
    Raises OSError: there is no place for temporary files, which TensorFlow needs.
    """
    need_temporary()
    if verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0")
    # A process that was started by a program which uses srez has it from there.
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", QUIET) != QUIET:
        return  # the user has set it; the import may speak, whenever it comes
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        with uncollected():
            importlib.import_module("tensorflow")
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


@contextlib.contextmanager
def uncollected():
    """For large imports: what they make stays, and to look for garbage among it takes a tenth."""
    is_collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_collecting:
            gc.enable()
