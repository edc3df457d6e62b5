"""Compares averages of the generator's weights: python -m bench.ema DATASET FOLDER [PRECISION].

Trains 2,000 batches once and keeps all AVERAGES meanwhile; they don't touch the training. At the
BATCHES it measures each of them, and the raw weights, on the validation faces. Writes
bench/results/ema.csv and the chart docs/ema.svg. The newest checkpoint of the training is in
FOLDER/checkpoint. Needs requirements/bench.txt.
"""

import csv
import math
import sys
import time
from pathlib import Path

import tensorflow as tf

import srez.run.device
from srez.data.source import open_source
from srez.data.split import split_source
from srez.options import Options
from srez.pictures.image import to_uint8
from srez.pictures.load import load_pictures
from srez.quality.metrics import figures
from srez.run.checkpoint import prune, write_checkpoint
from srez.run.weights import upscale
from srez_input import Batches
from srez_train import Trainer

ROOT = Path(__file__).parents[1]
BATCHES = (100, 200, 400, 600, 800, 1000, 1250, 1500, 1750, 2000)
STATISTICS = 20  # batches over which an average's batch statistics are estimated
FIGURES = {"psnr": "PSNR, dB", "ssim": "SSIM", "lr_psnr": "LR-PSNR, dB", "sharpness": "sharpness"}


def ramp(limit, share):
    """A decay up to `limit` that looks back over about a `share` of the batches so far."""
    return lambda batch: tf.minimum(limit, 1.0 - 1.0 / (share * batch + 1.0))


# The ramp of a share of 1 is the plain mean of all weights until the limit is reached.
AVERAGES = {
    **{f"{limit}": ramp(limit, 1.0) for limit in (0.99, 0.995, 0.998, 0.999)},
    "0.995, share 1/9": ramp(0.995, 1 / 9),
    "0.998, share 1/4": ramp(0.998, 1 / 4),
}


class ManyAverages(Trainer):
    """A Trainer that keeps the AVERAGES, too: lists of variables by name."""

    def __init__(self, config):
        super().__init__(config)
        self.averages = {
            name: [tf.Variable(weight) for weight in self.generator.trainable_variables]
            for name in AVERAGES
        }

    def _move_averages(self, stage):
        super()._move_averages(stage)
        batch = tf.cast(self.batch, tf.float32)
        for name, decay in AVERAGES.items():
            weights = self.generator.trainable_variables
            for average, weight in zip(self.averages[name], weights, strict=True):
                average.assign_add((1.0 - decay(batch)) * (weight - average))


def main(dataset, folder, precision="bfloat16"):
    """Trains, measures, writes the table and the chart."""
    srez.run.device.set_up(log_device_placement=False)
    config = Options(dataset=dataset, precision=precision, train_batches=BATCHES[-1])
    source = open_source(dataset)
    split = split_source(source, config.test_vectors, config.random_seed, config.batch_size)
    trainer = ManyAverages(config)
    batches = Batches(
        source, split.train, config.batch_size, config.sample_size, config.random_seed
    )
    _, *faces = load_pictures(source, split.validation[:256], config.sample_size)
    rows, start = [], time.monotonic()
    for batch, pair in zip(range(1, BATCHES[-1] + 1), batches.iterate(), strict=False):
        trainer.train_step(*pair)
        if batch in BATCHES:
            rows += _measure_all(trainer, batch, faces, batches.make)
            run = {"options": vars(config)}
            write_checkpoint(Path(folder, "checkpoint"), batch, run, trainer.state)
            prune(Path(folder, "checkpoint"), 2, 0)
            print(f"batch {batch}, {(time.monotonic() - start) / 60:.1f} minutes", flush=True)
            write_table("ema", ("average", "batch", *FIGURES), rows)
    lines = {}
    for name, *row in rows:
        style = {"color": "0.6", "linestyle": ":"} if name == "raw" else {}
        lines.setdefault(name, (style, []))[1].append(row)
    draw("ema", FIGURES.values(), lines, figsize=(9, 6.5))


def _measure_all(trainer, batch, faces, make_batch):
    """Rows (name, batch, figures...) of all averages and of the raw weights."""
    recent = [make_batch(number)[0] for number in range(batch - STATISTICS, batch)]

    def measured(name, network):
        images = to_uint8(upscale(network, faces[0]))
        return name, batch, *mean_figures(images, *faces).values()

    rows = [measured("raw", trainer.generator)]
    kept = trainer.average.get_weights()
    for name, values in trainer.averages.items():
        for variable, value in zip(trainer.average.trainable_variables, values, strict=True):
            variable.assign(value)
        trainer.refresh_average(recent)
        rows.append(measured(name, trainer.average))
    trainer.average.set_weights(kept)
    trainer.refresh_average(recent)
    for row in rows:
        print(*row, flush=True)
    return rows


def mean_figures(images, low_res, high_res, digits=4):
    """The figures of enlarged uint8 images, rounded means over the faces, by name."""
    found = figures(images, high_res, low_res)
    return {name: round(float(values.mean()), digits) for name, values in found.items()}


def write_table(name, header, rows):
    """Writes bench/results/NAME.csv."""
    with open(ROOT / "bench" / "results" / f"{name}.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def draw(name, titles, lines, figsize, unit=""):
    """Draws docs/NAME.svg, a panel for each of the titles, with two in a row.

    `lines` are (style, rows) by label; a row is a batch and its figures, in the titles' order.
    """
    import matplotlib.pyplot

    rows = math.ceil(len(titles) / 2)
    chart, axes = matplotlib.pyplot.subplots(rows, 2, figsize=figsize, layout="constrained")
    for column, (axis, title) in enumerate(zip(axes.flat, titles, strict=True), 1):
        for label, (style, points) in lines.items():
            values = [point[column] for point in points]
            batches = [point[0] for point in points]
            axis.plot(batches, values, marker="o", markersize=3, label=label, **style)
        axis.set(title=title, xlabel="batch", ylabel=unit)
        axis.grid(alpha=0.3)
    axes.flat[0].legend()
    chart.savefig(ROOT / "docs" / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
