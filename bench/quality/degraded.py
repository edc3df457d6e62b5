"""Measures weights on inputs that are no exact averages.

python3 -m bench.quality.degraded DATASET SIZE: SIZE is the side of the results, 64 or 128, of the
weights in the box. Each test picture is made smaller in five ways, as in a small face of a photo.
Writes bench/results/degradedSIZE.csv, a row for each way and what enlarges it, the means of all
figures, exactSIZE.csv, how many of them --consistent auto takes for averages, and a sheet of each
way for skimage's astronaut, docs/degradedSIZE.webp. A third argument is the --checkpoint_dir of a
run to measure in their place, whose rows are printed only. Needs requirements/bench.txt and
requirements/face.txt.
"""

import io
import sys

import numpy as np
import skimage.data
from PIL import Image

from bench.shared import ROOT, load_faces, measured, write_table
from srez.options import Options
from srez.photo.align import align_face
from srez.photo.prepare import looks_exact
from srez.pictures.geometry import interpolate, shrink
from srez.pictures.grid import titled_grid
from srez.pictures.image import eight_bit, to_uint8, write_image
from srez.quality.descriptors import descriptors, find_faces
from srez.quality.metrics import TITLES
from srez.run.weights import choose_weights, load_generator, upscale
from srez_model import SCALE

NOISE = 5.0  # levels, the standard deviation
QUALITY = 75  # of JPEG, with colours halved: Pillow's default


def main(dataset, size, checkpoint_dir=None):
    """Measures, writes the table and the sheet."""
    size = int(size)
    flags = {"weights": "ema", "checkpoint_dir": checkpoint_dir} if checkpoint_dir else {}
    options = Options(dataset=dataset, sample_size=size, **{"weights": "shipped"} | flags)
    high_res = load_faces(options)
    if not checkpoint_dir:
        _judge(high_res, size)
    truth, rows = descriptors(to_uint8(high_res)), []
    for way, low_res in ways(high_res):
        for name, images in enlarged(low_res, options, is_exact=way == "averages"):
            rows.append((way, name, *measured(images, low_res, high_res, truth)))
            print(*rows[-1], flush=True)
    if not checkpoint_dir:
        write_table(f"degraded{size}", ("made smaller by", "enlarged by", *TITLES), rows)
        _draw(options)


def _judge(high_res, size):
    """Of how many of 100 inputs --consistent auto says that they are exact averages."""
    rows = []
    for way, low_res in ways(high_res):
        rows.append((way, round(100 * np.mean([looks_exact(image) for image in low_res]), 1)))
        print(*rows[-1], flush=True)
    write_table(f"exact{size}", ("made smaller by", "taken for averages, of 100"), rows)


def ways(high_res):
    """Yields (name, low_res): images [N, S, S, 3] in [0, 1] made smaller in five ways, 8 bits."""
    side = high_res.shape[1] // SCALE
    averages = np.asarray(shrink(high_res, side))
    noise = np.random.default_rng(0).normal(0.0, NOISE / 255, averages.shape)
    images = [Image.fromarray(image) for image in to_uint8(high_res)]

    def resampled(kernel):
        return np.stack([np.asarray(image.resize((side, side), kernel)) for image in images]) / 255

    yield "averages", eight_bit(averages)
    yield f"JPEG, quality {QUALITY}", np.stack([packed(image) for image in to_uint8(averages)])
    yield f"noise of {NOISE:g} levels", eight_bit(averages + noise)
    yield "Lanczos", np.float32(resampled(Image.Resampling.LANCZOS))
    yield "nearest", np.float32(resampled(Image.Resampling.NEAREST))


def enlarged(low_res, options, is_exact):
    """Yields (name, uint8 images) of bicubic interpolation and of both ends of the fidelity.

    For a network without ends, of the original recipe, these are --consistent on and off.
    """
    yield "bicubic", to_uint8(np.asarray(interpolate(low_res)))
    rest = {"consistent": "on" if is_exact else "off"}
    ends = {f"fidelity {value:g}": rest | {"fidelity": value} for value in (0.0, 1.0)}
    if not choose_weights(options.checkpoint_dir, options.weights, options.sample_size).has_ends:
        ends = {f"consistent {value}": {"consistent": value} for value in ("on", "off")}
    for name, flags in ends.items():
        generator, _ = load_generator(Options(**vars(options) | flags))
        yield name, to_uint8(upscale(generator, low_res))


def packed(image):
    """An image uint8 [H, W, 3] as it comes back from JPEG, float32 in [0, 1]."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=QUALITY)
    return np.asarray(Image.open(file), np.float32) / np.float32(255)


def _draw(options):
    """A row for each way: nearest, bicubic, both fidelities, truth."""
    photo = skimage.data.astronaut()
    truth = align_face(photo, find_faces(photo)[0], options.sample_size)[None]
    rows = []
    for way, low_res in ways(truth):
        images = dict(enlarged(low_res, options, is_exact=way == "averages"))
        rows.append({"input": interpolate(low_res, "nearest")} | images | {"truth": truth})
    columns = {
        title: np.concatenate([to_uint8(np.asarray(row[title])) for row in rows])
        for title in rows[0]
    }
    path = ROOT / "docs" / f"degraded{options.sample_size}.webp"
    write_image(path, titled_grid(columns, magnify=128 // options.sample_size))


if __name__ == "__main__":
    main(*sys.argv[1:])
