"""What a user sees of a training: the console's line, the bar, the speed."""

import contextlib
import dataclasses
import sys
import time

import tqdm

from srez.console import say

LINE_PERIOD = 10  # batches between two lines; the only ones at which the host waits for losses
LINE = (
    "Progress[%3d%%], ETA[%4dm], Batch [%4d], G_Loss[%3.3f], D_Real_Loss[%3.3f], D_Fake_Loss[%3.3f]"
)


@dataclasses.dataclass(frozen=True)
class Totals:
    """How long to train in all: `batches` (0: no limit) and `minutes` (None: no limit)."""

    batches: int
    minutes: float | None

    def reached(self, batch, seconds):
        """Says in words which total is reached, or "" if the training has to go on."""
        if self.batches and batch >= self.batches:
            done, flag = f"{batch} of {self.batches} batches", "--train_batches"
        elif self.minutes is not None and seconds >= 60 * self.minutes:
            done, flag = f"{seconds / 60:.3g} of {self.minutes:g} minutes", "--train_time"
        else:
            return ""
        return f"trained {done}: raise {flag} to go on, or --noresume to start anew."

    def fraction(self, batch, seconds):
        """Of the training that is done, by the total that will be reached first. In [0, 1]."""
        by_batches = batch / self.batches if self.batches else 0.0
        by_time = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(max(by_batches, by_time), 1.0)


class Progress:
    """Counts a run's time and batches, and shows them; a context manager around the loop.

    `batch` and `seconds` are those of the training so far, `train_pictures` is the number of
    pictures in an epoch, `logs` the run's run.logs.Logs.
    """

    def __init__(self, totals, batch, seconds, batch_size, train_pictures, logs):
        self.totals = totals
        self.batch_size = batch_size
        self.logs = logs
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
        """In words which total is reached, or ""."""
        return self.totals.reached(self.batch, self.seconds)

    @property
    def has_all_batches(self):
        """Whether the total of batches is reached."""
        return bool(self.totals.batches) and self.batch >= self.totals.batches

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
        """Counts a batch; every tenth is shown with its `scalars`, tensors by TensorBoard name.

        Returns the scalars shown, floats, or None.
        """
        self.batch = batch
        done_here = batch - self.first_batch
        if done_here == 1:  # it built the graph, which says nothing of the speed
            self.waited, self._speed_start = 0.0, time.monotonic()
        if done_here == LINE_PERIOD:
            self._say_speed()
        self._bar.n = 100 * self.totals.fraction(self.batch, self.seconds)
        self._bar.refresh()
        if batch % LINE_PERIOD:
            return None
        values = {name: float(value) for name, value in scalars.items()}
        self._show(values)
        return values

    def _show(self, scalars):
        speed = self._speed()
        fraction = self.totals.fraction(self.batch, self.seconds)
        minutes_left = self.seconds / 60 * (1 / fraction - 1)
        losses = [
            scalars[f"loss/{name}"] for name in ("gene_loss", "disc_real_loss", "disc_fake_loss")
        ]
        say(LINE % (100 * fraction, round(minutes_left), self.batch, *losses))
        self._bar.set_postfix_str(
            f"batch {self.batch}, G {losses[0]:.3f}, D {losses[1]:.3f} + {losses[2]:.3f}, "
            f"{speed:.2f} batches/s, {self.waiting_share:.1%} waiting for data"
        )
        speeds = {"images_per_second": speed * self.batch_size}
        self.logs.scalars(self.batch, scalars | speeds)

    @property
    def waiting_share(self):
        """The share of the time since the first batch that went into waiting for data, 0 to 1."""
        return self.waited / max(time.monotonic() - self._speed_start, 1e-9)

    def _speed(self):
        """Batches per second since the first batch of this session, sheets and saves included."""
        batches = self.batch - self.first_batch - 1
        return batches / (time.monotonic() - self._speed_start) if batches > 0 else 0.0

    def _say_speed(self):
        totals, speed = self.totals, self._speed()
        batches = totals.batches or 60 * totals.minutes * speed
        epochs = batches * self.batch_size / self.train_pictures
        minutes = batches / speed / 60 if totals.batches else totals.minutes
        say(
            f"{speed:.2f} batches/s: {minutes:.3g} minutes = {batches:.0f} batches "
            f"= {epochs:.2g} epochs."
        )
