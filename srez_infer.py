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
import tqdm

from srez.console import complain, counted, say
from srez.files import printable
from srez.photo.align import box_side, eyes_of_box, put_back
from srez.photo.compare import comparison, with_boxes
from srez.photo.jobs import Job, count_left, earlier_results, list_jobs, say_left
from srez.photo.prepare import Part, face_part, picture_part
from srez.photo.tiles import as_graph, upscale_tiled
from srez.pictures.image import (
    MAX_PIXELS,
    celeba_box,
    is_grey,
    is_lossless,
    kept_exif,
    read_image,
    read_with_alpha,
    to_grey,
    write_image,
)
from srez.quality.descriptors import find_faces, missing
from srez.quality.metrics import averages_back, trueness
from srez.results import MADE
from srez.run.weights import Networks, upscale
from srez_model import SCALE

INVENTED = "Made by srez: the details are invented."  # in each result's file
IN_FLIGHT = 4  # photos that are read or written at a time, at most: each takes memory
NAMED = 3  # results in a line, if there are many


def infer(options):
    """Enlarges the picture, or each one in the folder, that the options name.

    Writes to `infer_output`, by its suffix PNG, JPEG or WebP, and next to it a comparison of input,
    bicubic interpolation and result. With `faces` "auto" the faces in a photo are enlarged, each by
    itself, and put back into it. With `upscale_full` the whole picture is enlarged, `tile` pixels
    square at a time. With `invented` the comparison shows where the faithful and the plausible
    result differ.

    Raises:
        OSError: no checkpoint, no input, output over the input, or some pictures of a folder
            could not be read; then these are named and the others written.
    """
    wants_faces = options.faces != "off" and not options.upscale_full
    jobs = list_jobs(options.infer_input, options.infer_output, wants_faces)
    if options.infer_skip_existing:
        jobs = [job for job in jobs if not job.comparison.exists()]
    if not jobs:
        say("Nothing to do: all are enlarged already.")
        return
    networks = Networks(options)
    enlarger = Wholes(networks, options.tile) if options.upscale_full else Faces(networks, options)
    earlier = earlier_results(jobs)
    failures = enlarge_all(jobs, enlarger)
    if failures and not Path(options.infer_input).is_dir():
        raise failures[0]
    say_left(earlier)
    for failure in failures:
        complain(failure)
    if failures:
        raise OSError(f"{len(failures)} of {len(jobs)} pictures failed, the others are done")


def enlarge_all(jobs, enlarger, quiet=False):
    """Does the jobs with a Faces or Wholes; returns the OSErrors of those that failed.

    Says what was done, and shows a bar, if not `quiet`.

    So many pictures are in memory as go through the network together, and their results are
    written before the next ones are read. After Ctrl-C, what is being read or written is finished.
    """
    for folder in {path.parent for job in jobs for path in (job.target, job.comparison)}:
        folder.mkdir(parents=True, exist_ok=True)
    failures, said, earlier = [], set(), earlier_results(jobs)
    has_no_bar = quiet or len(jobs) == 1 or not sys.stderr.isatty()
    with (
        concurrent.futures.ThreadPoolExecutor(min(os.cpu_count(), IN_FLIGHT)) as pool,
        tqdm.tqdm(total=len(jobs), unit=" pictures", disable=has_no_bar) as bar,
    ):
        try:
            for at in range(0, len(jobs), enlarger.at_once):
                part = jobs[at : at + enlarger.at_once]
                items = _without_failures(pool, enlarger.read, [(job,) for job in part], failures)
                written = _without_failures(pool, write_results, enlarger.enlarge(items), failures)
                for line in itertools.chain(*written):
                    if not quiet and line not in said:  # a tip is the same for all
                        say(line)
                    said.add(line)
                bar.update(len(part))
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            left = counted(count_left(jobs, earlier), "picture")
            tip = "" if earlier else ": --infer_skip_existing goes on there"
            say(f"Stopped, {left} left{tip}.")
            raise
    return failures


@dataclasses.dataclass(frozen=True)
class Item:
    """A picture that was read: its Parts, what it is in words, and further lines to say."""

    job: Job
    parts: list
    words: str
    is_grey: bool  # then its results are, too
    notes: list
    numbers: tuple = (1,)  # of its faces, from left to right
    eyes: np.ndarray | None = None  # [n, 2, 2] of the faces, or None
    found: tuple = ()  # the eyes of all faces in the photo, those that aren't enlarged among them
    alpha: np.ndarray | None = None  # uint8 [H, W] of a whole picture with holes
    exif: dict | None = None  # of a whole picture
    told: tuple = ()  # of each part's network, once it is used: texts by name

    def with_told(self, networks):
        """The same, with what the run.weights.Networks tell of those that its parts go through."""
        told = tuple(networks.told(part.size, part.consistent) for part in self.parts)
        return dataclasses.replace(self, told=told)


class Faces:
    """Enlarges the faces in a photo, if they are wanted and found, else the picture's square.

    `networks` are run.weights.Networks. `options` say which faces, and how many pictures go
    through a network at a time.
    """

    def __init__(self, networks, options):
        self.networks = networks
        self.options = options
        self.at_once = options.infer_batch

    def read(self, job):
        """The Item of a job. Raises OSError: its picture can't be read, or has no such face."""
        image = read_image(job.source)
        source = _name_and_size(job.source, image)
        is_photo = celeba_box(image) is None and not self._is_tiny(image)
        tip, found = "", ""
        if job.photo is not None and (is_photo or self.options.face_box):
            tip = "" if self.options.face_box else missing()
            eyes = () if tip else self._find(image, source)
            if len(eyes) > 0:
                return self._faces(job, image, source, eyes)
            found = "" if tip else "no face found (--face_box tells where one is): "
        part, how = picture_part(image, self.networks, lambda: is_lossless(job.source))
        notes = [tip] if tip else []
        return Item(job, [part], f"{source}, {found}{how}", is_grey(image), notes)

    def enlarge(self, items):
        """Yields each item with a list for each part: each network's result [4h, 4w, 3]."""
        parts = [part for item in items for part in item.parts]
        outputs = [None] * len(parts)
        for kind in sorted({part.kind for part in parts}):
            same = [number for number, part in enumerate(parts) if part.kind == kind]
            low_res = np.stack([parts[number].low_res for number in same])
            networks = self.networks.of(*kind[:2])
            results = [upscale(network, low_res, self.at_once) for network in networks]
            for number, *of_part in zip(same, *results, strict=True):
                outputs[number] = of_part
        outputs = iter(outputs)
        for item in items:
            yield item.with_told(self.networks), list(itertools.islice(outputs, len(item.parts)))

    def _is_tiny(self, image):
        return max(image.shape[:2]) <= self.networks.sizes[-1] // SCALE

    def _find(self, image, source):
        if self.options.face_box:
            left, top, side = map(float, self.options.face_box.split(","))
            centre = np.array([top + side / 2, left + side / 2])
            if (centre < 0).any() or (centre >= image.shape[:2]).any():
                raise OSError(f"--face_box={self.options.face_box} lies outside of {source}")
            return eyes_of_box(left, top, side)[None]
        return find_faces(image)

    def _faces(self, job, image, source, eyes):
        widths = [round(box_side(pair)) for pair in eyes]
        numbers, notes = self._choose(widths, source)
        if not numbers:
            return Item(job, [], source, is_grey(image), notes)
        found, eyes = eyes, [eyes[number - 1] for number in numbers]
        widths = [widths[number - 1] for number in numbers]
        parts = [face_part(image, pair, self.networks) for pair in eyes]
        brought = " and ".join(sorted({part.brought for part in parts} - {""}))
        words = f"{source}: {_faces_in_words(widths, len(found))}"
        words += f", {brought}" if brought else ""
        return Item(job, parts, words, is_grey(image), notes, tuple(numbers), eyes, found)

    def _choose(self, widths, source):
        """The numbers of the faces to enlarge, counted from 1, and lines on the others."""
        options, largest = self.options, self.networks.sizes[-1]
        if options.face > len(widths):
            raise OSError(
                f"--face={options.face}: {source}: {counted(len(widths), 'face')} found; "
                "--face_box tells where another is"
            )
        if options.face:
            return [options.face], []
        if options.faces == "all" or options.face_box:
            return [*range(1, len(widths) + 1)], []
        most = options.face_max or largest
        others = {
            "larger than "
            + (f"--face_max={most}" if options.face_max else f"the {largest} that srez makes"): [
                width for width in widths if width > most
            ],
            f"smaller than --face_min={options.face_min}": [
                width for width in widths if width < options.face_min
            ],
        }
        notes = [
            f"{source}: {_faces_in_words(left, len(widths))}:\n  {why}, left as is "
            "(--faces all makes all)"
            for why, left in others.items()
            if left
        ]
        good = [options.face_min <= width <= most for width in widths]
        return [number for number, is_good in enumerate(good, 1) if is_good], notes


class Wholes:
    """Enlarges whole pictures one by one, in tiles of `tile` pixels square."""

    at_once = 1

    def __init__(self, networks, tile):
        self.networks = networks
        self.size = networks.sizes[-1]
        self.tile = tile
        self._graphs = {}

    def read(self, job):
        """The Item of a job. Raises OSError: its picture can't be read, or is too large."""
        image, alpha = read_with_alpha(job.source)
        source = _name_and_size(job.source, image)
        if image.shape[0] * image.shape[1] * SCALE**2 > MAX_PIXELS:
            raise OSError(
                f"{source}: four times that is more than {MAX_PIXELS:,} pixels: "
                "give a smaller picture, or do without --upscale_full"
            )
        consistent = self.networks.consistent(self.size, is_lossless(job.source))
        part = Part(image / np.float32(255.0), self.size, consistent, max(image.shape))
        exif = kept_exif(job.source)
        return Item(job, [part], source, is_grey(image), [], alpha=alpha, exif=exif)

    def enlarge(self, items):
        """Yields each item with a list for its part: each network's result uint8 [4h, 4w, 3]."""
        margin = self.networks.weights(self.size).margin
        for item in items:
            [part] = item.parts
            if part.consistent not in self._graphs:
                networks = self.networks.of(self.size, part.consistent)
                self._graphs[part.consistent] = [as_graph(network) for network in networks]
            graphs = self._graphs[part.consistent]
            output = [upscale_tiled(graph, part.low_res, self.tile, margin) for graph in graphs]
            yield item.with_told(self.networks), [output]


def _without_failures(pool, function, calls, failures):
    """What the function returns for each call's arguments; an OSError goes to `failures`."""
    found = []
    for future in [pool.submit(function, *arguments) for arguments in calls]:
        try:
            found.append(future.result())
        except OSError as error:
            failures.append(error)
    return found


def write_results(item, outputs):
    """Writes an item's results and what belongs to them; returns what to say, texts of some lines.

    `outputs` are for each part [4h, 4w, 3] of the network, and of the faithful and the plausible
    one if asked for.
    """
    job = item.job
    if not item.parts:
        return ["\n".join([*item.notes, "  Nothing is written for it."])]
    if item.is_grey:
        outputs = [list(map(to_grey, output)) for output in outputs]
    results = [result for result, *_ in outputs]
    targets, errors = job.targets(item.numbers), []
    for target, part, told, result in zip(targets, item.parts, item.told, results, strict=True):
        errors.append(averages_back(result, part.low_res))
        is_exact = target.suffix.lower() == ".png"
        comment = f"{INVENTED} {trueness(errors[-1:])}" if is_exact else INVENTED
        about = _about([told], SCALE, comment)
        write_image(target, result, about, item.alpha, item.exif)
    named = [_name_and_size(*pair) for pair in zip(targets, results, strict=True)]
    named = ", ".join(named) if len(named) <= NAMED else f"{named[0]} to {named[-1]}"
    compared = f"{printable(str(job.comparison))}: beside bicubic interpolation"
    lines = [item.words, f"  -> {named}", f"  -> {compared}"]
    numbers = item.numbers if len(item.found) > 1 else ()
    grid, levels = comparison([part.low_res for part in item.parts], outputs, numbers)
    if item.eyes is not None:
        # Read again: to keep the photos of a whole folder would take too much memory.
        image, alpha = read_with_alpha(job.source)
        lines.append(f"  -> {_write_photo(item, results, image, alpha)}")
        if len(item.found) > 1:
            grid = np.concatenate([with_boxes(image, item.found, grid.shape[1])[0], grid])
    write_image(job.comparison, grid, MADE)
    lines.append(f"  {trueness(errors)}")
    if len(outputs[0]) > 1:
        lines.append(f"  Invented, from --fidelity 0 to 1: {levels:.1f} of 255 levels on average.")
    tips = sorted({part.tip for part in item.parts} - {""})
    if not is_exact:
        tips.append("JPEG and WebP lose a little of that: .png keeps it all.")
    return [*item.notes, "\n".join(lines), *tips]


def _write_photo(item, results, image, alpha):
    """Writes the photo, uint8 [H, W, 3] with its alpha, its faces put back; returns words on it."""
    photo = put_back(image, item.eyes, results)
    times = photo.shape[0] // image.shape[0]
    item.job.photo.parent.mkdir(exist_ok=True)
    about = _about(item.told, times, INVENTED)
    write_image(item.job.photo, photo, about, alpha, kept_exif(item.job.source))
    how = "" if times == 1 else f", {times} times as large"
    return f"{_name_and_size(item.job.photo, photo)}: the photo{how}, faces put back"


def _about(told, times, comment):
    """What is written into a result's file, texts by name, for what is told of its networks."""
    of_networks = {name: ", ".join(sorted({each[name] for each in told})) for name in told[0]}
    return MADE | {"Comment": comment, "Factor": f"{times}"} | of_networks


def _faces_in_words(widths, count):
    """How many faces of `count` these are, and how wide, from left to right."""
    *first, last = map(str, widths)
    listed = f"{', '.join(first)} and {last}" if first else last
    if len(widths) > NAMED:
        listed = f"{min(widths)} to {max(widths)}"
    of_all = f"{len(widths)} of " if len(widths) < count else ""
    return f"{of_all}{counted(count, 'face')}, {listed} pixels wide"


def _name_and_size(path, image):
    return f"{printable(str(path))} ({image.shape[1]}x{image.shape[0]})"
