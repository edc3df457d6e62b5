"""What training reads of a picture: a crop of 144x144 pixels, in which all its boxes lie."""

import numpy as np
import tensorflow as tf
from PIL import Image

from srez.pictures.image import (
    BOX_LEFT,
    BOX_SIDE,
    BOX_TOP,
    celeba_box,
    centre_square,
    is_plain_celeba_jpeg,
    read_image,
)

WIGGLE = 8  # pixels that the box moves, either way
MARGIN_SIDE = BOX_SIDE + 2 * WIGGLE
CROP_SHAPE = (MARGIN_SIDE, MARGIN_SIDE, 3)


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
