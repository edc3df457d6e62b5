"""Decodes what training sees of a picture: a box of 128x128 pixels, and where it may wiggle.

A picture's bytes become a TensorFlow string in one place, `encoded_crop`, where all is checked
that belongs to the file; `decode` turns these strings into pixels.
"""

import struct

import numpy as np
import tensorflow as tf
from PIL import Image

from srez_image import (
    BOX_LEFT,
    BOX_SIDE,
    BOX_TOP,
    CELEBA_HEIGHT,
    CELEBA_WIDTH,
    celeba_box,
    centre_square,
    read_image,
)

WIGGLE = 8  # pixels that the box moves, either way
MARGIN_SIDE = BOX_SIDE + 2 * WIGGLE
CROP_SHAPE = (MARGIN_SIDE, MARGIN_SIDE, 3)  # what all boxes of a picture lie in


def encoded_crop(source, number):
    """A plain CelebA JPEG as it is, any other picture as b"\\0" and its 144x144x3 bytes."""
    data = source.read(number)
    if _is_plain_celeba_jpeg(data):
        return data
    name = source.names[number]
    return b"\0" + _margin_crop(data, name).tobytes()


def checked_crop(source, number):
    """As `encoded_crop`, but an OSError for what TensorFlow can't decode."""
    data = encoded_crop(source, number)
    try:
        if data.startswith(b"\xff"):
            _decode_jpeg(data, tf.constant([0, 0, MARGIN_SIDE, MARGIN_SIDE]))
    except tf.errors.InvalidArgumentError as error:
        reason = "it is broken inside"
        raise OSError(f"{source.names[number]}: cannot be read as a picture ({reason})") from error
    return data


def decode(encoded, offsets, side=BOX_SIDE):
    """The side x side box at `offsets` [B, 2] (row, column) of what `encoded_crop` gave.

    Maps [B] strings to uint8 [B, side, side, 3].
    """
    windows = tf.concat([offsets, tf.fill(tf.shape(offsets), side)], axis=1)
    count = encoded.shape[0]

    def one_by_one():
        boxes = (encoded, windows)
        return tf.map_fn(lambda box: _decode_one(*box), boxes, fn_output_signature=tf.uint8)

    def all_jpeg():  # a third of a millisecond a batch faster than the loop
        boxes = zip(tf.unstack(encoded, count), tf.unstack(windows, count), strict=True)
        return tf.stack([_decode_jpeg(*box) for box in boxes])

    if count is None:
        boxes = one_by_one()
    else:
        boxes = tf.cond(tf.reduce_all(_is_jpeg(encoded)), all_jpeg, one_by_one)
    return tf.ensure_shape(boxes, (count, side, side, 3))


def decode_all(source, bad_images, chunk=64):
    """Yields (numbers [n], crops uint8 [n, 144, 144, 3], bad [n]) of all pictures of a source.

    A bad picture is entered in `bad_images`, and its crop is black.
    """

    def read(numbers):
        encoded, bad = [], np.zeros(len(numbers), bool)
        for place, number in enumerate(numbers):
            try:
                encoded.append(checked_crop(source, number))
            except OSError as error:
                bad_images.note(source.names[number], error)
                encoded.append(bytes(1 + MARGIN_SIDE**2 * 3))
                bad[place] = True
        return np.array(encoded, dtype=object), bad

    def decode_chunk(numbers):
        encoded, bad = tf.numpy_function(read, [numbers], (tf.string, tf.bool), stateful=False)
        encoded = tf.ensure_shape(encoded, [None])
        offsets = tf.zeros([tf.size(numbers), 2], tf.int32)
        return numbers, decode(encoded, offsets, MARGIN_SIDE), bad

    chunks = tf.data.Dataset.range(len(source.names)).batch(chunk)
    yield from chunks.map(decode_chunk, tf.data.AUTOTUNE).prefetch(2).as_numpy_iterator()


def _decode_one(data, window):
    def raw():
        crop = tf.reshape(tf.io.decode_raw(tf.strings.substr(data, 1, -1), tf.uint8), CROP_SHAPE)
        return tf.slice(crop, tf.concat([window[:2], (0,)], 0), tf.concat([window[2:], (3,)], 0))

    return tf.cond(_is_jpeg(data), lambda: _decode_jpeg(data, window), raw)


def _decode_jpeg(data, window):
    window += (BOX_TOP - WIGGLE, BOX_LEFT - WIGGLE, 0, 0)
    return tf.io.decode_and_crop_jpeg(data, window, channels=3, dct_method="INTEGER_ACCURATE")


def _is_jpeg(data):
    return tf.strings.substr(data, 0, 1) == b"\xff"


def _margin_crop(data, name):
    image = read_image(data, name)
    box = celeba_box(image, WIGGLE)
    if box is not None:
        return box
    square = Image.fromarray(centre_square(image))
    shrinks = square.width >= MARGIN_SIDE
    resample = Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC
    return np.asarray(square.resize((MARGIN_SIDE, MARGIN_SIDE), resample))


def _is_plain_celeba_jpeg(data):
    """Whether TensorFlow's own decoder gives the right picture: RGB, 178x218, upright, whole."""
    if not (data.startswith(b"\xff\xd8") and data.rstrip(b"\0").endswith(b"\xff\xd9")):
        return False
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in (0xE1, 0xEE):  # EXIF may turn it, Adobe's mark may change its colours
            return False
        if marker in (0xC0, 0xC1, 0xC2):
            bits, height, width, channels = struct.unpack_from(">BHHB", data, at + 4)
            return bits == 8 and channels == 3 and (width, height) == (CELEBA_WIDTH, CELEBA_HEIGHT)
        at += 2 + length
    return False
