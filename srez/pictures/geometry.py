"""Sizes and places: where CelebA's faces are in their pictures; images made smaller and larger.

Smaller by averaging, and larger by the interpolation that networks have to beat. To import it takes
no TensorFlow.
"""

import math

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


def brought(image, side, exact=False, shift=(0.0, 0.0)):
    """What is known of a square image [h, h, 3] in [0, 1] at a larger `side`: [side, side, 5].

    As srez.modern.restore takes it, float32. Bicubic interpolation; if `exact`, then moved to
    average to the image, whose side has to divide the larger one. `shift` is how far the image's
    grid is moved to the right and down, in its pixels.
    """
    small = len(image)
    edge = int(np.any(shift))
    around = np.pad(image, ((edge, edge), (edge, edge), (0, 0)), mode="edge").astype(np.float32)
    left, top = edge - np.asarray(shift)
    box = (left, top, left + small, top + small)
    planes = map(Image.fromarray, np.moveaxis(around, -1, 0))
    planes = [each.resize((side, side), Image.Resampling.BICUBIC, box=box) for each in planes]
    known = np.stack(planes, axis=-1)
    if exact:
        factor = side // small
        averages = known.reshape(small, factor, small, factor, 3).mean(axis=(1, 3))
        known += (image - averages).repeat(factor, axis=0).repeat(factor, axis=1)
    return with_planes(known, side / small, exact)


def with_planes(image, enlargement, exact=False):
    """An interpolated face [S, S, 3], as srez.modern.restore takes it: float32 [S, S, 5]."""
    planes = np.full((*image.shape[:2], 2), (math.log2(enlargement), exact), np.float32)
    return np.concatenate([image, planes], axis=-1, dtype=np.float32)
