"""What a user sees of a training: the console's lines, the bar, the speed."""

import contextlib
import dataclasses
import sys
import time

import tqdm

from srez.console import say

LINE_PERIOD = 10  # batches between two lines; only for a line the host waits for the losses
LINE = "Progress[%3d%%], ETA[%4dm], Batch [%4d]"
LOSS = "%s[%3.3f]"


@dataclasses.dataclass(frozen=True)
class Totals:
    """How long to train in all: `batches` (0: no limit) and `minutes` (None: no limit)."""

    batches: int
    minutes: float | None

    def reached(self, batch, seconds):
        """Which total is reached, in words; "" if the training has to go on."""
        if 0 < self.batches <= batch:
            done, flag = f"{batch} of {self.batches} batches", "--train_batches"
        elif self.minutes is not None and seconds >= 60 * self.minutes:
            done, flag = f"{seconds / 60:.3g} of {self.minutes:g} minutes", "--train_time"
        else:
            return ""
        return f"trained {done}: raise {flag} to go on, or --noresume to start anew."

    def fraction(self, batch, seconds):
        """How much of the training is done, in [0, 1], by the total that it will reach first."""
        by_batches = batch / self.batches if self.batches else 0.0
        by_time = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(max(by_batches, by_time), 1.0)


class Progress:
    """Counts a run's time and batches, and shows them; a context manager around the loop.

    `batch` and `seconds` say how far earlier sessions came. `train_pictures` is the number of
    pictures in an epoch, `logs` are run.logs.Logs.
    """

    def __init__(self, totals, batch, seconds, batch_size, train_pictures, logs, losses):
        self.totals = totals
        self.batch_size = batch_size
        self.logs = logs
        self.losses = losses
        self.batch = self.first_batch = batch
        self.train_pictures = train_pictures
        self.waited = 0.0  # seconds, for data
        self._clock = time.monotonic() - seconds
        self._speed_start = time.monotonic()
        self._bar = None

    @property
    def seconds(self):
        """Seconds of training so far, those of earlier sessions included."""
        return time.monotonic() - self._clock

    @property
    def done(self):
        """Which total is reached, in words, or ""."""
        return self.totals.reached(self.batch, self.seconds)

    def __enter__(self):
        self._bar = tqdm.tqdm(
            total=100,
            bar_format="{percentage:3.0f}%|{bar}| {elapsed}{postfix}",
            disable=not sys.stderr.isatty(),
        )
        return self

    def __exit__(self, *_):
        self._bar.close()
        self.logs.flush()

    @contextlib.contextmanager
    def waiting(self):
        """Counts the time inside as waiting for data."""
        start = time.monotonic()
        yield
        self.waited += time.monotonic() - start

    def advance(self, batch, scalars):
        """Counts a batch; shows every tenth with its `scalars`, tensors by TensorBoard name.

        Returns the shown scalars as floats, or None.
        """
        self.batch = batch
        if batch == self.first_batch + 1:  # it built the graph, which says nothing about the speed
            self.waited, self._speed_start = 0.0, time.monotonic()
        if batch == self.first_batch + LINE_PERIOD:
            self._say_speed()
        fraction = self.totals.fraction(batch, self.seconds)
        self._bar.n = 100 * fraction
        self._bar.refresh()
        if batch % LINE_PERIOD:
            return None
        values = {name: float(value) for name, value in scalars.items()}
        minutes_left = self.seconds / 60 * (1 / fraction - 1)
        losses = [LOSS % (title, values[name]) for title, name in self.losses.items()]
        line = LINE % (100 * fraction, round(minutes_left), batch)
        say(", ".join([line, *losses]))
        speed = self._speed()
        self._bar.set_postfix_str(
            f"{speed:.2f} batches/s, {self.waiting_share:.1%} waiting for data"
        )
        self.logs.scalars(batch, values | {"images_per_second": speed * self.batch_size})
        return values

    @property
    def waiting_share(self):
        """The share of the time since the first batch that went into waiting for data, 0 to 1."""
        return self.waited / max(time.monotonic() - self._speed_start, 1e-9)

    def _speed(self):
        """Batches per second since the first batch of this session, sheets and saves included."""
        batches = self.batch - self.first_batch - 1
        return batches / (time.monotonic() - self._speed_start) if batches > 0 else 0.0

    def _say_speed(self):
        speed = self._speed()
        batches = self.totals.batches or 60 * self.totals.minutes * speed
        minutes = batches / speed / 60
        epochs = batches * self.batch_size / self.train_pictures
        say(
            f"{speed:.2f} batches/s: {minutes:.3g} minutes = {batches:.0f} batches "
            f"= {epochs:.2g} epochs."
        )
