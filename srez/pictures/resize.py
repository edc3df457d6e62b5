"""Makes images smaller by averaging, and larger by the interpolation that networks have to beat."""

import tensorflow as tf

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


def interpolate(low_res, method="bicubic"):
    """Enlarges images [B, H, W, C] to float32 [B, 4H, 4W, C] by a method of tf.image.resize.

    Bicubic and Lanczos interpolation may lead out of [0, 1].
    """
    size = [SCALE * side for side in low_res.shape[1:3]]
    return tf.image.resize(low_res, size, method=method)
