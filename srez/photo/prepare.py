"""What goes through a network: a face or a picture, brought to the size that it takes.

And what the picture itself tells: whether its pixels are what they seem to be, and what more of a
face is known than the network sees.
"""

import dataclasses
import functools
import math

import keras
import numpy as np
from keras import layers, ops

from srez.photo.align import align_face, box_corners, box_side
from srez.photo.tiles import middle
from srez.pictures.geometry import BOX_LEFT, BOX_TOP, celeba_box, centre_square, resized, shrink
from srez.run.weights import BOX, BOX_SIZES, SMALL_FACE, checked, choose_weights, upscale, with_sum
from srez_model import SCALE, area_downscale

# If pixels are exact averages, the faithful network in the box changes them little. It is measured
# twice: in the colours, and in the brightness relative to the picture's own detail. Noise fails in
# the colours, JPEG in both, nearest neighbour in the brightness: docs/QUALITY.md.
LEAST_COLOUR, LEAST_BRIGHTNESS = 44.0, 14.7  # dB
INVISIBLE = 50.0  # dB; plain pictures have no detail to compare with
LEAST_SIDE = 8  # pixels; fewer tell nothing
CLEANER = BOX / "cleaner.weights.h5"  # trained by bench.weights.cleaner
UNITS, RES_BLOCKS = 48, 8  # its channels, at half of the face's side, and its residual blocks
GAIN = 8.0  # of what faces differ in, and of their faults: small, yet all that matters
SMALL = 1e-3  # standard deviation of initial weights that end a residual: it starts as nothing
# Brightness, and two differences of colour, as JPEG has them (ITU-T T.871).
TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


@dataclasses.dataclass(frozen=True)
class Part:
    """What goes through a network: a picture or a face, `low_res` [h, w, 3] in [0, 1].

    `size` is the side of its network's results. With `consistent` "on", not "off", its result shall
    average back to it: its pixels are free of JPEG's blocks and of noise. `width` in pixels is that
    of the square from which `low_res` was made, or the longer side if it was taken as it is. `box`
    is where that lies in the picture: left, upper, right, lower. `seen` [s, s, 3] is the square
    itself, at most as large as the result, or None if `low_res` is all of it. `tip` is what is good
    to know, or "".
    """

    low_res: np.ndarray
    size: int
    consistent: str
    width: int
    box: tuple
    seen: np.ndarray | None = None
    tip: str = ""

    @property
    def known(self):
        """All that is known of it, [h, w, 3] in [0, 1]."""
        return self.low_res if self.seen is None else self.seen

    def result(self, output):
        """The result [H, W, 3] in [0, 1] for what the network gave."""
        return output if self.seen is None else keep_known(output, self.seen)

    def told(self, networks):
        """What a result's file tells of what made it, texts by name; by run.weights.Networks."""
        cleaner = {} if self.seen is None else {"Cleaner": with_sum(CLEANER)}
        return networks.told(self.size, self.consistent) | cleaner

    @property
    def kind(self):
        """What the parts have in common that go through a network together."""
        return self.size, self.consistent, self.low_res.shape

    @property
    def brought(self):
        """In words what it was brought to, or "" if it was taken as it is."""
        side = max(self.known.shape[:2])
        return f"brought to {side}x{side}" if self.width != side else ""


def picture_part(image, networks, seems_exact):
    """(the Part made of a picture uint8 [H, W, 3] for run.weights.Networks, how in words).

    A picture that is no larger than the largest network's input is taken as it is. A 178x218
    picture is taken for one of the dataset: its box is averaged to that input, as in training. From
    any other the largest centred square is taken. `seems_exact`, a function, tells whether pixels
    that were taken as they are hold averages; averages over 2x2 pixels and more do anyway.
    """
    height, width, _ = image.shape
    side = max(height, width)
    how, crop, corner = "taken as it is", image, (0, 0)
    most, is_square = networks.sizes[-1] // SCALE, False
    if side > most:
        how, crop, corner = "the dataset's box", celeba_box(image), (BOX_LEFT, BOX_TOP)
        if is_square := crop is None:
            how, crop = "the centred square", centre_square(image)
            corner = (width - len(crop)) // 2, (height - len(crop)) // 2
        side = len(crop)
    box = *corner, corner[0] + crop.shape[1], corner[1] + crop.shape[0]
    size = networks.size_for(side)
    inputs, pixels = size // SCALE, crop / np.float32(255.0)

    def averaged(side):
        return np.asarray(shrink(pixels[None], side))[0]

    low_res = averaged(inputs) if side > most else pixels
    consistent = networks.consistent(size, lambda: side >= 2 * inputs or seems_exact(low_res))
    seen = averaged(min(side, size)) if is_square and side > most else None
    part = Part(low_res, size, consistent, side, box, seen)
    return part, ", ".join(filter(None, [how, part.brought]))


def face_part(image, eyes, networks):
    """The Part that a face of a photo, uint8 [H, W, 3], is; `eyes` are [2, 2], in pixels."""
    width = round(box_side(eyes))
    size = networks.size_for(width)
    # Reduced as much as it is enlarged again, it has lost its noise and JPEG's blocks.
    consistent = networks.consistent(size, lambda: width >= size)
    inputs = size // SCALE
    low_res = align_face(image, eyes, inputs)
    seen = align_face(image, eyes, min(width, size)) if width > inputs else None
    tip = f"A face of more than {size} pixels keeps its size in the photo." if width > size else ""
    corners = np.array(box_corners(eyes))
    box = tuple(map(round, (*corners.min(axis=0), *corners.max(axis=0))))
    return Part(low_res, size, consistent, width, box, seen, tip)


def keep_known(output, seen):
    """What a network gave, [S, S, 3] in [0, 1], with all that is known of its face in it.

    `seen` [s, s, 3] is the face, of which the network saw a smaller version. The idea of srez's L1
    term, at the face's own side: what the output, made that small, lacks of the face is enlarged
    and added. First the face is rid of noise, of JPEG's blocks and of blur by a small network, the
    cleaner, which is shown the output, too.
    """
    made_small = resized(output, len(seen))
    even = ((0, len(seen) % 2), (0, len(seen) % 2), (0, 0))
    inputs = np.pad(cleaner_input(seen, made_small, len(seen)), even, mode="edge")
    [clean] = _cleaner()(inputs[None], training=False).numpy()
    lacking = clean[: len(seen), : len(seen)] - made_small
    return (output + resized(lacking, len(output))).clip(0, 1)


def cleaner_input(seen, made_small, side):
    """What the cleaner is shown of a face of `side` pixels, or of a part of it: [s, s, 7].

    What is seen, what a network made, [s, s, 3] each, and how large the face is.
    """
    size = np.full_like(seen[..., :1], math.log2(min(side, BOX_SIZES[-1]) / BOX_SIZES[0]))
    return np.concatenate([seen, made_small, size], axis=-1)


def build_cleaner(precision="float32"):
    """Maps what `cleaner_input` gives, [B, h, w, 7], to clean faces [B, h, w, 3], about in [0, 1].

    Sides are even. The convolutions compute in `precision`, "float32" or "bfloat16".
    """
    policy = "float32" if precision == "float32" else f"mixed_{precision}"

    def small():
        return keras.initializers.RandomNormal(stddev=SMALL)

    def conv2d(x, **more):
        return layers.Conv2D(UNITS, 3, padding="same", dtype=policy, **more)(x)

    faces = keras.Input((None, None, 7))
    seen, made_small, size = faces[..., :3], faces[..., 3:6], faces[..., 6:]
    detail = seen - layers.AveragePooling2D(3, 1, padding="same", dtype="float32")(seen)
    differences = GAIN * ops.concatenate([made_small - seen, detail], axis=-1)
    x = ops.concatenate([seen - 0.5, differences, size], axis=-1)
    x = layers.Conv2D(UNITS, 4, 2, padding="same", activation="relu", dtype=policy)(x)
    for _ in range(RES_BLOCKS):
        x = x + conv2d(conv2d(x, activation="relu"), kernel_initializer=small())
    x = layers.Conv2DTranspose(3, 4, 2, padding="same", kernel_initializer=small(), dtype=policy)(x)
    faults = layers.Activation("linear", dtype="float32")(x) / GAIN
    return keras.Model(faces, seen + faults, name="cleaner")


@functools.cache
def _cleaner():
    cleaner = build_cleaner()
    cleaner.load_weights(checked(CLEANER))
    return cleaner


def looks_exact(low_res):
    """Whether the pixels [h, w, 3] in [0, 1] of a face or a picture look like exact averages.

    The faithful network in the box, which need not keep to its input here, is asked what it would
    change of it.
    """
    [[low_res]] = middle(low_res[None])
    if min(low_res.shape[:2]) < LEAST_SIDE:
        return True
    size = BOX_SIZES[0] if max(low_res.shape[:2]) < SMALL_FACE else BOX_SIZES[-1]
    [result] = upscale(_faithful_network(size), low_res[None])
    return bool(_exactness(low_res, result).min() >= 0)


def _exactness(low_res, result):
    """How many dB a picture is above the limits for colours and for brightness, [2]; or below."""
    averages = np.asarray(area_downscale(result[None]))[0]
    (brightness, *colours), (detail, *_) = (
        np.moveaxis(image @ TO_YCC.T, -1, 0) for image in (averages - low_res, low_res)
    )
    detail = np.diff(np.diff(detail, axis=0), axis=1)  # what diagonals are made of
    brightness, colours, detail = map(_decibels, (brightness, colours, detail))
    beside_detail = brightness - detail - LEAST_BRIGHTNESS
    return np.array([colours - LEAST_COLOUR, max(beside_detail, brightness - INVISIBLE)])


def _decibels(values):
    return -10 * np.log10(np.mean(np.square(values)) + 1e-10)


@functools.cache
def _faithful_network(size):
    weights = choose_weights("", "shipped", size)
    return weights.generator(fidelity=0.0, consistent="off")
