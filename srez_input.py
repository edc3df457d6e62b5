"""From pictures to batches of (low_res, high_res): order, crop, jitter, pairs.

Every random draw is a function of (random_seed, batch number): `Batches` can start at any batch, at
once, and give what a run that came this far would get.
"""

import srez  # noqa: F401, before Keras: it says which backend that takes

# isort: split
import functools

import numpy as np
import tensorflow as tf

from srez.original import AUGMENTATION, DEGRADATION, batch_seed
from srez.pictures import pairs
from srez.pictures.bad import BadImages, NoPictures
from srez.pictures.degrade import DRAWS, degrade

MAX_TRIES = 100  # to find a good picture in place of a bad one

# Out of a graph when a picture can't be decoded, or none can be read.
_FAILED = (tf.errors.InvalidArgumentError, tf.errors.UnknownError)


class Batches:
    """The endless order of augmented batches, each made from its number.

    A batch is (low_res [B, S/4, S/4, 3], high_res [B, S, S, 3]), float32 in [0, 1], with B =
    batch_size and S = sample_size. Place p = batch * B + i of the order is picture p mod n of a
    permutation of `files` made for epoch p // n: batches straddle epochs, nothing is dropped.
    low_res are averages of high_res, but for a share `degraded` of them, which are degraded.

    All batches are made by one graph. It reads pictures from the source, or from a
    pictures.cache.Cache. A picture that turns out bad is noted in `bad_images`, and the graph runs
    again: in place of a bad picture it takes another one, the same each time.
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
        degraded=0.0,
    ):
        self.source = source
        self.files = np.asarray(files, np.int64)
        # Made here, it is an input of the graph; a constant in it may hold no more than 2 GiB.
        self._numbers = tf.constant(self.files)
        self.batch_size = batch_size
        self.sample_size = sample_size
        self.random_seed = random_seed
        self.degraded = degraded
        self._cache = cache
        self._encoded_crop = functools.partial(pairs.encoded_crop, source)
        self.bad_images = bad_images or BadImages(len(self.files), limit=1.0)
        self._graph = tf.function(self._make, reduce_retracing=True)

    def iterate(self, start=0, share=None):
        """Yields the batches from number `start` on; with a share (first, end) those places only.

        Raises:
            NoPictures: their folder is gone, or MAX_TRIES in a row can't be read.
        """
        share, failed = share or (0, self.batch_size), None
        while True:
            try:
                for batch in self._dataset(start, share):
                    yield batch
                    start += 1
            except _FAILED:
                # Not by `make`: TensorFlow rearranges a graph alone in another way than in a
                # dataset, and the last bits would differ. Where nothing is bad any more, the
                # folder was gone for a moment.
                if not self._find_bad(start, share) and failed == start:
                    raise
                failed = start

    def make(self, batch, share=None):
        """The batch of a number, or a share (first, end) of it, at once; not for graphs.

        Raises NoPictures as `iterate` does.
        """
        share, has_failed = share or (0, self.batch_size), False
        while True:
            try:
                return self._graph(tf.constant(batch, tf.int64), share)
            except _FAILED:
                if not self._find_bad(batch, share) and has_failed:
                    raise
                has_failed = True

    def files_of(self, batch):
        """The numbers [B] of the pictures of batch number `batch`."""
        return self.files[self._order(tf.constant(batch, tf.int64)).numpy()]

    def draw(self, batch):
        """A batch's pictures [B], their boxes' offsets [B, 2] and the jitter's draws [4, B]."""
        seed = batch_seed(self.random_seed, AUGMENTATION, batch)
        draws = tf.random.stateless_uniform([6, self.batch_size], seed)
        offsets = tf.transpose(tf.cast(draws[:2] * (2 * pairs.WIGGLE + 1), tf.int32))
        return tf.gather(self._numbers, self._order(batch)), offsets, draws[2:]

    def _dataset(self, start, share):
        make = functools.partial(self._graph, share=share)
        batches = tf.data.Dataset.range(start, np.iinfo(np.int64).max)
        return batches.map(make, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    def _make(self, batch, share):
        first, end = share
        picked, offsets, draws = self.draw(batch)
        picked = picked[first:end]
        if self._cache is None:
            read = functools.partial(self._read_all, first=first)
            encoded = tf.numpy_function(read, [picked, batch], tf.string, stateful=False)
            crops = pairs.decode(tf.ensure_shape(encoded, [end - first]))
        else:
            read = functools.partial(self._cached_all, first=first)
            crops = tf.numpy_function(read, [picked, batch], tf.uint8, stateful=False)
            crops = tf.ensure_shape(crops, [end - first, *pairs.CROP_SHAPE])
        boxes = pairs.cut(crops, offsets[first:end])
        low_res, high_res = pairs.augmented_pair(boxes, draws[:, first:end], self.sample_size)
        if self.degraded:
            low_res = self._degrade(low_res, high_res, batch, share)
        return low_res, high_res

    def _degrade(self, low_res, high_res, batch, share):
        first, end = share
        seed = batch_seed(self.random_seed, DEGRADATION, batch)
        draws = tf.random.stateless_uniform([self.batch_size, DRAWS], seed)
        noise = tf.random.stateless_normal([self.batch_size, *low_res.shape[1:]], seed)
        return degrade(low_res, high_res, self.degraded, draws[first:end], noise[first:end])

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

    def _read_all(self, picked, batch, first):
        """The encoded crops of the picked pictures; good ones in place of the bad."""
        found = self._good_ones(picked, batch, first, self._encoded_crop)
        return np.array([crop for _, crop in found], dtype=object)

    def _cached_all(self, picked, batch, first):
        """The same from the cache, uint8 [n, 144, 144, 3]."""
        found = self._good_ones(picked, batch, first, self._cache.crop)
        return np.stack([crop for _, crop in found])

    def _good_ones(self, picked, batch, first, read):
        """[(number, what `read` gives)] for each place; for a bad picture another one's."""
        found = []
        for place, number in enumerate(picked, first):
            draws = np.random.default_rng((self.random_seed, int(batch), place))
            for _ in range(MAX_TRIES + 1):
                if not self.bad_images.is_bad(number):
                    with self.bad_images.noting(number, self.source.names[number]):
                        found.append((number, read(number)))
                        break
                number = self.files[draws.integers(len(self.files))]
            else:
                raise NoPictures(
                    f"{MAX_TRIES} pictures in a row can't be read: is this a folder of pictures?"
                )
        return found

    def _find_bad(self, batch, share):
        """Decodes a failed batch's pictures one by one; returns whether a bad one was found."""
        first, end = share
        picked = self.files_of(batch)[first:end]
        crops = self._good_ones(picked, batch, first, self._encoded_crop)
        for number, crop in crops:
            with self.bad_images.noting(number, self.source.names[number]):
                pairs.decode_alone(crop)
        return any(self.bad_images.is_bad(number) for number, _ in crops)
