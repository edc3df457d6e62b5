"""Lets a training suffer: python3 -m tests.soak FOLDER MINUTES, from the top folder.

Starts a small training in FOLDER again and again, each time with a fault of FAULTS. Its dataset
holds all odd and bad pictures of tests/whole/test_bad_input.py. After each fault it checks that no
whole checkpoint was lost. When the MINUTES are over it trains on to a round number of batches and
does the same training once without a fault. It compares weights and optimizer state bit for bit,
and checks that all bad pictures were left out, and no others. Prints the result as JSON.
"""

import collections
import contextlib
import itertools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import srez.drawn.faces
from srez.run.checkpoint import batch_of, is_whole, newest_checkpoint
from tests.conftest import ROOT, assert_same_bits, train_arguments
from tests.run.test_checkpoint import DAMAGES
from tests.whole.test_bad_input import BAD, GOOD

FACES = 60  # besides the odd and bad pictures
ROOM = 1 << 20  # bytes that a file may have when there is no room for a checkpoint
LONGEST = 20.0  # seconds that a run goes on before its fault; it traces in the first ten
# Each fault, and the damage of DAMAGES that it does to the newest checkpoint after that.
FAULTS = {
    "killed": None,
    "terminated, its output closed": None,
    "killed, the newest checkpoint cut off": "cut off",
    "terminated, its output on a full disk": None,
    "interrupted": None,
    "terminated, its output read by nobody": None,
    "killed while it wrote a checkpoint": None,
    "terminated, the reader of its output gone": None,
    "killed, a byte of the newest checkpoint flipped": "a flipped byte",
    "hung up": None,
    "interrupted twice": None,
    "killed, a shard of the newest checkpoint lost": "a missing shard",
    "terminated": None,
    "killed, with no room for checkpoints": None,
}
# What isn't killed: the signal that it gets in the end, and the statuses that it may end with.
ENDS = {
    "terminated": (signal.SIGTERM, {143}),
    "interrupted": (signal.SIGINT, {130}),
    "interrupted twice": (signal.SIGINT, {130, -signal.SIGINT}),
    "hung up": (signal.SIGHUP, {129}),
    "killed": (signal.SIGKILL, {-signal.SIGKILL}),
}


def main(folder, minutes):
    """Soaks, compares, prints."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # it reaches the runs under nohup, too
    folder = Path(folder).absolute()
    _draw_faces(folder / "faces")
    (folder / "soaked").mkdir()
    draws, counts, saved = random.Random(0), collections.Counter(dict.fromkeys(FAULTS, 0)), 0
    end = time.monotonic() + 60 * float(minutes)
    for fault in itertools.cycle(FAULTS):  # in turn, so that a short soak meets many kinds
        if time.monotonic() > end:
            break
        saved, fault = _suffer(folder, fault, draws, saved)
        counts[fault] += 1
        print(f"{sum(counts.values())} faults, batch {saved}: {fault}", flush=True)
    total = 10 * (saved // 10 + 2)
    for name in ("soaked", "whole"):
        (folder / name).mkdir(exist_ok=True)
        subprocess.run(_command(folder, total), cwd=folder / name, check=True)
    paths = [newest_checkpoint(folder / name / "checkpoint") for name in ("soaked", "whole")]
    assert_same_bits(*paths)
    result = {"batches": total, "faults": counts, "the same bits": True}
    print(json.dumps(result | _pictures(folder / "soaked" / "train"), indent=2))


def _draw_faces(folder):
    folder.mkdir(parents=True)
    for index in range(FACES):
        srez.drawn.faces.draw_face(0, index).save(folder / f"{index:02d}.jpg", quality=95)
    for name, content, _ in (*BAD, *GOOD):
        (folder / f"{name}.jpg").write_bytes(content)


def _pictures(train_dir):
    """How many odd and bad pictures there were, checked against those that were left out."""
    lines = (train_dir / "bad_images.txt").read_text().splitlines()
    left_out = {line.partition("\t")[0] for line in lines}
    bad = {f"{name}.jpg" for name, *_ in BAD}
    assert left_out == bad, left_out ^ bad
    return {"odd pictures taken": len(GOOD), "bad pictures left out": len(bad)}


def _command(folder, train_batches):
    flags = {"batch_size": 2, "test_vectors": 4, "train_batches": train_batches}
    flags |= {"checkpoint_period": 5, "summary_period": 20, "max_bad_images": 50}
    arguments = train_arguments(folder / "faces", **flags)
    return [sys.executable, "-u", ROOT / "srez_main.py", *arguments]


@contextlib.contextmanager
def _stdout(fault):
    """What a run writes to: a pipe, a full disk, or a full pipe that nobody reads."""
    if "full disk" in fault:
        with open("/dev/full", "wb") as full:
            yield full
    elif "nobody" in fault:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, bytes(4096))
        os.set_blocking(writer, True)
        yield writer
        os.close(reader)
        os.close(writer)
    else:
        yield subprocess.PIPE


def _wait_until_it_trains(process, here):
    """Waits for the line that says so, or, where none can be read, for a new checkpoint."""
    before = set(here.glob("checkpoint/batch*"))
    if any(b"training, " in line for line in process.stdout or ()):
        return
    while process.poll() is None and set(here.glob("checkpoint/batch*")) <= before:
        time.sleep(0.1)


def _suffer(folder, fault, draws, saved):
    """Runs until the fault; returns the newest whole checkpoint's batch, and the fault that it was.

    The batch is `saved` or later. Without an older checkpoint it doesn't damage the newest.
    """
    here = folder / "soaked"
    end, statuses = ENDS[fault.partition(",")[0].partition(" while")[0]]
    command = _command(folder, 10**6)
    if "closed" in fault:
        command = ["sh", "-c", 'exec "$0" "$@" >&- 2>&-', *command]
    with _stdout(fault) as stdout, subprocess.Popen(command, cwd=here, stdout=stdout) as process:
        _wait_until_it_trains(process, here)
        if "reader" in fault:
            process.stdout.close()
        if fault == "killed while it wrote a checkpoint":
            while not list(here.glob("checkpoint/.writing-*")):
                time.sleep(0.001)
        else:
            if "no room" in fault:
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (ROOM, ROOM))
            time.sleep(draws.uniform(0, LONGEST))
        process.send_signal(end)
        if fault == "interrupted twice":
            time.sleep(draws.uniform(0, 1))
            process.send_signal(end)
        if process.stdout and not process.stdout.closed:
            process.stdout.read()
    assert process.returncode in statuses, process.returncode
    damage = FAULTS[fault]
    if damage:
        whole = sorted(filter(is_whole, here.glob("checkpoint/batch*")))
        if len(whole) < 2:
            fault = "killed"
        else:
            DAMAGES[damage](whole[-1])
            saved = min(saved, batch_of(whole[-2]))
    newest = newest_checkpoint(here / "checkpoint")
    batch = batch_of(newest) if newest else 0
    assert batch >= saved, f"batch {batch} after {saved}"
    return batch, fault


if __name__ == "__main__":
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    main(*sys.argv[1:])
