"""What training reads of one picture: its crop of 144x144 pixels, in which all its boxes lie."""

import struct

import numpy as np
import tensorflow as tf
from PIL import Image

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


def decode(encoded):
    """What `encoded_crop` gave, strings [B], as uint8 [B, 144, 144, 3]; for graphs.

    In a JPEG that looks whole something may still be broken: then the whole batch fails with a
    tf.errors.InvalidArgumentError.
    """
    count = encoded.shape[0]

    def one_by_one():
        return tf.map_fn(_decode_one, encoded, fn_output_signature=tf.uint8)

    def all_jpeg():  # a third of a millisecond a batch faster than the loop
        return tf.stack([_decode_jpeg(data) for data in tf.unstack(encoded)])

    crops = tf.cond(tf.reduce_all(_is_jpeg(encoded)), all_jpeg, one_by_one)
    return tf.ensure_shape(crops, (count, *CROP_SHAPE))


def decode_alone(encoded):
    """What `encoded_crop` gave of one picture as a uint8 array [144, 144, 3].

    Raises:
        OSError: TensorFlow can't decode it.
    """
    if encoded[:1] == b"\0":
        return np.frombuffer(encoded, np.uint8, offset=1).reshape(CROP_SHAPE)
    try:
        return _decode_jpeg(encoded).numpy()
    except tf.errors.InvalidArgumentError as error:
        raise OSError("damaged inside, TensorFlow can't decode it") from error


def cut(crops, offsets):
    """The boxes uint8 [B, 128, 128, 3] at `offsets` [B, 2] (row, column) of crops; for graphs."""
    boxes = [
        tf.slice(crop, (offset[0], offset[1], 0), (BOX_SIDE, BOX_SIDE, 3))
        for crop, offset in zip(tf.unstack(crops), tf.unstack(offsets), strict=True)
    ]
    return tf.stack(boxes)


def _decode_one(data):
    def raw():
        return tf.reshape(tf.io.decode_raw(tf.strings.substr(data, 1, -1), tf.uint8), CROP_SHAPE)

    return tf.cond(_is_jpeg(data), lambda: _decode_jpeg(data), raw)


def _decode_jpeg(data):
    window = (BOX_TOP - WIGGLE, BOX_LEFT - WIGGLE, MARGIN_SIDE, MARGIN_SIDE)
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
