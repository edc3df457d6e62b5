"""Compares averages of the generator's weights: python -m bench.ema DATASET FOLDER [PRECISION].

Trains 2,000 batches once and keeps the AVERAGES beside the training, which none of them touches.
Each is measured at the BATCHES on the validation faces, with the raw weights. Writes
bench/results/ema.csv and the chart docs/ema.svg; the newest checkpoint of the training is
FOLDER/checkpoint. Needs requirements/bench.txt.
"""

import csv
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


def ramp(limit, share):
    """A decay that never looks back further than about a `share` of the batches so far."""
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
            name: [tf.Variable(one) for one in self.generator.trainable_variables]
            for name in AVERAGES
        }

    def _update_average(self):
        super()._update_average()
        batch = tf.cast(self.batch, tf.float32)
        for name, decay in AVERAGES.items():
            rate = 1.0 - decay(batch)
            for average, weight in zip(
                self.averages[name], self.generator.trainable_variables, strict=True
            ):
                average.assign_add(rate * (weight - average))


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
    for batch, pair in enumerate(batches.iterate(), 1):
        trainer.train_step(*pair)
        if batch in BATCHES:
            rows += _measure_all(trainer, batch, faces, batches.make)
            run = {"options": vars(config)}
            write_checkpoint(Path(folder, "checkpoint"), batch, run, trainer.state)
            prune(Path(folder, "checkpoint"), 2, 0)
            print(f"batch {batch}, {(time.monotonic() - start) / 60:.1f} minutes", flush=True)
            _write(rows, ROOT / "bench" / "results" / "ema.csv")
        if batch == BATCHES[-1]:
            break
    draw(rows, ROOT / "docs" / "ema.svg")


def _measure_all(trainer, batch, faces, make_batch):
    """Rows (name, batch, figures...) of all averages and of the raw weights."""
    recent = [make_batch(number)[0] for number in range(batch - STATISTICS, batch)]
    rows = [("raw", batch, *_measure(trainer.generator, *faces))]
    kept = trainer.average.get_weights()
    for name, values in trainer.averages.items():
        for variable, value in zip(trainer.average.trainable_variables, values, strict=True):
            variable.assign(value)
        trainer.refresh_average(recent)
        rows.append((name, batch, *_measure(trainer.average, *faces)))
    trainer.average.set_weights(kept)
    trainer.refresh_average(recent)
    for row in rows:
        print(*row, flush=True)
    return rows


def _measure(network, low_res, high_res):
    found = figures(to_uint8(upscale(network, low_res)), high_res, low_res)
    return [round(float(values.mean()), 4) for values in found.values()]


def _write(rows, path):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["average", "batch", "psnr", "ssim", "lr_psnr", "sharpness"])
        writer.writerows(rows)


def draw(rows, path):
    """Draws the figures over the batches, a line per average."""
    import matplotlib.pyplot

    chart, axes = matplotlib.pyplot.subplots(2, 2, figsize=(9, 6.5), layout="constrained")
    for column, (axis, title) in enumerate(
        zip(axes.flat, ("PSNR, dB", "SSIM", "LR-PSNR, dB", "sharpness"), strict=True), 2
    ):
        for name in dict.fromkeys(row[0] for row in rows):
            points = [(row[1], row[column]) for row in rows if row[0] == name]
            style = {"color": "0.6", "linestyle": ":"} if name == "raw" else {}
            axis.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name, **style)
        axis.set(title=title, xlabel="batch")
        axis.grid(alpha=0.3)
    axes[0, 0].legend()
    chart.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
