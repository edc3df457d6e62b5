"""Tells during a training how good it is, which weights are best, and when it has gone wrong."""

import numpy as np
import tensorflow as tf

from srez.console import counted, say
from srez.pictures.geometry import interpolate
from srez.pictures.image import to_uint8
from srez.quality.metrics import figures, sharpness_match, shown
from srez.run.checkpoint import checkpoint_name
from srez.run.weights import upscale

LOST_LOSS = 0.05  # of the discriminator on real and generated faces together; 1.4 is a draw
LOST_BATCHES = 200
MAX_DRIFT = 0.05  # of the outputs' mean colour; the eye sees half of that
MIN_VARIETY = 0.3  # of the outputs' differences from face to face, over the inputs'
SETTLED = 200  # batches; before that outputs are nothing yet
MIN_LEARNING_RATE = 0.01  # of its start
# Loss scaling of float16 starts at 2^15 and is halved with each step that it skips. So far down,
# it has skipped some fifty in a row.
MIN_LOSS_SCALE = 2.0**-35


class Validation:
    """Measures the averaged generator on the validation faces.

    `faces` is (low_res [N, H, W, 3], high_res [N, 4H, 4W, 3]) in [0, 1], or None without any.
    `remedy` says what to start anew with if the outputs go wrong.
    """

    def __init__(self, faces, remedy):
        self._faces = faces
        self._remedy = remedy
        self._baseline = None  # bicubic interpolation's figures
        self._warnings = Warnings()

    def measure(self, batch, network, best):
        """(figures by TensorBoard name, what is best now); {} without faces.

        `best` is what was best before: None, or a dict with the checkpoint's "name", "score" and
        "figures". The score is SSIM times how near the sharpness is to the truth's everywhere: like
        the truth in structure, and neither softer nor harder. A blurred picture can't win, nor can
        noise.
        """
        if self._faces is None:
            return {}, best
        low_res, high_res = self._faces
        if self._baseline is None:
            bicubic = to_uint8(np.asarray(interpolate(low_res)))
            self._baseline = _means(figures(bicubic, high_res, low_res))
        images = to_uint8(upscale(network, low_res))
        found = _means(figures(images, high_res, low_res))
        match = float(np.mean(sharpness_match(images / 255.0, high_res)))
        score = found["ssim"] * match
        if best and "match" not in best:  # its score was another, before 2026-12
            best = None
        is_best = best is None or score > best["score"]
        if is_best:
            best = {
                "name": checkpoint_name(batch),
                "score": score,
                "match": match,
                "figures": found,
            }
        rank = "the best so far" if is_best else f"the best was {best['score']:.3f}"
        say(
            f"Validation at batch {batch:,} on {counted(len(low_res), 'picture')}:\n"
            f"  srez: {_in_words(found)}\n"
            f"  bicubic: {_in_words(self._baseline)}\n"
            f"  Score {score:.3f}, {rank}."
        )
        if batch >= SETTLED:
            self._warn_of_outputs(images, low_res)
        rows = {f"validation/{name}": value for name, value in found.items()}
        rows["validation/score"] = score
        return rows | {f"bicubic/{name}": value for name, value in self._baseline.items()}, best

    def _warn_of_outputs(self, images, low_res):
        drift = images.mean((0, 1, 2)) / 255.0 - low_res.mean((0, 1, 2))
        if np.abs(drift).max() > MAX_DRIFT:
            colours = ", ".join(f"{value:+.2f}" for value in drift)
            self._warnings.warn(
                "colours",
                f"the outputs' mean colour has drifted from the inputs' by {colours} (red, green, "
                f"blue of 1). If it stays, start anew with {self._remedy}",
            )
        if len(low_res) > 1 and _variety(images) < MIN_VARIETY * 255.0 * _variety(low_res):
            self._warnings.warn(
                "variety",
                "the outputs have become nearly the same for different inputs. Go back to an "
                f"earlier checkpoint, or start anew with {self._remedy}",
            )


class Watch:
    """Watches the losses of a training, whose `state` are its networks and optimizers by name.

    `remedy` says what to start anew with if they go wrong.
    """

    def __init__(self, state, learning_rate_start, remedy):
        self._state = state
        self._remedy = remedy
        self._learning_rate_start = learning_rate_start
        self._recent = {}  # batch -> its scalars, since the last look at them
        self._lost_since = None
        self._warnings = Warnings()

    def note(self, batch, scalars):
        """Takes the scalars of a step, tensors by TensorBoard name; they are looked at later."""
        self._recent[batch] = scalars

    def diverged_at(self, batch):
        """The batch since which losses or variables are not finite, or 0 if all are.

        Since when a variable isn't finite is not known: then it is `batch`, which is now. A loss in
        float16 tells nothing: a step that overflows is skipped.

        Raises:
            OSError: float16's loss scaling skips all steps.
        """
        recent, self._recent = self._recent, {}
        for number, scalars in recent.items():
            if "loss_scale" in scalars:
                if scalars["loss_scale"] < MIN_LOSS_SCALE:
                    raise OSError(
                        "float16's loss scaling has skipped some fifty steps in a row, up to batch "
                        f"{number}: use --precision=bfloat16 or float32"
                    )
            elif not np.isfinite([scalars[key] for key in scalars if "loss/" in key]).all():
                return number
        return 0 if self._variables_are_finite() else batch

    @tf.function
    def _variables_are_finite(self):
        objects = [value for value in self._state.values() if hasattr(value, "variables")]
        variables = [variable for each in objects for variable in each.variables]
        floats = [tf.cast(each, tf.float32) for each in variables if "float" in str(each.dtype)]
        return tf.reduce_all([tf.reduce_all(tf.math.is_finite(each)) for each in floats])

    def warn(self, batch, scalars):
        """Warns if the scalars of a step, floats by TensorBoard name, tell that it goes wrong."""
        losses = [value for name, value in scalars.items() if name.startswith("loss/disc_")]
        if sum(losses) > LOST_LOSS:
            self._lost_since = None
        elif self._lost_since is None:
            self._lost_since = batch
        elif batch - self._lost_since >= LOST_BATCHES:
            self._warnings.warn(
                "lost",
                f"the discriminator has won: its losses are near 0 since batch {self._lost_since}, "
                "and the generator learns nothing from it any more. Go back to an earlier "
                f"checkpoint, or start anew with {self._remedy}",
            )
        if scalars["learning_rate"] < MIN_LEARNING_RATE * self._learning_rate_start:
            self._warnings.warn(
                "learning rate",
                f"the learning rate is down to {scalars['learning_rate']:.2g}, under "
                f"{MIN_LEARNING_RATE:.0%} of its start: further batches change next to nothing. "
                "Raise --learning_rate_half_life or stop here",
            )


class Warnings:
    """Says each kind of warning once."""

    def __init__(self):
        self._said = set()

    def warn(self, kind, text):
        """Says it, if it is the first of its kind."""
        if kind not in self._said:
            self._said.add(kind)
            say(f"Warning: {text}.")


def warn_of_schedule(train_batches, half_life):
    """Warns if --train_batches is so many that the learning rate vanishes long before."""
    share = 0.5 ** (train_batches // half_life)
    if share < MIN_LEARNING_RATE:
        say(
            f"Warning: after --train_batches={train_batches} the learning rate will be "
            f"{share:.1g} of its start, and falls under {MIN_LEARNING_RATE:.0%} at batch "
            f"{int(np.ceil(-np.log2(MIN_LEARNING_RATE))) * half_life}. Batches after that change "
            "next to nothing: raise --learning_rate_half_life for a run that long."
        )


def _means(measured):
    return {name: float(values.mean()) for name, values in measured.items()}


def _in_words(means):
    return ", ".join(shown(name, value, title=True) for name, value in means.items())


def _variety(images):
    """How much images differ from each other: the mean over pixels of the spread over images."""
    return float(np.std(images, axis=0, dtype=np.float32).mean())
