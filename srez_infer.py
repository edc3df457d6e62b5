"""Enlarges pictures four times with a trained generator."""

import collections
import concurrent.futures
import dataclasses
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import tqdm

from srez.console import complain, say
from srez.files import printable
from srez.photo.align import align_face, describe_face, put_back
from srez.photo.jobs import Job, list_jobs
from srez.photo.tiles import as_graph, middle, upscale_tiled
from srez.pictures.image import (
    MAX_PIXELS,
    celeba_box,
    centre_square,
    comparison_grid,
    read_image,
    write_image,
)
from srez.pictures.resize import interpolate
from srez.quality.descriptors import find_faces, missing
from srez.run.weights import load_generator, upscale
from srez_model import SCALE

COMPARISON_SIDE = 256  # pixels; a small picture is magnified to about that for the eye


def infer(options):
    """Enlarges the picture, or each one in the folder, that the options name.

    Writes PNG to `infer_output`, and beside it a comparison of input, bicubic interpolation and
    result. With `faces` "auto" the faces in a photo are enlarged, each by itself, and put back into
    it. With `upscale_full` the whole picture is enlarged, `tile` pixels square at a time.

    Raises:
        OSError: no checkpoint, no input, output over the input, or some pictures of a folder
            could not be read; then these are named and the others written.
    """
    wants_faces = options.faces == "auto" and not options.upscale_full
    jobs = list_jobs(options.infer_input, options.infer_output, wants_faces)
    generator, size = load_generator(options.checkpoint_dir, options.weights)
    if options.upscale_full:
        failures = _infer_whole(jobs, generator, options.tile)
    else:
        failures = _infer_all(jobs, generator, size, options.infer_batch)
    if failures and not Path(options.infer_input).is_dir():
        raise failures[0]
    for failure in failures:
        complain(failure)
    if failures:
        raise OSError(f"{len(failures)} of {len(jobs)} pictures failed, the others are written")


def to_low_res(image, size):
    """A picture, uint8 [H, W, 3], as the network's input [1, h, w, 3] in [0, 1], and how in words.

    A 178x218 picture is taken for an aligned CelebA one: its box, averaged to size x size. One of
    at most 2 * size pixels is taken as it is. Of any other the largest centred square is averaged.
    """
    if _is_tiny(image, size):
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
class _Item:
    """A picture that was read: what of it goes through the network, and what to say about that."""

    job: Job
    low_res: np.ndarray  # [n, h, w, 3] in [0, 1]: the picture, or n faces
    hows: list  # n lines for the console
    eyes: np.ndarray | None  # [n, 2, 2] of the faces, or None
    tip: str  # on what to install, if anything


def _infer_all(jobs, generator, size, infer_batch):
    """Does the jobs, reading and writing beside the network; returns the OSErrors of those failed.

    Pictures of one size go through the network together, `infer_batch` at a time.
    """
    _make_folders(jobs)
    failures, writes, waiting = [], [], collections.defaultdict(list)
    with concurrent.futures.ThreadPoolExecutor() as pool:

        def flush(ready):
            for item, results in _upscale_items(generator, ready, infer_batch):
                writes.append(pool.submit(_write, item, results))

        reads = [pool.submit(_read, job, size) for job in jobs]
        for read in tqdm.tqdm(reads, unit="picture", disable=_is_quiet(jobs)):
            try:
                item = read.result()
            except OSError as error:
                failures.append(error)
                continue
            shape = item.low_res.shape[1:]
            waiting[shape].append(item)
            if sum(len(item.low_res) for item in waiting[shape]) >= infer_batch:
                flush(waiting.pop(shape))
        for ready in waiting.values():
            flush(ready)
        said = set()
        for write in writes:
            try:
                lines = write.result()
            except OSError as error:
                failures.append(error)
                continue
            for line in lines:
                if line not in said:  # a tip is the same for all
                    say(line)
                said.add(line)
    return failures


def _upscale_items(generator, items, infer_batch):
    """Gives each item with its results [n, 4h, 4w, 3]; the items' pictures are of one size."""
    low_res = np.concatenate([item.low_res for item in items])
    results = upscale(generator, low_res, infer_batch)
    ends = np.cumsum([len(item.low_res) for item in items])
    return zip(items, np.split(results, ends[:-1]), strict=True)


def _make_folders(jobs):
    for folder in {path.parent for job in jobs for path in (job.target, job.comparison)}:
        folder.mkdir(parents=True, exist_ok=True)


def _is_quiet(jobs):
    return len(jobs) == 1 or not sys.stderr.isatty()


def _is_tiny(image, size):
    return max(image.shape[:2]) <= 2 * size


def _read(job, size):
    """The item of a job: the faces in a photo, if they are wanted and found, else the picture."""
    image = read_image(job.source)
    is_photo = celeba_box(image) is None and not _is_tiny(image, size)
    is_wanted = job.photo is not None and is_photo
    tip = missing() if is_wanted else ""
    eyes = find_faces(image) if is_wanted and not tip else ()
    if len(eyes) > 0:
        low_res = np.stack([align_face(image, pair, size) for pair in eyes])
        hows = [describe_face(pair, size, SCALE * size) for pair in eyes]
    else:
        eyes = None
        low_res, how = to_low_res(image, size)
        hows = [f"no face found: {how}" if is_wanted and not tip else how]
    source = f"{printable(str(job.source))} ({image.shape[1]}x{image.shape[0]}"
    return _Item(job, low_res, [f"{source}, {how})" for how in hows], eyes, tip)


def _write(item, results):
    """Writes an item's results [n, H, W, 3] and what belongs to them; returns console lines."""
    job, lines = item.job, [item.tip] if item.tip else []
    for target, how, result in zip(job.targets(len(results)), item.hows, results, strict=True):
        write_image(target, result)
        lines.append(f"{how} -> {_name_and_size(target, result)}")
    if item.eyes is not None:
        # Read again: to keep the photos of a whole folder would take too much memory.
        image = read_image(job.source)
        photo = put_back(image, item.eyes, results)
        job.photo.parent.mkdir(exist_ok=True)
        write_image(job.photo, photo)
        times = photo.shape[0] // image.shape[0]
        how = "the photo" if times == 1 else f"the photo, {times} times as large,"
        lines.append(f"{how} with faces put back -> {_name_and_size(job.photo, photo)}")
    _write_comparison(job.comparison, item.low_res, results)
    return lines


def _write_comparison(path, low_res, results):
    """Writes inputs [n, h, w, 3], bicubic interpolation and results [n, H, W, 3], side by side."""
    shape = results.shape[1:3]
    columns = [
        interpolate(low_res, "nearest").numpy(),
        interpolate(low_res, "bicubic").numpy(),
        results,
    ]
    write_image(path, comparison_grid(columns, max(COMPARISON_SIDE // max(shape), 1)))


def _name_and_size(path, image):
    return f"{printable(str(path))} ({image.shape[1]}x{image.shape[0]})"


def _infer_whole(jobs, generator, tile):
    """Enlarges the jobs' pictures as wholes; returns the OSErrors of those that failed."""
    _make_folders(jobs)
    network, failures = as_graph(generator), []
    for job in jobs:
        try:
            say(_enlarge_whole(job, network, tile))
        except OSError as error:
            failures.append(error)
    return failures


def _enlarge_whole(job, network, tile):
    """Enlarges one picture and compares its middle; returns the line for the console."""
    image = read_image(job.source)
    height, width, _ = image.shape
    source = _name_and_size(job.source, image)
    if height * width * SCALE**2 > MAX_PIXELS:
        raise OSError(
            f"{source}: four times that is more than {MAX_PIXELS:,} pixels: "
            "give a smaller picture, or do without --upscale_full"
        )
    result = upscale_tiled(network, image, tile)
    write_image(job.target, result)
    _write_comparison(job.comparison, *middle(image, result))
    return f"{source} -> {_name_and_size(job.target, result)}"
