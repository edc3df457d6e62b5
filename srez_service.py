"""Batches whose pictures tf.data service workers read and decode, put back into their order.

The workers' graph holds no Python (see srez_ops): what it can't do is done here, with the same
result.
"""

import itertools
import queue
import sys
import threading
import time

import tensorflow as tf

from srez_feed import Feed, unreachable
from srez_ops import box_reader

ANSWER = 15.0  # seconds in which a dispatcher has to answer, when a training starts
FIRST = 30.0  # seconds for the workers to make their first batch: they build the graph anew
STALL = 10.0  # seconds without any batch, after which the pictures are decoded here
LATE = 10.0  # seconds a batch may come after a later one: then its worker is taken for dead
RETRY = 60.0  # seconds until a service that failed is tried again
WINDOW_BYTES = 2**29  # of batches that came early
MAX_TABLE = 2**28  # bytes of names and places that the workers are sent


def check_service(address, answer=ANSWER):
    """Returns when a tf.data service dispatcher has answered at grpc://HOST:PORT.

    Raises:
        OSError: none does within `answer` seconds; one line.
    """
    deadline = time.monotonic() + answer
    hint = "start it, or leave --data_service out"
    reason = unreachable(address)
    while reason and time.monotonic() < deadline:
        time.sleep(0.2)
        reason = unreachable(address)
    if reason:
        raise OSError(f"--data_service={address} can't be reached ({reason}): {hint}")
    replies = queue.Queue()

    def register():
        try:
            one = tf.data.Dataset.range(1)
            tf.data.experimental.service.register_dataset(address, one)
            replies.put("")
        except tf.errors.OpError as error:
            replies.put(error.message)

    # TensorFlow itself would go on trying for an hour.
    threading.Thread(target=register, daemon=True).start()
    try:
        reason = replies.get(timeout=max(deadline - time.monotonic(), answer / 3))
    except queue.Empty:
        reason = "it doesn't answer"
    if reason:
        reason = " ".join(reason.split())
        raise OSError(f"--data_service={address} is no tf.data service ({reason}): {hint}")


def served_batches(address, places, draw, finish, make, start_batch):
    """Yields the batches from number `start_batch` on, in order and without end.

    `draw(batch)` gives, in a graph, the numbers [B] of its pictures, their boxes' offsets [B, 2],
    and what else `finish` needs to know; `finish(batch, drawn, good, boxes)` a batch from this and
    from what workers made of it, `make(batch)` one made here. `places` are srez_places.Places.

    Raises:
        OSError: the dataset is too large for this, or whatever `finish` and `make` raise.
    """
    table = places.entries.nbytes + sum(map(len, places.names)) + 4 * len(places.names)
    if table > MAX_TABLE:
        raise OSError(
            f"--data_service={address}: names and places of {len(places.names)} pictures take "
            f"{table >> 20} MiB, more than {MAX_TABLE >> 20}: leave --data_service out"
        )
    read = box_reader(places)

    def boxes_of(batch):
        drawn = draw(batch)
        return batch, drawn, *read(*drawn[:2])

    yield from _ordered(lambda start: Feed(address, boxes_of, finish, start), make, start_batch)


def _ordered(open_feed, make, start_batch):
    """Yields the batches of feeds in their order; those that don't come are made here."""
    sorter = _Sorter(open_feed, start_batch)
    try:
        for batch in itertools.count(start_batch):
            pair = sorter.find(batch)
            yield make(batch) if pair is None else pair
    finally:
        sorter.feed.close()


class _Sorter:
    """Finds batches among those that come, in whatever order, from a feed and its successors."""

    def __init__(self, open_feed, start):
        self._open_feed = open_feed
        self._early = {}  # batch -> (what it is, the clock when it came)
        self._clock = 0.0  # seconds spent waiting; others don't tell who is late
        self._patience = FIRST  # seconds to wait for any batch; 0 while the service fails
        self._reopen_at = None  # the time, once the feed has ended
        self._has_said = False
        self.feed = open_feed(start)

    def find(self, batch):
        """The batch, or None: it is lost, or the service fails."""
        self.feed.wanted = batch
        for older in [number for number in self._early if number < batch]:
            del self._early[older]
        self._reopen(batch)
        waited = 0.0
        while batch not in self._early and not self._is_lost():
            started = time.monotonic()
            came = self.feed.get(min(max(self._patience - waited, 0.0), 1.0))
            seconds = time.monotonic() - started
            waited += seconds
            self._clock += seconds
            if came is not None:
                number, pair = came
                self._early[number] = pair, self._clock
                self._patience, waited = STALL, 0.0
            elif self.feed.ended or waited >= self._patience:
                self._give_up()
                return None
        return self._early.pop(batch, (None,))[0]

    def _is_lost(self):
        if not self._early:
            return False
        pair, came = next(iter(self._early.values()))
        size = sum(tensor.dtype.size * tensor.shape.num_elements() for tensor in pair)
        return self._clock - came > LATE or len(self._early) >= max(WINDOW_BYTES // size, 8)

    def _give_up(self):
        self._patience = 0.0
        if self.feed.error:
            self._say_once(f"failed ({self.feed.error}), so pictures are decoded here")
        elif not self.feed.ended:
            self._say_once("does not answer, so pictures are decoded here until it does")
        if self.feed.ended and self._reopen_at is None:
            self._reopen_at = time.monotonic() + (RETRY if self.feed.error else 0.0)

    def _say_once(self, text):
        if not self._has_said:
            print(f"srez: --data_service={self.feed.address} {text}", file=sys.stderr, flush=True)
        self._has_said = True

    def _reopen(self, batch):
        """Puts a feed from `batch` on in the place of one that ended, if it is time to."""
        if self._reopen_at is None or time.monotonic() < self._reopen_at:
            return
        self._reopen_at = None
        self.feed = self._open_feed(batch)
        self._patience = FIRST
