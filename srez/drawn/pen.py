"""Draws shapes and lines for a portrait, oversampled, in the coordinates of an upright face."""

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

WIDTH, HEIGHT = 178, 218  # pixels of an aligned CelebA picture
CENTRE = 88.5, 111.0  # between its eyes
OVERSAMPLING = 2  # drawn at that many pixels per pixel, for smooth edges


class Pen:
    """Draws in the face's own coordinates (pixels, turned and shifted by its pose)."""

    def __init__(self, rng):
        self.image = Image.new("RGB", (WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING))
        self._draw = ImageDraw.Draw(self.image)
        roll = np.radians(rng.uniform(-3.0, 3.0))
        self._turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
        self._shift = rng.uniform(-1.0, 1.0, 2)

    def place(self, points):
        """Points [N, 2] of the face in pixels of the oversampled image."""
        points = (np.asarray(points, float) - CENTRE) @ self._turn.T + CENTRE + self._shift
        return points * OVERSAMPLING

    def grid(self):
        """The face's own coordinates (x, y) of each pixel, arrays [218, 178]."""
        rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32) + 0.5
        points = np.stack([columns, rows], -1) - np.float32(self._shift + CENTRE)
        points = points @ np.float32(self._turn) + np.float32(CENTRE)
        return points[..., 0], points[..., 1]

    def shape(self, points, fill, blur=0.0, opacity=1.0, within=None):
        """A filled outline [N, 2]; `fill` is a colour or an image [218, 178, 3] in [0, 255].

        `blur` is the softness of its edge in pixels; of the shape only what is within the
        outline `within` is drawn.
        """
        corners = self.place(points)
        reach = 3 * blur * OVERSAMPLING + 2
        left, top = np.maximum(np.floor(corners.min(0) - reach), 0).astype(int)
        right, bottom = np.minimum(np.ceil(corners.max(0) + reach), self.image.size).astype(int)
        if left >= right or top >= bottom:
            return
        size = (right - left, bottom - top)
        mask = _mask(corners - (left, top), size, opacity)
        if blur:
            mask = mask.filter(ImageFilter.GaussianBlur(blur * OVERSAMPLING))
        if within is not None:
            mask = ImageChops.multiply(mask, _mask(self.place(within) - (left, top), size))
        if np.ndim(fill) == 1:
            self.image.paste(rgb(fill), (left, top, right, bottom), mask)
        else:
            picture = Image.fromarray(np.clip(fill, 0, 255).astype(np.uint8))
            box = np.array([left, top, right, bottom]) / OVERSAMPLING
            self.image.paste(
                picture.resize(size, Image.Resampling.BILINEAR, box), (left, top), mask
            )

    def line(self, points, colour, width):
        """An open line through the points [N, 2], `width` pixels wide."""
        path = [tuple(point) for point in self.place(points)]
        self._draw.line(path, rgb(colour), max(round(width * OVERSAMPLING), 1), joint="curve")

    def ellipse(self, x, y, half_width, half_height, fill, **options):
        """A filled ellipse around (x, y); options as for `shape`."""
        self.shape(ellipse_outline(x, y, half_width, half_height), fill, **options)


def _mask(corners, size, opacity=1.0):
    mask = Image.new("L", (int(size[0]), int(size[1])))
    outline = [tuple(corner) for corner in corners]
    ImageDraw.Draw(mask).polygon(outline, fill=round(255 * opacity))
    return mask


def rgb(colour):
    """A colour [3] in [0, 255], clipped, as Pillow takes it."""
    return tuple(int(channel) for channel in np.clip(colour, 0, 255))


def ellipse_outline(x, y, half_width, half_height, power=2.0, start=0.0, stop=2 * np.pi):
    """Points [48, 2] on an ellipse, or with another power a superellipse, between two angles."""
    angles = np.linspace(start, stop, 48)
    cosines, sines = np.cos(angles), np.sin(angles)
    return np.stack(
        [
            x + half_width * np.sign(cosines) * np.abs(cosines) ** (2 / power),
            y + half_height * np.sign(sines) * np.abs(sines) ** (2 / power),
        ],
        axis=-1,
    )
