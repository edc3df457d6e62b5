"""Compares bfloat16 with float32: python3 -m bench.precision DATASET FOLDER.

Trains 1,000 batches with two seeds in each precision, in folders like FOLDER/float32-0. Measures
PSNR and LR-PSNR of the averaged weights on the test pictures at batch 500, 600, 650, ... 1,000.
What is measured already is not trained again. Writes bench/results/precision.csv and the chart
docs/precision.svg, and prints the means from batch 600 on. Needs requirements/bench.txt.
"""

import csv
import dataclasses
import statistics
import sys
from pathlib import Path

import srez_train
from bench.ema import draw, mean_figures, write_table
from srez.data.source import open_source
from srez.data.split import split_source
from srez.options import Options
from srez.pictures.image import to_uint8
from srez.pictures.load import eight_bit, load_pictures
from srez.run.weights import load_generator, upscale

BATCHES = (500, *range(600, 1001, 50))
FIRST = 600  # the first batch that counts
RUNS = [(precision, seed) for precision in ("float32", "bfloat16") for seed in (0, 1)]
COLOURS = {"float32": "#1f5fa8", "bfloat16": "#c4541d"}
FIGURES = ("psnr", "lr_psnr")


def main(dataset, folder):
    """Trains and measures what is missing, then writes the table and the chart."""
    curves = {run: _curve(dataset, Path(folder), *run) for run in RUNS}
    rows = [(*run, *row) for run, curve in curves.items() for row in curve]
    write_table("precision", ("precision", "seed", "batch", *FIGURES), rows)
    lines = {}
    for (precision, seed), curve in curves.items():
        style = {"color": COLOURS[precision], "linestyle": ("-", "--")[seed]}
        lines[f"{precision}, seed {seed}"] = (style, curve)
    titles = [f"{name} on the test faces, averaged weights" for name in ("PSNR", "LR-PSNR")]
    draw("precision", titles, lines, figsize=(9, 3.5), unit="dB")
    print(summary(curves))


def summary(curves):
    """Means from batch FIRST on, of rows (batch, psnr, lr_psnr) by (precision, seed), as text."""
    lines = []
    for column, figure in enumerate(FIGURES, 1):
        means = {
            run: statistics.mean(row[column] for row in rows if row[0] >= FIRST)
            for run, rows in curves.items()
        }
        float32, bfloat16 = (
            [mean for run, mean in means.items() if run[0] == precision] for precision in COLOURS
        )
        difference = statistics.mean(bfloat16) - statistics.mean(float32)
        spread = max(float32) - min(float32)
        lines += [f"{figure} {run[0]} seed {run[1]}: {mean:.2f} dB" for run, mean in means.items()]
        lines.append(
            f"{figure}: bfloat16 less float32 {difference:+.2f} dB, "
            f"spread of the float32 seeds {spread:.2f} dB"
        )
    return "\n".join(lines)


def _curve(dataset, folder, precision, seed):
    """Rows (batch, psnr, lr_psnr) of one run; trained as far as they are missing."""
    folder = folder / f"{precision}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    table, rows = folder / "precision.csv", []
    if table.exists():
        with open(table, newline="") as file:
            rows = [(int(batch), *map(float, values)) for batch, *values in csv.reader(file)]
    for batches in BATCHES[len(rows) :]:
        config = Options(
            dataset=dataset,
            train_dir=folder / "train",
            checkpoint_dir=folder / "checkpoint",
            train_batches=batches,
            precision=precision,
            random_seed=seed,
        )
        srez_train.train(config)
        rows.append((batches, *_measure(config)))
        with open(table, "a", newline="") as file:
            csv.writer(file).writerow(rows[-1])
    return rows


def _measure(config):
    """The FIGURES of the averaged weights, means over the test pictures."""
    source = open_source(config.dataset)
    split = split_source(source, config.test_vectors, config.random_seed, config.batch_size)
    _, *pair = load_pictures(source, split.test, config.sample_size)
    low_res, high_res = map(eight_bit, pair)
    generator, _ = load_generator(dataclasses.replace(config, weights="ema", consistent="off"))
    found = mean_figures(to_uint8(upscale(generator, low_res)), low_res, high_res, digits=2)
    return [found[name] for name in FIGURES]


if __name__ == "__main__":
    main(*sys.argv[1:])
