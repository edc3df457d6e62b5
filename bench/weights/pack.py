"""Packs a dataset for bench.weights.gpu: python3 -m bench.weights.pack DATASET FILE.

DATASET are CelebA's aligned pictures. FILE, a .npz, gets the JPEG blocks of its training and
validation pictures in which all boxes lie, cut without loss; resampling as matrices; and the odds
of srez.pictures.degrade. Needs jpegtran (Debian: libjpeg-turbo-progs).
"""

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf

from bench.shared import split_of
from srez.console import say
from srez.options import Options
from srez.pictures import degrade
from srez.pictures.geometry import BOX_LEFT, BOX_TOP
from srez.pictures.pairs import MARGIN_SIDE, WIGGLE
from srez.run.weights import BOX_SIZES
from srez_model import SCALE

MCU = 16  # pixels: JPEG with halved colours is cut without loss along such lines
ODDS = ("SMALLER", "SMALLEST", "NOISY", "MAX_NOISE", "PACKED", "QUALITIES")


def main(dataset, path):
    """Packs, and says how large the file is."""
    source, split = split_of(Options(dataset=dataset))
    arrays = {name: getattr(degrade, name) for name in ODDS} | {"MARGIN_SIDE": MARGIN_SIDE}
    for name in ("train", "validation"):
        with ThreadPoolExecutor() as pool:
            files = list(pool.map(lambda number: _cut(source.read(number)), getattr(split, name)))
        arrays[name] = np.frombuffer(b"".join(files), np.uint8)
        arrays[f"{name}_ends"] = np.cumsum([len(file) for file in files])
    for size in BOX_SIZES:
        arrays[f"matrices{size}"] = _matrices(size)
    np.savez(path, **arrays)
    say(f"Wrote {path}, {Path(path).stat().st_size / 1e6:.0f} MB.")


def _cut(data):
    """The last MARGIN_SIDE rows and columns of what is left are srez.pictures.pairs' crop."""
    left, top = BOX_LEFT - WIGGLE, BOX_TOP - WIGGLE
    width, height = left % MCU + MARGIN_SIDE, top % MCU + MARGIN_SIDE
    window = f"{width}x{height}+{left // MCU * MCU}+{top // MCU * MCU}"
    command = ("jpegtran", "-copy", "none", "-optimize", "-progressive", "-crop", window)
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return subprocess.run((*command, file.name), check=True, capture_output=True).stdout


def _matrices(size):
    """How a side is resampled, [kernels, first sides, size / 4, size]: degrade._resampled's."""
    low = size // SCALE
    columns = tf.eye(size)[:, :, None, None]  # a picture of one column for each place in it

    def matrix(method, first):
        image = tf.image.resize(columns, (first, 1), method, antialias=method != "area")
        return tf.transpose(tf.image.resize(image, (low, 1), "bicubic")[:, :, 0, 0])

    firsts = range(round(degrade.SMALLEST * low), low + 1)
    return np.stack([[matrix(method, first) for first in firsts] for method in degrade.KERNELS])


if __name__ == "__main__":
    main(*sys.argv[1:])
