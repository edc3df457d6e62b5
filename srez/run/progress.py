"""What a user sees of a training: the console's lines, the bar, the speed, what to do next."""

import collections
import contextlib
import dataclasses
import statistics
import sys
import time

import tqdm

from srez.console import command, counted, duration, say
from srez.options import FIELDS

LINE_PERIOD = 10  # batches between two lines; only for a line the host waits for the losses
LINE = "Progress[%3d%%], ETA[%4dm], Batch [%4d]"
LOSS = "%s[%3.3f]"
DECAY = 0.98  # of a batch's weight in the mean speed, with each later one: it looks 50 batches back
# Sheets, measurements and checkpoints are spread over so many batches at least: a sheet right after
# a resume tells little of how often they come.
SPREAD = 200
# A batch that takes so many times the usual, and so many seconds, is none: the process was stopped,
# or the machine slept. On a GPU the host waits for ten batches at once, and a new stage of a recipe
# takes ten seconds and more to build.
LONG, LONG_SECONDS = 30, 30.0
USUAL = 50  # of the latest figures of what a batch takes, whose median is the usual one
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

    def left(self, batch, seconds, speed, stretch=1.0):
        """Seconds to the total that will be reached first; 0 `speed`, in batches/s: not known.

        `stretch` is how much longer it takes than its batches alone.
        """
        by_time = stretch * (60 * self.minutes - seconds) if self.minutes else float("inf")
        by_batches = (self.batches - batch) / speed if self.batches and speed else float("inf")
        return max(min(by_time, by_batches), 0.0)


class Progress:
    """Counts a run's batches and their time, and shows them; a context manager around the loop.

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
        self.waited = self._waited_before = 0.0  # seconds, for data; before the latest batch
        self._clock = Clock(batch, seconds)
        self._first_at = seconds
        self._says_speed = True
        self._bar = None
        self._shown_losses = ""
        self._is_terminal = sys.stdout.isatty() and sys.stderr.isatty()

    @property
    def seconds(self):
        """Seconds that the batches took, those of earlier sessions included."""
        return self._clock.seconds

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
        self._clock.start()
        return self

    def __exit__(self, *_):
        self._bar.set_description_str(self._words())
        self._bar.close()
        self.logs.flush()

    @contextlib.contextmanager
    def waiting(self):
        """Counts the time inside as waiting for data."""
        start = time.monotonic()
        yield
        self.waited += time.monotonic() - start

    @contextlib.contextmanager
    def apart(self):
        """A context whose time is that of sheets, measurements and checkpoints, not of batches."""
        with self._clock.apart():
            yield

    def announce(self, work):
        """Says in the bar what takes the time until the next batch."""
        self._bar.set_description_str(f"batch {self.batch:,}, {work}")

    def advance(self, batch, scalars):
        """Counts a batch; shows every tenth with its `scalars`, tensors by TensorBoard name.

        Returns the shown scalars as floats, or None.
        """
        self.batch, values = batch, None
        if batch <= self.first_batch + LINE_PERIOD:  # what each takes is not known yet
            float(next(iter(scalars.values())))  # waits for a GPU
        self.waited = min(self.waited, self._waited_before + self._count(batch))
        self._waited_before = self.waited
        self._bar.n = 100 * self.totals.fraction(batch, self.seconds)
        if batch == self.first_batch + 1:  # it built the graph, which says nothing about the speed
            self.waited, self._waited_before, self._first_at = 0.0, 0.0, self.seconds
            self._clock.measure_from(batch)
        if batch % LINE_PERIOD == 0:
            values = {name: float(value) for name, value in scalars.items()}
            self._clock.update(batch)
            if self._says_speed and batch >= self.first_batch + LINE_PERIOD and self._left:
                self._say_speed()
            self._show(values)
            rate = self._clock.batches_per_second * self.batch_size
            self.logs.scalars(batch, values | {"images_per_second": rate})
        self._bar.set_description_str(self._words())
        return values

    @property
    def waiting_share(self):
        """The share of the batches' time, but the first's, that was waiting for data, 0 to 1."""
        return self.waited / max(self.seconds - self._first_at, 1e-9)

    def say_finished(self):
        """Says which total is reached, and how long the training waited for data."""
        done = self.done.partition("\n")[0]  # "" if another worker's clock has ended it
        say(f"Finished: {done}\n{self.waiting_share:.2%} of the time was waiting for data.")

    @property
    def _left(self):
        clock = self._clock
        return self.totals.left(self.batch, self.seconds, clock.batches_per_second, clock.stretch)

    def _count(self, batch):
        """Counts the seconds of a batch, and returns them; says where it took far too long."""
        took, counted_as = self._clock.lap(batch)
        if counted_as < took:
            say(
                f"Batch {batch:,} took {duration(took)}, over {LONG} times as long as usual. "
                f"It counts as {duration(counted_as)}. Did the machine sleep?"
            )
        return counted_as

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
        speed = self._clock.batches_per_second
        batches = self.batch + self._left * speed
        epochs = batches * self.batch_size / self.train_pictures
        in_all = f"{counted(round(batches), 'batch')} and {counted(epochs, 'epoch')} in all"
        say(f"{speed:.2f} batches/s: {duration(self._left)} left, {in_all}.")


class Clock:
    """Counts the `seconds` of batches, each from the end of the one before, and tells their speed.

    Not counted is what is apart. A batch that took LONG times the usual, and LONG_SECONDS, counts
    as the usual: nobody worked meanwhile. Whether a clock goes on while a machine sleeps depends on
    the system, so the batch alone can tell. The speed is an exponential mean; `batch` and `seconds`
    are of earlier sessions, whose speed is taken until there is a newer one.
    """

    def __init__(self, batch, seconds):
        self.seconds = seconds
        self._earlier = batch / seconds if seconds else 0.0
        self._mean = None  # seconds of a batch
        self._usual = collections.deque(maxlen=USUAL)
        self._started_with = batch
        self._apart = 0.0  # seconds of other work
        self.measure_from(batch)
        self.start()

    def start(self):
        """Begins to count."""
        self._since = time.monotonic()

    @contextlib.contextmanager
    def apart(self):
        """Counts the time inside by itself."""
        start = time.monotonic()
        yield
        took = time.monotonic() - start
        self._since += took
        self._apart += took

    def lap(self, batch):
        """At a batch's end: (the seconds that it took, as how many it counts)."""
        now = time.monotonic()
        took, self._since = now - self._since, now
        usual = statistics.median(self._usual) if self._usual else float("inf")
        counted_as = usual if took > max(LONG * usual, LONG_SECONDS) else took
        self.seconds += counted_as
        if 1 < batch - self._started_with <= LINE_PERIOD:  # the first one built the graph
            self._usual.append(counted_as)
        return took, counted_as

    def measure_from(self, batch):
        """Begins to measure the speed, after a batch."""
        self._first = self._last = batch
        self._seconds_at_last = self.seconds

    def update(self, batch):
        """Takes the batches since the last update into account; the host has waited for them."""
        count = batch - self._last
        if not count:
            return
        seconds = max(self.seconds - self._seconds_at_last, 1e-9) / count
        if count == LINE_PERIOD:  # the host waits for a GPU once in ten batches
            self._usual.append(seconds)
        old = seconds if self._mean is None else self._mean
        self._mean = seconds + DECAY**count * (old - seconds)
        self._last, self._seconds_at_last = batch, self.seconds

    @property
    def batches_per_second(self):
        """Sheets, measurements and checkpoints are spread over the batches; 0: not known yet."""
        return self._earlier if self._mean is None else 1 / (self._mean * self.stretch)

    @property
    def stretch(self):
        """How much longer a training takes than its batches alone, from 1 up."""
        if self._mean is None:
            return 1.0
        return 1 + self._apart / max(self._last - self._first, SPREAD) / self._mean


def say_where(train_dir, checkpoint_dir):
    """Says where a training's results are, and what to run next."""
    found = {"train_dir": train_dir, "checkpoint_dir": checkpoint_dir}
    flags = {
        name: "" if at == FIELDS[name].default else f" --{name}={at}" for name, at in found.items()
    }
    say(
        f"Sheets and logs are in {train_dir}, checkpoints in {checkpoint_dir}.\n"
        "To make its video, and to enlarge your own picture with this network:\n"
        f"  {command('--run demo' + flags['train_dir'])}\n"
        f"  {command('--run infere -i me.jpg' + flags['checkpoint_dir'])}"
    )
