"""When a training stops: at its total or at a signal, of several processes at the same batch."""

import signal

from srez.console import say
from srez.run.progress import totals_reached


class Signals:
    """Turns the first SIGINT or SIGTERM into the wish to stop: `came`, its number, else 0.

    A second one has its usual effect: it ends the process at once.
    """

    def __init__(self):
        self.came = 0

    def __enter__(self):
        self._previous = {
            number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number, _):
        self.came = number
        for each in self._previous:
            signal.signal(each, signal.SIG_DFL)
        say("\nFinishing the batch and saving; once more leaves at once.")


class Agreement:
    """What the processes of a Cluster agree on after each batch: to go on or to stop.

    Each tells the others its wish with a step (`wishes`, then `heard`), and all follow them one
    batch later: so no step waits for the one before. One process alone just follows its own.
    """

    def __init__(self, cluster, signals, progress):
        self._cluster = cluster
        self._signals = signals
        self._progress = progress
        self._sums = [None, None]  # of the wishes of the last two steps

    @property
    def wishes(self):
        """For Trainer.train_step: SIGINTs, SIGTERMs, and whether the chief's time is up."""
        if self._cluster.workers == 1:
            return ()
        came = self._signals.came
        is_over = self._cluster.is_chief and bool(self._progress.done)
        return (came == signal.SIGINT, came == signal.SIGTERM, is_over)

    def heard(self, sums):
        """Takes the sum of all processes' wishes, a tensor, or None of one process alone."""
        self._sums = [self._sums[1], sums]

    @property
    def signal(self):
        """The number of the signal that came to any of them; 0 if none did."""
        if self._cluster.workers == 1:
            return self._signals.came
        interrupts, terminations, _ = self._agreed()
        return signal.SIGTERM if terminations else signal.SIGINT if interrupts else 0

    @property
    def is_over(self):
        """Whether to stop here."""
        progress = self._progress
        if self._cluster.workers == 1:
            return bool(progress.done or self._signals.came)
        # The other total, of minutes, is for the chief's clock alone to tell.
        batches = totals_reached(progress.batch, 0.0, progress.config.train_batches, None)
        return bool(batches or any(self._agreed()))

    def _agreed(self):
        return (0, 0, 0) if self._sums[0] is None else self._sums[0].numpy().tolist()
