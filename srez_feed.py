"""Batches as tf.data service workers make them, one after the other, in the order they come."""

import queue
import socket
import sys
import threading

import numpy as np
import tensorflow as tf

BEHIND = 32  # batches in a row that come too late, before a feed ends
MANY = 1000  # pictures, of which most should be made by the workers

_PARALLEL, _AHEAD = 4, 2  # batches a worker makes at a time, and has ready
_ASKED = 16  # batches asked for at a time, of all workers


class Feed:
    """Batches from the service, finished in a thread of its own, in the order they come.

    `wanted` is the first number of use; `ended` says that no more come, `error` why, or "".
    """

    def __init__(self, address, boxes_of, finish, start):
        self.address = address
        self.wanted = start
        self.error = ""
        self.ended = False
        self._start = start
        self._boxes_of = boxes_of
        self._finish = finish
        self._ready = queue.Queue(_AHEAD)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def get(self, seconds):
        """The next (number, batch), or None after so many seconds; raises what the thread did."""
        try:
            came = self._ready.get(timeout=seconds) if seconds else self._ready.get_nowait()
        except queue.Empty:
            return None
        if isinstance(came, Exception):
            raise came
        return came

    def close(self):
        """Ends the thread, or lets it end when it next hears of the service."""
        self._closed.set()
        self._thread.join(timeout=3.0)

    def _run(self):
        try:
            self.error = unreachable(self.address)
            if not self.error:
                self._pull()
        except tf.errors.OpError as error:
            self.error = " ".join(error.message.split()) or type(error).__name__
        except Exception as error:
            self._put(error)
        self.ended = True

    def _pull(self):
        too_late, counts = 0, np.zeros(2, np.int64)
        for batch, drawn, good, boxes in self._dataset():
            number, good = int(batch), good.numpy()
            too_late = too_late + 1 if number < self.wanted else 0
            if self._closed.is_set() or too_late >= BEHIND:
                return
            if not too_late:
                self._warn(counts, good)
                self._put((number, self._finish(number, drawn, good, boxes)))

    def _dataset(self):
        service = tf.data.experimental.service
        numbers = tf.data.Dataset.range(self._start, np.iinfo(np.int64).max)
        boxes = numbers.map(self._boxes_of, _PARALLEL).prefetch(_AHEAD)
        # Each number to one worker; pixels hardly get smaller, so they aren't compressed.
        policy = service.ShardingPolicy.DYNAMIC
        served = service.distribute(
            policy, self.address, max_outstanding_requests=_ASKED, compression=None
        )
        return boxes.apply(served)

    def _put(self, item):
        while not self._closed.is_set():
            try:
                return self._ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def _warn(self, counts, good):
        """Says it, once, if most pictures are none that the workers can make."""
        before = counts[0]
        counts += len(good), np.count_nonzero(~good)
        if before < MANY <= counts[0] and counts[1] > counts[0] / 2:
            print(
                f"srez: {counts[1]} of {counts[0]} pictures could not be made by the workers of "
                f"--data_service={self.address} and are decoded here: do these see the files, and "
                "are they JPEGs of 178x218 pixels?",
                file=sys.stderr,
                flush=True,
            )


def unreachable(address):
    """Why nothing can be connected to at grpc://HOST:PORT; "" if it can."""
    host, _, port = address.removeprefix("grpc://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5.0).close()
    except (OSError, OverflowError) as error:  # the latter of a port above 65535
        return getattr(error, "strerror", None) or str(error)
    return ""
