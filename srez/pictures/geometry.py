"""Sizes and places: where CelebA's faces are in their pictures; images made smaller and larger.

Smaller by averaging, and larger by the interpolation that networks have to beat. To import it takes
no TensorFlow.
"""

import numpy as np
from PIL import Image

CELEBA_WIDTH, CELEBA_HEIGHT = 178, 218  # of an aligned CelebA picture
CELEBA_EYES = (69, 111), (108, 111)  # (x, y) of the pixels its eyes are aligned to
BOX_LEFT, BOX_TOP, BOX_SIDE = 25, 60, 128  # what training sees of it: face and some hair


def celeba_box(image, margin=0):
    """Cuts what training sees of an aligned CelebA picture: 128x128 pixels, and `margin` around.

    Maps [218, 178, 3] to a view [128 + 2 * margin, 128 + 2 * margin, 3], any other shape to None.
    """
    if image.shape[:2] != (CELEBA_HEIGHT, CELEBA_WIDTH):
        return None
    top, left, side = BOX_TOP - margin, BOX_LEFT - margin, BOX_SIDE + 2 * margin
    return image[top : top + side, left : left + side]


def centre_square(image):
    """Cuts the largest centred square of an image [H, W, 3]: a view [S, S, 3], S = min(H, W)."""
    height, width, _ = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def shrink(images, size):
    """Averages images [B, S, S, C] over areas: float32 [B, size, size, C]."""
    factor, rest = divmod(images.shape[1], size)
    if rest:
        import tensorflow as tf  # here, for all else does without

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
    import tensorflow as tf  # here, as above

    from srez_model import SCALE  # and this imports Keras

    size = size or [SCALE * side for side in low_res.shape[1:3]]
    return tf.image.resize(low_res, size, method=method)


def resized(image, side):
    """A square image [h, h, C] at another side by bicubic interpolation: float32 [side, side, C].

    Pillow's: where it makes smaller, the kernel is as much larger.
    """
    planes = map(Image.fromarray, np.moveaxis(np.asarray(image, np.float32), -1, 0))
    size = (side, side)
    return np.stack([each.resize(size, Image.Resampling.BICUBIC) for each in planes], axis=-1)
