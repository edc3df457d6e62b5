"""Measures the weights in the box over --fidelity: python3 -m bench.quality.fidelity DATASET.

Writes bench/results/fidelity.csv, a row per fidelity and for what a network has to beat: the means
of all figures on the dataset's test pictures. Draws docs/fidelity.svg, PSNR against the Frechet
distance. Needs requirements/bench.txt and requirements/face.txt.
"""

import sys

import matplotlib.pyplot
import numpy as np

from bench.shared import measured, save_chart, split_of, write_table
from srez.options import Options
from srez.pictures.geometry import interpolate
from srez.pictures.image import eight_bit, to_uint8
from srez.pictures.pairs import load_pictures
from srez.quality.descriptors import descriptors
from srez.quality.metrics import TITLES
from srez.run.weights import load_generator, upscale
from srez_model import project

FIDELITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
ORIGINAL = ("original recipe, as it is", 22.35, 0.074)  # by --run evaluate, see docs/QUALITY.md
RIDGE = 1.0  # added to the diagonal of the inputs' squares, of 768 pixels over all faces


def main(dataset):
    """Measures, writes the table, draws the chart."""
    options = Options(dataset=dataset)
    source, split = split_of(options)
    training, pair = (
        [eight_bit(images) for images in load_pictures(source, files, options.sample_size)[1:]]
        for files in (split.train, split.test)
    )
    low_res, high_res = pair
    truth = descriptors(to_uint8(high_res))
    rows = []
    for name, images in _enlarged(low_res, _regression(*training)):
        rows.append((name, *measured(to_uint8(np.asarray(images)), *pair, truth)))
        print(*rows[-1], flush=True)
    write_table("fidelity", ("enlarged by", *TITLES), rows)
    _draw(rows)


def _enlarged(low_res, regression):
    """(name, images) of all that is compared."""
    yield "bicubic", interpolate(low_res)
    yield "bicubic, projected", project(interpolate(low_res), low_res)
    yield "linear regression, projected", project(regression(low_res), low_res)
    for fidelity in FIDELITIES:
        generator, _ = load_generator(Options(weights="shipped", fidelity=fidelity))
        yield f"fidelity {fidelity:g}", upscale(generator, low_res)


def _regression(low_res, high_res):
    """Ridge regression from all pixels of a face to all pixels of what bicubic leaves out."""

    def pixels(images):  # and a 1, for the constant
        return np.pad(images.reshape(len(images), -1), ((0, 0), (0, 1)), constant_values=1.0)

    inputs = pixels(low_res)
    targets = (high_res - interpolate(low_res)).numpy().reshape(len(high_res), -1)
    squares = inputs.T @ inputs + RIDGE * np.eye(inputs.shape[1], dtype=np.float32)
    weights = np.linalg.solve(squares, inputs.T @ targets)

    def enlarge(images):
        return interpolate(images) + (pixels(images) @ weights).reshape(-1, *high_res.shape[1:])

    return enlarge


def _draw(rows):
    chart, axis = matplotlib.pyplot.subplots(figsize=(7, 6), layout="constrained")
    curve = [row for row in rows if row[0].startswith("fidelity")]
    axis.plot([row[-1] for row in curve], [row[1] for row in curve], color="0.6", zorder=0)
    for name, psnr, *_, frechet in [*rows, ORIGINAL]:
        axis.plot(frechet, psnr, marker="o")
        axis.annotate(name, (frechet, psnr), (6, -3), textcoords="offset points", fontsize=8)
    axis.set(xlabel="Frechet face distance (less is better)", ylabel="PSNR, dB", xlim=(0, 0.14))
    axis.grid(alpha=0.3)
    save_chart("fidelity", chart)


if __name__ == "__main__":
    main(*sys.argv[1:])
