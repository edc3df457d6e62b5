"""What goes through a network: a face or a picture, brought to the size that it takes."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from srez.photo.align import align_face, box_side
from srez.pictures.image import celeba_box, centre_square
from srez_model import SCALE

# From so many times the network's input on, plain interpolation of the whole face is nearer to the
# truth: docs/QUALITY.md.
TRUER = 1.5


@dataclasses.dataclass(frozen=True)
class Part:
    """What goes through a network: a picture or a face, `low_res` [h, w, 3] in [0, 1].

    `size` is the side of the results of the network that it is for. With `consistent` "on", not
    "off", its result shall average back to it: its pixels are free of JPEG's blocks and of noise.
    `width` is in pixels that of the square from which `low_res` was made, and `tip` what is good to
    know of the result, or "".
    """

    low_res: np.ndarray
    size: int
    consistent: str
    width: int
    tip: str = ""

    @property
    def kind(self):
        """What the parts have in common that go through a network together."""
        return self.size, self.consistent, self.low_res.shape

    @property
    def brought(self):
        """In words what `low_res` was brought to, or "" if it was taken as it is."""
        side = max(self.low_res.shape)
        return f"brought to {side}x{side}" if self.width != side else ""


def picture_part(image, networks, lossless):
    """The Part that a picture, uint8 [H, W, 3], is for the run.weights.Networks; how, in words.

    A picture that is no larger than the largest network's input is taken as it is. A 178x218
    picture is taken for an aligned CelebA one: its box. From any other the largest centred square
    is taken. These are averaged to the network's input. `lossless` tells whether the picture's file
    holds its pixels as they are; averages over 2x2 pixels and more are exact anyway.
    """
    side = max(image.shape[:2])
    how, crop = "taken as it is", image
    if side > networks.sizes[-1] // SCALE:
        how, crop = "the dataset's box", celeba_box(image)
        if crop is None:
            how, crop = "the centred square", centre_square(image)
        side = len(crop)
    size = networks.size_for(side)
    low_res = tf.constant(crop[None], tf.float32) / 255.0
    inputs = size // SCALE
    if side > networks.sizes[-1] // SCALE:
        low_res = tf.image.resize(low_res, (inputs, inputs), method="area")
    consistent = networks.consistent(size, side >= 2 * inputs or lossless())
    part = Part(low_res.numpy()[0], size, consistent, side)
    return part, ", ".join(filter(None, [how, part.brought]))


def face_part(image, eyes, networks):
    """The Part that a face of a photo, uint8 [H, W, 3], is; `eyes` are [2, 2], in pixels."""
    width = round(box_side(eyes))
    size = networks.size_for(width)
    # Reduced as much as it is enlarged again, it has lost its noise and JPEG's blocks.
    consistent = networks.consistent(size, width >= size)
    inputs = size // SCALE
    low_res = align_face(image, eyes, inputs)
    return Part(low_res, size, consistent, width, _tip(width, size, math.ceil(TRUER * inputs)))


def _tip(width, size, least):
    """What is good to know of the result of a face that is `width` pixels wide, or ""."""
    if width > size:
        return f"A face of more than {size} pixels can't gain: it is made smaller first."
    if width >= least:
        return f"A face of {least} pixels or more becomes sharper, not truer: docs/QUALITY.md."
    return ""
