"""What training reads of a picture: from its bytes to the pair (low_res, high_res).

First a crop of 144x144 pixels, in which all its boxes lie; then a box, shrunk, flipped, its colours
jittered. Or the box in the middle as it is: for sheets, measurements and the cache.
"""

import concurrent.futures
import functools
import sys

import numpy as np
import tensorflow as tf
from PIL import Image

from srez.pictures.bad import BadImages
from srez.pictures.formats import is_plain_celeba_jpeg
from srez.pictures.geometry import BOX_LEFT, BOX_SIDE, BOX_TOP, celeba_box, centre_square, shrink
from srez.pictures.image import read_image
from srez_model import SCALE

WIGGLE = 8  # pixels that the box moves, either way
MARGIN_SIDE = BOX_SIDE + 2 * WIGGLE
CROP_SHAPE = (MARGIN_SIDE, MARGIN_SIDE, 3)
CHUNK = 256  # pictures decoded at a time, by several threads


def encoded_crop(source, number):
    """Reads a picture: a plain CelebA JPEG as it is, any other one as b"\\0" and its crop's bytes.

    Raises OSError, with one line, if it can't be read, is cut off or is no picture.
    """
    data = source.read(number)
    if is_plain_celeba_jpeg(data):
        return data
    return b"\0" + _margin_crop(data, source.names[number]).tobytes()


def decode(encoded):
    """Decodes strings [B] from `encoded_crop` to uint8 [B, 144, 144, 3]; for graphs.

    A JPEG that looks whole may still be broken inside: then the whole batch fails with a
    tf.errors.InvalidArgumentError.
    """
    crops = tf.stack([_decode_one(data) for data in tf.unstack(encoded)])
    return tf.ensure_shape(crops, (encoded.shape[0], *CROP_SHAPE))


def decode_alone(encoded):
    """Decodes one picture of `encoded_crop` to a uint8 array [144, 144, 3].

    Raises OSError if TensorFlow can't.
    """
    if encoded[:1] == b"\0":
        return np.frombuffer(encoded, np.uint8, offset=1).reshape(CROP_SHAPE)
    try:
        return _decode_jpeg(encoded).numpy()
    except tf.errors.InvalidArgumentError as error:
        raise OSError("damaged inside, TensorFlow can't decode it") from error


def cut(crops, offsets):
    """Cuts boxes uint8 [B, 128, 128, 3] at `offsets` [B, 2] (row, column) of crops; for graphs."""
    boxes = [
        tf.slice(crop, (offset[0], offset[1], 0), (BOX_SIDE, BOX_SIDE, 3))
        for crop, offset in zip(tf.unstack(crops), tf.unstack(offsets), strict=True)
    ]
    return tf.stack(boxes)


def _decode_one(data):
    def raw():
        return tf.reshape(tf.io.decode_raw(tf.strings.substr(data, 1, -1), tf.uint8), CROP_SHAPE)

    is_jpeg = tf.strings.substr(data, 0, 1) == b"\xff"
    return tf.cond(is_jpeg, lambda: _decode_jpeg(data), raw)


def _decode_jpeg(data):
    window = (BOX_TOP - WIGGLE, BOX_LEFT - WIGGLE, MARGIN_SIDE, MARGIN_SIDE)
    return tf.io.decode_and_crop_jpeg(data, window, channels=3, dct_method="INTEGER_ACCURATE")


def _margin_crop(data, name):
    image = read_image(data, name)
    if (box := celeba_box(image, WIGGLE)) is not None:
        return box
    square = Image.fromarray(centre_square(image))
    shrinks = square.width >= MARGIN_SIDE
    resample = Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC
    return np.asarray(square.resize((MARGIN_SIDE, MARGIN_SIDE), resample))


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


def load_pictures(source, files, sample_size, bad_images=None):
    """Loads the centre boxes of pictures: (numbers [n], low_res, high_res) of the good ones.

    low_res [n, S/4, S/4, 3] and high_res [n, S, S, 3] are float32 arrays in [0, 1], as in a batch.
    A bad picture is noted in `bad_images` (BadImages) and left out, so n may be 0.
    """
    numbers, boxes = [], []
    for chunk, crops, bad in load_crops(source, files, bad_images):
        numbers += np.compress(~bad, chunk).tolist()
        boxes.append(crops[~bad, WIGGLE : WIGGLE + BOX_SIDE, WIGGLE : WIGGLE + BOX_SIDE])
    low_res, high_res = plain_pair(tf.constant(np.concatenate(boxes)), sample_size)
    return numbers, low_res.numpy(), high_res.numpy()


def load_crops(source, files, bad_images=None):
    """Yields (numbers [n], crops uint8 [n, 144, 144, 3], bad [n]) of all pictures `files`.

    A bad picture is noted in `bad_images` (BadImages), and its crop is black.
    """
    bad_images = bad_images or BadImages(len(source.names), limit=1.0)

    def load(number):
        with bad_images.noting(number, source.names[number]):
            return decode_alone(encoded_crop(source, number))

    with concurrent.futures.ThreadPoolExecutor() as pool:
        for at in range(0, len(files), CHUNK):
            numbers = files[at : at + CHUNK]
            crops = list(pool.map(load, numbers))
            bad = np.array([crop is None for crop in crops])
            blank = np.zeros(CROP_SHAPE, np.uint8)
            yield numbers, np.stack([blank if crop is None else crop for crop in crops]), bad
