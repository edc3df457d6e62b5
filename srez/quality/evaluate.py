"""Measures a trained generator and plain interpolation on the test pictures of its run."""

import csv
import dataclasses
import importlib.metadata
import json
import platform
from pathlib import Path

import numpy as np
import tqdm

from srez.console import say
from srez.data.source import open_source
from srez.data.split import split_source
from srez.files import atomic_path, make_folder, printable, write_text
from srez.pictures.bad import BadImages
from srez.pictures.geometry import interpolate
from srez.pictures.grid import faces_sheet
from srez.pictures.image import eight_bit, to_uint8
from srez.pictures.pairs import load_pictures
from srez.quality import descriptors
from srez.quality.metrics import (
    TITLES,
    figures,
    frechet_distance,
    identity_distance,
    joined,
    mean_interval,
    shown,
)
from srez.quality.report import write_card, write_report
from srez.run.resume import resumed_split
from srez.run.weights import load_generator, upscale
from srez_model import project

RESIZE_METHODS = {"nearest": "nearest", "bicubic": "bicubic", "lanczos": "lanczos3"}
METHODS = (*RESIZE_METHODS, "projected", "srez")  # projected: bicubic made consistent
CHUNK = 32  # pictures at a time
WRITTEN = ("metrics.json", "per_image.csv", "MODEL_CARD.md", "report.html")
SHEET_FACES = 6
LEAST_FRECHET = 258  # pictures: each half needs more than the 128 dimensions of a descriptor
PROTOCOL = (
    "The test pictures' crops as in training, without jitter, uint8 after rounding (the inputs "
    "too), RGB, no border cut. PSNR, SSIM (tf.image.ssim, mean over the channels), LR-PSNR (the "
    "output averaged over 4x4 squares against the input) and sharpness (mean gradient over the "
    "truth's) are means over the pictures, with 95 % bootstrap intervals of the mean."
)
PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "pillow")


@dataclasses.dataclass
class Evaluation:
    """What was found: `metrics`, as in metrics.json; and for the report the figures of each
    picture, arrays [N] by method and name, the pictures' names, and sheets [H, W, 3] by title."""

    metrics: dict
    per_image: dict
    names: list
    sheets: dict


def evaluate(options):
    """Writes metrics.json, per_image.csv, report.html and MODEL_CARD.md to `evaluation_dir`.

    Without a `dataset` the pictures are those that the run was trained on. The training curves of
    the report come from `train_dir`.

    Raises:
        OSError: no checkpoint, the pictures of the run are not there, or no place to write to.
    """
    _refuse_replacing(Path(options.evaluation_dir))
    generator, weights = load_generator(options)
    run, trained = weights.run, weights.run["options"]
    dataset = options.dataset or trained["dataset"]
    if weights.is_boxed and not options.dataset and not Path(dataset).exists():
        raise FileNotFoundError(
            f"the weights in the box were trained on {dataset}, and it is not here: give the "
            "--dataset to measure them on"
        )
    source = open_source(dataset)
    if "files" in run:
        split = resumed_split(weights.path, run["files"], source)
    else:  # the box knows no names
        split = split_source(source, options.test_vectors, options.random_seed, options.batch_size)
    make_folder(options.evaluation_dir)
    evaluation = measure(source, split.test, generator, weights.sample_size)
    evaluation.metrics |= {
        "protocol": f"{PROTOCOL} {_how(weights, options)}",
        "source": source.label,
        "split": split.note,
        "training_pictures": len(split.train),
        "weights": weights.words,
        "fidelity": options.fidelity,
        "consistent": options.consistent,
        "batch": weights.batch,
        "options": trained,
        "versions": _versions(),
    }
    folder = Path(options.evaluation_dir)
    text = json.dumps(evaluation.metrics, indent=2, allow_nan=False)
    metrics, table, card, report = (folder / name for name in WRITTEN)
    write_text(metrics, f"{text}\n")
    _write_table(table, evaluation)
    write_card(card, evaluation.metrics)
    write_report(report, evaluation, options.train_dir)
    _say_figures(evaluation.metrics, folder)


def _refuse_replacing(folder):
    """Raises OSError if one of WRITTEN is there, and isn't of an earlier evaluation."""
    there = [folder / name for name in WRITTEN if (folder / name).exists()]
    metrics = folder / WRITTEN[0]
    if there and not (metrics.is_file() and '"bicubic"' in metrics.read_text(errors="replace")):
        raise FileExistsError(
            f"--evaluation_dir={folder}: {there[0].name} is there, and no evaluation wrote it: "
            "give another folder"
        )


def measure(source, files, generator, sample_size):
    """The Evaluation of a generator on the pictures `files` of the source.

    Face distances come too, if the face packages are there. Raises OSError if no picture can
    be read.
    """
    missing, bad_images = source.no_identity or descriptors.missing(), BadImages(len(files), 1.0)
    tables = {method: [] for method in METHODS}
    found = {method: [] for method in (*METHODS, "truth")}
    good = []
    with tqdm.tqdm(total=len(files), unit=" pictures", disable=None) as bar:
        for at in range(0, len(files), CHUNK):
            part = files[at : at + CHUNK]
            numbers, *pair = load_pictures(source, part, sample_size, bad_images)
            bar.update(len(part))
            if not numbers:
                continue
            low_res, high_res = map(eight_bit, pair)
            good += numbers
            images = {method: enlarge(method, low_res, generator) for method in METHODS}
            for method in METHODS:
                tables[method].append(figures(images[method], high_res, low_res))
            if not missing:
                for name, pictures in (images | {"truth": to_uint8(high_res)}).items():
                    found[name].append(descriptors.descriptors(pictures))
    if not good:
        raise OSError(f"none of the {len(files)} test pictures of {source.label} can be read")
    per_image = {method: joined(parts) for method, parts in tables.items()}
    frechet = {}
    if not missing:
        frechet = _compare_faces(per_image, found)
    rows = {method: _summary(per_image[method], frechet.get(method)) for method in METHODS}
    metrics = {"count": len(good), "left_out": bad_images.rows, "faces_missing": missing}
    metrics |= {"rows": rows, "frechet_floor": frechet.get("floor")}
    order = np.array(good)[np.argsort(-per_image["srez"]["psnr"], kind="stable")]
    sheets = _sheets(source, order, generator, sample_size)
    return Evaluation(metrics, per_image, [source.names[number] for number in good], sheets)


def enlarge(method, low_res, generator):
    """Images [N, H, W, 3] in [0, 1] enlarged by one of METHODS: uint8 [N, 4H, 4W, 3]."""
    if method == "srez":
        return to_uint8(upscale(generator, low_res))
    if method == "projected":
        return to_uint8(np.asarray(project(interpolate(low_res), low_res)))
    return to_uint8(np.asarray(interpolate(low_res, RESIZE_METHODS[method])))


def _how(weights, options):
    """How srez's outputs are made, in words."""
    free = options.consistent == "off"
    made = "as the network gives them" if free else "made to average back to their inputs"
    ends = f", with --fidelity {options.fidelity:g}" if weights.has_ends else ""
    return f"srez's outputs are {made} (--consistent {'off' if free else 'on'}){ends}."


def _compare_faces(per_image, descriptors):
    """Adds identity distances to `per_image`; returns the Frechet distances by method, and the
    "floor", that of the truth's one half to its other."""
    found = {name: np.concatenate(parts) for name, parts in descriptors.items()}
    truth = found.pop("truth")
    for method, faces in found.items():
        per_image[method]["identity_distance"] = identity_distance(faces, truth)
    if len(truth) < LEAST_FRECHET:
        return {}
    distances = {method: frechet_distance(faces, truth) for method, faces in found.items()}
    return distances | {"floor": frechet_distance(truth[::2], truth[1::2])}


def _summary(table, frechet):
    """Means and their intervals of a method's figures, for JSON."""
    keys = ("mean", "low", "high")
    row = {
        name: dict(zip(keys, mean_interval(values), strict=True)) for name, values in table.items()
    }
    return row if frechet is None else row | {"frechet_distance": {"mean": frechet}}


def _sheets(source, order, generator, sample_size):
    """Sheets by title, of the best, median and worst pictures; `order` is from best to worst."""
    count = max(min(SHEET_FACES, len(order) // 3), 1)
    middle = (len(order) - count) // 2
    chosen = {
        "best": order[:count],
        "median": order[middle : middle + count],
        "worst": order[len(order) - count :],
    }
    sheets = {}
    for title, numbers in chosen.items():
        _, *pair = load_pictures(source, numbers, sample_size)
        low_res, high_res = map(eight_bit, pair)
        sheets[title] = faces_sheet(low_res, upscale(generator, low_res), high_res)
    return sheets


def _write_table(path, evaluation):
    """A row per picture with all its figures; columns like srez_psnr."""
    columns = {
        f"{method}_{name}": values
        for method, table in evaluation.per_image.items()
        for name, values in table.items()
    }
    with (
        atomic_path(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["name", *columns])
        for name, *values in zip(evaluation.names, *columns.values(), strict=True):
            writer.writerow([printable(name), *(f"{value:.5g}" for value in values)])


def _versions():
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version()} | versions


def _say_figures(metrics, folder):
    """Prints the table, a line per method, and where the rest is."""
    names = list(metrics["rows"]["srez"])
    lines = [["", *(TITLES[name].split()[0] for name in names)]]  # "identity" for its distance
    for method, row in metrics["rows"].items():
        lines.append([method, *(shown(name, row[name]["mean"]) for name in names)])
    for first, *cells in lines:
        say(f"{first:<9}" + "".join(f"{cell:>11}" for cell in cells))
    if metrics["faces_missing"]:
        say(f"No face distances: {metrics['faces_missing']}")
    say(f"Wrote {folder / 'report.html'}, and metrics.json, per_image.csv, MODEL_CARD.md.")
