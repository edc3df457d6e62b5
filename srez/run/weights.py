"""Trained weights: chosen in a run or in the box, loaded, used."""

import dataclasses
import importlib
import json
import threading
from pathlib import Path

import numpy as np

from srez.console import say
from srez.files import resource, sha256
from srez.options import FIELDS
from srez.run.checkpoint import (
    TENSORS_FILE,
    batch_of,
    file_sums,
    is_whole,
    newest_checkpoint,
    read_run,
    restore,
)

BOX = resource("weights")  # what comes with srez
BOX_SIZES = (64, 128)  # sides of the results of the networks in it
SMALL_FACE = 18  # pixels; a narrower face is better off with the smaller network: docs/QUALITY.md
SUM_DIGITS = 12  # of a SHA-256 that is shown
CHUNK = 32  # pictures; bounds the memory
# By recipe. Imported where they are used, as Keras is: choosing weights does without.
NETWORKS = {"original": "srez_model", "modern": "srez.modern"}


@dataclasses.dataclass(frozen=True)
class Weights:
    """A choice of weights.

    `path` is a checkpoint, or in the box what one would keep of its run, `name` what the network is
    called in it, `words` tell both, `run` is what the checkpoint keeps of its run, and `sums` are
    the hex SHA-256 of its files, or of those in the box, by name.
    """

    path: Path
    name: str
    words: str
    run: dict
    sums: dict

    @property
    def recipe(self):
        """The run's --recipe."""
        return self.run["options"].get("recipe", "original")

    @property
    def sample_size(self):
        """The side of the pictures that the network was trained on, in pixels."""
        return self.run["options"]["sample_size"]

    @property
    def batch(self):
        """The number of batches that they were trained with."""
        return self.run["batch"] if self.is_boxed else batch_of(self.path)

    @property
    def is_boxed(self):
        """Whether they are those in the box."""
        return self.path.parent == BOX

    @property
    def knows_degraded(self):
        """Whether the network was trained on inputs that are no exact averages, too."""
        return self.recipe == "modern" and self.run["options"].get("degrade", 0.0) > 0.0

    @property
    def margin(self):
        """Input pixels around a place that the output there depends on."""
        networks = networks_of(self.recipe)
        return networks.RADIUS + networks.PROJECTION_RADIUS

    def generator(self, fidelity=1.0, consistent="on"):
        """The finished generator, between two ends: `fidelity` 0 (faithful) and 1 (plausible).

        Raises:
            OSError: the file is damaged, the recipe has no such ends, or it was trained through the
                projection alone.
        """
        if consistent == "off" and self.recipe == "modern" and not self.knows_degraded:
            raise OSError(
                f"--consistent=off: {self.path} was trained with --degrade=0, only on exact inputs"
            )
        return finished(self.between(fidelity), self.recipe, consistent)

    def between(self, fidelity):
        """The generator as it was trained, between the two ends. Raises OSError as above."""
        if fidelity != 1.0:
            self.need_ends()
        if fidelity == 0.0:
            return self._load("faithful")
        generator = self._load(self.name)
        if fidelity != 1.0:  # https://arxiv.org/abs/1809.00219, section 3.4
            _turn(generator, self._load("faithful"), generator, fidelity)
        return generator

    def check(self):
        """Raises OSError: a file of those in the box is damaged or gone (a run's were checked)."""
        for name in (self.name, "faithful") if self.is_boxed else ():
            checked(BOX / self._boxed_file(name))

    @property
    def has_ends(self):
        """Whether there are a faithful and a plausible network."""
        return self.recipe == "modern"

    def need_ends(self):
        """Raises OSError: they have no ends."""
        if not self.has_ends:
            raise OSError(
                "--fidelity and --invented need weights of --recipe=modern, but "
                f"{self.path} is of --recipe=original: try --weights shipped"
            )

    def told(self, fidelity):
        """What a result's file tells of them: texts by name."""
        names = [self.name, *(["faithful"] if fidelity != 1.0 else [])]
        if self.is_boxed:
            words = ", ".join(with_sum(BOX / self._boxed_file(name)) for name in names)
        else:
            words = f"{' and '.join(names)} of {self.path.name}/"
            words += with_sum(self.path / TENSORS_FILE, self.sums)
        ends = {"Fidelity": f"{fidelity:g}"} if self.recipe == "modern" else {}
        return {"Weights": words} | ends

    def _boxed_file(self, name):
        return f"{self.path.stem}_{name}.weights.h5"

    def _load(self, name):
        generator = networks_of(self.recipe).build_generator()
        if self.is_boxed:
            generator.load_weights(checked(BOX / self._boxed_file(name)))
        else:
            restore(self.path, **{name: generator})
        return generator


def with_sum(path, sums=None):
    """A file's name and its SHA-256's first digits, out of `sums` or of those in the box."""
    return f"{path.name} (SHA-256 {(sums or _box_sums())[path.name][:SUM_DIGITS]})"


def networks_of(recipe):
    """The module of a recipe's networks."""
    return importlib.import_module(NETWORKS[recipe])


def _turn(generator, faithful, plausible, fidelity):
    """Gives a generator the weights between the two ends, 0 and 1, which have its layers."""
    ends = zip(faithful.get_weights(), plausible.get_weights(), strict=True)
    generator.set_weights(
        [far if fidelity == 1.0 else near + fidelity * (far - near) for near, far in ends]
    )


def finished(generator, recipe, consistent):
    """The generator as it is used: its output is projected if `consistent` is "on", and clipped.

    It maps [B, H, W, 3] to [B, 4H, 4W, 3], both in [0, 1], and shares the generator's weights.
    """
    import keras

    low_res = keras.Input((None, None, 3))
    images = networks_of(recipe).enlarge(generator, low_res, exact=float(consistent != "off"))
    return keras.Model(low_res, keras.ops.clip(images, 0.0, 1.0), name="generator")


class Networks:
    """The finished generators that srez.options.Options ask for, by the size of their results.

    Each is loaded when it is needed, in whatever thread. If `invented`, both ends are
    loaded, too, and `fidelity` can be turned at any time: who does that in one of several threads
    holds `lock` from the turn to the last result.

    Raises:
        OSError: no checkpoint there, a damaged one, none of --face_size, or --fidelity or
            --invented without two ends.
    """

    def __init__(self, options):
        self.options = options
        weights = choose_weights(options.checkpoint_dir, options.weights)
        self.sizes = BOX_SIZES if weights.is_boxed else (weights.sample_size,)
        if options.face_size != "auto":
            if int(options.face_size) not in self.sizes:
                raise OSError(
                    f"--face_size={options.face_size}: {weights.path} makes faces of "
                    f"{weights.sample_size} pixels: give auto"
                )
            self.sizes = (int(options.face_size),)
        self._weights = {} if weights.is_boxed else {weights.sample_size: weights}
        self._loaded = {}
        self.fidelity = options.fidelity
        self.invented = options.invented
        self.lock = threading.Lock()
        self.has_ends, self.words = weights.has_ends, weights.words
        self.is_boxed = weights.is_boxed
        if self.invented or self.fidelity != 1.0:
            weights.need_ends()
        self._loading = threading.Lock()

    def announce(self):
        """Says which weights they are."""
        say(f"Using the {self.words}.")
        if self.options.weights == "auto" and not self.is_boxed:
            say("--weights shipped takes those in the box.")

    def check(self):
        """Raises OSError: a file of the weights is damaged or gone."""
        for size in self.sizes:
            self.weights(size).check()

    def size_for(self, side):
        """The side of the result for a face that is `side` pixels wide."""
        return self.sizes[0] if side < SMALL_FACE else self.sizes[-1]

    def weights(self, size):
        """The Weights for results of a size: the same ones, also while a training saves newer."""
        if size not in self._weights:
            options = self.options
            self._weights[size] = choose_weights(options.checkpoint_dir, options.weights, size)
        return self._weights[size]

    def consistent(self, size, is_exact):
        """--consistent, "on" or "off"; "auto" asks `is_exact`, a function, where it matters."""
        if self.options.consistent != "auto":
            return self.options.consistent
        return "on" if not self.weights(size).knows_degraded or is_exact() else "off"

    def of(self, size, consistent):
        """[the generator, if `invented` the faithful and the plausible one] for a size."""
        with self._loading:
            if (size, consistent) not in self._loaded:
                ends = (self.fidelity, 0.0, 1.0) if self.invented else (self.fidelity,)
                weights = self.weights(size)
                networks = [weights.generator(end, consistent) for end in ends]
                self._loaded[size, consistent] = networks
            networks = self._loaded[size, consistent]
        if self.invented:
            _turn(*networks, self.fidelity)
        return networks

    def told(self, size, consistent):
        """What a result's file tells of the network for a size: texts by name."""
        return self.weights(size).told(self.fidelity) | {"Consistent": consistent}


def load_generator(options):
    """(generator, Weights) that srez.options.Options ask for; says which.

    From the box those for --sample_size come. Raises OSError: no checkpoint there, or a damaged
    one.
    """
    weights = choose_weights(options.checkpoint_dir, options.weights, options.sample_size)
    generator = weights.generator(options.fidelity, options.consistent)
    say(f"Using the {weights.words}.")
    return generator, weights


def choose_weights(checkpoint_dir, which, size=BOX_SIZES[0]):
    """The Weights that --weights names in the run of `checkpoint_dir`, or those in the box.

    Those in the box are for results of a `size`; a run has but one.

    "best" are the averaged weights that the run's validation found best, or without any the newest
    average, which is also "ema"; "raw" are the newest weights themselves; "shipped" are those in
    the box. "auto" is "best", or "shipped" if the user named no run and there is none.

    Raises:
        OSError: no checkpoint there, or none that is whole.
    """
    newest = None if which == "shipped" else newest_checkpoint(checkpoint_dir)
    is_usual = checkpoint_dir == FIELDS["checkpoint_dir"].default
    if which == "shipped" or (which == "auto" and newest is None and is_usual):
        if size not in BOX_SIZES:
            sizes = " and ".join(map(str, BOX_SIZES))
            raise OSError(f"--sample_size={size}: the weights in the box are for {sizes}")
        path = BOX / f"faces{size}.json"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: get srez anew, or run --run train")
        words = "weights in the box, for research only (weights/MODEL_CARD.md)"
        run = json.loads(path.read_text(encoding="utf-8"))
        return Weights(path, "average", words, run, _box_sums())
    if newest is None:
        raise FileNotFoundError(
            f"no checkpoint in --checkpoint_dir={checkpoint_dir}: run --run train first, or give "
            "--weights shipped"
        )
    path, words = newest, f"averaged weights of {newest}"
    if which == "raw":
        words = f"raw weights of {newest}"
    elif which != "ema":
        path, reason = _best(newest)
        words = f"averaged weights of {path}, {reason}"
    name = "generator" if which == "raw" else "average"
    return Weights(path, name, words, read_run(path), file_sums(path))


def _best(newest):
    """(path, why it, in words) of the best checkpoint, or of the newest where there is none."""
    best = read_run(newest).get("best")
    if best is None:
        return newest, "the newest, since none were found best yet"
    path = newest.with_name(best["name"])
    if not is_whole(path):
        return newest, f"the newest, since the best ones, {path}, are damaged or gone"
    return path, f"the best on the validation pictures (score {best['score']:.3f})"


def upscale(generator, low_res, at_once=CHUNK):
    """Maps images [B, H, W, 3] in [0, 1] to float32 [B, 4H, 4W, 3] in [0, 1], `at_once` a time."""
    parts = [low_res[at : at + at_once] for at in range(0, len(low_res), at_once)]
    return np.concatenate([generator(part, training=False) for part in parts])


def checked(path):
    """The path, if the file has the SHA-256 that the box says. Raises OSError if it has another."""
    if not path.is_file() or sha256(path) != _box_sums()[path.name]:
        raise OSError(f"{path} is damaged or gone: get srez anew")
    return path


def _box_sums():
    """The hex SHA-256 of the box's files by name."""
    lines = (BOX / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return dict(reversed(line.split()) for line in lines)
