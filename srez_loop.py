"""The training loop: steps, sheets, checkpoints, until the total is reached or a signal comes."""

import contextlib
import json
from pathlib import Path

import tensorflow as tf

from srez.console import say
from srez.data.source import MAX_VALIDATION
from srez.files import atomic_path
from srez.pictures.image import comparison_grid, write_image
from srez.pictures.load import load_eight_bit, load_pictures
from srez.quality.validation import Watch
from srez.run.logs import METRICS, Logs, NoLogs
from srez.run.progress import Progress
from srez.run.resume import kept_files
from srez.run.saver import Saver
from srez.run.stop import Agreement
from srez_input import Batches

SHEET_ROWS = 8  # faces on a sheet
MAX_SKIPPED = 50  # steps in a row that float16's loss scaling may skip

# Batches over which the average's batch statistics are re-estimated: enough for the occasion, and
# so few that it costs under 3 % of the training (a batch costs a third of a training step).
CHECKPOINT_STATISTICS = {"share": 1 / 20, "least": 4, "most": 60}
SHEET_STATISTICS = {"share": 1 / 40, "least": 1, "most": 8}


class Run:
    """One training run: its srez_trainer.Trainer, its data, and what it writes.

    Of several processes, see parallel.cluster, the chief alone writes: the others train with it.

    `source` and `split` are data.source's, `options` what the checkpoints keep of the command
    line, `cache` a Cache or None, `bad_images` a BadImages, `best` what the
    run's validation found best before (see quality.validation), or None.
    """

    def __init__(self, trainer, cluster, source, split, options, cache, bad_images, best):
        self.config = config = trainer.config
        self.trainer = trainer
        self.cluster = cluster
        self.options = options
        self.bad_images = bad_images
        self.kept = kept_files(source, split)
        self.names = source.names
        self.data = {
            "source": source,
            "files": split.train,
            "batch_size": config.batch_size,
            "sample_size": config.sample_size,
            "random_seed": config.random_seed,
            "cache": cache,
            "bad_images": bad_images,
        }
        self.batches = Batches(**self.data)
        batch = int(trainer.batch)
        self.logs = NoLogs()
        if cluster.is_chief:
            self.logs = Logs(config.train_dir, batch)
            self.test_faces = load_pictures(
                source, split.test[:SHEET_ROWS], config.sample_size, bad_images
            )
        self.progress = Progress(config, batch, float(trainer.seconds), len(split.train), self.logs)
        self.bad_text = ""  # of train_dir/bad_images.txt
        self.watch = Watch(self._validation_faces(split), best)
        self.saver = Saver(trainer, self._kept)

    def _validation_faces(self, split):
        wanted = self.cluster.is_chief and self.config.evaluate_period
        if not (wanted and len(split.validation)):
            return None
        source, files = self.data["source"], split.validation[:MAX_VALIDATION]
        numbers, *pair = load_eight_bit(source, files, self.config.sample_size, self.bad_images)
        return pair if numbers else None

    def start(self):
        """Writes options.json and, for a new run, the first sheet."""
        if not self.cluster.is_chief:
            return
        with self.logs.tolerating("options.json"):
            self._write_text("options.json", json.dumps(self.options, indent=2) + "\n")
        if self.trainer.batch == 0:
            self.write_sheet(0)

    def loop(self, signals):
        """Steps until the total is reached or a signal comes, then saves.

        Raises:
            OSError: the numbers diverged, too many pictures are bad, at the end no checkpoint
                could be written, or another process has gone.
            SystemExit: a signal came, and all is saved: with the status that shells give it.
        """
        trainer, progress = self.trainer, self.progress
        agreement = Agreement(self.cluster, signals, progress)
        batch = int(trainer.batch)
        share = self.cluster.share(self.config.batch_size)
        batches = Batches(**self.data, share=share).iterate(batch)
        with progress, contextlib.closing(batches):
            while not agreement.is_over:
                with progress.waiting():
                    low_res, high_res = next(batches)
                scalars = trainer.train_step(low_res, high_res, agreement.wishes)
                agreement.heard(scalars.pop("wishes", None))
                batch += 1
                shown = progress.advance(batch, scalars)
                if shown:
                    self._check(batch)
                    self.watch.losses(batch, shown, self.config.learning_rate_start)
                if self.cluster.is_chief:
                    self._write_what_is_due(batch)
        self._finish(batch, agreement.signal)

    def _write_what_is_due(self, batch):
        config = self.config
        if batch % config.summary_period == 0:
            self.write_sheet(batch)
        if config.evaluate_period and batch % config.evaluate_period == 0:
            self.evaluate(batch)
        if self.saver.is_due(batch, is_last=bool(self.progress.done)):
            self._save_on_the_way(batch)

    def _finish(self, batch, signal_number):
        if self.cluster.is_chief:
            self._write_last(batch, signal_number)
        self.cluster.wait_for_all()  # the chief has saved
        if signal_number:
            saved = f"Saved at batch {batch}: the same command goes on from there."
            say(saved if batch else "Stopped before the first batch.")
            raise SystemExit(128 + signal_number)
        say(
            f"Finished: {self.progress.done} "
            f"{self.progress.waiting_share:.2%} of the time went into waiting for data."
        )

    def _write_last(self, batch, signal_number):
        config, since = self.config, batch - self.saver.saved_batch
        if not signal_number:
            since = config.checkpoint_period
            if batch % config.summary_period:
                self.write_sheet(batch)
            if config.evaluate_period and batch % config.evaluate_period:
                self.evaluate(batch)
        self._save_last(batch, since)

    def evaluate(self, batch):
        """Measures the average on the validation faces, logs it, and saves it if it is the best."""
        self._refresh_average(batch, self.config.evaluate_period, **CHECKPOINT_STATISTICS)
        best_before = self.watch.best
        figures, is_best = self.watch.evaluate(batch, self.trainer.average)
        if figures:
            self.logs.scalars(batch, figures, METRICS)
        if is_best and not self._save(batch):
            self.watch.best = best_before

    def write_sheet(self, batch):
        """Writes train_dir/batch%06d_out.png, a row per test face, and shows it in TensorBoard."""
        self._refresh_average(batch, self.config.summary_period, **SHEET_STATISTICS)
        low_res, high_res = self.test_faces
        size = high_res.shape[1:3]
        sheet = comparison_grid(
            [
                tf.image.resize(low_res, size, method="nearest"),
                tf.image.resize(low_res, size, method="bicubic"),
                self.trainer.average(low_res, training=False),
                high_res,
            ]
        )
        with self.logs.tolerating("sheets"):
            write_image(Path(self.config.train_dir, f"batch{batch:06d}_out.png"), sheet)
        self.logs.sheet(batch, sheet)

    def _save_on_the_way(self, batch):
        self._refresh_average(batch, batch - self.saver.saved_batch, **CHECKPOINT_STATISTICS)
        if not self._save(batch):
            say("Training goes on; the next try is in a minute.")

    def _save_last(self, batch, since):
        """Saves what is not saved yet, or raises OSError.

        `since` is the number of batches that the average's batch statistics are to be worth.
        """
        if self.saver.saved_batch == batch:
            return
        self._refresh_average(batch, since, **CHECKPOINT_STATISTICS)
        if not self._save(batch):
            raise self.saver.unsaved()

    def _save(self, batch):
        self._check(batch)
        self.trainer.seconds.assign(self.progress.seconds)
        return self.saver.save(batch)

    def _kept(self):
        """What a checkpoint holds besides the tensors."""
        return {
            "options": self.options,
            "files": self.kept,
            "bad_images": self.bad_images.rows,
            "best": self.watch.best,
        }

    def _check(self, batch):
        """Raises OSError where going on makes no sense; names bad pictures in bad_images.txt."""
        text = self.bad_images.text()
        if text != self.bad_text:
            self.bad_text = text
            index = self.cluster.index  # each process knows of its own share's
            name = f"bad_images_{index}.txt" if index else "bad_images.txt"
            with self.logs.tolerating(name):
                self._write_text(name, text)
        self.bad_images.check()
        bad = self.trainer.diverged_at()
        if bad:
            numbers = self.batches.files_of(bad - 1)
            raise OSError(
                f"losses or weights are not finite since batch {bad}, with the pictures "
                f"{', '.join(repr(self.names[number]) for number in numbers)}: lower "
                f"--learning_rate_start or use --precision=float32; the checkpoints in "
                f"--checkpoint_dir={self.config.checkpoint_dir} are from before"
            )
        if self.trainer.skipped_in_a_row >= MAX_SKIPPED:
            raise OSError(
                f"float16's loss scaling has skipped {MAX_SKIPPED} steps in a row, up to batch "
                f"{batch}: use --precision=bfloat16 or float32"
            )

    def _refresh_average(self, batch, period, share, least, most):
        count = min(max(int(min(batch, period) * share), least), most)
        first = max(batch - count, 0)
        numbers = tf.range(first, first + count, dtype=tf.int64)
        self.trainer.refresh_average(self.batches.make(number)[0] for number in numbers)

    def _write_text(self, name, text):
        with atomic_path(Path(self.config.train_dir, name)) as path:
            Path(path).write_text(text)
