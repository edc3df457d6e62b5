"""Enlarges a whole picture in overlapping tiles, so that memory doesn't grow with it."""

import sys

import numpy as np
import tensorflow as tf
import tqdm

from srez.pictures.image import to_uint8
from srez_model import SCALE

SAMPLE_SIDE = 128  # pixels; so much of the middle is shown in a comparison


def as_graph(generator):
    """A function from [1, H, W, 3] in [0, 1] to the generator's output, at any size.

    It takes less than half the generator's memory, for it keeps no layer's output to the end.
    """

    @tf.function(input_signature=[tf.TensorSpec((1, None, None, 3))])
    def network(low_res):
        return generator(low_res, training=False)

    return network


def upscale_tiled(network, image, tile, margin):
    """Maps a picture [H, W, 3] in [0, 1] to uint8 [4H, 4W, 3], `tile` x `tile` pixels at a time.

    `network` maps [1, h, w, 3] in [0, 1] to [1, 4h, 4w, 3] in [0, 1]. `margin` pixels around each
    tile go through it too and are cut off again: as many as its output depends on, so that a tile
    is what the whole picture would give there. At the picture's border there are none.
    """
    height, width, channels = image.shape
    result = np.empty((SCALE * height, SCALE * width, channels), np.uint8)
    corners = [(top, left) for top in range(0, height, tile) for left in range(0, width, tile)]
    quiet = len(corners) == 1 or not sys.stderr.isatty()
    for top, left in tqdm.tqdm(corners, unit="tile", leave=False, disable=quiet):
        rows, inner_rows = _span(top, tile, margin, height)
        columns, inner_columns = _span(left, tile, margin, width)
        images = np.asarray(network(image[None, rows, columns]))
        core = to_uint8(images[0, inner_rows, inner_columns])
        at = SCALE * top, SCALE * left
        result[at[0] : at[0] + core.shape[0], at[1] : at[1] + core.shape[1]] = core
    return result


def middle(low_res, *results):
    """The middles of pictures [N, H, W, 3] and of their results [N, 4H, 4W, 3]: a list of views.

    Their sides are at most SAMPLE_SIDE and 4 * SAMPLE_SIDE.
    """
    views = []
    for images, scale in ((low_res, 1), *((images, SCALE) for images in results)):
        top, left = (scale * (max(side - SAMPLE_SIDE, 0) // 2) for side in low_res.shape[1:3])
        most = scale * SAMPLE_SIDE
        views.append(images[:, top : top + most, left : left + most])
    return views


def _span(start, tile, margin, length):
    """What to read of the input and to keep of its output, for the tile at `start` of one side."""
    stop = min(start + tile, length)
    first, last = max(start - margin, 0), min(stop + margin, length)
    return slice(first, last), slice(SCALE * (start - first), SCALE * (stop - first))
