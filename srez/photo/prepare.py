"""What goes through a network: a face or a picture, brought to the size that it takes.

And what the picture itself tells: whether its pixels are what they seem to be, and what more of a
face is known than the network sees.
"""

import dataclasses
import functools
import math

import numpy as np

from srez.photo.align import align_face, box_corners, box_side
from srez.photo.tiles import middle
from srez.pictures.geometry import BOX_LEFT, BOX_TOP, celeba_box, centre_square, resized, shrink
from srez.run.weights import BOX_SIZES, SMALL_FACE, choose_weights, upscale
from srez_model import SCALE, area_downscale

# Of exact averages, what the faithful network in the box would change is small: in the colours by
# themselves, as a PSNR, and in the brightness beside the picture's own detail. Noise fails in the
# colours, JPEG in both, nearest neighbour in the brightness: docs/QUALITY.md.
LEAST_COLOUR, LEAST_BRIGHTNESS = 44.0, 14.7  # dB
NOTHING = 50.0  # dB: who sees that? Plain pictures have no detail to compare with
LEAST_SIDE = 8  # pixels; fewer tell nothing
# What is known of a larger face, chosen on validation faces: docs/QUALITY.md.
BLURRED, SHARP = 0.84, 0.90  # sharpness beside the result's at the same side: nothing, all is kept
DETAIL = 300 / 255  # noise that a clean face of one pixel seems to have; one of N seems to have 1/N
WINDOW = 5  # pixels, in which noise and detail are told apart
MEDIAN = 0.6745  # of the absolute values of normal noise, in standard deviations
# Brightness, and two differences of colour, as JPEG has them (ITU-T T.871).
TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


@dataclasses.dataclass(frozen=True)
class Part:
    """What goes through a network: a picture or a face, `low_res` [h, w, 3] in [0, 1].

    `size` is the side of the results of the network that it is for. With `consistent` "on", not
    "off", its result shall average back to it: its pixels are free of JPEG's blocks and of noise.
    `width` is in pixels that of the square from which `low_res` was made, `box` where that lies in
    the picture: left, upper, right, lower. `seen` [s, s, 3] is the square itself, at most as large
    as the result, or None if `low_res` is all of it. `tip` is what is good to know, or "".
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

    @property
    def kind(self):
        """What the parts have in common that go through a network together."""
        return self.size, self.consistent, self.low_res.shape

    @property
    def brought(self):
        """In words what it was brought to, or "" if it was taken as it is."""
        side = max(self.known.shape)
        return f"brought to {side}x{side}" if self.width != side else ""


def picture_part(image, networks, seems_exact):
    """The Part that a picture, uint8 [H, W, 3], is for the run.weights.Networks; how, in words.

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
    and added. Left out is what seems to be noise (Wiener's filter on what is lacking), and all of
    it where the output made small is sharper than the face: that is blurred.
    """
    made_small = resized(output, len(seen))
    lacking = seen - made_small
    noise = _noise(seen)
    if noise:
        import scipy.ndimage  # here, for it takes a second to import, and most have no noise

        power = scipy.ndimage.uniform_filter(np.square(lacking).mean(axis=-1), WINDOW)[..., None]
        lacking *= 1 - np.minimum(noise**2 / np.maximum(power, 1e-12), 1)
    sharpness = _sharpness(seen) / max(_sharpness(made_small), 1e-6)
    lacking *= np.clip((sharpness - BLURRED) / (SHARP - BLURRED), 0, 1)
    return (output + resized(lacking, len(output))).clip(0, 1)


def _noise(seen):
    """The standard deviation of a face's noise, beyond what a clean one's detail passes for."""
    down = seen[:-1] - seen[1:]
    diagonal = (down[:, :-1] - down[:, 1:]) / 2  # as Haar's wavelet has it
    found = np.median(np.abs(diagonal), axis=(0, 1)).mean() / MEDIAN
    return math.sqrt(max(found**2 - (DETAIL / len(seen)) ** 2, 0.0))


def _sharpness(image):
    return sum(np.abs(np.diff(image, axis=axis)).mean() for axis in (0, 1))


def looks_exact(low_res):
    """Whether the pixels [h, w, 3] in [0, 1] of a face or a picture look like exact averages.

    The faithful network in the box, which need not keep to its input here, is asked what it would
    change of it.
    """
    [[low_res]] = middle(low_res[None])
    if min(low_res.shape[:2]) < LEAST_SIDE:
        return True
    size = BOX_SIZES[0] if max(low_res.shape[:2]) < SMALL_FACE else BOX_SIZES[-1]
    [result] = upscale(_judge(size), low_res[None])
    return bool(_exactness(low_res, result).min() >= 0)


def _exactness(low_res, result):
    """How many dB a picture is above the limits for colours and for brightness, [2]."""
    averages = np.asarray(area_downscale(result[None]))[0]
    (brightness, *colours), (detail, *_) = (
        np.moveaxis(image @ TO_YCC.T, -1, 0) for image in (averages - low_res, low_res)
    )
    detail = np.diff(np.diff(detail, axis=0), axis=1)  # what diagonals are made of
    brightness, colours, detail = map(_decibels, (brightness, colours, detail))
    beside_detail = brightness - detail - LEAST_BRIGHTNESS
    return np.array([colours - LEAST_COLOUR, max(beside_detail, brightness - NOTHING)])


def _decibels(values):
    return -10 * np.log10(np.mean(np.square(values)) + 1e-10)


@functools.cache
def _judge(size):
    weights = choose_weights("", "shipped", size)
    return weights.generator(fidelity=0.0, consistent="off")
