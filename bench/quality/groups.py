"""On which faces the weights in the box do worse: python3 -m bench.quality.groups DATASET.

Prints a Markdown table of bicubic interpolation and the default fidelity at both sizes: the means
over all test faces of the dataset, and over groups of them. If pictures are named for where they
come from, as in thai_001.jpg, these are the groups; else the tenth that is darkest, brightest,
flattest, most turned to a side or least so. Needs requirements/face.txt.
"""

import sys

import dlib
import numpy as np
from PIL import Image

from bench.shared import split_of
from srez.options import Options
from srez.pictures.geometry import interpolate
from srez.pictures.image import eight_bit, to_uint8
from srez.pictures.pairs import load_pictures
from srez.quality.descriptors import LANDMARK_SIDE, descriptors, landmarks
from srez.quality.metrics import figures, identity_distance
from srez.run.weights import BOX_SIZES, load_generator, upscale


def main(dataset):
    """Measures, and prints the table."""
    columns = []
    for size in BOX_SIZES:
        options = Options(dataset=dataset, sample_size=size, weights="shipped")
        source, split = split_of(options)
        numbers, *pair = load_pictures(source, split.test, size)
        low_res, high_res = map(eight_bit, pair)
        generator, _ = load_generator(options)
        truth = descriptors(to_uint8(high_res))
        for images in map(to_uint8, (interpolate(low_res).numpy(), upscale(generator, low_res))):
            columns.append(figures(images, high_res, low_res)["psnr"])
            columns.append(identity_distance(descriptors(images), truth))
    groups = named([source.names[number] for number in numbers]) or _tenths(high_res)
    titles = [f"{name}, {size}" for size in BOX_SIZES for name in ("bicubic", "srez")]
    print("| group | pictures |", " | ".join(titles), "|")
    print("| --- | --- |" + len(titles) * " --- |")
    for name, which in ({"all": range(len(numbers))} | groups).items():
        means = [column[which].mean() for column in columns]
        pairs = zip(means[::2], means[1::2], strict=True)
        cells = [f"{psnr:.2f}, {identity:.3f}" for psnr, identity in pairs]
        print(f"| {name} | {len(which)} |", " | ".join(cells), "|")


def named(names):
    """{what stands before the first "_" of a picture's name: the numbers of these pictures}."""
    groups = {}
    for number, name in enumerate(names):
        group, *rest = name.rsplit("/", 1)[-1].split("_")
        if rest:
            groups.setdefault(group, []).append(number)
    return groups


def _tenths(faces):
    brightness = np.argsort(faces.mean(axis=(1, 2, 3)))
    contrast = np.argsort(faces.std(axis=(1, 2)).mean(axis=1))
    turn = np.argsort([_turn(face) for face in to_uint8(faces)])
    tenth = len(faces) // 10
    return {
        "darkest": brightness[:tenth],
        "brightest": brightness[-tenth:],
        "flattest": contrast[:tenth],
        "most turned": turn[-tenth:],
        "least turned": turn[:tenth],
    }


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
