"""Several workers on this machine: a process each, watched until all have ended."""

import contextlib
import json
import os
import signal
import socket
import sys
import time

from srez.console import complain
from srez.parallel.child import Child, guarded

GRACE = 60  # seconds in which a worker notices by itself that another one is gone
KILL_AFTER = 60  # seconds from SIGTERM to SIGKILL: a batch, and a checkpoint to a slow disk
POLL = 0.05  # seconds between two looks at the workers
STOPPED = {128 + signal.SIGINT, 128 + signal.SIGTERM}  # statuses of a worker that saved and ended


def launch(command, workers, cores=0, *, grace=GRACE, kill_after=KILL_AFTER):
    """Runs `command`, a list of words, once for each of `workers`, as one cluster by TF_CONFIG.

    Worker 0 is the chief. With `cores` each worker is bound to that many cores of its own. If one
    dies, the others get `grace` seconds, then SIGTERM, and `kill_after` seconds later SIGKILL.
    SIGINT and SIGTERM are passed on to the workers; a second one kills them.

    Returns:
        The exit status: 0 if all workers ended so, else that of the first that did not.

    Raises:
        OSError: there are too few cores, this process is a worker itself, or one can't be started.
    """
    if os.environ.get("TF_CONFIG"):
        raise OSError(
            f"--workers={workers} starts processes on this machine, but by TF_CONFIG this process "
            "is one of several already: leave --workers and --cores out"
        )
    shares = _shares(workers, cores)
    with _Signals() as signals, contextlib.ExitStack() as stack:
        trainers = [
            stack.enter_context(Child(str(index), command, {"TF_CONFIG": config}, share))
            for index, (config, share) in enumerate(zip(_tf_configs(workers), shares, strict=True))
        ]
        with guarded(trainers, kill_after):
            first = _watch(trainers, signals, grace, kill_after)
        if len(signals.came) > 1:
            complain("killed all workers; what they had not saved is lost")
            return 128 + signals.came[-1]
        return _report(first) if first else 0


def _shares(workers, cores):
    """The set of cores for each worker; None for all of them."""
    if not cores:
        return [None] * workers
    if not hasattr(os, "sched_setaffinity"):
        raise OSError("--cores needs Linux: this system binds no process to cores; leave it out")
    ours = sorted(os.sched_getaffinity(0))
    if workers * cores > len(ours):
        raise OSError(
            f"--workers={workers} with --cores={cores} needs {workers * cores} cores, and "
            f"{len(ours)} are there: lower one of them"
        )
    return [set(ours[index * cores : (index + 1) * cores]) for index in range(workers)]


def _tf_configs(workers):
    """TF_CONFIG for each worker, in tf.distribute's format."""
    addresses = [f"localhost:{port}" for port in free_ports(workers)]
    for index in range(workers):
        task = {"type": "worker", "index": index}
        yield json.dumps({"cluster": {"worker": addresses}, "task": task})


def free_ports(count):
    """Distinct ports on which nobody listens; they are ours no longer, so use them at once."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("", 0))
        return [each.getsockname()[1] for each in sockets]


def _watch(trainers, signals, grace, kill_after):
    """Waits until all trainers have ended; returns the process that failed first, or None."""
    first, passed_on, ultimatums = None, 0, []
    while True:
        living = [child for child in trainers if child.status is None]
        if not first:
            first = next((child for child in trainers if child.status), None)
            if first and living:
                complain(f"{_who(first)} {first.ended}; the others get {grace:g} seconds to end")
                now = time.monotonic()
                ultimatums = [
                    (now + grace, signal.SIGTERM),
                    (now + grace + kill_after, signal.SIGKILL),
                ]
        if not living:
            return first
        for number in signals.came[passed_on:]:
            _send(living, number if passed_on == 0 else signal.SIGKILL)
            passed_on += 1
        if ultimatums and time.monotonic() > ultimatums[0][0]:
            _, number = ultimatums.pop(0)
            # To a worker that is about to save, a second SIGTERM would say to leave at once.
            if not (signals.came and number == signal.SIGTERM):
                complain(f"{', '.join(map(_who, living))} still there: sending {number.name}")
                _send(living, number)
        time.sleep(POLL)


def _send(children, number):
    for child in children:
        child.send(number)


def _report(first):
    """Says on stderr why all has ended; returns the exit status."""
    if first.status in STOPPED:
        complain(f"{_who(first)} was asked to end, and all have ended: the same command goes on")
        return first.status
    first.drain()
    complain(f"{_who(first)} {first.ended}" + ("; its last lines:" if first.last else ""))
    for line in first.last:
        print(f"    {line}", file=sys.stderr)
    if first.status > 128:
        complain("the same command starts all again, from the last checkpoint")
    return first.status or 1


def _who(child):
    return f"worker {child.name}"


class _Signals:
    """The SIGINTs and SIGTERMs of a with statement, in `came`, instead of their usual effect.

    And if nobody reads our output any more (| head), we end, and the guard ends the workers.
    """

    def __init__(self):
        self.came = []

    def __enter__(self):
        self._previous = {
            signal.SIGINT: signal.signal(signal.SIGINT, self._note),
            signal.SIGTERM: signal.signal(signal.SIGTERM, self._note),
            signal.SIGPIPE: signal.signal(signal.SIGPIPE, signal.SIG_DFL),
        }
        return self

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number, _):
        self.came.append(number)
