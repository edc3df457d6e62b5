"""Figures of how good enlarged pictures are."""

import numpy as np

MAX_DECIBELS = 100.0  # of pictures that are (nearly) the same, where the logarithm has no end


def psnr(images, truths):
    """Peak signal-to-noise ratio of each image: [N, H, W, C] in [0, 1], twice, to [N] in dB."""
    errors = np.mean(np.square(np.asarray(images, np.float64) - truths), axis=(1, 2, 3))
    return -10.0 * np.log10(np.maximum(errors, 10 ** (-MAX_DECIBELS / 10)))


def lr_psnr(images, low_res):
    """PSNR of the area-downscaled images [N, sH, sW, C] against their inputs [N, H, W, C], in dB.

    How true an image is to its input; what srez's L1 term works on.
    """
    count, height, width, channels = low_res.shape
    squares = np.reshape(
        np.asarray(images, np.float64),
        (count, height, images.shape[1] // height, width, images.shape[2] // width, channels),
    )
    return psnr(squares.mean(axis=(2, 4)), low_res)
