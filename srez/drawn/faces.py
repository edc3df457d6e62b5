"""The built-in sample faces: drawn, not photographed, for training without any download."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
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
LOOK_PERIOD = 0.2  # seconds, between two looks at how far they are
_OS_ERROR = 100  # an exit status from here on is an OSError's number, more than that


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
    """Draws the faces in a process per core. None of them outlives this one."""
    # Not forked: TensorFlow's threads may run in this process.
    context = multiprocessing.get_context("spawn")
    shares = [range(first, count, os.cpu_count()) for first in range(os.cpu_count())]
    processes = [context.Process(target=_draw, args=(folder, seed, share)) for share in shares]
    try:
        with _ctrl_c_is_for_the_parent():
            for process in processes:
                process.start()
        _wait_for(processes, folder, count)
        for process in processes:
            number = process.exitcode - _OS_ERROR
            if number > 0:
                raise OSError(number, os.strerror(number), str(folder.parent))
            if process.exitcode:
                raise RuntimeError(f"a process that draws ended with status {process.exitcode}")
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()


def _wait_for(processes, folder, count):
    """Waits for processes that draw so many faces into the folder, with a bar in a terminal."""
    with tqdm.tqdm(total=count, unit=" faces", disable=None, dynamic_ncols=True) as bar:
        for process in processes:
            while process.is_alive():
                process.join(LOOK_PERIOD)
                bar.update(len(list(folder.glob("*.jpg"))) - bar.n)


def _draw(folder, seed, numbers):
    """Draws faces into the folder, while the parent lives."""
    try:
        for number in numbers:
            if not multiprocessing.parent_process().is_alive():
                return
            draw_face(seed, number).save(Path(folder, f"{number:06d}.jpg"), quality=95)
    except OSError as error:
        sys.exit(_OS_ERROR + error.errno)


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
