"""What training reads of one picture: its crop, still encoded, and the boxes decoded from that."""

import struct

import numpy as np
import tensorflow as tf
from PIL import Image

from srez.files import printable
from srez.pictures.image import (
    BOX_LEFT,
    BOX_SIDE,
    BOX_TOP,
    CELEBA_HEIGHT,
    CELEBA_WIDTH,
    JPEG_END,
    JPEG_START,
    celeba_box,
    centre_square,
    jpeg_segments,
    read_image,
)

WIGGLE = 8  # pixels that the box moves, either way
MARGIN_SIDE = BOX_SIDE + 2 * WIGGLE
PLAIN_BYTES = 2**20  # that a plain CelebA JPEG has at most: a hundred times the usual
CROP_SHAPE = (MARGIN_SIDE, MARGIN_SIDE, 3)  # what all boxes of a picture lie in


def encoded_crop(source, number):
    """A plain CelebA JPEG as it is, any other picture as b"\\0" and its 144x144x3 bytes.

    Raises:
        OSError: it can't be read, is cut off or is no picture; one line.
    """
    data = source.read(number)
    if _is_plain_celeba_jpeg(data):
        return data
    return b"\0" + _margin_crop(data, source.names[number]).tobytes()


def decode(encoded, offsets, side=BOX_SIDE):
    """The side x side box at `offsets` [B, 2] (row, column) of what `encoded_crop` gave.

    Maps [B] strings to uint8 [B, side, side, 3]. In JPEGs that look whole something may still be
    broken: then the whole batch fails with a tf.errors.InvalidArgumentError.
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


def box_alone(source, number, offset, side=BOX_SIDE):
    """The box of one picture at `offset` (row, column): uint8 [side, side, 3].

    Raises:
        OSError: it can't be read or decoded; one line.
    """
    encoded = encoded_crop(source, number)
    try:
        return decode(tf.constant([encoded]), tf.constant([offset], tf.int32), side).numpy()[0]
    except tf.errors.InvalidArgumentError as error:
        name = printable(source.names[number])
        raise OSError(f"{name}: damaged inside, TensorFlow can't decode it") from error


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
    if len(data) > PLAIN_BYTES or not data.startswith(JPEG_START):
        return False
    if not data.rstrip(b"\0").endswith(JPEG_END):  # cut off, or something is appended
        return False
    for marker, content in jpeg_segments(data):
        if marker in (0xE1, 0xEE):  # EXIF may turn it, Adobe's mark may change its colours
            return False
        if marker in (0xC0, 0xC1, 0xC2):  # the frame: bits, height, width, channels
            frame = struct.pack(">BHHB", 8, CELEBA_HEIGHT, CELEBA_WIDTH, 3)
            return content.startswith(frame)
    return False
