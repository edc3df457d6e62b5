"""Measures the weights in the box over --fidelity: python3 -m bench.fidelity DATASET OUTPUT.

A row per fidelity in OUTPUT, a CSV file: the means of all figures on the dataset's test pictures.
"""

import csv
import sys

import numpy as np

from srez.console import say
from srez.data.source import open_source
from srez.data.split import split_source
from srez.files import atomic_path
from srez.options import Options
from srez.pictures.image import to_uint8
from srez.pictures.load import eight_bit, load_pictures
from srez.quality.descriptors import descriptors
from srez.quality.metrics import figures, frechet_distance, identity_distance
from srez.run.weights import load_generator, upscale

FIDELITIES = (0.0, 0.25, 0.5, 0.75, 1.0)


def main(dataset, output):
    """Measures and writes the rows."""
    options = Options(dataset=dataset, weights="shipped")
    source = open_source(dataset)
    split = split_source(source, options.test_vectors, options.random_seed, options.batch_size)
    _, *pair = load_pictures(source, split.test, options.sample_size)
    low_res, high_res = map(eight_bit, pair)
    truth = descriptors(to_uint8(high_res))
    rows = []
    for fidelity in FIDELITIES:
        generator, _ = load_generator(Options(weights="shipped", fidelity=fidelity))
        images = to_uint8(upscale(generator, low_res))
        row = {"fidelity": fidelity}
        row |= {name: found.mean() for name, found in figures(images, high_res, low_res).items()}
        faces = descriptors(images)
        row["identity_distance"] = identity_distance(faces, truth).mean()
        row["frechet_distance"] = frechet_distance(faces, truth)
        rows.append({name: f"{np.float64(value):.4g}" for name, value in row.items()})
        say(rows[-1])
    with atomic_path(output) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
