"""On which faces a network does worse: python3 -m bench.quality.groups DATASET EVALUATION_DIR.

Takes what --run evaluate found on the dataset's test pictures, and prints a Markdown table: the
means over all of them, and over the tenth of them that is darkest, brightest, flattest, most turned
to a side or least so. Needs requirements/face.txt.
"""

import csv
import sys
from pathlib import Path

import dlib
import numpy as np
from PIL import Image

from bench.shared import split_of
from srez.options import Options
from srez.pictures.image import to_uint8
from srez.pictures.pairs import load_pictures
from srez.quality.descriptors import LANDMARK_SIDE, landmarks

COLUMNS = ("srez_psnr", "srez_ssim", "srez_identity_distance")


def main(dataset, evaluation_dir):
    """Prints the table."""
    options = Options(dataset=dataset)
    source, split = split_of(options)
    numbers, _, high_res = load_pictures(source, split.test, options.sample_size)
    with open(Path(evaluation_dir, "per_image.csv"), newline="") as file:
        rows = {row["name"]: [float(row[name]) for name in COLUMNS] for row in csv.DictReader(file)}
    figures = np.array([rows[source.names[number]] for number in numbers])
    faces = np.asarray(high_res)
    brightness = np.argsort(faces.mean(axis=(1, 2, 3)))
    contrast = np.argsort(faces.std(axis=(1, 2)).mean(axis=1))
    turn = np.argsort([_turn(face) for face in to_uint8(faces)])
    tenth = len(faces) // 10
    groups = {
        "all": brightness,
        "darkest": brightness[:tenth],
        "brightest": brightness[-tenth:],
        "flattest": contrast[:tenth],
        "most turned": turn[-tenth:],
        "least turned": turn[:tenth],
    }
    print("| tenth of the test pictures | PSNR, dB | SSIM | identity distance |")
    print("| --- | --- | --- | --- |")
    for name, which in groups.items():
        psnr, ssim, identity = figures[which].mean(axis=0)
        print(f"| {name} | {psnr:.2f} | {ssim:.3f} | {identity:.3f} |")


def _turn(face):
    """How far the nose is from the middle of the eyes, over the eyes' distance."""
    side = (LANDMARK_SIDE, LANDMARK_SIDE)
    large = np.asarray(Image.fromarray(face).resize(side, Image.Resampling.BICUBIC))
    first, last = LANDMARK_SIDE // 8, LANDMARK_SIDE - LANDMARK_SIDE // 8
    marks = landmarks()(large, dlib.rectangle(first, first, last, last))
    points = [(mark.x, mark.y) for mark in marks.parts()]
    right, left, nose = np.mean(points[:2], axis=0), np.mean(points[2:4], axis=0), points[4]
    return abs(nose[0] - (left + right)[0] / 2) / np.linalg.norm(left - right)


if __name__ == "__main__":
    main(*sys.argv[1:])
