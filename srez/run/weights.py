"""A trained generator: chosen among a run's weights, loaded, used."""

from pathlib import Path

import numpy as np

from srez.console import say
from srez.run.checkpoint import is_whole, newest_checkpoint, read_run, restore
from srez_model import SCALE, build_generator

WEIGHTS = ("best", "ema", "raw")
CHUNK = 32  # pictures; bounds the memory


def load_generator(checkpoint_dir, weights):
    """A run's generator and its input's side in training, in pixels; see `choose_checkpoint`.

    Raises:
        OSError: no checkpoint there, or a damaged one.
    """
    path, name, words = choose_checkpoint(checkpoint_dir, weights)
    size = read_run(path)["options"]["sample_size"] // SCALE
    generator = restore_generator(path, name)
    say(f"Using the {words}.")
    return generator, size


def restore_generator(path, name):
    """The generator that a checkpoint holds as `name`, "average" or "generator".

    Raises:
        OSError: the checkpoint is damaged.
    """
    generator = build_generator()
    restore(path, **{name: generator})
    return generator


def choose_checkpoint(checkpoint_dir, weights):
    """(path, the network's name in it, words about both) for "best", "ema" or "raw" weights.

    Best are the averaged weights that the run's validation found best, or without any the newest
    average, which is also "ema"; "raw" are the newest weights themselves.

    Raises:
        OSError: no checkpoint there, or none that is whole.
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
    if best is None:
        reason = "the newest, since none were found best yet"
        return newest, "average", f"averaged weights of {newest}, {reason}"
    path = Path(checkpoint_dir, best["name"])
    if not is_whole(path):
        reason = f"the newest, since the best ones, {path}, are damaged or gone"
        return newest, "average", f"averaged weights of {newest}, {reason}"
    reason = f"the best on the validation pictures (score {best['score']:.3f})"
    return path, "average", f"averaged weights of {path}, {reason}"


def upscale(generator, low_res, at_once=CHUNK):
    """Maps images [B, H, W, 3] in [0, 1] to float32 [B, 4H, 4W, 3] in [0, 1], `at_once` a time."""
    parts = [low_res[at : at + at_once] for at in range(0, len(low_res), at_once)]
    return np.concatenate([generator(part, training=False) for part in parts])
