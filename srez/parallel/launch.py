"""A cluster on this machine, to try one: srez/parallel/launch.py --workers 2 -- --run train ...

Runs srez_main.py --workers times, with all behind -- as its options and TF_CONFIG set.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

from srez.parallel.child import Child, guarded

HERE = Path(__file__).parents[2]
PROGRAM = (sys.executable, str(HERE / "srez_main.py"))
GRACE = 60  # seconds in which a trainer notices by itself that another one is gone
KILL_AFTER = 60  # seconds from SIGTERM to SIGKILL: a batch, and a checkpoint to a slow disk
POLL = 0.05  # seconds between two looks at the children
STOPPED = {128 + signal.SIGINT, 128 + signal.SIGTERM}  # statuses of who was asked to end, and saved


def launch(
    arguments,
    workers,
    cores=None,
    *,
    program=PROGRAM,
    grace=GRACE,
    kill_after=KILL_AFTER,
):
    """Runs `program` with `arguments` once for each of `workers`, as one cluster on this machine.

    Worker 0 is the chief. With `cores` each worker is bound to that many cores of its own. If one
    dies, the others get `grace` seconds, then SIGTERM, and `kill_after` seconds later SIGKILL.
    SIGINT and SIGTERM are passed on to the workers; a second one kills them.

    Returns:
        The exit status: 0 if all workers ended so, else that of the first that did not.

    Raises:
        OSError: there are too few cores, or a process can't be started.
    """
    shares = _shares(workers, cores)
    with Signals() as signals, contextlib.ExitStack() as stack:
        trainers = [
            stack.enter_context(
                Child(str(index), [*program, *arguments], {"TF_CONFIG": config}, share)
            )
            for index, (config, share) in enumerate(zip(_tf_configs(workers), shares, strict=True))
        ]
        with guarded(trainers, kill_after):
            first = _watch(trainers, signals, grace, kill_after)
        if len(signals.came) > 1:
            _say("killed all workers; what they had not saved is lost")
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
                _say(f"{_who(first)} {first.ended}; the others get {grace:g} seconds to end")
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
                _say(f"{', '.join(map(_who, living))} still there: sending {number.name}")
                _send(living, number)
        time.sleep(POLL)


def _send(children, number):
    for child in children:
        child.send(number)


def _report(first):
    """Says on stderr why all has ended; returns the exit status."""
    if first.status in STOPPED:
        _say(f"{_who(first)} was asked to end, and all have ended: the same command goes on")
        return first.status
    first.drain()
    last = "".join(f"\n    {line}" for line in first.last)
    _say(f"{_who(first)} {first.ended}" + (f"; its last lines:{last}" if last else ""))
    if first.status > 128:
        _say("the same command starts all again, from the last checkpoint")
    return first.status or 1


def _who(child):
    return f"worker {child.name}"


class Signals:
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


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        """Ends the program as srez_main does: one line, status 2."""
        _say(f"{message}; --help lists all")
        raise SystemExit(2)


def _whole(lower):
    def parse(text):
        if not re.fullmatch(r"\d{1,9}", text) or int(text) < lower:
            raise argparse.ArgumentTypeError(
                f"expected a whole number from {lower} up, not {text!r}"
            )
        return int(text)

    return parse


def _parse(argv):
    """The options of ours, as a namespace, and the list behind --; bad ones exit with 2."""
    parser = _Parser(prog="srez/parallel/launch.py", description=__doc__, allow_abbrev=False)
    parser.add_argument("--cores", type=_whole(1), help="cores each worker is bound to")
    parser.add_argument("--workers", type=_whole(1), default=2, help="workers (default: 2)")
    end = argv.index("--") if "--" in argv else len(argv)
    options, unknown = parser.parse_known_args(argv[:end])
    arguments = argv[end + 1 :]
    given = {re.sub("=.*", "", word).lstrip("-") for word in arguments if word.startswith("-")}
    if unknown:
        parser.error(f"{unknown[0]!r} is no option here: those of srez_main.py come behind --")
    if "run" not in given:
        parser.error("no command: end with -- --run train and further options of srez_main.py")
    return options, arguments


def main(argv):
    """Runs what the command line says; returns the exit status, see `launch`; 2 if it is bad."""
    options, arguments = _parse(argv[1:])
    try:
        return launch(arguments, **vars(options))
    except OSError as error:
        _say(error)
        return 1


def _say(text):
    print("srez:", text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
