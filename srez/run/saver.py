"""Saves a run's checkpoints: when they are due, and again when a disk was full."""

import time

from srez.console import say
from srez.run.checkpoint import prune, write_checkpoint

KEPT_CHECKPOINTS = 2
RETRY_SECONDS = 60  # after a checkpoint that couldn't be written


class Saver:
    """Writes the checkpoints of a srez_trainer.Trainer.

    `run()` gives what belongs into them besides, for JSON; its "best", if any, names the
    checkpoint that is kept whatever its age.
    """

    def __init__(self, trainer, run):
        self.trainer = trainer
        self.config = trainer.config
        self.saved_batch, self.saved_at = int(trainer.batch), time.monotonic()
        self._run = run
        self._failed_at = None  # when the last checkpoint could not be written

    def is_due(self, batch, is_last):
        """Whether it is time for one: by the batches, by the clock, or to try again.

        Behind the last batch a better one is saved anyhow.
        """
        config, now = self.config, time.monotonic()
        if batch == self.saved_batch:
            return False
        if batch % config.checkpoint_period == 0:
            return True
        if self._failed_at is not None:
            return now - self._failed_at >= RETRY_SECONDS and not is_last
        seconds = 60 * config.checkpoint_minutes
        return seconds > 0 and now - self.saved_at >= seconds and not is_last

    def save(self, batch):
        """Saves a checkpoint and removes old ones; says whether it could."""
        config, run = self.config, self._run()
        best = run["best"] and run["best"]["name"]
        try:
            write_checkpoint(config.checkpoint_dir, batch, run, self.trainer.state)
            prune(config.checkpoint_dir, KEPT_CHECKPOINTS, config.keep_every, best)
        except OSError as error:
            say(f"Can't write a checkpoint: {' '.join(str(error).split())}.")
            self._failed_at = time.monotonic()
            return False
        self.saved_batch, self.saved_at, self._failed_at = batch, time.monotonic(), None
        return True

    def unsaved(self):
        """The OSError of a run whose last checkpoint could not be written."""
        return OSError(
            f"the last checkpoint could not be written to --checkpoint_dir="
            f"{self.config.checkpoint_dir}: make room; the one before is whole, and the same "
            "command goes on from it"
        )
