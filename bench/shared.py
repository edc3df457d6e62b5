"""What the benchmarks share: the test faces, their figures, tables and charts."""

import csv
from pathlib import Path

import numpy as np

from srez.data.source import open_source
from srez.data.split import split_source
from srez.pictures.image import eight_bit
from srez.pictures.pairs import load_pictures
from srez.quality.descriptors import descriptors
from srez.quality.metrics import figures, frechet_distance, identity_distance

ROOT = Path(__file__).parents[1]


def split_of(options):
    """(the source, its split) that srez.options.Options name."""
    source = open_source(options.dataset)
    return source, split_source(
        source, options.test_vectors, options.random_seed, options.batch_size
    )


def load_faces(options):
    """The test pictures of a dataset, in 8 bits: float32 [N, S, S, 3] in [0, 1]."""
    source, split = split_of(options)
    return eight_bit(load_pictures(source, split.test, options.sample_size)[2])


def measured(images, low_res, high_res, truth):
    """The means of all figures of enlarged uint8 images, as in srez.quality.metrics.TITLES.

    `truth` are the descriptors of `high_res`, which was made smaller to `low_res`.
    """
    found = figures(images, high_res, low_res)
    faces = descriptors(images)
    distances = identity_distance(faces, truth).mean(), frechet_distance(faces, truth)
    return *(round(float(each.mean()), 4) for each in found.values()), *np.round(distances, 4)


def write_table(name, header, rows):
    """Writes bench/results/NAME.csv."""
    with open(ROOT / "bench" / "results" / f"{name}.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def save_chart(name, chart):
    """Saves Matplotlib's figure as docs/NAME.svg, the same bytes each time."""
    chart.savefig(ROOT / "docs" / f"{name}.svg", metadata={"Date": None})
