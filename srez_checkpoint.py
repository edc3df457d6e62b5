"""Finds a run's checkpoint, tells whether a run may go on from it, makes room for a new run."""

import itertools
import json
import os
from pathlib import Path

import tensorflow as tf

# Options that shape the networks or the order of the data: a run can't go on with others.
FIXED_OPTIONS = ("batch_size", "noise_level", "random_seed", "sample_size", "test_vectors")
_OPTIONS_KEY = "options/.ATTRIBUTES/VARIABLE_VALUE"  # tf.train.Checkpoint's name for it


def newest_checkpoint(checkpoint_dir):
    """The path of the newest checkpoint in `checkpoint_dir`, or None."""
    return tf.train.latest_checkpoint(checkpoint_dir)


def read_options(path):
    """The options of the run that wrote this checkpoint: a dict, the flags and the data's source.

    Raises:
        OSError: the checkpoint is damaged or not srez's.
    """
    try:
        options = tf.train.load_checkpoint(path).get_tensor(_OPTIONS_KEY)
    except (ValueError, tf.errors.OpError, RuntimeError) as error:
        raise OSError(f"{path} is damaged or no checkpoint of srez") from error
    return json.loads(options)


def restore(path, **objects):
    """Assigns what the checkpoint holds to `objects`, by the names the trainer saves them under.

    Raises:
        OSError: the checkpoint is damaged or from other networks.
    """
    try:
        status = tf.train.Checkpoint(**objects).read(path)
        status.assert_existing_objects_matched().expect_partial()
    except (ValueError, AssertionError, tf.errors.OpError) as error:
        raise OSError(f"{path} does not fit these networks, or is damaged") from error


def check_resumable(path, options):
    """Checks that a run with these options may go on from the checkpoint at `path`.

    `options` are the flags by name, and `source` and `fingerprint` of the data.

    Raises:
        FileExistsError: the checkpoint is of other data or fixed options; says which.
    """
    old = read_options(path)
    start_anew = "or give --noresume to start anew (the old results are kept)"
    if old["fingerprint"] != options["fingerprint"]:
        raise FileExistsError(
            f"{path} was trained on {old['source']}, and now the pictures are other ones, "
            f"{options['source']}: give the old --dataset to go on, {start_anew}"
        )
    for name in FIXED_OPTIONS:
        if old[name] != options[name]:
            raise FileExistsError(
                f"{path} was trained with --{name}={old[name]}, not {options[name]}: "
                f"give that to go on, {start_anew}"
            )


def set_aside(folders):
    """Renames those folders that hold something to NAME.N, with the first N that is free for all.

    Returns a dict from each renamed folder to its new path. Raises OSError if one can't be.
    """
    # A folder may lie in another one: the inner one first.
    paths = sorted({Path(os.path.abspath(folder)) for folder in folders}, reverse=True)
    renamed = {}
    for number in itertools.count(1):
        if not any(_numbered(path, number).exists() for path in paths):
            break
    for path in paths:
        if path.is_dir() and any(path.iterdir()):
            renamed[path] = path.rename(_numbered(path, number))
    return renamed


def _numbered(path, number):
    return path.with_name(f"{path.name}.{number}")
