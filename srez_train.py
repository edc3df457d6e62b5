"""The training loop: steps, sheets, checkpoints, until the total is reached."""

import contextlib
import dataclasses
import json
import re
import signal
from pathlib import Path

import tensorflow as tf

import srez_device
import srez_input
from srez_cache import open_cache
from srez_checkpoint import check_resumable, newest_checkpoint, restore, set_aside
from srez_image import atomic_path, comparison_grid, write_image
from srez_progress import Progress, totals_reached
from srez_source import open_source, split_source
from srez_trainer import Trainer

KEPT_CHECKPOINTS = 2
SHEET_ROWS = 8  # faces on a sheet

# Batches over which the average's batch statistics are re-estimated: enough for the occasion, and
# so few that it costs under 3 % of the training (a batch costs a third of a training step).
CHECKPOINT_STATISTICS = {"share": 1 / 20, "least": 4, "most": 60}
SHEET_STATISTICS = {"share": 1 / 40, "least": 1, "most": 8}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What `train` needs to know; each field is the flag of its name (see srez_main).

    `dataset` None stands for the drawn faces, `train_time` None for no limit of time.
    """

    batch_size: int
    cache: str
    checkpoint_dir: str
    checkpoint_period: int
    dataset: str | None
    ema: float
    epsilon: float
    gene_l1_factor: float
    jit_compile: bool
    learning_beta1: float
    learning_rate_half_life: int
    learning_rate_start: float
    log_device_placement: bool
    noise_level: float
    precision: str
    random_seed: int
    resume: bool
    sample_size: int
    summary_period: int
    test_vectors: int
    train_batches: int
    train_dir: str
    train_time: float | None


def train(config):
    """Trains until --train_time or --train_batches is reached, from the newest checkpoint if any.

    Writes sheets and logs to train_dir, checkpoints to checkpoint_dir; on Ctrl-C saves first.

    Raises:
        OSError: the data, or a checkpoint, can't be used; one line that says what to do.
        KeyboardInterrupt: after Ctrl-C, when all is saved.
    """
    _say(srez_device.set_up(config.log_device_placement))
    config = dataclasses.replace(config, precision=srez_device.choose_precision(config.precision))
    _say(f"Computing in {config.precision}.")
    if config.dataset is None:
        _say_sample_faces()
    source = open_source(config.dataset)
    split = split_source(source, config.test_vectors, config.random_seed, config.batch_size)
    options = dataclasses.asdict(config) | {
        "source": source.label,
        "fingerprint": source.fingerprint,
    }
    checkpoint = newest_checkpoint(config.checkpoint_dir) if config.resume else None
    if checkpoint:
        check_resumable(checkpoint, options)
    else:
        _make_room(config)
    trainer = Trainer(config)
    if checkpoint:
        restore(checkpoint, **trainer.state)
        _say(f"Resuming from {checkpoint}.")
        batch, seconds = int(trainer.batch), float(trainer.seconds)
        done = totals_reached(batch, seconds, config.train_batches, config.train_time)
        if done:
            _say(f"Nothing to do: {done}")
            return
    _say(
        f"{len(split.train)} training, {len(split.validation)} validation and {len(split.test)} "
        f"test pictures from {source.label}, {split.note}."
    )
    run = _Run(trainer, source, split, options, open_cache(source, config.cache))
    with _reading_errors(), _Interrupt() as interrupt:
        run.start()
        run.loop(interrupt)


class _Run:
    """One training run: its trainer, its data, and what it writes."""

    def __init__(self, trainer, source, split, options, cache):
        self.config = config = trainer.config
        self.trainer = trainer
        self.options = options
        self.data = {
            "source": source,
            "files": split.train,
            "batch_size": config.batch_size,
            "sample_size": config.sample_size,
            "random_seed": config.random_seed,
            "cache": cache,
        }
        self.make_batch = tf.function(srez_input.batch_maker(**self.data))
        self.test_faces = srez_input.load_pictures(
            source, split.test[:SHEET_ROWS], config.sample_size
        )
        self.options = options
        self.progress = Progress(
            config, int(trainer.batch), float(trainer.seconds), len(split.train)
        )
        self.manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(options=tf.Variable(json.dumps(options)), **trainer.state),
            config.checkpoint_dir,
            KEPT_CHECKPOINTS,
        )

    def start(self):
        """Makes the folders, writes options.json and, for a new run, the first sheet."""
        for folder in (self.config.train_dir, self.config.checkpoint_dir):
            Path(folder).mkdir(parents=True, exist_ok=True)
        with atomic_path(Path(self.config.train_dir, "options.json")) as path:
            Path(path).write_text(json.dumps(self.options, indent=2) + "\n")
        if self.trainer.batch == 0:
            self.write_sheet(0)

    def loop(self, interrupt):
        """Steps until the total is reached or Ctrl-C; saves at the end."""
        config, trainer, progress = self.config, self.trainer, self.progress
        start = batch = int(trainer.batch)
        batches = iter(srez_input.make_dataset(**self.data, start_batch=start))
        with progress:
            while not (progress.done or interrupt.came):
                with progress.waiting():
                    low_res, high_res = next(batches)
                scalars = trainer.train_step(low_res, high_res)
                batch += 1
                progress.advance(batch, scalars)
                if batch % config.summary_period == 0:
                    self.write_sheet(batch)
                if batch % config.checkpoint_period == 0:
                    self.save(batch)
        if batch % config.summary_period:
            self.write_sheet(batch)
        if batch % config.checkpoint_period:
            self.save(batch)
        if interrupt.came:
            _say(f"Saved at batch {batch}: the same command goes on from there.")
            raise KeyboardInterrupt
        _say(f"Finished: {progress.done}")

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
        write_image(Path(self.config.train_dir, f"batch{batch:06d}_out.png"), sheet)
        self.progress.log_sheet(batch, sheet)

    def save(self, batch):
        """Saves a checkpoint with the average's batch statistics fresh."""
        self._refresh_average(batch, self.config.checkpoint_period, **CHECKPOINT_STATISTICS)
        self.trainer.seconds.assign(self.progress.seconds)
        self.manager.save(batch)

    def _refresh_average(self, batch, period, share, least, most):
        count = min(max(int(min(batch, period) * share), least), most)
        first = max(batch - count, 0)
        numbers = tf.range(first, first + count, dtype=tf.int64)
        self.trainer.refresh_average(self.make_batch(number)[0] for number in numbers)


class _Interrupt:
    """Turns the first Ctrl-C into the wish to stop, `came`; a second one leaves at once."""

    def __init__(self):
        self.came = False

    def __enter__(self):
        self._previous = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_):
        signal.signal(signal.SIGINT, self._previous)

    def _note(self, *_):
        if self.came:
            raise KeyboardInterrupt
        self.came = True
        _say("\nFinishing the batch and saving; Ctrl-C again leaves at once.")


@contextlib.contextmanager
def _reading_errors():
    """Takes TensorFlow's wrapping off an OSError that was raised while a batch was read."""
    try:
        yield
    except tf.errors.UnknownError as error:
        reasons = re.findall("^OSError: (.*)", error.message, re.MULTILINE)
        if not reasons:
            raise
        raise OSError(reasons[0]) from error


def _make_room(config):
    """Moves aside what is in the way of a new run: old results, sheets without a checkpoint."""
    has_sheets = any(Path(config.train_dir).glob("batch*_out.png"))
    folders = [config.train_dir] if has_sheets or not config.resume else []
    if not config.resume:
        folders.append(config.checkpoint_dir)
    for old, new in set_aside(folders).items():
        _say(f"Moved an earlier run's results aside: {old} is now {new}.")


def _say_sample_faces():
    _say(
        "*** No dataset: training on the built-in sample faces, which are drawn, not photographed."
        "\n*** For real ones get img_align_celeba.zip (https://mmlab.ie.cuhk.edu.hk/projects/"
        "CelebA.html)\n*** and give --dataset=img_align_celeba.zip, or unpack it into dataset/."
    )


def _say(text):
    print(text, flush=True)
