"""Sets a training up: the device, the data, what to go on from; then runs its loop."""

import contextlib
import dataclasses
import re
from pathlib import Path

import tensorflow as tf

from srez.console import say
from srez.data.source import open_source, split_source
from srez.parallel.cluster import Cluster
from srez.pictures.bad import BadImages
from srez.pictures.cache import open_cache
from srez.quality.validation import warn_of_schedule
from srez.run import device
from srez.run.checkpoint import (
    batch_of,
    checkpoint_name,
    is_whole,
    locked,
    newest_checkpoint,
    read_run,
    restore,
    set_aside,
)
from srez.run.logs import EVENTS, LOSSES, METRICS
from srez.run.progress import totals_reached
from srez.run.resume import changed_options, resumed_split
from srez.run.stop import Signals
from srez_loop import Run
from srez_trainer import Trainer

RESULTS = ("batch*_out.png", LOSSES, METRICS, EVENTS)  # of a run, in its train_dir


def train(config):
    """Trains until --train_time or --train_batches is reached, from the newest checkpoint if any.

    Writes sheets and logs to train_dir, checkpoints to checkpoint_dir; on Ctrl-C or SIGTERM it
    finishes the batch and saves.

    Raises:
        OSError: the data, or a checkpoint, can't be used; one line that says what to do.
        SystemExit: after a signal, when all is saved, with the status that shells give it.
    """
    say(device.set_up(config.log_device_placement, config.deterministic))
    cluster = Cluster(config.strategy)
    with cluster.naming_the_lost(), cluster.only_the_chief_speaks():
        config = dataclasses.replace(config, precision=device.choose_precision(config.precision))
        say(f"{cluster}\nComputing in {config.precision}.")
        _check_spread(config, cluster)
        _train(config, cluster)


def _train(config, cluster):
    warn_of_schedule(config.train_batches, config.learning_rate_half_life)
    if config.dataset is None:
        _say_sample_faces()
    source = open_source(config.dataset)
    cluster.check_the_same(source.fingerprint, f"pictures in --dataset={config.dataset}")
    with contextlib.ExitStack() as stack:
        checkpoint = _find_checkpoint(config, cluster, stack)
        options = config.of_training() | {"source": source.label}
        if checkpoint:
            kept = read_run(checkpoint)
            changes = changed_options(checkpoint, kept["options"], options)
            split = resumed_split(checkpoint, kept["files"], source)
        else:
            kept, changes = {"bad_images": [], "best": None}, []
            split = split_source(source, config.test_vectors, config.random_seed, config.batch_size)
            if cluster.is_chief and _make_room(config):
                stack.enter_context(locked(config.checkpoint_dir))
        trainer = Trainer(config, cluster.strategy)
        if checkpoint and _resume(checkpoint, trainer, changes):
            return
        say(
            f"{len(split.train)} training, {len(split.validation)} validation and "
            f"{len(split.test)} test pictures from {source.label}, {split.note}."
        )
        bad_images = BadImages(len(split.train), config.max_bad_images / 100)
        bad_images.restore(kept["bad_images"])
        with _reading_errors(), Signals() as signals:
            cache = open_cache(source, config.cache, bad_images)
            best = kept.get("best")
            run = Run(trainer, cluster, source, split, options, cache, bad_images, best)
            run.start()
            run.loop(signals)


def _check_spread(config, cluster):
    """Raises OSError for options that go with one replica, or one process, only."""
    cluster.share(config.batch_size)
    if cluster.replicas > 1 and config.jit_compile:
        raise OSError(
            f"--jit_compile is for one replica, and there are {cluster.replicas}: leave it out"
        )
    if cluster.workers > 1 and config.cache != "none":
        raise OSError(
            f"--cache={config.cache} holds all pictures, and each of the {cluster.workers} "
            "processes reads a share of them: leave it out"
        )


def _find_checkpoint(config, cluster, stack):
    """The checkpoint to go on from, the same for all processes, or None; locks the folder."""
    checkpoint = None
    if cluster.is_chief:
        stack.enter_context(locked(config.checkpoint_dir))
        checkpoint = newest_checkpoint(config.checkpoint_dir) if config.resume else None
    batch = cluster.from_chief(batch_of(checkpoint) if checkpoint else 0)
    if not batch or cluster.is_chief:
        return checkpoint
    path = Path(config.checkpoint_dir, checkpoint_name(batch))
    if not is_whole(path):
        raise OSError(
            f"worker {cluster.index} doesn't find {path}, which worker 0 goes on from: "
            "--checkpoint_dir has to be a folder that all workers share"
        )
    return path


def _resume(checkpoint, trainer, changes):
    """Takes the checkpoint up, says so, and returns whether all is done already."""
    config = trainer.config
    restore(checkpoint, **trainer.state)
    done = totals_reached(
        int(trainer.batch), float(trainer.seconds), config.train_batches, config.train_time
    )
    if done:
        say(f"Nothing to do: {done}")
    else:
        say("\n".join([f"Resuming from {checkpoint}.", *changes]))
    return bool(done)


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
    """Moves aside what is in the way of a new run: old results, logs without a checkpoint.

    Returns whether checkpoint_dir was moved.
    """
    has_results = any(any(Path(config.train_dir).glob(pattern)) for pattern in RESULTS)
    folders = [config.train_dir] if has_results or not config.resume else []
    if not config.resume:
        folders.append(config.checkpoint_dir)
    moved = set_aside(folders)
    for old, new in moved.items():
        say(f"Moved an earlier run's results aside: {old} is now {new}.")
    return not Path(config.checkpoint_dir).is_dir()


def _say_sample_faces():
    say(
        "*** No dataset: training on the built-in sample faces, which are drawn, not photographed."
        "\n*** For real ones get img_align_celeba.zip (https://mmlab.ie.cuhk.edu.hk/projects/"
        "CelebA.html)\n*** and give --dataset=img_align_celeba.zip, or unpack it into dataset/."
    )
