"""Holds bfloat16 beside float32: python3 -m bench.precision DATASET FOLDER.

Trains 1,000 batches with two seeds in each precision, in folders like FOLDER/float32-0, and
measures PSNR and LR-PSNR of the averaged weights on the test pictures at batch 500, 600, 650, ...
1,000. What is measured already is not trained again. Writes bench/results/precision.csv and the
chart docs/precision.svg, and prints the means from batch 600 on. Needs requirements/bench.txt.
"""

import csv
import statistics
import sys
from pathlib import Path

from srez.options import Options

ROOT = Path(__file__).parents[1]

BATCHES = (500, *range(600, 1001, 50))
FIRST = 600  # batch that counts
RUNS = [(precision, seed) for precision in ("float32", "bfloat16") for seed in (0, 1)]
COLOURS = {"float32": "#1f5fa8", "bfloat16": "#c4541d"}
FIGURES = ("psnr", "lr_psnr")


def main(dataset, folder):
    """Trains and measures what is missing, then writes the table and the chart."""
    curves = {run: _curve(dataset, Path(folder), *run) for run in RUNS}
    (ROOT / "docs").mkdir(exist_ok=True)
    with open(ROOT / "bench" / "results" / "precision.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["precision", "seed", "batch", *FIGURES])
        for run, rows in curves.items():
            writer.writerows([*run, *row] for row in rows)
    _draw(curves, ROOT / "docs" / "precision.svg")
    print(summary(curves))


def summary(curves):
    """Means from batch FIRST on, of rows (batch, psnr, lr_psnr) by (precision, seed), as text."""
    lines = []
    for column, figure in enumerate(FIGURES, 1):
        means = {
            run: statistics.mean(row[column] for row in rows if row[0] >= FIRST)
            for run, rows in curves.items()
        }
        by_precision = {
            precision: [mean for run, mean in means.items() if run[0] == precision]
            for precision in COLOURS
        }
        spread = max(by_precision["float32"]) - min(by_precision["float32"])
        centres = {precision: statistics.mean(some) for precision, some in by_precision.items()}
        lines += [f"{figure} {run[0]} seed {run[1]}: {mean:.2f} dB" for run, mean in means.items()]
        lines.append(
            f"{figure}: bfloat16 less float32 {centres['bfloat16'] - centres['float32']:+.2f} dB, "
            f"spread of the float32 seeds {spread:.2f} dB"
        )
    return "\n".join(lines)


def _curve(dataset, folder, precision, seed):
    """Rows (batch, psnr, lr_psnr) of one run; trained as far as they are missing."""
    folder = folder / f"{precision}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "precision.csv"
    rows = _read(table)
    for batches in BATCHES[len(rows) :]:
        figures = _train(dataset, folder, precision, seed, batches)
        with open(table, "a", newline="") as file:
            csv.writer(file).writerow([batches, *(figures[name] for name in FIGURES)])
    return _read(table)


def _read(table):
    if not table.exists():
        return []
    with open(table, newline="") as file:
        return [
            (int(batch), float(psnr), float(lr_psnr)) for batch, psnr, lr_psnr in csv.reader(file)
        ]


def _train(dataset, folder, precision, seed, batches):
    """Trains up to `batches` and measures; TensorFlow is imported only if there is need."""
    import srez_train

    config = Options(
        dataset=dataset,
        train_dir=folder / "train",
        checkpoint_dir=folder / "checkpoint",
        train_batches=batches,
        precision=precision,
        random_seed=seed,
    )
    srez_train.train(config)
    return _measure(config)


def _measure(config):
    """The figures of the averaged weights, means over the test pictures."""
    from srez.data.source import open_source
    from srez.data.split import split_source
    from srez.pictures.image import to_uint8
    from srez.pictures.load import eight_bit, load_pictures
    from srez.quality.metrics import figures
    from srez.run.weights import load_generator, upscale

    source = open_source(config.dataset)
    split = split_source(source, config.test_vectors, config.random_seed, config.batch_size)
    _, *pair = load_pictures(source, split.test, config.sample_size)
    low_res, high_res = map(eight_bit, pair)
    generator, _ = load_generator(config.checkpoint_dir, "ema")
    found = figures(to_uint8(upscale(generator, low_res)), high_res, low_res)
    return {name: round(float(values.mean()), 2) for name, values in found.items()}


def _draw(curves, path):
    import matplotlib.pyplot

    figure, axes = matplotlib.pyplot.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for column, (axis, title) in enumerate(zip(axes, ("PSNR", "LR-PSNR"), strict=True), 1):
        for (precision, seed), rows in curves.items():
            axis.plot(
                [row[0] for row in rows],
                [row[column] for row in rows],
                color=COLOURS[precision],
                linestyle=("-", "--")[seed],
                marker="o",
                markersize=3,
                label=f"{precision}, seed {seed}",
            )
        axis.set(title=f"{title} on the test faces, averaged weights", xlabel="batch", ylabel="dB")
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
