"""Results beside their inputs, and what of them is invented."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from srez.photo.align import box_corners
from srez.photo.tiles import SAMPLE_SIDE, middle
from srez.pictures.geometry import interpolate
from srez.pictures.grid import GAP, TITLE_HEIGHT, titled_grid
from srez.pictures.image import to_uint8

INVENTED_GAIN = 4  # in the map of what is invented: a quarter of the range is white
_BOX = "rgb(255, 210, 0)"  # around a face
_SIDE = 256  # pixels; a small picture is magnified to about that for the eye


def comparison(inputs, outputs, numbers=()):
    """(a grid, uint8, with a row for each input; how many of 255 levels are invented on average).

    `inputs` are [h, w, 3], `outputs` for each of them a list of larger images, all in [0, 1]: the
    result, and the faithful and the plausible one, if what is invented shall be shown. `numbers`
    stand in the rows, if there are any: those of the faces, as in `with_boxes`.
    """
    rows, levels = zip(*map(_row, inputs, outputs), strict=True)
    sizes = {f"input {image.shape[1]}x{image.shape[0]}" for image in inputs}
    title = sizes.pop() if len(sizes) == 1 else "input"
    if max(side for image in inputs for side in image.shape) > SAMPLE_SIDE:
        title = "middle of input"
    titles = (title, "bicubic", "srez", "invented")
    columns = [np.concatenate(column) for column in zip(*rows, strict=True)]
    picture = Image.fromarray(titled_grid(dict(zip(titles, columns, strict=False))))
    for row, number in enumerate(numbers):
        top = TITLE_HEIGHT + row * (columns[0].shape[1] + GAP)
        _write_number(picture, (GAP, top), number)
    return np.asarray(picture), np.mean(levels)


def invented(faithful, plausible):
    """How far two images [..., 3] in [0, 1] are apart as 8 bits: [..., 1] in [0, 1]."""
    faithful, plausible = (to_uint8(image) / np.float32(255.0) for image in (faithful, plausible))
    return np.abs(plausible - faithful).mean(axis=-1, keepdims=True)


def with_boxes(image, eyes, width):
    """(a photo, uint8 [H, W, 3], `width` pixels wide, with numbered boxes; their centres in it).

    `eyes` are [2, 2] of each face, in pixels of the image, and a centre is (x, y).
    """
    scale, centres = width / image.shape[1], []
    size = (width, max(round(scale * image.shape[0]), 1))
    kernel = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    picture = Image.fromarray(image).resize(size, kernel)
    draw = ImageDraw.Draw(picture)
    for number, pair in enumerate(eyes, 1):
        corners = scale * np.array(box_corners(pair))
        draw.polygon([tuple(corner) for corner in corners], outline=_BOX, width=3)
        _write_number(picture, tuple(corners[0]), number)
        centres.append(tuple(corners.mean(axis=0)))
    return np.asarray(picture), centres


def _write_number(picture, place, number):
    """Writes a face's number into Pillow's picture, below and to the right of a place (x, y)."""
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(max(picture.width // 40, 14))
    x, y, right, bottom = draw.textbbox(place, f" {number} ", font)
    draw.rectangle((*place, right, bottom + y - place[1]), fill=_BOX)
    draw.text(place, f" {number} ", "black", font)


def _row(known, output):
    """A list of uint8 [1, H, W, 3]; how many of 255 levels are invented.

    It is input, bicubic interpolation and result, or in place of that a map of what is invented.
    """
    known, result, *ends = middle(known[None], *(image[None] for image in output))
    columns, levels = [result], 0.0
    if ends:
        gap = invented(*ends)
        columns.append((INVENTED_GAIN * gap).repeat(3, axis=3))
        levels = 255 * gap.mean()
    magnify = max(_SIDE // max(result.shape[1:3]), 1)
    size = result.shape[1:3]
    plain = [interpolate(known, method, size).numpy() for method in ("nearest", "bicubic")]
    columns = [*plain, *columns]
    return [to_uint8(image).repeat(magnify, 1).repeat(magnify, 2) for image in columns], levels
