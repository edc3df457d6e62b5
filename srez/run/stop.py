"""When a training stops: at its total or after a signal; all its processes at the same batch."""

import contextlib
import signal

from srez.console import say
from srez.parallel.launch import SIGNALS, handled, heeded

AGREED_EVERY = 10  # batches; the host waits for these anyway, to show their losses


class Stopping(contextlib.ExitStack):
    """Tells when to stop. A context manager: inside it, a signal is a wish to stop.

    After the first of SIGNALS the training finishes its batch and saves. A second one ends the
    process at once. `signal` is the number of the signal to stop for, 0 if none came. The
    processes of a Cluster tell each other their wishes every AGREED_EVERY batches.
    """

    def __init__(self, cluster):
        super().__init__()
        self.signal = 0
        self._cluster = cluster
        self._came = 0

    def __enter__(self):
        super().__enter__()
        self.enter_context(handled(self._note))
        return self

    def now(self, progress):
        """Whether to stop at this `progress`, a run.progress.Progress; all processes agree."""
        if self._cluster.workers == 1:
            self.signal = self._came
            return bool(progress.done or self.signal)
        if progress.totals.reached(progress.batch, seconds=0):  # all count the batches alike
            return True
        if progress.batch % AGREED_EVERY:
            return False
        *asked, is_over = self._cluster.sums(
            *(self._came == number for number in SIGNALS),
            self._cluster.is_chief and bool(progress.done),  # the chief's clock alone counts
        )
        came = (number for number, count in zip(SIGNALS, asked, strict=True) if count)
        self.signal = next(came, 0)
        return bool(self.signal or is_over)

    def _note(self, number, _):
        self._came = number
        for each in heeded():
            signal.signal(each, signal.SIG_DFL)
        say("\nFinishing the batch and saving; a second Ctrl-C leaves at once.")
