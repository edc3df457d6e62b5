"""What goes through a network: a face or a picture, brought to the size that it takes.

And whether its pixels are what they seem to be, which only the picture itself can tell.
"""

import dataclasses
import functools

import numpy as np

from srez.modern import FACTORS
from srez.photo.align import align_face, box_corners, box_side
from srez.photo.tiles import middle
from srez.pictures.geometry import (
    BOX_LEFT,
    BOX_TOP,
    brought,
    celeba_box,
    centre_square,
    interpolate,
    shrink,
    with_planes,
)
from srez.run.weights import BOX_SIZES, SMALL_FACE, choose_weights, restorer, upscale
from srez_model import SCALE

# Of exact averages, what the faithful network in the box would change is small: in the colours by
# themselves, as a PSNR, and in the brightness beside the picture's own detail. Noise fails in the
# colours, JPEG in both, nearest neighbour in the brightness: docs/QUALITY.md.
LEAST_COLOUR, LEAST_BRIGHTNESS = 44.0, 14.7  # dB
NOTHING = 50.0  # dB: who sees that? Plain pictures have no detail to compare with
LEAST_SIDE = 8  # pixels; fewer tell nothing
# Brightness, and two differences of colour, as JPEG has them (ITU-T T.871).
TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


@dataclasses.dataclass(frozen=True)
class Part:
    """A picture or a face, `low_res` [h, w, 3] in [0, 1], and what goes through a network for it.

    `size` is the side of the results of the network that it is for. With `consistent` "on", not
    "off", its result shall average back to it: its pixels are free of JPEG's blocks and of noise.
    `width` is in pixels that of the square from which `low_res` was made, `box` where that lies in
    the picture: left, upper, right, lower. `known` is the face at the side of the result, as
    srez.modern.restore takes it, or None: then `low_res` goes through a network that enlarges it
    four times. `tip` is what is good to know of the result, or "".
    """

    low_res: np.ndarray
    size: int
    consistent: str
    width: int
    box: tuple
    known: np.ndarray | None = None
    tip: str = ""

    @property
    def inputs(self):
        """What goes through the network."""
        return self.low_res if self.known is None else self.known

    @property
    def kind(self):
        """What the parts have in common that go through a network together."""
        return self.size, None if self.known is not None else self.consistent, self.inputs.shape

    @property
    def plain(self):
        """As large as its result, by [nearest neighbour, bicubic interpolation]; float32."""
        [nearest], [bicubic] = (
            interpolate(self.low_res[None], method, self.result_size).numpy()
            for method in ("nearest", "bicubic")
        )
        return [nearest, bicubic if self.known is None else self.known[..., :3]]

    @property
    def result_size(self):
        """The (height, width) of its result."""
        if self.known is None:
            return tuple(SCALE * side for side in self.low_res.shape[:2])
        return self.known.shape[:2]

    @property
    def brought(self):
        """In words what `low_res` was brought to, or "" if it was taken as it is."""
        side = max(self.low_res.shape)
        return f"brought to {side}x{side}" if self.width != side else ""


def picture_part(image, networks, seems_exact):
    """The Part that a picture, uint8 [H, W, 3], is for the run.weights.Networks; how, in words.

    A picture that is no larger than the largest network's input is taken as it is. A 178x218
    picture is taken for one of the dataset: its box is averaged to what training enlarges. From any
    other the largest centred square is taken. `seems_exact`, a function, tells whether pixels hold
    averages.
    """
    height, width, _ = image.shape
    pixels, side = image / np.float32(255.0), max(height, width)
    if side <= networks.sizes[-1] // SCALE:
        size = networks.size_for(side)
        consistent = networks.consistent(size, lambda: seems_exact(pixels))
        return Part(pixels, size, consistent, side, (0, 0, width, height)), "taken as it is"
    if (crop := celeba_box(pixels)) is not None:
        side, size = len(crop), networks.sizes[-1]
        low_res = np.asarray(shrink(crop[None], size // SCALE))[0]
        box = BOX_LEFT, BOX_TOP, BOX_LEFT + side, BOX_TOP + side
        part = Part(low_res, size, networks.consistent(size, lambda: True), side, box)
        return part, f"the dataset's box, {part.brought}"
    crop = centre_square(pixels)
    side = len(crop)
    left, top = (width - side) // 2, (height - side) // 2

    def taken(side):
        return np.asarray(shrink(crop[None], side))[0]

    def is_exact():
        return side in _exact_sides(networks.sizes[-1]) and seems_exact(crop)

    box = left, top, left + side, top + side
    part = _square_part(networks, side, box, taken, brought, is_exact)
    return part, ", ".join(filter(None, ["the centred square", part.brought]))


def face_part(image, eyes, networks):
    """The Part that a face of a photo, uint8 [H, W, 3], is; `eyes` are [2, 2], in pixels."""
    width = round(box_side(eyes))
    corners = np.array(box_corners(eyes))
    box = tuple(map(round, (*corners.min(axis=0), *corners.max(axis=0))))

    def taken(side):
        return align_face(image, eyes, side)

    def interpolated(low_res, size):
        return with_planes(taken(size), size / len(low_res))

    return _square_part(networks, width, box, taken, interpolated, lambda: False)


def _square_part(networks, width, box, taken, interpolated, is_exact):
    """The Part of a square which is `width` pixels wide.

    `taken` gives it at a smaller side, or its own; `interpolated` what is known of that at a larger
    one, if it isn't exact; `is_exact` tells whether it is.
    """
    size = networks.size_for(width)
    consistent = networks.consistent(size, is_exact)
    if not networks.restores(size):
        return Part(taken(size // SCALE), size, consistent, width, box)
    tip = ""
    if width > size:
        tip = f"A face of more than {size} pixels can't gain: it is made smaller first."
    if consistent == "on":
        sides = _exact_sides(size)
        low_res = taken(max((side for side in sides if side <= width), default=min(sides)))
        known = brought(low_res, size, exact=True)
    else:
        low_res = taken(min(width, size))
        known = interpolated(low_res, size)
    return Part(low_res, size, consistent, width, box, known, tip)


def _exact_sides(size):
    """The sides of what can be an exact average of a result."""
    return [size // factor for factor in FACTORS if size % factor == 0]


def looks_exact(low_res):
    """Whether the pixels [h, w, 3] in [0, 1] of a face or a picture look like exact averages.

    The faithful network in the box, which need not keep to its input here, is asked what it would
    change of it.
    """
    [[low_res]] = middle(low_res[None])
    return min(low_res.shape[:2]) < LEAST_SIDE or bool(_exactness(low_res).min() >= 0)


def _exactness(low_res):
    """How many dB a picture is above the limits for colours and for brightness, [2]."""
    averages = _averages_without_projection(low_res)
    (brightness, *colours), (detail, *_) = (
        np.moveaxis(image @ TO_YCC.T, -1, 0) for image in (averages - low_res, low_res)
    )
    detail = np.diff(np.diff(detail, axis=0), axis=1)  # what diagonals are made of
    brightness, colours, detail = map(_decibels, (brightness, colours, detail))
    beside_detail = brightness - detail - LEAST_BRIGHTNESS
    return np.array([colours - LEAST_COLOUR, max(beside_detail, brightness - NOTHING)])


def _averages_without_projection(low_res):
    """What a picture becomes, enlarged by the faithful network and averaged again: [h, w, 3]."""
    side = max(low_res.shape[:2])
    largest = BOX_SIZES[-1]
    if low_res.shape[:2] == (largest // 2, largest // 2):
        known = brought(low_res, largest)
        [result] = upscale(_judge(largest, is_of_half=True), known[None])
    else:
        size = BOX_SIZES[0] if side < SMALL_FACE else largest
        [result] = upscale(_judge(size), low_res[None])
    return np.asarray(shrink(result[None], len(low_res)))[0]


def _decibels(values):
    return -10 * np.log10(np.mean(np.square(values)) + 1e-10)


@functools.cache
def _judge(size, is_of_half=False):
    weights = choose_weights("", "shipped", size)
    if is_of_half:
        return restorer(weights.between(0.0), size)
    return weights.generator(fidelity=0.0, consistent="off")
