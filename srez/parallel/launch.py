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

GRACE = 60  # seconds in which a worker itself notices that another one is gone
KILL_AFTER = 60  # seconds from SIGTERM to SIGKILL: for a batch, and a checkpoint to a slow disk
POLL = 0.05  # seconds between two looks at the workers
# A terminal that closes sends SIGHUP; Windows has none.
SIGNALS = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []), signal.SIGINT]
STOPPED = {128 + number for number in SIGNALS}  # statuses of a worker that saved and ended


def launch(command, workers, *, grace=GRACE, kill_after=KILL_AFTER):
    """Runs `command`, a list of words, in so many `workers`, and makes them one cluster.

    If one dies, the others get `grace` seconds, then SIGTERM, and `kill_after` seconds later
    SIGKILL. SIGNALS are passed on to the workers; a second one kills them.

    Returns the exit status: 0 if that of all workers is 0, else that of the first which failed.
    Raises OSError if this process is a worker, or if none can start.
    """
    if os.name == "nt":
        raise OSError(f"--workers={workers} needs Linux or macOS: leave it out")
    if os.environ.get("TF_CONFIG"):
        raise OSError(
            f"--workers={workers} starts processes on this machine, but TF_CONFIG says that this "
            "one belongs to a cluster already: leave out --workers"
        )
    addresses = [f"localhost:{port}" for port in free_ports(workers)]
    trainers = []
    came = []
    with handled(lambda number, _: came.append(number)), contextlib.ExitStack() as stack:
        for index in range(workers):
            task = {"type": "worker", "index": index}
            config = json.dumps({"cluster": {"worker": addresses}, "task": task})
            child = Child(str(index), command, {"TF_CONFIG": config})
            trainers.append(stack.enter_context(child))
        with guarded(trainers, kill_after):
            first = _watch(trainers, came, grace, kill_after)
        if len(came) > 1:
            complain("killed all workers; what they had not saved is lost")
            return 128 + came[-1]
        return _report(first) if first else 0


def heeded():
    """The SIGNALS to heed: all, but for a SIGHUP that is ignored from the start (nohup)."""
    return [
        number
        for number in SIGNALS
        if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN
    ]


@contextlib.contextmanager
def handled(handler):
    """The SIGNALS to heed go to a handler, instead of their usual effect."""
    previous = {number: signal.signal(number, handler) for number in heeded()}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


def free_ports(count):
    """Distinct ports on which nobody listens. Use them at once: nothing keeps others out."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("", 0))
        return [each.getsockname()[1] for each in sockets]


def _watch(trainers, came, grace, kill_after):
    """Waits until all trainers have ended; returns the first that failed, or None."""
    first, passed_on, ultimatums = None, 0, []
    while True:
        living = [child for child in trainers if child.status is None]
        if not first:
            first = next((child for child in trainers if child.status), None)
            if first and living and len(came) < 2:  # else all are being killed
                complain(
                    f"worker {first.name} {first.ended}; the others get {grace:g} seconds to end"
                )
                end = time.monotonic() + grace
                ultimatums = [(end, signal.SIGTERM), (end + kill_after, signal.SIGKILL)]
        if not living:
            return first
        for number in came[passed_on:]:
            for child in living:
                child.send(number if passed_on == 0 else signal.SIGKILL)
            passed_on += 1
        if ultimatums and time.monotonic() > ultimatums[0][0]:
            _, number = ultimatums.pop(0)
            # A second SIGTERM would tell a worker that is just saving to leave at once.
            if not (came and number == signal.SIGTERM):
                names = ", ".join(f"worker {child.name}" for child in living)
                complain(f"{names} still there: sending {number.name}")
                for child in living:
                    child.send(number)
        time.sleep(POLL)


def _report(first):
    """Says why all have ended; returns the exit status."""
    if first.status in STOPPED:
        complain(
            f"all workers have ended, as worker {first.name} was asked to: the same command goes on"
        )
        return first.status
    first.drain()
    complain(f"worker {first.name} {first.ended}" + ("; its last lines:" if first.last else ""))
    for line in first.last:
        print(f"    {line}", file=sys.stderr)
    if first.status > 128:
        complain("the same command starts all again, from the last checkpoint")
    return first.status or 1
