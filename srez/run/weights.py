"""A trained generator: chosen among a run's weights, loaded, used."""

from pathlib import Path

import numpy as np

from srez.console import say
from srez.run.checkpoint import is_whole, newest_checkpoint, read_run, restore
from srez_model import SCALE, build_generator

CHUNK = 32  # pictures at once; it limits the memory


def load_generator(checkpoint_dir, weights):
    """A run's generator and its inputs' side in training, in pixels; see `choose_checkpoint`."""
    path, name, words = choose_checkpoint(checkpoint_dir, weights)
    size = read_run(path)["options"]["sample_size"] // SCALE
    generator = restore_generator(path, name)
    say(f"Using the {words}.")
    return generator, size


def restore_generator(path, name):
    """The generator that a checkpoint holds as `name`, "average" or "generator"; see `restore`."""
    generator = build_generator()
    restore(path, **{name: generator})
    return generator


def choose_checkpoint(checkpoint_dir, weights):
    """(path, the network's name in it, words about both) for "best", "ema" or "raw" weights.

    "raw" are the newest weights, "ema" their average. "best" is the average that the run's
    validation found best; if there is none, the newest.

    Raises OSError if there is no whole checkpoint.
    """
    newest = newest_checkpoint(checkpoint_dir)
    if newest is None:
        raise FileNotFoundError(
            f"no checkpoint in --checkpoint_dir={checkpoint_dir}; run --run train first"
        )
    if weights == "raw":
        return newest, "generator", f"raw weights of {newest}"
    if weights == "ema":
        return newest, "average", f"averaged weights of {newest}"
    best = read_run(newest).get("best")
    path = best and Path(checkpoint_dir, best["name"])
    if not best:
        reason = "none were found best yet"
    elif not is_whole(path):
        reason = f"the best ones, {path}, are damaged or gone"
    else:
        reason = f"the best on the validation pictures (score {best['score']:.3f})"
        return path, "average", f"averaged weights of {path}, {reason}"
    return newest, "average", f"averaged weights of {newest}, the newest, since {reason}"


def upscale(generator, low_res, at_once=CHUNK):
    """Maps [B, H, W, 3] to float32 [B, 4H, 4W, 3], both in [0, 1], `at_once` images at a time."""
    parts = [low_res[at : at + at_once] for at in range(0, len(low_res), at_once)]
    return np.concatenate([generator(part, training=False) for part in parts])
