"""From boxes to training pairs (low_res, high_res): shrink, flip, jitter the colours."""

import functools
import sys

import tensorflow as tf

from srez.pictures.resize import shrink
from srez_model import SCALE


def augmented_pair(boxes, draws, sample_size):
    """Boxes uint8 [B, 128, 128, 3] as augmented (low_res, high_res), float32 in [0, 1].

    Of shapes [B, S/4, S/4, 3] and [B, S, S, 3] with S = sample_size; `draws` as for `augment`.
    """
    if boxes.shape[1] % sample_size:  # XLA knows no resizing by area
        return _augmented(boxes, draws, sample_size)
    return _augmented_compiled(boxes, draws, sample_size)


def plain_pair(boxes, sample_size):
    """The same without augmentation."""
    return _pair(_area_resize(boxes, sample_size))


def augment(images, draws):
    """Random flip and colour: [B, H, W, 3] in [0, 1] to the same, by draws [4, B] in [0, 1).

    Saturation x 0.95-1.05, brightness +- 0.05, contrast x 0.95-1.05 about each channel's mean. It
    stands behind the downscaling, where there are a quarter of the pixels: but for the clipping
    and the saturation of single pixels, all of it is linear.
    """
    saturation, brightness, contrast = tf.unstack(draws[1:, :, None, None] * 0.1 - 0.05)
    flipped = draws[0, :, None, None] < 0.5
    # Channel by channel, for reductions over three neighbours are slow.
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


def _augmented(boxes, draws, sample_size):
    return _pair(augment(_area_resize(boxes, sample_size), draws))


# Compiled, the pixels pass through memory once and not a dozen times: a third less work. On macOS,
# TensorFlow may have no compiler: https://github.com/tensorflow/tensorflow/issues/58988.
_augmented_compiled = tf.function(_augmented, jit_compile=sys.platform == "linux")


def _pair(high_res):
    return shrink(high_res, high_res.shape[1] // SCALE), high_res


def _area_resize(boxes, size):
    """uint8 [B, 128, 128, 3] to float32 [B, size, size, 3] in [0, 1]."""
    return shrink(tf.cast(boxes, tf.float32), size) / 255.0
