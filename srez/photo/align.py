"""Takes the faces out of a photo, aligned as CelebA's are, and puts them back (no TensorFlow).

Positions in a picture are complex numbers, x + iy in pixels from its corner: with these a turn, a
scale and a shift, which is all that aligning a face needs, are one product and one sum.
"""

import cmath
import math
import statistics

import numpy as np
from PIL import Image

from srez.pictures.formats import MAX_PIXELS
from srez.pictures.geometry import BOX_LEFT, BOX_SIDE, BOX_TOP, CELEBA_EYES
from srez.pictures.image import to_uint8

MAX_ENLARGEMENT = 4  # times; of a photo whose faces are put back
# Samples along a result's pixel, at most: a thousand in all are an average as good as any.
MAX_SAMPLES = 32
FEATHER = 0.2  # of the box's side: how far from its edge a face is fully opaque
_MASK_SIDE = 256  # pixels

# Where the eyes are in the box, its side being 1.
_LEFT_EYE, _RIGHT_EYE = (
    complex(x + 0.5 - BOX_LEFT, y + 0.5 - BOX_TOP) / BOX_SIDE for x, y in CELEBA_EYES
)
_MIDDLE = 0.5 + 0.5j


def box_side(eyes):
    """The side in pixels of the box around two eyes [2, 2]: 3.28 times their distance."""
    return abs(_box(eyes)[1])


def box_corners(eyes):
    """The corners (x, y) in pixels of the box around two eyes [2, 2], clockwise from upper left."""
    corner, across = _box(eyes)
    places = [corner + across * way for way in (0, 1, 1 + 1j, 1j)]
    return [(place.real, place.imag) for place in places]


def eyes_of_box(x, y, side, turns=0):
    """The eyes [2, 2] of a face whose box has its corner at (x, y), in pixels.

    It stands upright once the picture is turned so many quarters to the left.
    """
    places = (_MIDDLE + (eye - _MIDDLE) * 1j**turns for eye in (_LEFT_EYE, _RIGHT_EYE))
    places = [complex(x, y) + side * place for place in places]
    return np.array([(place.real, place.imag) for place in places])


def turns_upright(eyes):
    """How many quarters to the left a photo has to be turned so that its faces stand upright.

    `eyes` are those of its faces, [n, 2, 2]; from -1 to 2, 0 where they are none.
    """
    ways = np.reshape(eyes, (-1, 2, 2))
    across = complex(*(ways[:, 1] - ways[:, 0]).sum(axis=0))
    quarters = round(math.degrees(cmath.phase(across)) / 90)
    return 2 if quarters == -2 else quarters


def align_face(image, eyes, side):
    """The box around two eyes [2, 2] of a picture uint8 [H, W, 3]: float32 [side, side, 3].

    Turned upright, in [0, 1]. A pixel of a reduced box is the average over its area; an enlarged
    box is interpolated. Outside of the picture its edge goes on.
    """
    corner, across = _box(eyes)
    left, top, right, bottom = _bounds(corner, across, 1)
    rows = np.arange(top, bottom).clip(0, image.shape[0] - 1)
    columns = np.arange(left, right).clip(0, image.shape[1] - 1)
    region, corner = image[rows][:, columns], corner - complex(left, top)
    if abs(across) < side:
        return _enlarged(region, corner, across, side)
    samples = min(math.ceil(abs(across) / side), MAX_SAMPLES)
    size = (side * samples, side * samples)
    box = _warp(Image.fromarray(region), size, across / size[0], corner)
    squares = np.asarray(box, np.float32).reshape(side, samples, side, samples, 3)
    return squares.mean(axis=(1, 3)) / np.float32(255.0)


def _enlarged(region, corner, across, side):
    """A box that is smaller than `side`: first it is enlarged, then turned.

    Where Pillow turns, its bicubic kernel is sharper than where it enlarges, which is what the
    networks know. All of it is done without rounding, so that a turned photo gives the same.
    """
    times = math.ceil(side / abs(across))
    size = (times * region.shape[1], times * region.shape[0])
    planes = []
    for plane in np.moveaxis(region / np.float32(255.0), -1, 0):
        plane = Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC)
        planes.append(_warp(plane, (side, side), times * across / side, times * corner))
    return np.stack(planes, axis=-1).clip(0, 1)


def photo_enlargement(shape, eyes, sides, scale=0):
    """How many times larger a photo of `shape` becomes, for results of `sides` pixels: 1 to 4.

    `eyes` [n, 2, 2] are those of its faces. `scale` is how many times it shall be; with 0 at
    least half of the results keep all their pixels: one small face at the edge doesn't decide. No
    photo becomes larger than srez itself would read.
    """
    needed = [side / box_side(pair) for pair, side in zip(eyes, sides, strict=True)]
    wanted = scale or math.ceil(statistics.median_low(needed))
    fitting = math.isqrt(MAX_PIXELS // (shape[0] * shape[1]))
    return max(min(wanted, MAX_ENLARGEMENT, fitting), 1)


def put_back(image, eyes, results, scale=0):
    """A photo uint8 [H, W, 3] with its faces replaced by n results [S, S, 3] in [0, 1].

    `eyes` [n, 2, 2] are the faces' in the photo, which is enlarged by `photo_enlargement`. Towards
    the box's edge a result fades into the photo. A face that is larger than its result keeps its
    pixels: what the result changes is enlarged and added.
    """
    times = photo_enlargement(image.shape, eyes, [len(result) for result in results], scale)
    photo = Image.fromarray(image)
    if times > 1:
        size = (times * photo.width, times * photo.height)
        photo = photo.resize(size, Image.Resampling.BICUBIC)
    mask = Image.fromarray(_mask())
    for pair, result in zip(eyes, results, strict=True):
        corner, across = (times * place for place in _box(pair))
        left, top, right, bottom = _bounds(corner, across, 0)
        # From the photo's pixels to the box, whose side is 1: the inverse of the way there.
        step, start = 1 / across, (complex(left, top) - corner) / across
        size = (right - left, bottom - top)
        pictures = [Image.fromarray(to_uint8(result)), mask]
        if box_side(pair) > len(result):
            before = align_face(image, pair, len(result))
            pictures.append(Image.fromarray(to_uint8(before)))
        face, shade, *before = (
            _warp(picture, size, picture.width * step, picture.width * start)
            for picture in pictures
        )
        if before:
            region = np.asarray(photo.crop((left, top, right, bottom)), np.int16)
            changed = region + np.asarray(face, np.int16) - np.asarray(before[0])
            face = Image.fromarray(changed.clip(0, 255).astype(np.uint8))
        photo.paste(face, (left, top), shade)
    return np.asarray(photo)


def _box(eyes):
    """The box's upper left corner in the photo, and the way from there to the upper right one."""
    left, right = (complex(*eye) for eye in eyes)
    across = (right - left) / (_RIGHT_EYE - _LEFT_EYE)
    return left - across * _LEFT_EYE, across


def _bounds(corner, across, margin):
    """The whole pixels (left, top, right, bottom) that hold a box, `margin` more around."""
    corners = np.array([corner + across * way for way in (0, 1, 1j, 1 + 1j)])
    left, top = corners.real.min() - margin, corners.imag.min() - margin
    right, bottom = corners.real.max() + margin, corners.imag.max() + margin
    return math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)


def _warp(picture, size, step, start):
    """A picture of `size` whose pixel at position p is the given one's at step * p + start."""
    matrix = (step.real, -step.imag, start.real, step.imag, step.real, start.imag)
    return picture.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)


def _mask():
    """How opaque a face is, uint8 [S, S]: 0 along its box's edge, 255 from FEATHER on inwards."""
    places = (np.arange(_MASK_SIDE) + 0.5) / _MASK_SIDE
    inwards = (np.minimum(places, 1 - places) / FEATHER).clip(0, 1)
    smooth = inwards**2 * (3 - 2 * inwards)
    return to_uint8(np.outer(smooth, smooth))
