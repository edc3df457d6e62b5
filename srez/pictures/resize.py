"""Makes images smaller by averaging, and larger by the interpolation that networks have to beat."""

import numpy as np
import tensorflow as tf
from PIL import Image

from srez_model import SCALE


def shrink(images, size):
    """Averages images [B, S, S, C] over areas: float32 [B, size, size, C]."""
    factor, rest = divmod(images.shape[1], size)
    if rest:
        resized = tf.image.resize(images, (size, size), method="area")
        return tf.minimum(resized, tf.reduce_max(images))  # rounding may lead just above it
    # The same, but faster: adds every factor-th row, then column.
    rows = sum(images[:, start::factor] for start in range(factor))
    return sum(rows[:, :, start::factor] for start in range(factor)) / factor**2


def interpolate(low_res, method="bicubic", size=None):
    """Enlarges images [B, H, W, C] to float32 [B, 4H, 4W, C] by a method of tf.image.resize.

    Or to any other `size` (height, width). Bicubic and Lanczos interpolation may lead out of
    [0, 1].
    """
    size = size or [SCALE * side for side in low_res.shape[1:3]]
    return tf.image.resize(low_res, size, method=method)


def resized(image, side):
    """A square image [h, h, C] at another side by bicubic interpolation: float32 [side, side, C].

    Pillow's: where it makes smaller, the kernel is as much larger.
    """
    planes = map(Image.fromarray, np.moveaxis(np.asarray(image, np.float32), -1, 0))
    size = (side, side)
    return np.stack([each.resize(size, Image.Resampling.BICUBIC) for each in planes], axis=-1)
