"""From pictures to batches of (low_res, high_res): decode, augment, pair.

Every random draw is a function of (random_seed, batch number): `Batches` can start at any batch, at
once, and give what a run that came this far would get.
"""

import functools

import numpy as np
import tensorflow as tf

from srez.pictures.augment import augmented_pair
from srez.pictures.bad import BadImages
from srez.pictures.crop import WIGGLE, box_alone, decode, encoded_crop
from srez.pictures.image import BOX_SIDE
from srez.pictures.load import BAD_BATCH, unbroken, unless_bad

MAX_TRIES = 100  # to find a good picture in place of a bad one

AUGMENT_STREAM = 1  # of random numbers; srez_trainer has its own for the noise


class Batches:
    """The endless order of augmented batches, each made from its number.

    A batch is (low_res [B, S/4, S/4, 3], high_res [B, S, S, 3]), float32 in [0, 1], with B =
    batch_size and S = sample_size. Place p = batch * B + i of the order is picture p mod n of a
    permutation of `files` made for epoch p // n: batches straddle epochs, nothing is dropped. With
    a `share` (first, end) only those places of each batch are made.

    With a Cache nothing is decoded any more. A picture that can't be read is noted in
    `bad_images`, a BadImages, and another one takes its place. Where MAX_TRIES in a row
    are bad, whatever reads raises OSError.
    """

    def __init__(
        self,
        source,
        files,
        batch_size,
        sample_size,
        random_seed,
        cache=None,
        bad_images=None,
        share=None,
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
        self._fast = tf.function(self._make, input_signature=[tf.TensorSpec([], tf.int64)])

    def dataset(self, start=0):
        """A tf.data.Dataset of the batches from number `start` on, each made in the graph.

        A picture that TensorFlow alone finds to be bad ends it with a
        tf.errors.InvalidArgumentError, MAX_TRIES bad ones in a row with a tf.errors.UnknownError.
        """
        batches = tf.data.Dataset.range(start, np.iinfo(np.int64).max)
        return batches.map(self._fast, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    def iterate(self, start=0):
        """Yields the batches from number `start` on, and gets over pictures that fail to decode."""
        yield from unbroken(self.dataset, self._with_care, start)

    def make(self, batch):
        """The batch of a number, at once; not for graphs."""
        try:
            return self._fast(tf.cast(batch, tf.int64))
        except BAD_BATCH:
            return self._with_care(batch)

    def files_of(self, batch):
        """The numbers [B] of the pictures of batch number `batch`, all shares of it."""
        return self.files[self._order(tf.constant(batch, tf.int64)).numpy()]

    def draw(self, batch):
        """A batch's pictures [B], their boxes' offsets [B, 2] and the jitter's draws [4, B].

        They are drawn for the whole batch, and of that the share is taken.
        """
        order = self._order(batch)[self.first : self.end]
        seed = batch_seed(self.random_seed, AUGMENT_STREAM, batch)
        draws = tf.random.stateless_uniform([6, self.batch_size], seed)[:, self.first : self.end]
        offsets = tf.transpose(tf.cast(draws[:2] * (2 * WIGGLE + 1), tf.int32))
        return tf.gather(self.numbers, order), offsets, draws[2:]

    def _with_care(self, batch):
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

    def _order(self, batch):
        """Which of the `files` [B] are in a batch."""
        count = len(self.files)
        places = batch * self.batch_size + tf.range(self.batch_size, dtype=tf.int64)
        first = batch * self.batch_size // count

        def order(epoch):
            seed = [tf.cast(self.random_seed, tf.int64), epoch]
            return tf.random.experimental.index_shuffle(places % count, seed, count - 1)

        # A batch is no larger than an epoch, so it lies in two epochs at most.
        return tf.where(places // count == first, order(first), order(first + 1))

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
            found = unless_bad(get, self.source, candidate, self.bad_images)
            if found is not None:
                return found

    def _candidates(self, number, key):
        """The picture's number, then others drawn from key; an OSError after MAX_TRIES."""
        yield number
        draws = np.random.default_rng((self.random_seed, *map(int, key)))
        for _ in range(MAX_TRIES):
            yield self.files[draws.integers(len(self.files))]
        raise OSError(f"{MAX_TRIES} pictures in a row can't be read: is this a folder of pictures?")


def batch_seed(random_seed, stream, batch):
    """The seed [2] of one stream of random numbers for the stateless ops of one batch."""
    seed = tf.constant([random_seed, stream], tf.int64)
    return tf.random.experimental.stateless_fold_in(seed, batch)
