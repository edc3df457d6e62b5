"""Which faces are in a picture, and what the networks make of them."""

import dataclasses
import itertools

import numpy as np

from srez.console import counted
from srez.files import printable
from srez.photo.align import box_side, eyes_of_box, turns_upright
from srez.photo.jobs import Job
from srez.photo.prepare import face_part, looks_exact, picture_part
from srez.pictures.geometry import celeba_box
from srez.pictures.image import is_grey, is_lossless, read_image
from srez.quality.descriptors import find_faces, missing
from srez.run.weights import upscale
from srez_model import SCALE

NAMED = 3  # faces, or results, in a line, if there are many
FACELESS_TIP = "--face_box tells where a face is, --faces off takes the centred square"
# What is said of a photo that has to be turned so many quarters to the left, for its faces.
TURNED = {
    0: "",
    1: " lies on its side (faces turned a quarter to the left)",
    -1: " lies on its side (faces turned a quarter to the right)",
    2: " is upside down (faces turned by half)",
}


class NoFace(OSError):
    """A photo in which no face was found: nothing is made of it."""


@dataclasses.dataclass(frozen=True)
class Item:
    """A picture that was read: its Parts, what it is in words, and further lines to say."""

    parts: list
    words: str
    is_grey: bool  # then its results are, too
    notes: list
    numbers: tuple = (1,)  # of its faces, from left to right
    eyes: np.ndarray | None = None  # [n, 2, 2] of the faces, or None
    found: tuple = ()  # the eyes of all faces in the photo, those that aren't enlarged among them
    alpha: np.ndarray | None = None  # uint8 [H, W] of a whole picture with holes
    exif: dict | None = None  # of a whole picture
    photo_scale: int = 0  # how many times larger its photo becomes; 0: as its faces need it
    told: tuple = ()  # of each part's network, once it is used: texts by name
    job: Job | None = None  # where its results go

    def with_told(self, networks):
        """The same, with what the run.weights.Networks tell of those that its parts go through."""
        told = tuple(part.told(networks) for part in self.parts)
        return dataclasses.replace(self, told=told)


class Faces:
    """Enlarges the faces in a photo, or the square of a picture in which none is looked for.

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
        source = name_and_size(job.source, image)
        item = self.find(image, source, job.photo is not None, lambda: is_lossless(job.source))
        return dataclasses.replace(item, job=job)

    def find(self, image, source, wants_faces, has_lost_nothing=lambda: True):
        """The Item of a picture, uint8 [H, W, 3], which is called `source`.

        Unless it `wants_faces`, it is taken as one. `has_lost_nothing`, a function, tells whether
        its pixels can be exact at all. Raises OSError: there is no such face.
        """
        is_photo = celeba_box(image) is None and not self._is_tiny(image)
        tip = ""
        if wants_faces and (is_photo or self.options.face_box):
            # Whether a photo has faces isn't known without dlib: it gives its square, as ever.
            tip = "" if self.options.face_box else missing()
            if tip and self.options.face:
                raise OSError(f"--face={self.options.face}: {tip}")
            if not tip:
                return self._faces(image, source)
        part, how = picture_part(
            image, self.networks, lambda low_res: has_lost_nothing() and looks_exact(low_res)
        )
        if self.options.face > 1:
            raise OSError(f"--face={self.options.face}: {source}: {how}, as one face")
        notes = [tip] if tip else []
        return Item([part], f"{source}, {how}", is_grey(image), notes)

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
                outputs[number] = list(map(parts[number].result, of_part))
        outputs = iter(outputs)
        for item in items:
            yield item.with_told(self.networks), list(itertools.islice(outputs, len(item.parts)))

    def _is_tiny(self, image):
        return max(image.shape[:2]) <= self.networks.sizes[-1] // SCALE

    def _eyes(self, image, source):
        if not self.options.face_box:
            return find_faces(image)
        left, top, side = map(float, self.options.face_box.split(","))
        centre = np.array([top + side / 2, left + side / 2])
        if (centre < 0).any() or (centre >= image.shape[:2]).any():
            raise OSError(f"--face_box={self.options.face_box} lies outside of {source}")
        turns = 0
        if not missing():  # then a look at the box, and half of its side around, tells the turn
            low = (centre - side).clip(0).astype(int)
            high = np.ceil(centre + side).astype(int)
            turns = turns_upright(find_faces(image[low[0] : high[0], low[1] : high[1]]))
        return eyes_of_box(left, top, side, turns)[None]

    def _faces(self, image, source):
        eyes = self._eyes(image, source)
        if not len(eyes):
            raise NoFace(f"{source}: no face found, so nothing is made")
        source += TURNED[turns_upright(eyes)]
        widths = [round(box_side(pair)) for pair in eyes]
        numbers, notes = self._choose(widths, source)
        if not numbers:
            return Item([], source, is_grey(image), notes)
        found, eyes = eyes, [eyes[number - 1] for number in numbers]
        widths = [widths[number - 1] for number in numbers]
        parts = [face_part(image, pair, self.networks) for pair in eyes]
        brought = " and ".join(sorted({part.brought for part in parts} - {""}))
        words = f"{source}: {_faces_in_words(widths, len(found))}"
        words += f", {brought}" if brought else ""
        about = {"photo_scale": self.options.photo_scale}
        return Item(parts, words, is_grey(image), notes, tuple(numbers), eyes, found, **about)

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


def _faces_in_words(widths, count):
    """How many faces of `count` these are, and how wide, from left to right."""
    *first, last = map(str, widths)
    listed = f"{', '.join(first)} and {last}" if first else last
    if len(widths) > NAMED:
        listed = f"{min(widths)} to {max(widths)}"
    of_all = f"{len(widths)} of " if len(widths) < count else ""
    return f"{of_all}{counted(count, 'face')}, {listed} pixels wide"


def name_and_size(path, image):
    """A picture's file in words."""
    return f"{printable(str(path))} ({image.shape[1]}x{image.shape[0]})"
