"""From pictures to batches of (low_res, high_res): decode, augment, pair.

Every random draw is a function of (random_seed, batch number): `make_dataset` can start at any
batch, at once, and gives what a run that came this far would get.
"""

import functools
import sys

import numpy as np
import tensorflow as tf

from srez_bad import BadImages
from srez_decode import WIGGLE, checked_crop, decode, encoded_crop
from srez_image import BOX_SIDE

SCALE = 4  # high_res pixels per low_res pixel, along each side

MAX_TRIES = 100  # to find a good picture in place of a bad one

AUGMENT_STREAM = 1  # of random numbers; srez_train has its own for the noise


def iterate_batches(start_batch=0, **data):
    """Yields what `make_dataset` does, and goes on where TensorFlow fails to decode a picture.

    `data` is as for `make_dataset`. A JPEG that looks whole may still be broken inside: then this
    batch is made again with care, and the next ones as usual.
    """
    batch = start_batch
    batches = iter(make_dataset(**data, start_batch=batch))
    while True:
        try:
            pictures = next(batches)
        except tf.errors.InvalidArgumentError:
            pictures = batch_maker(**data, careful=True)(tf.constant(batch, tf.int64))
            batches = iter(make_dataset(**data, start_batch=batch + 1))
        yield pictures
        batch += 1


def files_of_batch(files, batch_size, random_seed, batch):
    """Numbers [B] of the pictures that batch number `batch` asks for."""
    order = _epoch_order(tf.constant(batch, tf.int64), batch_size, len(files), random_seed)
    return np.asarray(files)[order.numpy()]


def make_dataset(
    source,
    files,
    batch_size,
    sample_size,
    random_seed,
    start_batch=0,
    cache=None,
    bad_images=None,
):
    """An endless tf.data.Dataset of augmented batches, from number `start_batch` on.

    Elements are (low_res [B, S/4, S/4, 3], high_res [B, S, S, 3]), float32 in [0, 1], with B =
    batch_size and S = sample_size. Place p = batch * B + i of the endless order is picture
    p mod n of a permutation made for epoch p // n: batches straddle epochs, nothing is dropped.
    With a srez_cache.Cache nothing is decoded any more. Bad pictures are entered in `bad_images`,
    a srez_bad.BadImages; good ones take their places.
    """
    make_batch = batch_maker(source, files, batch_size, sample_size, random_seed, cache, bad_images)
    batches = tf.data.Dataset.range(start_batch, np.iinfo(np.int64).max)
    return batches.map(make_batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def batch_maker(
    source,
    files,
    batch_size,
    sample_size,
    random_seed,
    cache=None,
    bad_images=None,
    careful=False,
):
    """A function from a batch's number (int64 scalar) to that batch of `make_dataset`.

    A `careful` one decodes every picture by itself first, and so finds those broken inside.
    """
    files = np.asarray(files, np.int64)
    bad_images = bad_images or BadImages(len(files), limit=1.0)
    encode = checked_crop if careful else encoded_crop

    def read(picked, batch):
        return _read_good(source, files, picked, (random_seed, int(batch)), bad_images, encode)

    def cut(picked, offsets, batch):
        key = (random_seed, int(batch))
        return _cut_good(cache, source.names, files, picked, offsets, key, bad_images)

    def make_batch(batch):
        picked = tf.gather(files, _epoch_order(batch, batch_size, len(files), random_seed))
        draws = tf.random.stateless_uniform(
            [6, batch_size], batch_seed(random_seed, AUGMENT_STREAM, batch)
        )
        offsets = tf.transpose(tf.cast(draws[:2] * (2 * WIGGLE + 1), tf.int32))
        if cache is None:
            encoded = tf.numpy_function(read, [picked, batch], tf.string, stateful=False)
            boxes = decode(tf.ensure_shape(encoded, [batch_size]), offsets)
        else:
            boxes = tf.numpy_function(cut, [picked, offsets, batch], tf.uint8, stateful=False)
            boxes = tf.ensure_shape(boxes, [batch_size, BOX_SIDE, BOX_SIDE, 3])
        if BOX_SIDE % sample_size:  # XLA knows no resizing by area
            return _augmented_pair(_area_resize(boxes, sample_size), draws[2:])
        return _fused_pair(boxes, draws[2:], sample_size)

    return make_batch


def batch_seed(random_seed, stream, batch):
    """The seed [2] of one stream of random numbers for the stateless ops of one batch."""
    seed = tf.constant([random_seed, stream], tf.int64)
    return tf.random.experimental.stateless_fold_in(seed, batch)


def load_pictures(source, files, sample_size, bad_images=None):
    """Loads pictures plain (the centre box): (low_res, high_res) float32 arrays as in a batch.

    A picture that can't be read is entered in `bad_images`, a srez_bad.BadImages, and left out.
    Raises OSError if all are.
    """
    bad_images = bad_images or BadImages(len(files), limit=1.0)
    encoded = []
    for number in files:
        try:
            encoded.append(checked_crop(source, number))
        except OSError as error:
            bad_images.note(source.names[number], error)
    if not encoded:
        raise OSError(f"none of the {len(files)} pictures wanted of {source.label} can be read")
    boxes = decode(tf.constant(encoded), tf.fill([len(encoded), 2], WIGGLE))
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


def _read_good(source, files, picked, key, bad_images, encode):
    """The encoded crops of the picked files; a bad one's place is taken by one drawn from key."""
    encoded = []
    for place, number in enumerate(picked):
        for candidate in _candidates(number, files, (*key, place)):
            bad_images.saw(int(candidate))
            try:
                encoded.append(encode(source, candidate))
                break
            except OSError as error:
                bad_images.note(source.names[candidate], error)
    return np.array(encoded, dtype=object)


def _cut_good(cache, names, files, picked, offsets, key, bad_images):
    """Boxes, uint8 [B, 128, 128, 3], of the same files as `_read_good`, from a cache."""
    boxes = np.empty((len(picked), BOX_SIDE, BOX_SIDE, 3), np.uint8)
    for place, (number, (row, column)) in enumerate(zip(picked, offsets, strict=True)):
        for candidate in _candidates(number, files, (*key, place)):
            bad_images.saw(int(candidate))
            if not cache.bad[candidate]:
                crop = cache.crops[candidate]
                boxes[place] = crop[row : row + BOX_SIDE, column : column + BOX_SIDE]
                break
            bad_images.note(names[candidate], f"{names[candidate]}: was bad when it was cached")
    return boxes


def _candidates(number, files, key):
    """The file's number, then others drawn from key; an OSError after MAX_TRIES."""
    yield number
    draws = np.random.default_rng(key)
    for _ in range(MAX_TRIES):
        yield files[draws.integers(len(files))]
    raise OSError(f"{MAX_TRIES} pictures in a row can't be read: is this a folder of pictures?")
