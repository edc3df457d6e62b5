"""Compares precisions: python bench/precision.py DATASET FOLDER PRECISION SEED.

Trains 1,000 batches in FOLDER and measures PSNR and LR-PSNR of the averaged weights on the test
pictures at batch 500, 600, 650, ... 1,000. Appends each to FOLDER/precision.csv; goes on where it
stopped.
"""

import csv
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import srez_train
from tests.conftest import make_config
from tests.quality import measure

BATCHES = (500, *range(600, 1001, 50))


def main(dataset, folder, precision, seed):
    """Trains, measures and writes the rows batch, psnr, lr_psnr."""
    folder = Path(folder)
    for batches in BATCHES:
        config = make_config(
            dataset=dataset,
            train_dir=folder / "train",
            checkpoint_dir=folder / "checkpoint",
            train_batches=batches,
            precision=precision,
            random_seed=seed,
        )
        srez_train.train(config)
        figures = measure(config, "ema")
        with open(folder / "precision.csv", "a", newline="") as file:
            csv.writer(file).writerow([batches, figures["psnr"], figures["lr_psnr"]])


if __name__ == "__main__":
    main(*sys.argv[1:])
