"""Packs a dataset for bench.weights.gpu: python3 -m bench.weights.pack DATASET FILE.

DATASET are JPEGs aligned as CelebA's: a zip, or several, A.zip,B.zip. FILE, a .npz, gets the blocks
of its training and validation pictures in which all boxes lie, cut without loss. Needs jpegtran
(Debian: libjpeg-turbo-progs).
"""

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from srez.console import say
from srez.data.source import open_source
from srez.data.split import MAX_VALIDATION, split_source
from srez.options import Options
from srez.pictures.geometry import BOX_LEFT, BOX_TOP
from srez.pictures.pairs import MARGIN_SIDE, WIGGLE

MCU = 16  # pixels: JPEG with halved colours is cut without loss along such lines


def main(dataset, path):
    """Packs, and says how large the file is."""
    options = Options(dataset=dataset)
    source = open_source(dataset)
    split = split_source(source, options.test_vectors, options.random_seed, options.batch_size)
    arrays = {"MARGIN_SIDE": MARGIN_SIDE}
    subsets = {"train": split.train, "validation": split.validation[:MAX_VALIDATION]}
    for name, numbers in subsets.items():
        with ThreadPoolExecutor() as pool:
            files = list(pool.map(lambda number: _cut(source.read(number)), numbers))
        arrays[name] = np.frombuffer(b"".join(files), np.uint8)
        arrays[f"{name}_ends"] = np.cumsum([len(file) for file in files])
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


if __name__ == "__main__":
    main(*sys.argv[1:])
