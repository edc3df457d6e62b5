"""Batches of training pictures, made by all cores of a machine that has no TensorFlow.

They are made from a file of bench.weights.pack, as srez_input makes them, by the same code but for
JPEG's decoder and `augment`, which are TensorFlow's there. Only what is drawn differs.
"""

import collections
import dataclasses
import io
import math
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
from PIL import Image

from srez.modern import PLANES
from srez.options import Options
from srez.pictures.degrade import known_of
from srez.pictures.geometry import BOX_SIDE, brought, shrink
from srez_model import SCALE

AHEAD = 4  # batches for each core that are made, or waiting, while one is trained on
ORDER, AUGMENTATION, DEGRADATION = range(3)  # streams of random numbers
SPAWNING = get_context("spawn")  # JAX has threads, and may not be forked

_worker = {}  # in a worker process: what makes a batch, and where it is left


class Shared:
    """Memory that worker processes share: `array`, of a shape and a dtype."""

    def __init__(self, shape, dtype):
        self._memory = SPAWNING.RawArray("B", math.prod(shape) * np.dtype(dtype).itemsize)
        self._shape, self._dtype = shape, dtype

    @property
    def array(self):
        return np.frombuffer(self._memory, self._dtype).reshape(self._shape)


@dataclasses.dataclass
class Maker:
    """Makes batches of Shared `crops`, each from its number and the random_seed alone."""

    crops: Shared
    options: Options

    def make(self, number):
        """Returns a batch, float32 [B, S, S, 5 + 3]: what is known of faces, then the faces."""
        options, crops = self.options, self.crops.array
        count, seed = options.batch_size, options.random_seed
        draws = np.random.default_rng((seed, AUGMENTATION, number))
        offsets = draws.integers(crops.shape[1] - BOX_SIDE + 1, size=(count, 2))
        picked = zip(self._order(number, len(crops)), offsets, strict=True)
        high_res = _faces([_box(crops[at], *offset) for at, offset in picked], options)
        high_res = augment(high_res, draws.random((4, count), np.float32))
        seeds = [(seed, DEGRADATION, number, place) for place in range(count)]
        known = known_of(high_res, seeds, options.degrade)
        return np.concatenate([known, high_res], axis=-1)

    def _order(self, number, count):
        """Which of `count` pictures are in a batch: for each epoch they are permuted."""
        size, seed = self.options.batch_size, self.options.random_seed
        epochs, places = np.divmod(number * size + np.arange(size), count)
        orders = {
            epoch: np.random.default_rng((seed, ORDER, epoch)).permutation(count)
            for epoch in epochs.tolist()
        }
        return [orders[epoch][place] for epoch, place in zip(epochs.tolist(), places, strict=True)]


def batches(maker, count):
    """Yields batches 0 to `count` - 1. Each array may change once the next one is asked for."""
    processes = len(os.sched_getaffinity(0))
    ahead, size = AHEAD * processes, maker.options.sample_size
    slots = Shared((ahead, maker.options.batch_size, size, size, PLANES + 3), np.float32)
    with ProcessPoolExecutor(processes, SPAWNING, _begin, (maker, slots)) as pool:
        made = collections.deque(pool.submit(_fill, number) for number in range(min(ahead, count)))
        for number in range(count):
            made.popleft().result()
            yield slots.array[number % ahead]
            if number + ahead < count:
                made.append(pool.submit(_fill, number + ahead))


def _begin(maker, slots):
    _worker.update(make=maker.make, slots=slots.array)


def _fill(number):
    slots = _worker["slots"]
    slots[number % len(slots)] = _worker["make"](number)


def validation(crops, options):
    """(faces [N, S, S, 3], {kind: what is known of them}): plain ones, made a quarter and worse."""
    margin = (crops.shape[1] - BOX_SIDE) // 2
    high_res = _faces([_box(crop, margin, margin) for crop in crops], options)
    size = options.sample_size
    exact = [brought(image, size, exact=True) for image in shrink(high_res, size // SCALE)]
    degraded = known_of(high_res, range(len(high_res)), share=1.0)
    return high_res, {"exact": np.stack(exact), "degraded": degraded}


def augment(images, draws):
    """srez.pictures.pairs.augment in numpy."""
    saturation, brightness, contrast = draws[1:, :, None, None] * 0.1 - 0.05
    images = np.where(draws[0, :, None, None, None] < 0.5, images[:, :, ::-1], images)
    red, green, blue = planes = np.moveaxis(images, -1, 0)
    largest = np.maximum(np.maximum(red, green), blue)
    spread = largest - np.minimum(np.minimum(red, green), blue)
    factor = np.divide(largest, spread, out=np.zeros_like(spread), where=spread > 0)
    factor = np.minimum(1.0 + saturation, factor)
    for plane in planes:
        plane[:] = largest * (1.0 - factor) + plane * factor
        mean = plane.mean(axis=(1, 2), keepdims=True)
        plane[:] = plane * (1.0 + contrast) + (brightness - contrast * mean)
    return np.clip(images, 0.0, 1.0)


def load(path, name):
    """The Shared crops of a subset, "train" or "validation": uint8 [N, M, M, 3]."""
    arrays = np.load(path)
    ends, side = arrays[f"{name}_ends"], int(arrays["MARGIN_SIDE"])
    data, starts = arrays[name].tobytes(), [0, *ends[:-1]]
    crops = Shared((len(ends), side, side, 3), np.uint8)

    def decode(place):
        with Image.open(io.BytesIO(data[starts[place] : ends[place]])) as image:
            # What is above and left of it is in the same blocks.
            crops.array[place] = np.asarray(image.convert("RGB"))[-side:, -side:]

    with ThreadPoolExecutor() as pool:
        list(pool.map(decode, range(len(ends))))
    return crops


def _box(crop, top, left):
    return crop[top : top + BOX_SIDE, left : left + BOX_SIDE]


def _faces(boxes, options):
    return shrink(np.stack(boxes).astype(np.float32), options.sample_size) / 255.0
