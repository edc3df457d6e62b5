"""Enlarges pictures four times with a trained generator.

Read from top to bottom: jobs -> read -> faces, or the square -> upscale -> put back -> write.
"""

import concurrent.futures
import dataclasses
import itertools
import os
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
    to_uint8,
    write_image,
)
from srez.pictures.resize import interpolate
from srez.quality.descriptors import find_faces, missing
from srez.quality.metrics import lr_psnr, shown
from srez.run.weights import load_generator, upscale
from srez_model import SCALE

INVENTED = "Made by srez: the details are invented."  # in each result's file
INVENTED_GAIN = 4  # in the map of what is invented: a quarter of the range is white
STRIP = 64  # rows of a picture measured at a time
COMPARISON_SIDE = 256  # pixels; a small picture is magnified to about that for the eye


def infer(options):
    """Enlarges the picture, or each one in the folder, that the options name.

    Writes PNG to `infer_output`, and next to it a comparison of input, bicubic interpolation and
    result. With `faces` "auto" the faces in a photo are enlarged, each by itself, and put back into
    it. With `upscale_full` the whole picture is enlarged, `tile` pixels square at a time. With
    `invented` the comparison shows where the faithful and the plausible result differ.

    Raises:
        OSError: no checkpoint, no input, output over the input, or some pictures of a folder
            could not be read; then these are named and the others written.
    """
    wants_faces = options.faces == "auto" and not options.upscale_full
    jobs = list_jobs(options.infer_input, options.infer_output, wants_faces)
    generator, weights = load_generator(options)
    networks = [generator]
    if options.invented:
        networks += [weights.generator(end, options.consistent) for end in (0.0, 1.0)]
    if options.upscale_full:
        enlarger = Wholes(networks, options.tile, weights.margin)
    else:
        enlarger = Squares(networks, weights.sample_size // SCALE, options.infer_batch)
    failures = enlarge_all(jobs, enlarger)
    if failures and not Path(options.infer_input).is_dir():
        raise failures[0]
    for failure in failures:
        complain(failure)
    if failures:
        raise OSError(f"{len(failures)} of {len(jobs)} pictures failed, the others are written")


def enlarge_all(jobs, enlarger):
    """Does the jobs with a Squares or Wholes; returns the OSErrors of those that failed.

    So many pictures are in memory as go through the network together, and their results are
    written before the next ones are read.
    """
    for folder in {path.parent for job in jobs for path in (job.target, job.comparison)}:
        folder.mkdir(parents=True, exist_ok=True)
    failures, said = [], set()
    is_quiet = len(jobs) == 1 or not sys.stderr.isatty()
    with (
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm.tqdm(total=len(jobs), unit="picture", disable=is_quiet) as bar,
    ):
        for at in range(0, len(jobs), enlarger.at_once):
            part = jobs[at : at + enlarger.at_once]
            items = _without_failures(pool, enlarger.read, [(job,) for job in part], failures)
            written = _without_failures(pool, _write, enlarger.enlarge(items), failures)
            for line in itertools.chain(*written):
                if line not in said:  # a tip is the same for all
                    say(line)
                said.add(line)
            bar.update(len(part))
    return failures


@dataclasses.dataclass(frozen=True)
class Item:
    """A picture that was read: what of it goes through the network, and what to say about that."""

    job: Job
    low_res: np.ndarray  # [n, h, w, 3] in [0, 1]: the picture, or n faces
    hows: list  # n lines for the console
    eyes: np.ndarray | None = None  # [n, 2, 2] of the faces, or None
    tip: str = ""  # on what to install, if anything


class Squares:
    """Enlarges the faces in a photo, if they are wanted and found, else the picture's square.

    The networks take `size` pixels square, and `at_once` pictures at a time.
    """

    def __init__(self, networks, size, at_once):
        self.networks = networks
        self.size = size
        self.at_once = at_once

    def read(self, job):
        """The Item of a job. Raises OSError: its picture can't be read."""
        size = self.size
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
        return Item(job, low_res, [f"{source}, {how})" for how in hows], eyes, tip)

    def enlarge(self, items):
        """Yields each item with the networks' results [n, 4h, 4w, 3]; one size goes together."""
        items = sorted(items, key=lambda item: item.low_res.shape[1:])
        for _, same in itertools.groupby(items, key=lambda item: item.low_res.shape[1:]):
            same = list(same)
            low_res = np.concatenate([item.low_res for item in same])
            cuts = np.cumsum([len(item.low_res) for item in same])[:-1]
            results = [
                np.split(upscale(network, low_res, self.at_once), cuts) for network in self.networks
            ]
            yield from zip(same, zip(*results, strict=True), strict=True)


class Wholes:
    """Enlarges whole pictures one by one, in tiles of `tile` pixels square with a `margin`."""

    at_once = 1

    def __init__(self, networks, tile, margin):
        self.networks = [as_graph(network) for network in networks]
        self.tile = tile
        self.margin = margin

    def read(self, job):
        """The Item of a job. Raises OSError: its picture can't be read, or is too large."""
        image = read_image(job.source)
        source = _name_and_size(job.source, image)
        if image.shape[0] * image.shape[1] * SCALE**2 > MAX_PIXELS:
            raise OSError(
                f"{source}: four times that is more than {MAX_PIXELS:,} pixels: "
                "give a smaller picture, or do without --upscale_full"
            )
        return Item(job, image[None] / np.float32(255.0), [source])

    def enlarge(self, items):
        """Yields each item with the networks' results uint8 [1, 4h, 4w, 3]."""
        for item in items:
            yield (
                item,
                [
                    upscale_tiled(network, item.low_res[0], self.tile, self.margin)[None]
                    for network in self.networks
                ],
            )


def to_low_res(image, size):
    """A picture, uint8 [H, W, 3], as the network's input [1, h, w, 3] in [0, 1], and how in words.

    A 178x218 picture is taken for an aligned CelebA one: its box, averaged to size x size. One of
    at most 2 * size pixels is taken as it is. From any other the largest centred square is taken
    and averaged.
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


def _without_failures(pool, function, calls, failures):
    """What the function returns for each call's arguments; an OSError goes to `failures`."""
    found = []
    for future in [pool.submit(function, *arguments) for arguments in calls]:
        try:
            found.append(future.result())
        except OSError as error:
            failures.append(error)
    return found


def _is_tiny(image, size):
    return max(image.shape[:2]) <= 2 * size


def _write(item, outputs):
    """Writes an item's results [n, H, W, 3] and what belongs to them; returns console lines.

    `outputs` are those results, and those of the faithful and the plausible network if asked for.
    """
    results, *ends = outputs
    job, lines = item.job, [item.tip] if item.tip else []
    for target, how, low_res, result in zip(
        job.targets(len(results)), item.hows, item.low_res, results, strict=True
    ):
        true = _trueness(low_res, result)
        write_image(target, result, f"{INVENTED} {true}.")
        lines.append(f"{how} -> {_name_and_size(target, result)}, {true}")
    if item.eyes is not None:
        # Read again: to keep the photos of a whole folder would take too much memory.
        image = read_image(job.source)
        photo = put_back(image, item.eyes, results)
        job.photo.parent.mkdir(exist_ok=True)
        write_image(job.photo, photo, INVENTED)
        times = photo.shape[0] // image.shape[0]
        how = "the photo" if times == 1 else f"the photo, {times} times as large,"
        lines.append(f"{how} with faces put back -> {_name_and_size(job.photo, photo)}")
    low_res, *columns = middle(item.low_res, results, *ends)
    columns = [to_uint8(column) / np.float32(255.0) for column in columns]
    if ends:
        faithful, plausible = columns[1:]
        invented = np.abs(plausible - faithful).mean(axis=3, keepdims=True).repeat(3, axis=3)
        columns[1:] = [INVENTED_GAIN * invented]
        levels = 255 * invented.mean()
        lines.append(f"invented: {levels:.1f} of 255 levels on average, see {job.comparison}")
    plain = [interpolate(low_res, method).numpy() for method in ("nearest", "bicubic")]
    magnify = max(COMPARISON_SIDE // max(columns[0].shape[1:3]), 1)
    write_image(job.comparison, comparison_grid([*plain, *columns], magnify))
    return lines


def _trueness(low_res, result):
    """How well a result [4H, 4W, 3] as 8 bits averages back to low_res [H, W, 3], in words."""
    errors = []
    for top in range(0, len(low_res), STRIP):
        rows = low_res[None, top : top + STRIP]
        images = to_uint8(result[None, SCALE * top : SCALE * (top + STRIP)]) / np.float32(255.0)
        errors += [10 ** (-lr_psnr(images, rows)[0] / 10)] * rows.shape[1]
    return f"averages back to its input at {shown('lr_psnr', -10 * np.log10(np.mean(errors)))}"


def _name_and_size(path, image):
    return f"{printable(str(path))} ({image.shape[1]}x{image.shape[0]})"
