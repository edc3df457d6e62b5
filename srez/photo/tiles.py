"""Enlarges a whole picture in overlapping tiles, so that memory doesn't grow with it."""

import sys

import numpy as np
import tensorflow as tf
import tqdm

from srez.pictures.image import to_uint8
from srez_model import SCALE

# Input pixels around a tile that its output depends on, the radius of the generator's receptive
# field: 4 convolutions of 3x3 at the input's resolution (4 pixels), 4 and an up-convolution at
# twice that (2.5), one of each at four times it (0.5). Batch norm at inference is the same
# everywhere. So a tile with this margin is what the whole picture would give there, bar rounding.
MARGIN = 7
SAMPLE_SIDE = 128  # pixels, of the input's middle that is shown beside the result's


def as_graph(generator):
    """A function from [1, H, W, 3] in [0, 1] to the generator's output, at any size.

    It takes less than half the generator's memory, for it keeps no layer's output to the end.
    """

    @tf.function(input_signature=[tf.TensorSpec((1, None, None, 3))])
    def network(low_res):
        return generator(low_res, training=False)

    return network


def upscale_tiled(network, image, tile):
    """Maps a picture uint8 [H, W, 3] to uint8 [4H, 4W, 3], `tile` x `tile` pixels at a time.

    `network` maps [1, h, w, 3] in [0, 1] to [1, 4h, 4w, 3] in [0, 1]. A margin goes through it with
    each tile and is cut off again, except at the picture's border, where there is none.
    """
    height, width, channels = image.shape
    result = np.empty((SCALE * height, SCALE * width, channels), np.uint8)
    corners = [(top, left) for top in range(0, height, tile) for left in range(0, width, tile)]
    quiet = len(corners) == 1 or not sys.stderr.isatty()
    for top, left in tqdm.tqdm(corners, unit="tile", leave=False, disable=quiet):
        rows, inner_rows = _span(top, tile, height)
        columns, inner_columns = _span(left, tile, width)
        low_res = image[None, rows, columns].astype(np.float32) / 255.0
        core = to_uint8(np.asarray(network(low_res))[0, inner_rows, inner_columns])
        at = SCALE * top, SCALE * left
        result[at[0] : at[0] + core.shape[0], at[1] : at[1] + core.shape[1]] = core
    return result


def middle(image, result):
    """The middles of a picture and of its result, both uint8: [1, h, w, 3] and [1, 4h, 4w, 3].

    Floats in [0, 1]; h and w are at most SAMPLE_SIDE.
    """
    top, left = (max(side - SAMPLE_SIDE, 0) // 2 for side in image.shape[:2])
    low_res = image[top : top + SAMPLE_SIDE, left : left + SAMPLE_SIDE]
    sample = result[SCALE * top :, SCALE * left :]
    sample = sample[: SCALE * low_res.shape[0], : SCALE * low_res.shape[1]]
    return tuple(part[None] / np.float32(255.0) for part in (low_res, sample))


def _span(start, tile, length):
    """Of the tile at `start`, along one side: the input to read and the output of that to keep."""
    stop = min(start + tile, length)
    first, last = max(start - MARGIN, 0), min(stop + MARGIN, length)
    return slice(first, last), slice(SCALE * (start - first), SCALE * (stop - first))
