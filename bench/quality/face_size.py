"""Measures from which size on a face is better off with the larger network in the box.

python3 -m bench.quality.face_size DATASET: COUNT test faces are brought to the SIDES, as they would
be in a photo, taken out of it, and enlarged by both networks. Results are compared with the truth
at 128 pixels. Writes bench/results/face_size.csv and draws docs/face_size.svg. Needs
requirements/bench.txt and requirements/face.txt.
"""

import sys

import matplotlib.pyplot
import numpy as np
from PIL import Image

from bench.shared import load_faces, measured, save_chart, write_table
from srez.options import Options
from srez.photo.align import align_face, eyes_of_box
from srez.pictures.image import to_uint8
from srez.pictures.resize import shrink
from srez.quality.descriptors import descriptors
from srez.run.weights import BOX_SIZES, Networks, upscale
from srez_model import SCALE

COUNT = 300  # a Frechet distance needs more faces than a descriptor has numbers, twice
SIDES = (12, 16, 20, 24, 28, 32, 40, 48, 64, 96)  # pixels
TRUTH = BOX_SIZES[-1]
PANELS = ("PSNR, dB", "identity distance", "Frechet face distance")


def main(dataset):
    """Measures, writes the table, draws the chart."""
    options = Options(dataset=dataset, weights="shipped", sample_size=TRUTH)
    high_res = load_faces(options)[:COUNT]
    truth, networks, rows = descriptors(to_uint8(high_res)), Networks(options), []
    for side in SIDES:
        faces = to_uint8(np.asarray(shrink(high_res, side)))
        for name, images in _enlarged(faces, networks):
            low_res = np.asarray(shrink(high_res, TRUTH // SCALE))
            psnr, *_, identity, frechet = measured(images, low_res, high_res, truth)
            rows.append((name, side, psnr, identity, frechet))
            print(*rows[-1], flush=True)
    write_table("face_size", ("enlarged by", "side", *PANELS), rows)
    _draw(rows)


def _enlarged(faces, networks):
    """Yields (name, uint8 images [N, 128, 128, 3]) of faces uint8 [N, side, side, 3]."""
    side = faces.shape[1]
    yield "bicubic", _resized(faces)
    for size in BOX_SIZES:
        eyes = eyes_of_box(0, 0, side)
        low_res = np.stack([align_face(face, eyes, size // SCALE) for face in faces])
        [generator] = networks.of(size, networks.consistent(size, lambda: False))
        yield f"{size} pixels", _resized(to_uint8(upscale(generator, low_res)))


def _resized(images):
    size, bicubic = (TRUTH, TRUTH), Image.Resampling.BICUBIC
    return np.stack([np.asarray(Image.fromarray(image).resize(size, bicubic)) for image in images])


def _draw(rows):
    chart, axes = matplotlib.pyplot.subplots(1, 3, figsize=(11, 3.5), layout="constrained")
    for column, (axis, title) in enumerate(zip(axes, PANELS, strict=True), 2):
        for name in dict.fromkeys(row[0] for row in rows):
            points = [(row[1], row[column]) for row in rows if row[0] == name]
            axis.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
        axis.set(title=title, xlabel="side of the face, pixels", xscale="log")
        axis.set_xticks(SIDES[::2], map(str, SIDES[::2]))
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].legend()
    save_chart("face_size", chart)


if __name__ == "__main__":
    main(*sys.argv[1:])
