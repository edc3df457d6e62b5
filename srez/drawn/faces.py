"""The built-in sample faces: drawn, not photographed, for training without any download."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
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
    with (
        concurrent.futures.ProcessPoolExecutor(os.cpu_count(), context, _end_with_parent) as pool,
        tqdm.tqdm(total=count, unit=" faces", disable=None, dynamic_ncols=True) as bar,
    ):
        try:
            with _ctrl_c_is_for_the_parent():
                jobs = [pool.submit(_draw, folder, seed, number) for number in range(count)]
            for job in concurrent.futures.as_completed(jobs):
                job.result()
                bar.update()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _draw(folder, seed, number):
    draw_face(seed, number).save(Path(folder, f"{number:06d}.jpg"), quality=95)


def _end_with_parent():
    """Ends this process as soon as that which has started it is gone, killed for example."""

    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


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
