"""Enlarges pictures four times with a trained generator."""

import collections
import concurrent.futures
import dataclasses
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import tqdm

from srez_generator import load_generator, upscale
from srez_image import (
    PICTURE_SUFFIXES,
    celeba_box,
    centre_square,
    comparison_grid,
    printable,
    read_image,
    write_image,
)

COMPARISON_SIDE = 256  # pixels; a small picture is magnified to about that for the eye


def infer(infer_input, infer_output, checkpoint_dir, weights, infer_batch):
    """Enlarges a picture, or each one in a folder, with a run's `weights`.

    Writes PNG to `infer_output` (None: result.png, or the folder result for a folder), and beside
    it a comparison of input, bicubic interpolation and result. `weights` is one of
    srez_generator.WEIGHTS, `infer_batch` how many pictures of a folder go through the network at
    a time.

    Raises:
        OSError: no checkpoint, no input, output over the input, or some pictures of a folder
            could not be read; then these are named and the others written.
    """
    source = Path(infer_input)
    if not source.exists():
        raise FileNotFoundError(
            f"--infer_input={infer_input} does not exist: give a picture or a folder of them"
        )
    if not source.is_dir():
        target = Path(infer_output or "result.png")
        jobs = [_Job(source, target, target.with_name(f"{target.stem}_compare.png"))]
    else:
        jobs = _folder_jobs(source, Path(infer_output or "result"))
    _refuse_overwriting(jobs)
    generator, size = load_generator(checkpoint_dir, weights)
    failures = _infer_all(jobs, generator, size, infer_batch)
    if failures and not source.is_dir():
        raise failures[0]
    for failure in failures:
        print(failure, file=sys.stderr)
    if failures:
        raise OSError(f"{len(failures)} of {len(jobs)} pictures failed, the others are written")


def to_low_res(image, size):
    """A picture, uint8 [H, W, 3], as the network's input [1, h, w, 3] in [0, 1], and how in words.

    A 178x218 picture is taken for an aligned CelebA one: its box, averaged to size x size. One of
    at most 2 * size pixels is taken as it is. Of any other the largest centred square is averaged.
    """
    height, width, _ = image.shape
    if max(height, width) <= 2 * size:
        how, crop = "taken as it is", image
    elif (box := celeba_box(image)) is not None:
        how, crop = f"the dataset's box, averaged to {size}x{size}", box
    else:
        how, crop = f"the centred square, averaged to {size}x{size}", centre_square(image)
    low_res = tf.constant(crop[None], tf.float32) / 255.0
    if crop is not image:
        low_res = tf.image.resize(low_res, (size, size), method="area")
    return low_res.numpy(), how


@dataclasses.dataclass(frozen=True)
class _Job:
    """A picture to enlarge, and where its result and its comparison go."""

    source: Path
    target: Path
    comparison: Path


def _infer_all(jobs, generator, size, infer_batch):
    """Does the jobs, reading and writing beside the network; returns the OSErrors of those failed.

    Pictures of one size go through the network together, `infer_batch` at a time.
    """
    for folder in {path.parent for job in jobs for path in (job.target, job.comparison)}:
        folder.mkdir(parents=True, exist_ok=True)
    failures, writes, waiting = [], [], collections.defaultdict(list)
    with concurrent.futures.ThreadPoolExecutor() as pool:

        def flush(ready):
            results = upscale(generator, np.concatenate([low_res for _, low_res, _ in ready]))
            for item, result in zip(ready, results, strict=True):
                writes.append(pool.submit(_write, *item, result))

        reads = [pool.submit(_read, job, size) for job in jobs]
        for read in tqdm.tqdm(reads, unit="picture", disable=_is_quiet(jobs)):
            try:
                item = read.result()
            except OSError as error:
                failures.append(error)
                continue
            ready = waiting[item[1].shape]
            ready.append(item)
            if len(ready) == infer_batch:
                flush(waiting.pop(item[1].shape))
        for ready in waiting.values():
            flush(ready)
        for write in writes:
            try:
                tqdm.tqdm.write(write.result())
            except OSError as error:
                failures.append(error)
    return failures


def _is_quiet(jobs):
    return len(jobs) == 1 or not sys.stderr.isatty()


def _read(job, size):
    """(job, its low_res [1, h, w, 3], a line that says how it was made)."""
    image = read_image(job.source)
    low_res, how = to_low_res(image, size)
    source = printable(str(job.source))
    return job, low_res, f"{source} ({image.shape[1]}x{image.shape[0]}, {how})"


def _write(job, low_res, how, result):
    """Writes a result [H, W, 3] and its comparison; returns the line for the console."""
    shape = result.shape[:2]
    columns = [
        tf.image.resize(low_res, shape, method="nearest").numpy(),
        tf.image.resize(low_res, shape, method="bicubic").numpy(),
        result[None],
    ]
    write_image(job.target, result)
    magnify = max(COMPARISON_SIDE // max(shape), 1)
    write_image(job.comparison, comparison_grid(columns, magnify))
    return f"{how} -> {printable(str(job.target))} ({shape[1]}x{shape[0]})"


def _folder_jobs(source, folder):
    """A job for each picture in the folder, not in folders inside it."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"--infer_output={folder} is a file: give a folder, as the input")
    paths = sorted(
        path
        for path in source.iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
    )
    if not paths:
        raise FileNotFoundError(
            f"--infer_input={source} holds no {' '.join(PICTURE_SUFFIXES)} pictures"
        )
    stems = [path.stem for path in paths]
    names = [path.name if stems.count(path.stem) > 1 else path.stem for path in paths]
    if len({name.lower() for name in names}) < len(names):  # a.jpg beside a.png and a.jpg.png
        names = [path.name for path in paths]
    return [
        _Job(path, folder / f"{name}.png", folder / "compare" / f"{name}.png")
        for path, name in zip(paths, names, strict=True)
    ]


def _refuse_overwriting(jobs):
    """Raises OSError if a result would go over an input, by whatever name, or over a folder."""
    inputs = {_identity(job.source) for job in jobs} - {None}
    for path in (path for job in jobs for path in (job.target, job.comparison)):
        if path.is_dir():
            raise IsADirectoryError(f"--infer_output={path} is a folder: give another")
        if _identity(path) in inputs:
            name = printable(str(path))
            raise OSError(f"--infer_output would overwrite the input {name}: give another")


def _identity(path):
    """What tells a file from others whatever links lead to it, or None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
