"""From boxes to training pairs (low_res, high_res): shrink, flip, jitter the colours."""

import functools
import sys

import tensorflow as tf

from srez.pictures.resize import shrink
from srez_model import SCALE


def augmented_pair(boxes, draws, sample_size):
    """Turns boxes into a pair as `plain_pair` does, and augments it; `draws` as for `augment`."""
    if boxes.shape[1] % sample_size:  # XLA knows no resizing by area
        return plain_pair(boxes, sample_size, draws)
    return _compiled_pair(boxes, sample_size, draws)


def plain_pair(boxes, sample_size, draws=None):
    """Turns boxes uint8 [B, 128, 128, 3] into (low_res, high_res), float32 in [0, 1].

    Their shapes are [B, S/4, S/4, 3] and [B, S, S, 3] with S = sample_size.
    """
    high_res = shrink(tf.cast(boxes, tf.float32), sample_size) / 255.0
    if draws is not None:
        high_res = augment(high_res, draws)
    return shrink(high_res, sample_size // SCALE), high_res


# Compiled, the pixels pass through memory once and not a dozen times: a third less work. On macOS,
# TensorFlow may have no compiler: https://github.com/tensorflow/tensorflow/issues/58988.
_compiled_pair = tf.function(plain_pair, jit_compile=sys.platform == "linux")


def augment(images, draws):
    """Flips images [B, H, W, 3] in [0, 1] and changes their colours, by draws [4, B] in [0, 1).

    Saturation x 0.95-1.05, brightness +- 0.05, contrast x 0.95-1.05 about each channel's mean. It
    comes after the downscaling, which leaves a quarter of the pixels: all of it is linear but
    the clipping and the saturation of single pixels.
    """
    saturation, brightness, contrast = tf.unstack(draws[1:, :, None, None] * 0.1 - 0.05)
    flipped = draws[0, :, None, None] < 0.5
    # Channel by channel, because reductions over three neighbours are slow.
    planes = [
        tf.where(flipped, tf.reverse(plane, axis=[2]), plane)
        for plane in tf.unstack(images, axis=-1)
    ]
    # Saturation in HSV, without leaving RGB: the largest channel stays, the others move away
    # from it, at most until the smallest is 0.
    largest = functools.reduce(tf.maximum, planes)
    spread = largest - functools.reduce(tf.minimum, planes)
    factor = tf.minimum(1.0 + saturation, tf.math.divide_no_nan(largest, spread))
    for channel, plane in enumerate(planes):
        plane = largest * (1.0 - factor) + plane * factor
        # Brightness + b, then contrast * c about the mean m + b: c * x + b + m - c * m.
        mean = tf.reduce_mean(plane, axis=(1, 2), keepdims=True)
        plane = plane * (1.0 + contrast) + (brightness - contrast * mean)
        planes[channel] = tf.clip_by_value(plane, 0.0, 1.0)
    return tf.stack(planes, axis=-1)
