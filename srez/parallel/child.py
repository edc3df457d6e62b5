"""Child processes whose lines are passed on with a name in front, and that outlive nobody."""

import collections
import contextlib
import os
import signal
import subprocess
import sys
import threading

LAST_LINES = 20  # of a child that are kept, to show why it ended

# Waits for a line; at the end of the input instead, its parent is gone without a word. Then it asks
# the processes $1 to end, and after $0 seconds kills all that is left of the groups $2.
GUARD = """read -r _ && exit
kill -s TERM $1
sleep "$0"
kill -s KILL -- $2"""

_console = threading.Lock()


class Child:
    """A running process, in a process group of its own, so that only we pass Ctrl-C on to it.

    Its output goes to ours line by line, with "[name] " in front. As a context manager it is
    killed at the end, with whatever it started.
    """

    def __init__(self, name, command, environment=None, cores=None):
        """Starts `command`, with `environment` added to ours, bound to the set `cores` if given."""
        self.name = name
        self.last = collections.deque(maxlen=LAST_LINES)
        with _bound_to(cores) if cores else contextlib.nullcontext():
            self.process = subprocess.Popen(
                command,
                env=os.environ | {"PYTHONUNBUFFERED": "1"} | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                process_group=0,
            )
        self.streams = [self.process.stdout, self.process.stderr]
        self._readers = [
            threading.Thread(target=self._pass_on, args=pair, daemon=True)
            for pair in zip(self.streams, (sys.stdout, sys.stderr), strict=True)
        ]
        for reader in self._readers:
            reader.start()

    def _pass_on(self, stream, console):
        for line in stream:
            line = line.rstrip("\n")
            self.last.append(line)
            with _console:
                console.write(f"[{self.name}] {line}\n")
                console.flush()

    @property
    def status(self):
        """The exit status as shells give it, 128 + number after a signal; None while it runs."""
        code = self.process.poll()
        return code if code is None or code >= 0 else 128 - code

    @property
    def ended(self):
        """How it ended, in words."""
        code = self.process.poll()
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with status {code}"

    def send(self, number):
        """Sends the signal `number`, and SIGKILL to its whole group; nothing if it has ended."""
        if number == signal.SIGKILL:
            # On macOS a group of nothing but dead processes is not ours to signal.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def drain(self):
        """Waits until the lines of an ended child are passed on, unless a heir holds them open."""
        for reader in self._readers:
            reader.join(timeout=2)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.send(signal.SIGKILL)
        self.process.wait()
        self.drain()


@contextlib.contextmanager
def guarded(children, kill_after):
    """A guard who lives on when this process is killed, and then ends the children.

    They get SIGTERM and `kill_after` seconds to save; then they are killed. Meanwhile the guard
    holds their output open, since who saves also prints.
    """
    pids = " ".join(str(child.process.pid) for child in children)
    groups = " ".join(f"-{child.process.pid}" for child in children)
    guard = subprocess.Popen(
        ["/bin/sh", "-c", GUARD, str(kill_after), pids, groups],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[stream.fileno() for child in children for stream in child.streams],
        process_group=0,
    )
    try:
        yield
    finally:
        guard.communicate(b"\n")


@contextlib.contextmanager
def _bound_to(cores):
    """Binds this thread to `cores` for a while; a process started meanwhile inherits that."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
