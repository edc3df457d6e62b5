"""From pictures to batches of (low_res, high_res): decode, augment, pair.

Every random draw is a function of (random_seed, batch number): `make_dataset` can start at any
batch, at once, and gives what a run that came this far would get.
"""

import functools
import struct
import sys

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
SCALE = 4  # high_res pixels per low_res pixel, along each side

MAX_TRIES = 100  # to find a good picture in place of a bad one

AUGMENT_STREAM = 1  # of random numbers; srez_train has its own for the noise


def make_dataset(source, files, batch_size, sample_size, random_seed, start_batch=0, cache=None):
    """An endless tf.data.Dataset of augmented batches, from number `start_batch` on.

    Elements are (low_res [B, S/4, S/4, 3], high_res [B, S, S, 3]), float32 in [0, 1], with B =
    batch_size and S = sample_size. Place p = batch * B + i of the endless order is picture
    p mod n of a permutation made for epoch p // n: batches straddle epochs, nothing is dropped.
    With a srez_cache.Cache nothing is decoded any more.
    """
    make_batch = batch_maker(source, files, batch_size, sample_size, random_seed, cache)
    batches = tf.data.Dataset.range(start_batch, np.iinfo(np.int64).max)
    return batches.map(make_batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def batch_maker(source, files, batch_size, sample_size, random_seed, cache=None):
    """A function from a batch's number (int64 scalar) to that batch of `make_dataset`."""
    files = np.asarray(files, np.int64)

    def read(picked, batch):
        return _read_good(source, files, picked, (random_seed, int(batch)))

    def cut(picked, offsets, batch):
        return _cut_good(cache, files, picked, offsets, (random_seed, int(batch)))

    def make_batch(batch):
        picked = tf.gather(files, _epoch_order(batch, batch_size, len(files), random_seed))
        draws = tf.random.stateless_uniform(
            [6, batch_size], batch_seed(random_seed, AUGMENT_STREAM, batch)
        )
        offsets = tf.transpose(tf.cast(draws[:2] * (2 * WIGGLE + 1), tf.int32))
        if cache is None:
            encoded = tf.numpy_function(read, [picked, batch], tf.string, stateful=False)
            boxes = _decode(tf.ensure_shape(encoded, [batch_size]), offsets)
        else:
            boxes = tf.numpy_function(cut, [picked, offsets, batch], tf.uint8, stateful=False)
            boxes = tf.ensure_shape(boxes, [batch_size, BOX_SIDE, BOX_SIDE, 3])
        if BOX_SIDE % sample_size:  # XLA knows no resizing by area
            return _augmented_pair(_area_resize(boxes, sample_size), draws[2:])
        return _fused_pair(boxes, draws[2:], sample_size)

    return make_batch


def decode_all(source, chunk=64):
    """Yields (numbers [n], crops uint8 [n, 144, 144, 3], bad [n]) of all pictures of a source.

    A bad picture is named on stderr, and its crop is black.
    """

    def read(numbers):
        encoded, bad = [], np.zeros(len(numbers), bool)
        for place, number in enumerate(numbers):
            try:
                encoded.append(_encoded_crop(source, number))
            except OSError as error:
                _warn_once(f"left out: {error}")
                encoded.append(bytes(1 + MARGIN_SIDE**2 * 3))
                bad[place] = True
        return np.array(encoded, dtype=object), bad

    def decode(numbers):
        encoded, bad = tf.numpy_function(read, [numbers], (tf.string, tf.bool), stateful=False)
        encoded = tf.ensure_shape(encoded, [None])
        offsets = tf.zeros([tf.size(numbers), 2], tf.int32)
        return numbers, _decode(encoded, offsets, MARGIN_SIDE), bad

    chunks = tf.data.Dataset.range(len(source.names)).batch(chunk)
    yield from chunks.map(decode, tf.data.AUTOTUNE).prefetch(2).as_numpy_iterator()


def batch_seed(random_seed, stream, batch):
    """The seed [2] of one stream of random numbers for the stateless ops of one batch."""
    seed = tf.constant([random_seed, stream], tf.int64)
    return tf.random.experimental.stateless_fold_in(seed, batch)


def load_pictures(source, files, sample_size):
    """Loads pictures plain (the centre box): (low_res, high_res) float32 arrays as in a batch.

    A picture that can't be read is named on stderr and left out. Raises OSError if all are.
    """
    encoded = []
    for number in files:
        try:
            encoded.append(_encoded_crop(source, number))
        except OSError as error:
            _warn_once(f"left out: {error}")
    if not encoded:
        raise OSError(f"none of the {len(files)} pictures wanted of {source.label} can be read")
    boxes = _decode(tf.constant(encoded), tf.fill([len(encoded), 2], WIGGLE))
    return tuple(images.numpy() for images in _pair(_area_resize(boxes, sample_size)))


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


def _augmented_pair(high_res, draws):
    return _pair(augment(high_res, draws))


# Compiled, the pixels pass through memory once and not a dozen times: a third less work. On macOS,
# TensorFlow may have no compiler: https://github.com/tensorflow/tensorflow/issues/58988.
@functools.partial(tf.function, jit_compile=sys.platform == "linux")
def _fused_pair(boxes, draws, sample_size):
    return _augmented_pair(_area_resize(boxes, sample_size), draws)


def _pair(high_res):
    return _shrink(high_res, high_res.shape[1] // SCALE), high_res


def _area_resize(boxes, size):
    """uint8 [B, 128, 128, 3] to float32 [B, size, size, 3] in [0, 1]."""
    return _shrink(tf.cast(boxes, tf.float32), size) / 255.0


def _shrink(images, size):
    factor, rest = divmod(images.shape[1], size)
    if rest:
        resized = tf.image.resize(images, (size, size), method="area")
        return tf.minimum(resized, tf.reduce_max(images))  # rounding may lead just over it
    # The same, faster: sums of every factor-th row, then column.
    rows = sum(images[:, start::factor] for start in range(factor))
    return sum(rows[:, :, start::factor] for start in range(factor)) / factor**2


def _epoch_order(batch, batch_size, count, random_seed):
    places = batch * batch_size + tf.range(batch_size, dtype=tf.int64)
    first = batch * batch_size // count

    def order(epoch):
        seed = [tf.cast(random_seed, tf.int64), epoch]
        return tf.random.experimental.index_shuffle(places % count, seed, count - 1)

    # A batch is no larger than an epoch, so it lies in two epochs at most.
    return tf.where(places // count == first, order(first), order(first + 1))


def _decode(encoded, offsets, side=BOX_SIDE):
    """The side x side box at `offsets` [B, 2] (row, column) of what `_encoded_crop` gave.

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


def _read_good(source, files, picked, key):
    """The encoded crops of the picked files; a bad one's place is taken by one drawn from key."""
    encoded = []
    for place, number in enumerate(picked):
        for candidate in _candidates(number, files, (*key, place)):
            try:
                encoded.append(_encoded_crop(source, candidate))
                break
            except OSError as error:
                _warn_once(f"left out, another picture takes its place: {error}")
    return np.array(encoded, dtype=object)


def _cut_good(cache, files, picked, offsets, key):
    """Boxes, uint8 [B, 128, 128, 3], of the same files as `_read_good`, from a cache."""
    boxes = np.empty((len(picked), BOX_SIDE, BOX_SIDE, 3), np.uint8)
    for place, (number, (row, column)) in enumerate(zip(picked, offsets, strict=True)):
        candidates = _candidates(number, files, (*key, place))
        good = next(candidate for candidate in candidates if not cache.bad[candidate])
        boxes[place] = cache.crops[good, row : row + BOX_SIDE, column : column + BOX_SIDE]
    return boxes


def _candidates(number, files, key):
    """The file's number, then others drawn from key; an OSError after MAX_TRIES."""
    yield number
    draws = np.random.default_rng(key)
    for _ in range(MAX_TRIES):
        yield files[draws.integers(len(files))]
    raise OSError(f"{MAX_TRIES} pictures in a row can't be read: is this a folder of pictures?")


def _encoded_crop(source, number):
    """A plain CelebA JPEG as it is, any other picture as b"\\0" and its 144x144x3 bytes."""
    data = source.read(number)
    if _is_plain_celeba_jpeg(data):
        return data
    name = source.names[number]
    return b"\0" + _margin_crop(data, name).tobytes()


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


@functools.cache
def _warn_once(message):
    print(f"srez: {message}", file=sys.stderr, flush=True)
