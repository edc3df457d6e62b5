"""Pictures as they are, without jitter: for tests, measurements and the cache."""

import functools

import numpy as np
import tensorflow as tf

from srez.files import printable
from srez.pictures.augment import plain_pair
from srez.pictures.bad import BadImages
from srez.pictures.crop import CROP_SHAPE, MARGIN_SIDE, WIGGLE, box_alone, decode, encoded_crop
from srez.pictures.image import to_uint8

# Out of a graph when TensorFlow can't decode a picture, or none can be read.
BAD_BATCH = (tf.errors.InvalidArgumentError, tf.errors.UnknownError)


def load_pictures(source, files, sample_size, bad_images=None):
    """Loads pictures plain (the centre box): (low_res, high_res) float32 arrays as in a batch.

    A bad picture is noted in `bad_images` (BadImages) and left out. Raises OSError if
    all are.
    """
    numbers, boxes = _good_boxes(source, files, bad_images)
    if not numbers:
        raise OSError(f"none of the {len(files)} pictures wanted of {source.label} can be read")
    return tuple(images.numpy() for images in plain_pair(tf.constant(boxes), sample_size))


def load_eight_bit(source, files, sample_size, bad_images=None):
    """What is measured on: (numbers [n], low_res, high_res) of the good pictures, n from 0 up.

    As `load_pictures`, but rounded to 8 bits, as pictures in files are.
    """
    numbers, boxes = _good_boxes(source, files, bad_images)
    if not numbers:
        return [], *(np.empty((0, side, side, 3)) for side in (sample_size // 4, sample_size))
    pair = plain_pair(tf.constant(boxes), sample_size)
    return numbers, *(to_uint8(images) / np.float32(255.0) for images in pair)


def decode_all(source, bad_images=None, chunk=64):
    """Yields (numbers [n], crops uint8 [n, 144, 144, 3], bad [n]) of all pictures of a source.

    A bad picture is noted in `bad_images`, a pictures.bad.BadImages, and its crop is black.
    """
    bad_images = bad_images or BadImages(len(source.names), limit=1.0)

    def read(numbers):
        crops = [unless_bad(encode, source, number, bad_images) for number in numbers]
        bad = np.array([crop is None for crop in crops])
        return np.array([crop or black for crop in crops], dtype=object), bad

    def decode_chunk(numbers):
        encoded, bad = tf.numpy_function(read, [numbers], (tf.string, tf.bool), stateful=False)
        encoded = tf.ensure_shape(encoded, [None])
        offsets = tf.zeros([tf.size(numbers), 2], tf.int32)
        return numbers, decode(encoded, offsets, MARGIN_SIDE), bad

    def chunks(start):
        numbers = tf.data.Dataset.range(start * chunk, len(source.names)).batch(chunk)
        return numbers.map(decode_chunk, tf.data.AUTOTUNE).prefetch(2).as_numpy_iterator()

    def with_care(index):
        numbers = np.arange(index * chunk, min((index + 1) * chunk, len(source.names)))
        crops = [unless_bad(decode_whole, source, number, bad_images) for number in numbers]
        bad = np.array([crop is None for crop in crops])
        blank = np.zeros(CROP_SHAPE, np.uint8)
        return numbers, np.stack([blank if crop is None else crop for crop in crops]), bad

    encode = functools.partial(encoded_crop, source)
    decode_whole = functools.partial(box_alone, source, offset=(0, 0), side=MARGIN_SIDE)
    black = bytes(1 + int(np.prod(CROP_SHAPE)))
    yield from unbroken(chunks, with_care, 0)


def unless_bad(get, source, number, bad_images):
    """`get(number)`, or None if that raises an OSError, noted in `bad_images`."""
    bad_images.saw(number)
    try:
        return get(number)
    except OSError as error:
        name = source.names[number]
        reason = error.strerror or str(error).removeprefix(f"{printable(name)}: ")
        bad_images.note(name, reason)
        return None


def unbroken(iterable_from, with_care, start):
    """Yields items number `start` and up of `iterable_from(start)`, a failed one from `with_care`.

    Behind a failed item it goes on with a new iterable.
    """
    number = start
    while True:
        try:
            for item in iterable_from(number):
                yield item
                number += 1
            return
        except BAD_BATCH:
            pass  # and the item is made outside: an error there is another error
        yield with_care(number)
        number += 1


def _good_boxes(source, files, bad_images):
    """Numbers and centre boxes, uint8 [n, 128, 128, 3], of those pictures that can be read."""
    bad_images = bad_images or BadImages(len(files), limit=1.0)
    get = functools.partial(box_alone, source, offset=(WIGGLE, WIGGLE))
    found = [(number, unless_bad(get, source, number, bad_images)) for number in files]
    good = [(number, box) for number, box in found if box is not None]
    numbers, boxes = zip(*good, strict=True) if good else ((), ())
    return list(numbers), np.array(boxes)
