"""The built-in sample faces: drawn, not photographed, for training without any download."""

import concurrent.futures
import functools
import multiprocessing
import shutil
import tempfile
from pathlib import Path

import numpy as np

from srez.drawn.portrait import draw_portrait

NOTICE = """\
*** No dataset: training on the built-in sample faces, which are drawn, not photographed.
*** For real ones get img_align_celeba.zip (https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html)
*** and give --dataset=img_align_celeba.zip, or unpack it into dataset/."""
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
        # Not forked: TensorFlow's threads may run in this process.
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(mp_context=context) as pool:
            list(pool.map(functools.partial(_save_face, drawn, seed), range(count), chunksize=50))
        _take_the_place(drawn, folder, count)
    return folder


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


def _save_face(folder, seed, index):
    draw_face(seed, index).save(Path(folder, f"{index:06d}.jpg"), quality=95)
