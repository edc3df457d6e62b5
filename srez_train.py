"""Training: the step that updates both networks, and the loop around it.

Read from top to bottom: `train` sets a training up, `Run` is its loop, `Trainer` its step.
"""

import srez  # noqa: F401, before Keras: it says which backend that takes

# isort: split
import collections
import contextlib
import dataclasses
import functools
import json
from pathlib import Path

import keras
import tensorflow as tf

from srez.console import say
from srez.data.source import open_source
from srez.data.split import MAX_VALIDATION
from srez.drawn.faces import NOTICE
from srez.files import write_text
from srez.modern import Modern
from srez.original import Original
from srez.parallel.cluster import Cluster, Stopping, choose_precision, set_up
from srez.parallel.replicas import Replicas
from srez.pictures.bad import BadImages, NoPictures
from srez.pictures.cache import open_cache
from srez.pictures.grid import faces_sheet
from srez.pictures.image import MADE, eight_bit, write_image
from srez.pictures.pairs import load_pictures
from srez.quality.validation import Validation, Watch, warn_of_schedule
from srez.run.checkpoint import Checkpoints
from srez.run.logs import Logs, NoLogs
from srez.run.progress import Progress, Totals, say_where
from srez.run.results import BAD_IMAGES, METRICS, OPTIONS, SHEET
from srez.run.resume import claimed, take_up
from srez.run.weights import finished
from srez_input import Batches

SHEET_ROWS = 8  # faces on a sheet

# Batches over which the average's batch statistics are re-estimated: more for a checkpoint than for
# a sheet, but under 3 % of the training's time (a batch costs a third of a training step).
CHECKPOINT_STATISTICS = {"share": 1 / 20, "least": 4, "most": 60}
SHEET_STATISTICS = {"share": 1 / 40, "least": 1, "most": 8}


def train(options):
    """Trains until --train_time or --train_batches is reached, from the newest checkpoint if any.

    Writes sheets and logs to train_dir, checkpoints to checkpoint_dir; on Ctrl-C or SIGTERM it
    finishes the batch and saves.

    Raises:
        OSError: the data, or a checkpoint, can't be used; one line that says what to do.
        SystemExit: after a signal, when all is saved, with the status that shells give it.
    """
    machine = set_up(options.log_device_placement, options.deterministic)
    cluster = Cluster(options.strategy)
    with cluster.naming_the_lost(), cluster.only_the_chief_speaks():
        precision = choose_precision(options.precision)
        say(f"Training on {machine} in {precision}{cluster}.")
        cluster.check(options.batch_size, options.jit_compile, options.cache)
        if options.recipe == "original":
            warn_of_schedule(options.train_batches, options.learning_rate_half_life)
        options = dataclasses.replace(
            options, dataset=options.training_dataset, precision=precision
        )
        if options.dataset is None:
            say(NOTICE)
        source = open_source(options.dataset)
        cluster.check_the_same(source.fingerprint, f"pictures in --dataset={options.dataset}")
        with claimed(options, cluster, source) as start:
            trainer = Trainer(options, cluster.strategy)
            if take_up(trainer, start):
                return
            say(start.split.in_words(source.label))
            with Stopping(cluster) as stopping:
                Run(trainer, cluster, source, start).loop(stopping)


RECIPES = {"original": Original, "modern": Modern}


class Trainer:
    """The networks, optimizers and counters of a training, and the step that advances them.

    `options` are srez.options.Options, but the precision is not "auto". Under a tf.distribute
    `strategy` with several replicas each of them takes its share of every batch.
    """

    def __init__(self, options, strategy=None):
        self.options = options
        self.replicas = Replicas(strategy, options.sync_batch_norm)
        with self.replicas.strategy.scope():
            keras.utils.set_random_seed(options.random_seed)
            self.recipe = recipe = RECIPES[options.recipe](options, self.replicas)
            for name in set(recipe.networks) - {"generator", "discriminator"}:  # averages
                getattr(recipe, name).set_weights(recipe.generator.get_weights())
        self.generator, self.discriminator = recipe.generator, recipe.discriminator
        self.average = recipe.average
        self.generator_optimizer = recipe.generator_optimizer
        self.discriminator_optimizer = recipe.discriminator_optimizer
        with tf.device("CPU"):  # where the host reads it without waiting for a GPU
            self.batch = tf.Variable(0, trainable=False, dtype=tf.int64)
        self.seconds = tf.Variable(0.0, trainable=False, dtype=tf.float64)
        self._step = tf.function(self._train_step, jit_compile=options.jit_compile)

    @property
    def state(self):
        """The networks, optimizers and counters that a checkpoint holds, by name."""
        names = (*self.recipe.networks, "generator_optimizer", "discriminator_optimizer")
        kept = {name: getattr(self.recipe, name) for name in names}
        return kept | {"batch": self.batch, "seconds": self.seconds}

    def train_step(self, low_res, high_res):
        """Updates both networks from one forward pass; returns scalars by TensorBoard name.

        low_res [B, H, W, 3] and high_res [B, 4H, 4W, 3] are float32 in [0, 1]: the batch; if
        there are several processes, this one's share of it.
        """
        stage = self.recipe.stage(int(self.batch))
        return self._step(*self.replicas.share_out(low_res, high_res), stage)

    def _train_step(self, low_res, high_res, stage):
        step = functools.partial(self._replica_step, stage=stage)
        scalars = self.replicas.run(step, low_res, high_res)
        self.batch.assign_add(1)
        for move in self.recipe.averages(tf.cast(self.batch, tf.float32), stage):
            self.replicas.move(*move)
        return scalars

    def _replica_step(self, low_res, high_res, stage):
        scalars, *gradients = self.gradients(low_res, high_res, stage)
        optimizers = self.generator_optimizer, self.discriminator_optimizer
        for optimizer, of_network in zip(optimizers, gradients, strict=True):
            if of_network:
                self.replicas.apply(optimizer, of_network)
        self.replicas.average_statistics(self.generator, self.discriminator)
        return self.replicas.mean(scalars)

    def gradients(self, low_res, high_res, stage=1):
        """(scalars, the generator's gradients, the discriminator's) of the recipe."""
        return self.recipe.gradients(low_res, high_res, self.batch, stage)


class Run:
    """A training under way: a Trainer, its pictures, and what it writes.

    If a parallel.cluster.Cluster has several processes, only the chief writes; the others train
    with it. `start` is a run.resume.Start, `source` a data.source.Source.
    """

    def __init__(self, trainer, cluster, source, start):
        self.options = options = trainer.options
        self.trainer, recipe = trainer, trainer.recipe
        self.cluster = cluster
        self.source = source
        self.start = start
        self.best = start.best
        self.bad_images = BadImages(len(start.split.train), options.max_bad_images / 100)
        self.bad_images.restore(start.bad_images)
        self.batches = Batches(
            source,
            start.split.train,
            options.batch_size,
            options.sample_size,
            options.random_seed,
            open_cache(source, options.cache, self.bad_images),
            self.bad_images,
            options.degrade if options.recipe == "modern" else 0.0,
        )
        totals = Totals(options.train_batches, options.train_time)
        batch, seconds = int(trainer.batch), float(trainer.seconds)
        sizes = options.batch_size, len(start.split.train), options.summary_period
        self.logs = Logs(options.train_dir, batch) if cluster.is_chief else NoLogs()
        self.progress = Progress(totals, batch, seconds, *sizes, self.logs, recipe.losses)
        self.checkpoints = Checkpoints(
            options.checkpoint_dir,
            options.checkpoint_period,
            options.checkpoint_minutes,
            options.keep_every,
            batch,
        )
        # The inputs of the latest batches: if the pictures are gone, they make the last checkpoint.
        self.latest = collections.deque(maxlen=CHECKPOINT_STATISTICS["least"])
        # For sheets and validation.
        self.network = finished(trainer.average, options.recipe, options.consistent)
        self.watch = Watch(trainer.state, recipe.first_learning_rate, recipe.remedy)
        self.test_faces, self.validation = None, Validation(None, recipe.remedy)
        if cluster.is_chief:
            self._load_faces()

    def _load_faces(self):
        """Loads the faces of the sheets and of the validation."""
        split, size = self.start.split, self.options.sample_size
        files = split.test[:SHEET_ROWS]
        numbers, *self.test_faces = load_pictures(self.source, files, size, self.bad_images)
        if not numbers:
            raise OSError(f"none of the {len(files)} test pictures of {self.source.label} is good")
        if self.options.evaluate_period and len(split.validation):
            files = split.validation[:MAX_VALIDATION]
            numbers, *faces = load_pictures(self.source, files, size, self.bad_images)
            if numbers:
                self.validation = Validation(
                    [eight_bit(images) for images in faces], self.trainer.recipe.remedy
                )

    def loop(self, stopping):
        """Steps until a parallel.cluster.Stopping says so; writes what is due, and saves.

        Raises:
            OSError: the numbers diverged, too many pictures are bad, or all are gone; at the end no
                checkpoint could be written; another process has gone.
            SystemExit: a signal came, and all is saved: with the status that shells give it.
        """
        try:
            self._steps(stopping)
        except NoPictures as error:
            batch = int(self.trainer.batch)
            if self.cluster.is_chief and self.checkpoints.is_due(batch, stop=True):
                self.trainer.recipe.refresh_average(self.latest)
                self._save(batch, self.best, is_last=True)
            if not batch:
                raise
            raise OSError(
                f"saved at batch {batch}, and the same command goes on from there when the "
                f"pictures are back: {error}"
            ) from error
        if stopping.signal:
            batch = int(self.trainer.batch)
            saved = f"Saved at batch {batch}: the same command goes on from there."
            say(saved if batch else "Stopped before the first batch.")
            raise SystemExit(128 + stopping.signal)
        self.progress.say_finished()
        say_where(self.options.train_dir, self.options.checkpoint_dir)

    def _steps(self, stopping):
        trainer, progress = self.trainer, self.progress
        batch = int(trainer.batch)
        if self.cluster.is_chief:
            self._write_start(batch)
        share = self.cluster.share(self.options.batch_size)
        stop = stopping.now(progress)
        with progress, contextlib.closing(self.batches.iterate(batch, share)) as batches:
            while not stop:
                with progress.waiting():
                    low_res, high_res = next(batches)
                scalars = trainer.train_step(low_res, high_res)
                batch += 1
                self.latest.append(low_res)
                self.watch.note(batch, scalars)
                if shown := progress.advance(batch, scalars):
                    self._check(batch)
                    self.watch.warn(batch, shown)
                stop = stopping.now(progress)
                if self.cluster.is_chief:
                    with progress.apart():
                        self._write_what_is_due(batch, stop, finished=stop and not stopping.signal)
        self.cluster.wait_for_all()  # the chief has saved

    def _write_start(self, batch):
        with self.logs.tolerating(OPTIONS):
            text = json.dumps(self.start.options, indent=2)
            write_text(Path(self.options.train_dir, OPTIONS), f"{text}\n")
        if batch == 0:
            self.write_sheet(0)

    def _write_what_is_due(self, batch, stop, finished):
        """Writes the sheet, the measurement and the checkpoint that are due.

        A finished training writes all three; one that has to stop writes the checkpoint.
        """
        options = self.options
        if finished or batch % options.summary_period == 0:
            self.write_sheet(batch)
        if options.evaluate_period and (finished or batch % options.evaluate_period == 0):
            self.evaluate(batch)
        if not self.checkpoints.is_due(batch, stop):
            return
        since = batch - self.checkpoints.saved_batch
        period = options.checkpoint_period if finished else since
        self._refresh_average(batch, period, **CHECKPOINT_STATISTICS)
        self._save(batch, self.best, is_last=stop)

    def write_sheet(self, batch):
        """Writes train_dir/batch%06d_out.png, a row per test face, and shows it in TensorBoard."""
        self._refresh_average(batch, self.options.summary_period, **SHEET_STATISTICS)
        low_res, high_res = self.test_faces
        generated = self.network(low_res, training=False)
        sheet = faces_sheet(low_res, generated, high_res)
        path = Path(self.options.train_dir, SHEET % batch)
        with self.logs.tolerating("sheets"):
            write_image(path, sheet, MADE)
            say(f"Wrote {path}.")
        self.logs.sheet(batch, sheet)

    def evaluate(self, batch):
        """Measures the average on the validation faces, logs it, and saves it if it is the best."""
        self.progress.announce("measuring")
        self._refresh_average(batch, self.options.evaluate_period, **CHECKPOINT_STATISTICS)
        rows, best = self.validation.measure(batch, self.network, self.best)
        if rows:
            self.logs.scalars(batch, rows, METRICS)
        if best is not self.best and self._save(batch, best):
            self.best = best

    def _refresh_average(self, batch, period, share, least, most):
        count = min(max(int(min(batch, period) * share), least), most)
        first = max(batch - count, 0)
        numbers = range(first, first + count)
        self.trainer.recipe.refresh_average(self.batches.make(number)[0] for number in numbers)

    def _save(self, batch, best, is_last=False):
        """Saves a checkpoint, which says what is `best`; returns whether it could."""
        self._check(batch)
        self.trainer.seconds.assign(self.progress.seconds)
        run = {
            "options": self.start.options,
            "files": self.start.files,
            "bad_images": self.bad_images.rows,
            "best": best,
        }
        return self.checkpoints.save(batch, run, self.trainer.state, is_last)

    def _check(self, batch):
        """Raises OSError where going on makes no sense; names bad pictures in bad_images.txt."""
        index = self.cluster.index  # each process knows the bad pictures of its own share
        name = f"bad_images_{index}.txt" if index else BAD_IMAGES
        with self.logs.tolerating(name):
            self.bad_images.write(Path(self.options.train_dir, name))
        self.bad_images.check()
        bad = self.watch.diverged_at(batch)
        if bad:
            numbers = self.batches.files_of(bad - 1)
            raise OSError(
                f"losses or weights are not finite since batch {bad}, with the pictures "
                f"{', '.join(repr(self.source.names[number]) for number in numbers)}: "
                f"{self.trainer.recipe.when_diverged}; the checkpoints in "
                f"--checkpoint_dir={self.options.checkpoint_dir} are from before"
            )
