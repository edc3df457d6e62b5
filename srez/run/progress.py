"""What a user sees of a training: the console's lines, the bar, the speed, what to do next."""

import contextlib
import dataclasses
import sys
import time

import tqdm

from srez.console import command, counted, duration, say
from srez.options import FIELDS

LINE_PERIOD = 10  # batches between two lines; only for a line the host waits for the losses
LINE = "Progress[%3d%%], ETA[%4dm], Batch [%4d]"
LOSS = "%s[%3.3f]"
DECAY = (
    0.98  # of a batch's weight in the mean speed, with each later batch: it looks 50 batches back
)
# Sheets, measurements and checkpoints are spread over so many batches at least: a sheet right after
# a resume tells little of how often they come.
SPREAD = 200
BAR = "{percentage:3.0f}%|{bar}| {desc}"


@dataclasses.dataclass(frozen=True)
class Totals:
    """How long to train in all: `batches` (0: no limit) and `minutes` (None: no limit)."""

    batches: int
    minutes: float | None

    def reached(self, batch, seconds):
        """Which total is reached, and what to do, in a line each; "" if it has to go on."""
        if 0 < self.batches <= batch:
            done, flag = f"{batch:,} of {counted(self.batches, 'batch')}", "--train_batches"
        elif self.minutes is not None and seconds >= 60 * self.minutes:
            done, flag = f"{duration(seconds)} of {duration(60 * self.minutes)}", "--train_time"
        else:
            return ""
        return f"trained {done}.\nRaise {flag} to go on, or give --noresume to start anew."

    def fraction(self, batch, seconds):
        """How much of the training is done, in [0, 1], by the total that it will reach first."""
        by_batches = batch / self.batches if self.batches else 0.0
        by_time = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(max(by_batches, by_time), 1.0)

    def left(self, batch, seconds, speed):
        """Seconds to the total that will be reached first; 0 `speed`, in batches/s: not known."""
        by_time = 60 * self.minutes - seconds if self.minutes else float("inf")
        by_batches = (self.batches - batch) / speed if self.batches and speed else float("inf")
        return max(min(by_time, by_batches), 0.0)


class Progress:
    """Counts a run's time and batches, and shows them; a context manager around the loop.

    `batch` and `seconds` say how far earlier sessions came. `train_pictures` is the number of
    pictures in an epoch, `logs` are run.logs.Logs. In a terminal a bar shows the losses, and there
    is a line every `summary_period` batches. Else there is the original's line every ten.
    """

    def __init__(
        self, totals, batch, seconds, batch_size, train_pictures, summary_period, logs, losses
    ):
        self.totals = totals
        self.batch_size = batch_size
        self.logs = logs
        self.losses = losses
        self.batch = self.first_batch = batch
        self.train_pictures = train_pictures
        self.summary_period = summary_period
        self.waited = 0.0  # seconds, for data
        self._speed = Speed(batch, batch / seconds if seconds else 0.0)
        self._clock = time.monotonic() - seconds
        self._first_at = time.monotonic()
        self._says_speed = True
        self._bar = None
        self._shown_losses = ""
        self._ended_at = None
        self._is_terminal = sys.stdout.isatty() and sys.stderr.isatty()

    @property
    def seconds(self):
        """Seconds of training up to the end, those of earlier sessions included."""
        return (self._ended_at or time.monotonic()) - self._clock

    @property
    def done(self):
        """Which total is reached, in words, or ""."""
        return self.totals.reached(self.batch, self.seconds)

    def __enter__(self):
        say("Building the graph: the first batch takes longer than the others.")
        self._bar = tqdm.tqdm(
            total=100,
            bar_format=BAR,
            desc="building the graph",
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
        )
        return self

    def __exit__(self, *_):
        self._bar.set_description_str(self._words())
        self._bar.close()
        self.logs.flush()

    def end(self):
        """Stops the clock: the last sheet, measurement and checkpoint are no training."""
        self._ended_at = time.monotonic()

    @contextlib.contextmanager
    def waiting(self):
        """Counts the time inside as waiting for data."""
        start = time.monotonic()
        yield
        self.waited += time.monotonic() - start

    def apart(self):
        """A context whose time is that of sheets, measurements and checkpoints, not of batches."""
        return self._speed.apart()

    def announce(self, work):
        """Says in the bar what takes the time until the next batch."""
        self._bar.set_description_str(f"batch {self.batch:,}, {work}")

    def advance(self, batch, scalars):
        """Counts a batch; shows every tenth with its `scalars`, tensors by TensorBoard name.

        Returns the shown scalars as floats, or None.
        """
        self.batch, values = batch, None
        self._bar.n = 100 * self.totals.fraction(batch, self.seconds)
        if batch == self.first_batch + 1:  # it built the graph, which says nothing about the speed
            self.waited, self._first_at = 0.0, time.monotonic()
            self._speed.start(batch)
        if batch % LINE_PERIOD == 0:
            values = {name: float(value) for name, value in scalars.items()}
            self._speed.update(batch)
            if self._says_speed and batch >= self.first_batch + LINE_PERIOD and self._left:
                self._say_speed()
            self._show(values)
            rate = self._speed.batches_per_second * self.batch_size
            self.logs.scalars(batch, values | {"images_per_second": rate})
        self._bar.set_description_str(self._words())
        return values

    @property
    def waiting_share(self):
        """The share of the time since the first batch that went into waiting for data, 0 to 1."""
        return self.waited / max(time.monotonic() - self._first_at, 1e-9)

    @property
    def _left(self):
        return self.totals.left(self.batch, self.seconds, self._speed.batches_per_second)

    def _show(self, values):
        found = {title: values[name] for title, name in self.losses.items()}
        short = {title.removesuffix("_Loss").replace("_", " "): found[title] for title in found}
        self._shown_losses = "".join(f", {title} {value:.3f}" for title, value in short.items())
        if not self._is_terminal:
            percent = 100 * self.totals.fraction(self.batch, self.seconds)
            minutes = max(round(self._left / 60), self._left > 0)
            losses = [LOSS % pair for pair in found.items()]
            say(", ".join([LINE % (percent, minutes, self.batch), *losses]))
        elif self.batch % self.summary_period == 0:
            say(f"B{self._words()[1:]}")

    def _words(self):
        """What the bar says, within 80 columns with the bar's own ten."""
        left = f", {duration(self._left)} left" if self._left < float("inf") else ""
        return f"batch {self.batch:,}{left}{self._shown_losses}"

    def _say_speed(self):
        self._says_speed = False
        speed = self._speed.batches_per_second
        batches = self.batch + self._left * speed
        epochs = batches * self.batch_size / self.train_pictures
        in_all = f"{counted(round(batches), 'batch')} and {counted(epochs, 'epoch')} in all"
        say(f"{speed:.2f} batches/s: {duration(self._left)} left, {in_all}.")


class Speed:
    """The recent speed of a training, from an exponential mean of what a batch takes.

    `batch` is the last one of earlier sessions, whose speed is taken until there is a newer one.
    """

    def __init__(self, batch, earlier):
        self._earlier = earlier
        self._seconds = None  # of a batch
        self._first = self._last = batch
        self._since = time.monotonic()
        self._apart = self._apart_in_all = 0.0  # seconds, since the last update and in all

    @property
    def batches_per_second(self):
        """Sheets, measurements and checkpoints are spread over the batches; 0: not known yet."""
        if self._seconds is None:
            return self._earlier
        return 1 / (self._seconds + self._apart_in_all / max(self._last - self._first, SPREAD))

    @contextlib.contextmanager
    def apart(self):
        """Counts the time inside by itself."""
        start = time.monotonic()
        yield
        self._apart += time.monotonic() - start

    def start(self, batch):
        """Begins to measure, after the first batch."""
        self._first = self._last = batch
        self._since, self._apart = time.monotonic(), 0.0

    def update(self, batch):
        """Takes the batches since the last update into account; the host has waited for them."""
        count = batch - self._last
        if not count:
            return
        seconds = max(time.monotonic() - self._since - self._apart, 1e-9) / count
        old = seconds if self._seconds is None else self._seconds
        self._seconds = seconds + DECAY**count * (old - seconds)
        self._apart_in_all += self._apart
        self._last, self._since, self._apart = batch, time.monotonic(), 0.0


def say_where(train_dir, checkpoint_dir):
    """Says where a training's results are, and what to run next."""
    found = {"train_dir": train_dir, "checkpoint_dir": checkpoint_dir}
    flags = {
        name: "" if at == FIELDS[name].default else f" --{name}={at}" for name, at in found.items()
    }
    say(
        f"Sheets and logs are in {train_dir}, checkpoints in {checkpoint_dir}.\n"
        "What to run for its video, and for a picture of yours by this network:\n"
        f"  {command('--run demo' + flags['train_dir'])}\n"
        f"  {command('--run infere -i me.jpg' + flags['checkpoint_dir'])}"
    )
