"""Draws shapes and lines for a portrait, oversampled, in the coordinates of an upright face."""

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from srez.pictures.geometry import CELEBA_HEIGHT as HEIGHT
from srez.pictures.geometry import CELEBA_WIDTH as WIDTH

CENTRE = 88.5, 111.0  # between the eyes of an aligned CelebA picture
OVERSAMPLING = 2  # drawn at that many pixels per pixel, for smooth edges


class Pen:
    """Draws in the face's own coordinates (pixels, turned and shifted by its pose)."""

    def __init__(self, rng):
        self._image = Image.new("RGB", (WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING))
        self._draw = ImageDraw.Draw(self._image)
        roll = np.radians(rng.uniform(-3.0, 3.0))
        self._turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
        self._shift = rng.uniform(-1.0, 1.0, 2)

    def _place(self, points):
        """Turns points [N, 2] of the face into pixels of the oversampled image."""
        points = (np.asarray(points, float) - CENTRE) @ self._turn.T + CENTRE + self._shift
        return points * OVERSAMPLING

    def result(self):
        """Gives what was drawn as pixels [218, 178, 3] in [0, 255]."""
        return np.asarray(self._image.reduce(OVERSAMPLING), np.float32)

    def grid(self):
        """Gives the face's own coordinates (x, y) of each pixel: arrays [218, 178]."""
        rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32) + 0.5
        points = np.stack([columns, rows], -1) - np.float32(self._shift + CENTRE)
        points = points @ np.float32(self._turn) + np.float32(CENTRE)
        return points[..., 0], points[..., 1]

    def shape(self, points, fill, blur=0.0, opacity=1.0, within=None):
        """Fills the outline [N, 2] with a colour [3] or an image [218, 178, 3], both in [0, 255].

        `blur` is the softness of its edge in pixels. Nothing is drawn outside of the outline
        `within`.
        """
        corners = self._place(points)
        reach = 3 * blur * OVERSAMPLING + 2
        first = np.maximum(np.floor(corners.min(0) - reach), 0)
        last = np.minimum(np.ceil(corners.max(0) + reach), self._image.size)
        box = left, top, right, bottom = np.concatenate([first, last]).astype(int).tolist()
        if left >= right or top >= bottom:
            return
        size = (right - left, bottom - top)
        mask = _mask(corners - (left, top), size, opacity)
        if blur:
            mask = mask.filter(ImageFilter.GaussianBlur(blur * OVERSAMPLING))
        if within is not None:
            mask = ImageChops.multiply(mask, _mask(self._place(within) - (left, top), size))
        if np.ndim(fill) == 1:
            self._image.paste(rgb(fill), box, mask)
        else:
            image = picture(fill).resize(self._image.size, Image.Resampling.BILINEAR)
            self._image.paste(image.crop(box), box, mask)

    def line(self, points, colour, width):
        """Draws an open line through the points [N, 2], `width` pixels wide."""
        path = list(map(tuple, self._place(points)))
        self._draw.line(path, rgb(colour), max(round(width * OVERSAMPLING), 1), joint="curve")

    def ellipse(self, x, y, half_width, half_height, fill, **options):
        """Fills an ellipse around (x, y); options as for `shape`."""
        self.shape(ellipse_outline(x, y, half_width, half_height), fill, **options)


def _mask(corners, size, opacity=1.0):
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).polygon(list(map(tuple, corners)), fill=round(255 * opacity))
    return mask


def rgb(colour):
    """Clips a colour [3] to [0, 255] and gives it as Pillow takes it."""
    return tuple(int(channel) for channel in np.clip(colour, 0, 255))


def picture(pixels):
    """Clips pixels [H, W, 3] to [0, 255] and gives them as a PIL image."""
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def ellipse_outline(x, y, half_width, half_height, power=2.0, start=0.0, stop=2 * np.pi):
    """Gives points [48, 2] on an ellipse between two angles; with a larger power it is squarer."""
    angles = np.linspace(start, stop, 48)
    circle = np.stack([np.cos(angles), np.sin(angles)], -1)
    return (x, y) + (half_width, half_height) * np.sign(circle) * np.abs(circle) ** (2 / power)


def on_side(side, x, offsets):
    """Gives points [N, 2] at the offsets (dx, y) from x, to the left (-1) or to the right (1)."""
    return np.array(offsets) * (side, 1) + (x, 0)


def between(line, other):
    """Gives the outline of what lies between two lines [N, 2] of the same direction."""
    return np.concatenate([line, other[::-1]])


def points_on(line, along):
    """Gives points [K, 2] on a line [N, 2]; `along` [K] is 0 at its first point, 1 at its last."""
    corners = np.linspace(0, 1, len(line))
    return np.stack([np.interp(along, corners, axis) for axis in np.transpose(line)], -1)
