"""From pictures to batches of (low_res, high_res): decode, augment, pair.

Every random draw is a function of (random_seed, batch number): `make_dataset` can start at any
batch, at once, and gives what a run that came this far would get.
"""

import functools

import numpy as np
import tensorflow as tf

from srez_augment import augmented_pair, plain_pair
from srez_bad import BadImages
from srez_crop import CROP_SHAPE, MARGIN_SIDE, WIGGLE, box_alone, decode, encoded_crop
from srez_image import BOX_SIDE, printable, to_uint8
from srez_service import served_batches

MAX_TRIES = 100  # to find a good picture in place of a bad one

AUGMENT_STREAM = 1  # of random numbers; srez_train has its own for the noise

# Out of a graph when TensorFlow can't decode a picture, or none can be read.
_BAD_BATCH = (tf.errors.InvalidArgumentError, tf.errors.UnknownError)


def make_dataset(
    source,
    files,
    batch_size,
    sample_size,
    random_seed,
    start_batch=0,
    cache=None,
    bad_images=None,
    share=None,
):
    """An endless tf.data.Dataset of augmented batches, from number `start_batch` on.

    Elements are (low_res [B, S/4, S/4, 3], high_res [B, S, S, 3]), float32 in [0, 1], with B =
    batch_size and S = sample_size. Place p = batch * B + i of the endless order is picture
    p mod n of a permutation made for epoch p // n: batches straddle epochs, nothing is dropped.
    With a srez_cache.Cache nothing is decoded any more. A picture that can't be read is noted in
    `bad_images`, a srez_bad.BadImages, and another one takes its place; one that TensorFlow fails
    to decode ends the dataset with a tf.errors.InvalidArgumentError: see `iterate_batches`. With a
    `share` (first, end) the elements are those places of each batch alone.
    """
    maker = _BatchMaker(
        source, files, batch_size, sample_size, random_seed, cache, bad_images, share
    )
    return maker.dataset(start_batch)


def iterate_batches(
    source,
    files,
    batch_size,
    sample_size,
    random_seed,
    start_batch=0,
    cache=None,
    bad_images=None,
    share=None,
    data_service=None,
):
    """Yields what `make_dataset` holds, without end, and gets over pictures that fail to decode.

    With the address of a `data_service`, and no cache, its workers read and decode.

    Raises:
        OSError: MAX_TRIES pictures in a row are bad, or too many for the data service.
    """
    maker = _BatchMaker(
        source, files, batch_size, sample_size, random_seed, cache, bad_images, share
    )
    if data_service is None:
        yield from _unbroken(maker.dataset, maker.with_care, start_batch)
    else:
        places = source.locate(source.identities)
        yield from served_batches(
            data_service, places, maker.draw, maker.finish, maker.make, start_batch
        )


def batch_maker(source, files, batch_size, sample_size, random_seed, cache=None, bad_images=None):
    """A function from a batch's number to that batch of `iterate_batches`; not for graphs."""
    maker = _BatchMaker(source, files, batch_size, sample_size, random_seed, cache, bad_images)
    return maker.make


def files_of_batch(files, batch_size, random_seed, batch):
    """The numbers [B] of the pictures of batch number `batch` of `make_dataset`."""
    order = _epoch_order(tf.constant(batch, tf.int64), batch_size, len(files), random_seed)
    return np.asarray(files)[order.numpy()]


class _BatchMaker:
    """Makes batches by their numbers, in a graph or with care: a picture after the other."""

    def __init__(
        self, source, files, batch_size, sample_size, random_seed, cache, bad_images, share=None
    ):
        self.source = source
        self.files = np.asarray(files, np.int64)
        # Made here, it is an input of the graph; a constant in it may hold no more than 2 GiB.
        self.numbers = tf.constant(self.files)
        self.batch_size = batch_size
        self.first, self.end = share or (0, batch_size)
        self.sample_size = sample_size
        self.random_seed = random_seed
        self.cache = cache
        self.bad_images = bad_images or BadImages(len(self.files), limit=1.0)
        # One graph for all iterators, which are made anew behind a bad batch.
        self.fast = tf.function(self._make, input_signature=[tf.TensorSpec([], tf.int64)])

    def dataset(self, start):
        """The batches from number `start` on, each made in the graph."""
        batches = tf.data.Dataset.range(start, np.iinfo(np.int64).max)
        return batches.map(self.fast, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    def make(self, batch):
        """A batch, at once; not for graphs."""
        try:
            return self.fast(tf.cast(batch, tf.int64))
        except _BAD_BATCH:
            return self.with_care(batch)

    def finish(self, batch, drawn, good, boxes):
        """A batch of boxes [B, 128, 128, 3] made elsewhere; those not good [B] are made here.

        `drawn` is what `draw` gives.
        """
        picked, offsets, draws = drawn
        picked = picked.numpy()
        for number in picked[good]:
            self.bad_images.saw(number)
        if not good.all():
            boxes = boxes.numpy()
            for place in np.flatnonzero(~good):
                get = functools.partial(box_alone, self.source, offset=offsets[place].numpy())
                key = (batch, self.first + place)
                boxes[place] = self._first_good(picked[place], key, get)
        return augmented_pair(tf.constant(boxes), draws, self.sample_size)

    def with_care(self, batch):
        """The same batch, but for the pictures that can't be decoded: others take their places."""
        batch = int(batch)
        picked, offsets, draws = self.draw(tf.constant(batch, tf.int64))
        take = self._decode_each if self.cache is None else self._cut
        boxes = take(picked.numpy(), offsets.numpy(), batch)
        return augmented_pair(tf.constant(boxes), draws, self.sample_size)

    def _make(self, batch):
        picked, offsets, draws = self.draw(batch)
        count = self.end - self.first
        if self.cache is None:
            encoded = tf.numpy_function(self._read, [picked, batch], tf.string, stateful=False)
            boxes = decode(tf.ensure_shape(encoded, [count]), offsets)
        else:
            inputs = [picked, offsets, batch]
            boxes = tf.numpy_function(self._cut, inputs, tf.uint8, stateful=False)
            boxes = tf.ensure_shape(boxes, [count, BOX_SIDE, BOX_SIDE, 3])
        return augmented_pair(boxes, draws, self.sample_size)

    def draw(self, batch):
        """A batch's pictures [B], their boxes' offsets [B, 2] and the jitter's draws [4, B].

        They are drawn for the whole batch, and of that the share is taken.
        """
        count = self.batch_size
        order = _epoch_order(batch, count, len(self.files), self.random_seed)
        order = order[self.first : self.end]
        seed = batch_seed(self.random_seed, AUGMENT_STREAM, batch)
        draws = tf.random.stateless_uniform([6, count], seed)[:, self.first : self.end]
        offsets = tf.transpose(tf.cast(draws[:2] * (2 * WIGGLE + 1), tf.int32))
        return tf.gather(self.numbers, order), offsets, draws[2:]

    def _read(self, picked, batch):
        """The encoded crops of the picked pictures."""
        encode = functools.partial(encoded_crop, self.source)
        crops = [
            self._first_good(number, (batch, place), encode)
            for place, number in enumerate(picked, self.first)
        ]
        return np.array(crops, dtype=object)

    def _decode_each(self, picked, offsets, batch):
        """The boxes, uint8 [B, 128, 128, 3], of the picked pictures."""
        boxes = []
        for place, (number, offset) in enumerate(zip(picked, offsets, strict=True), self.first):
            get = functools.partial(box_alone, self.source, offset=offset)
            boxes.append(self._first_good(number, (batch, place), get))
        return np.stack(boxes)

    def _cut(self, picked, offsets, batch):
        """The boxes, uint8 [B, 128, 128, 3], of the same pictures from the cache."""
        boxes = np.empty((len(picked), BOX_SIDE, BOX_SIDE, 3), np.uint8)
        for place, (number, (row, column)) in enumerate(zip(picked, offsets, strict=True)):
            candidates = self._candidates(number, (batch, self.first + place))
            good = next(candidate for candidate in candidates if not self.cache.bad[candidate])
            boxes[place] = self.cache.crops[good, row : row + BOX_SIDE, column : column + BOX_SIDE]
        return boxes

    def _first_good(self, number, key, get):
        """What `get` makes of the picture, or if it is bad of the first good one drawn from key."""
        for candidate in self._candidates(number, key):
            found = _unless_bad(get, self.source, candidate, self.bad_images)
            if found is not None:
                return found

    def _candidates(self, number, key):
        """The picture's number, then others drawn from key; an OSError after MAX_TRIES."""
        yield number
        draws = np.random.default_rng((self.random_seed, *map(int, key)))
        for _ in range(MAX_TRIES):
            yield self.files[draws.integers(len(self.files))]
        raise OSError(f"{MAX_TRIES} pictures in a row can't be read: is this a folder of pictures?")


def decode_all(source, bad_images=None, chunk=64):
    """Yields (numbers [n], crops uint8 [n, 144, 144, 3], bad [n]) of all pictures of a source.

    A bad picture is noted in `bad_images`, a srez_bad.BadImages, and its crop is black.
    """
    bad_images = bad_images or BadImages(len(source.names), limit=1.0)

    def read(numbers):
        crops = [_unless_bad(encode, source, number, bad_images) for number in numbers]
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
        crops = [_unless_bad(decode_whole, source, number, bad_images) for number in numbers]
        bad = np.array([crop is None for crop in crops])
        blank = np.zeros(CROP_SHAPE, np.uint8)
        return numbers, np.stack([blank if crop is None else crop for crop in crops]), bad

    encode = functools.partial(encoded_crop, source)
    decode_whole = functools.partial(box_alone, source, offset=(0, 0), side=MARGIN_SIDE)
    black = bytes(1 + int(np.prod(CROP_SHAPE)))
    yield from _unbroken(chunks, with_care, 0)


def batch_seed(random_seed, stream, batch):
    """The seed [2] of one stream of random numbers for the stateless ops of one batch."""
    seed = tf.constant([random_seed, stream], tf.int64)
    return tf.random.experimental.stateless_fold_in(seed, batch)


def load_pictures(source, files, sample_size, bad_images=None):
    """Loads pictures plain (the centre box): (low_res, high_res) float32 arrays as in a batch.

    A bad picture is noted in `bad_images`, a srez_bad.BadImages, and left out. Raises OSError if
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


def _good_boxes(source, files, bad_images):
    """Numbers and centre boxes, uint8 [n, 128, 128, 3], of those pictures that can be read."""
    bad_images = bad_images or BadImages(len(files), limit=1.0)
    get = functools.partial(box_alone, source, offset=(WIGGLE, WIGGLE))
    found = [(number, _unless_bad(get, source, number, bad_images)) for number in files]
    good = [(number, box) for number, box in found if box is not None]
    numbers, boxes = zip(*good, strict=True) if good else ((), ())
    return list(numbers), np.array(boxes)


def _unless_bad(get, source, number, bad_images):
    """`get(number)`, or None if that raises an OSError, noted in `bad_images`."""
    bad_images.saw(number)
    try:
        return get(number)
    except OSError as error:
        name = source.names[number]
        reason = error.strerror or str(error).removeprefix(f"{printable(name)}: ")
        bad_images.note(name, reason)
        return None


def _unbroken(iterable_from, with_care, start):
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
        except _BAD_BATCH:
            pass  # and the item is made outside: an error there is another error
        yield with_care(number)
        number += 1


def _epoch_order(batch, batch_size, count, random_seed):
    places = batch * batch_size + tf.range(batch_size, dtype=tf.int64)
    first = batch * batch_size // count

    def order(epoch):
        seed = [tf.cast(random_seed, tf.int64), epoch]
        return tf.random.experimental.index_shuffle(places % count, seed, count - 1)

    # A batch is no larger than an epoch, so it lies in two epochs at most.
    return tf.where(places // count == first, order(first), order(first + 1))
