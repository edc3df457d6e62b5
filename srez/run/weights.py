"""Trained weights: chosen in a run or in the box, loaded, used."""

import dataclasses
import json
from pathlib import Path

import numpy as np

import srez_model
from srez import modern
from srez.console import say
from srez.files import sha256
from srez.options import FIELDS
from srez.run.checkpoint import is_whole, newest_checkpoint, read_run, restore

BOX = Path(__file__).parents[2] / "weights"  # what comes with srez
BOXED = BOX / "faces64.json"  # what a checkpoint would keep of the run
CHUNK = 32  # pictures; bounds the memory


@dataclasses.dataclass(frozen=True)
class Weights:
    """A choice of weights.

    `path` is a checkpoint or BOXED, `name` what the network is called in it, `words` tell both, and
    `run` is what the checkpoint keeps of its run.
    """

    path: Path
    name: str
    words: str
    run: dict

    @property
    def recipe(self):
        """The run's --recipe."""
        return self.run["options"].get("recipe", "original")

    @property
    def sample_size(self):
        """The side of the pictures that the network was trained on, in pixels."""
        return self.run["options"]["sample_size"]

    @property
    def margin(self):
        """Input pixels around a place that the output there depends on."""
        if self.recipe == "modern":
            return modern.RADIUS
        return srez_model.RADIUS + srez_model.PROJECTION_RADIUS

    def generator(self, fidelity=1.0, consistent="on"):
        """The generator, of weights between two ends: `fidelity` 0 (faithful) and 1 (plausible).

        Raises:
            OSError: the file is damaged, or the recipe has no such ends.
        """
        if self.recipe == "original":
            if fidelity != 1.0:
                raise OSError(
                    "--fidelity and --invented need weights of --recipe=modern, and those of "
                    f"{self.path} are of the original"
                )
            generator = self._load(self.name, consistent)
            return srez_model.consistent(generator) if consistent == "on" else generator
        generator = self._load(self.name, consistent)
        if fidelity != 1.0:  # https://arxiv.org/abs/1809.00219, section 3.4
            faithful = self._load("faithful", consistent)
            pairs = zip(faithful.get_weights(), generator.get_weights(), strict=True)
            generator.set_weights([near + fidelity * (far - near) for near, far in pairs])
        return generator

    def _load(self, name, consistent):
        if self.recipe == "original":
            generator = srez_model.build_generator()
        else:
            generator = modern.build_generator(consistent=consistent == "on")
        if self.path == BOXED:
            generator.load_weights(_checked(BOX / f"faces64_{name}.weights.h5"))
        else:
            restore(self.path, **{name: generator})
        return generator


def load_generator(options):
    """(generator, Weights) that srez.options.Options ask for; says which.

    Raises:
        OSError: no checkpoint there, or a damaged one.
    """
    weights = choose_weights(options.checkpoint_dir, options.weights)
    generator = weights.generator(options.fidelity, options.consistent)
    say(f"Using the {weights.words}.")
    return generator, weights


def choose_weights(checkpoint_dir, which):
    """The Weights that --weights names in the run of `checkpoint_dir`, or those in the box.

    "best" are the averaged weights that the run's validation found best, or without any the newest
    average, which is also "ema"; "raw" are the newest weights themselves; "shipped" are those in
    the box. "auto" is "best", or "shipped" if the user named no run and there is none.

    Raises:
        OSError: no checkpoint there, or none that is whole.
    """
    newest = None if which == "shipped" else newest_checkpoint(checkpoint_dir)
    is_usual = checkpoint_dir == FIELDS["checkpoint_dir"].default
    if which == "shipped" or (which == "auto" and newest is None and is_usual):
        if not BOXED.is_file():
            raise FileNotFoundError(f"{BOXED} is missing: get srez anew, or run --run train")
        words = "weights in the box, for research only (weights/MODEL_CARD.md)"
        return Weights(BOXED, "average", words, json.loads(BOXED.read_text()))
    if newest is None:
        raise FileNotFoundError(
            f"no checkpoint in --checkpoint_dir={checkpoint_dir}: run --run train first, or give "
            "--weights shipped"
        )
    run = read_run(newest)
    if which == "raw":
        return Weights(newest, "generator", f"raw weights of {newest}", run)
    words = f"averaged weights of {newest}"
    best = run.get("best")
    if which == "ema":
        return Weights(newest, "average", words, run)
    if best is None:
        return Weights(
            newest, "average", f"{words}, the newest, since none were found best yet", run
        )
    path = Path(checkpoint_dir, best["name"])
    if not is_whole(path):
        reason = f"the newest, since the best ones, {path}, are damaged or gone"
        return Weights(newest, "average", f"{words}, {reason}", run)
    reason = f"the best on the validation pictures (score {best['score']:.3f})"
    return Weights(path, "average", f"averaged weights of {path}, {reason}", read_run(path))


def upscale(generator, low_res, at_once=CHUNK):
    """Maps images [B, H, W, 3] in [0, 1] to float32 [B, 4H, 4W, 3] in [0, 1], `at_once` a time."""
    parts = [low_res[at : at + at_once] for at in range(0, len(low_res), at_once)]
    return np.concatenate([generator(part, training=False) for part in parts])


def _checked(path):
    """The path, if the file has the SHA-256 that the box says. Raises OSError if it has another."""
    sums = dict(reversed(line.split()) for line in (BOX / "SHA256SUMS").read_text().splitlines())
    if not path.is_file() or sha256(path) != sums[path.name]:
        raise OSError(f"{path} is damaged or gone: get srez anew")
    return path
