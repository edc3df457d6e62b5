"""Child processes: their lines get a name in front, and none of them outlives its parent."""

import collections
import contextlib
import os
import signal
import subprocess
import sys
import threading

LAST_LINES = 20  # of a child; they are kept to show why it ended

# Waits for a line. If the input ends without one, the parent was killed. Then it asks the
# processes $1 to end, and after $0 seconds kills what is left of the groups $2.
GUARD = """read -r _ && exit
kill -s TERM $1
sleep "$0"
kill -s KILL -- $2"""

_console = threading.Lock()


class Child(contextlib.AbstractContextManager):
    """A process that runs `command`, with `environment` added to ours.

    It has a process group of its own, so that only we pass Ctrl-C on to it. Its output goes to ours
    line by line, with "[name] " in front. A context manager: at the end it is killed, with all that
    it started.
    """

    def __init__(self, name, command, environment):
        self.name = name
        self.last = collections.deque(maxlen=LAST_LINES)
        self.process = subprocess.Popen(
            command,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
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
        """Sends a signal to the process, or SIGKILL to its whole group."""
        if number == signal.SIGKILL:
            # macOS permits no signal to a group in which all processes are dead.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def drain(self):
        """Waits until an ended child's lines are passed on; 2 seconds if others hold them open."""
        for reader in self._readers:
            reader.join(timeout=2)

    def __exit__(self, *_):
        self.send(signal.SIGKILL)
        self.process.wait()
        self.drain()


@contextlib.contextmanager
def guarded(children, kill_after):
    """Starts a guard, a process that ends the children if this process is killed.

    The guard sends SIGTERM, and `kill_after` seconds later SIGKILL. It holds their output open in
    between, for a child that saves also prints.
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
