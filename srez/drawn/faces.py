"""The built-in sample faces: drawn, not photographed, for training without any download."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from multiprocessing import connection
from pathlib import Path

import numpy as np
import tqdm

from srez.console import say
from srez.drawn.portrait import draw_portrait

NOTICE = """\
*** No dataset: training on the built-in sample faces, drawn, not photographed.
*** For real ones put img_align_celeba.zip here, or name it with --dataset:
*** https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"""
VERSION = 1  # part of the folder's name: raise it when the drawing changes
COUNT = 2000
POLL = 0.2  # seconds between two looks at how many are drawn


def draw_face(seed, index):
    """Draws face number `index`: a PIL image, RGB, 178x218; the same for the same numbers."""
    return draw_portrait(np.random.default_rng([seed, index]))


def sample_faces(cache=".cache", seed=0, count=COUNT):
    """Gives the folder cache/faces-v<VERSION>-<seed> of `count` JPEGs, drawn if it isn't whole.

    They are drawn in a temporary folder, which is renamed. Raises OSError if it can't be written.
    """
    folder = Path(cache, f"faces-v{VERSION}-{seed}")
    if _is_whole(folder, count):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=".faces-", dir=folder.parent, ignore_cleanup_errors=True
    ) as temporary:
        drawn = Path(temporary, folder.name)
        drawn.mkdir()
        say(f"Drawing {count:,} sample faces, once: they are kept in {folder}.")
        _draw_all(drawn, seed, count)
        _take_the_place(drawn, folder, count)
    return folder


def _draw_all(folder, seed, count):
    """Draws the faces in a process per core. None of them outlives this one.

    Raises OSError: a face can't be written, or a process was killed.
    """
    # Not forked: TensorFlow's threads may run in this process. And no pool: a second Ctrl-C within
    # one can leave a lock held for ever (concurrent.futures takes one for each face).
    context, processes = multiprocessing.get_context("spawn"), os.cpu_count()
    errors = context.SimpleQueue()
    shares = [range(first, count, processes) for first in range(processes)]
    workers = [
        context.Process(target=_draw, args=(folder, seed, share, errors), daemon=True)
        for share in shares
    ]
    try:
        with _ctrl_c_is_for_the_parent():
            for worker in workers:
                worker.start()
        with tqdm.tqdm(total=count, unit=" faces", disable=None, dynamic_ncols=True) as bar:
            while living := [worker.sentinel for worker in workers if worker.is_alive()]:
                connection.wait(living, POLL)
                bar.update(len(os.listdir(folder)) - bar.n)
                if not errors.empty():  # the others need not go on
                    break
    finally:
        for worker in workers:
            if worker.pid:
                worker.terminate()
                worker.join()
    if not errors.empty():
        raise errors.get()
    if any(worker.exitcode for worker in workers):
        raise OSError("a process that draws sample faces was killed: start again")


def _draw(folder, seed, numbers, errors):
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        for number in numbers:
            draw_face(seed, number).save(Path(folder, f"{number:06d}.jpg"), quality=95)
    except OSError as error:
        errors.put(error)


def _end_with_parent():
    """Ends this process as soon as that which has started it is gone, killed for example."""
    multiprocessing.parent_process().join()
    os._exit(1)


@contextlib.contextmanager
def _ctrl_c_is_for_the_parent():
    """A process that is started inside never sees SIGINT (not on Windows)."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker  # Windows has none

    resource_tracker.ensure_running()  # it lets SIGINT through again when it is first started
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _take_the_place(drawn, folder, count):
    """Renames the folder `drawn` to `folder`, unless another process was faster."""
    try:
        if not _is_whole(folder, count):
            shutil.rmtree(folder, ignore_errors=True)
            drawn.rename(folder)
    except OSError:
        if not _is_whole(folder, count):
            raise


def _is_whole(folder, count):
    return len(list(folder.glob("*.jpg"))) == count
