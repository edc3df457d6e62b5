"""Tells during a training how good it is, which weights are best, and when it has gone wrong."""

import numpy as np
import tensorflow as tf

from srez.console import say
from srez.pictures.image import to_uint8
from srez.quality.metrics import figures
from srez.run.checkpoint import checkpoint_name
from srez.run.weights import upscale

LOST_LOSS = 0.05  # of the discriminator on real and generated faces together; 1.4 is a draw
LOST_BATCHES = 200
MAX_DRIFT = 0.05  # of the outputs' mean colour; the eye sees half of that
MIN_VARIETY = 0.3  # of the outputs' differences from face to face, over the inputs'
PART = 16  # pictures measured at a time
SETTLED = 200  # batches; before that outputs are nothing yet
MIN_LEARNING_RATE = 0.01  # of its start


class Watch:
    """Measures the averaged generator on the validation faces, and warns in words.

    `faces` is (low_res [N, H, W, 3], high_res [N, 4H, 4W, 3]) in [0, 1], or None without any;
    `best` is what an earlier session found best, as `run.json` keeps it, or None.
    """

    def __init__(self, faces, best):
        self.best = best
        self._faces = faces
        self._baseline = None  # bicubic interpolation's figures
        self._lost_since = None
        self._said = set()

    def evaluate(self, batch, network):
        """(figures by TensorBoard name, whether it is the best so far); {} without faces.

        The score that decides is SSIM times sharpness, or divided by it if above 1: like the truth
        in structure, and neither softer nor harder. A blurred picture can't win, nor can noise.
        """
        if self._faces is None:
            return {}, False
        low_res, high_res = self._faces
        if self._baseline is None:
            size = high_res.shape[1:3]
            _, self._baseline = _measured(
                lambda part: tf.image.resize(part, size, method="bicubic"), low_res, high_res
            )
        images, found = _measured(lambda part: upscale(network, part), low_res, high_res)
        score = found["ssim"] * min(found["sharpness"], 1.0 / max(found["sharpness"], 1e-6))
        is_best = self.best is None or score > self.best["score"]
        if is_best:
            self.best = {"name": checkpoint_name(batch), "score": score, "figures": found}
        say(
            f"Validation at batch {batch}, {len(low_res)} pictures (bicubic interpolation): "
            + ", ".join(_shown(name, found[name], self._baseline[name]) for name in found)
            + f", score {score:.3f}"
            + (", the best so far." if is_best else f"; best {self.best['score']:.3f}.")
        )
        if batch >= SETTLED:
            self._warn_of_outputs(images, low_res)
        rows = {f"validation/{name}": value for name, value in found.items()}
        rows["validation/score"] = score
        return rows | {f"bicubic/{name}": value for name, value in self._baseline.items()}, is_best

    def losses(self, batch, scalars, learning_rate_start):
        """Warns if the `scalars` of a training step, floats by name, tell that it goes wrong."""
        loss = scalars["loss/disc_real_loss"] + scalars["loss/disc_fake_loss"]
        if loss > LOST_LOSS:
            self._lost_since = None
        elif self._lost_since is None:
            self._lost_since = batch
        elif batch - self._lost_since >= LOST_BATCHES:
            self._warn(
                f"the discriminator has won: its losses are near 0 since batch {self._lost_since}, "
                "and the generator learns nothing from it any more. Go back to an earlier "
                "checkpoint, or start anew with a higher --gene_l1_factor or --noise_level"
            )
        if scalars["learning_rate"] < MIN_LEARNING_RATE * learning_rate_start:
            self._warn(
                f"the learning rate is down to {scalars['learning_rate']:.2g}, under "
                f"{MIN_LEARNING_RATE:.0%} of its start: further batches change next to nothing. "
                "Raise --learning_rate_half_life or stop here"
            )

    def _warn_of_outputs(self, images, low_res):
        drift = images.mean((0, 1, 2)) / 255.0 - low_res.mean((0, 1, 2))
        if np.abs(drift).max() > MAX_DRIFT:
            colours = ", ".join(f"{value:+.2f}" for value in drift)
            self._warn(
                f"the outputs' mean colour has drifted from the inputs' by {colours} (red, green, "
                "blue of 1). If it stays, raise --gene_l1_factor"
            )
        if len(low_res) > 1 and _variety(images) < MIN_VARIETY * 255.0 * _variety(low_res):
            self._warn(
                "the outputs have become nearly the same for different inputs. Go back to an "
                "earlier checkpoint, or start anew with a higher --gene_l1_factor"
            )

    def _warn(self, text):
        """Says it, the first time."""
        kind = text[:30]
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
            f"{int(np.ceil(-np.log2(MIN_LEARNING_RATE))) * half_life}, behind which batches change "
            "next to nothing: raise --learning_rate_half_life for a run that long."
        )


def _measured(enlarge, low_res, high_res):
    """The enlarged images, uint8 [N, H, W, 3], and their mean figures.

    In parts of a batch's size, so that it takes no more memory than a training step.
    """
    images, parts = [], []
    for at in range(0, len(low_res), PART):
        part = low_res[at : at + PART]
        images.append(to_uint8(enlarge(part)))
        parts.append(figures(images[-1] / 255.0, high_res[at : at + PART], part))
    means = {
        name: float(np.concatenate([part[name] for part in parts]).mean()) for name in parts[0]
    }
    return np.concatenate(images), means


def _variety(images):
    """How much images differ from each other: the mean over pixels of the spread over images."""
    return float(np.std(images, axis=0, dtype=np.float32).mean())


def _shown(name, value, bicubic):
    title = {"psnr": "PSNR", "ssim": "SSIM", "lr_psnr": "LR-PSNR"}.get(name, name)
    if name.endswith("psnr"):
        return f"{title} {value:.2f} dB ({bicubic:.2f})"
    return f"{title} {value:.3f} ({bicubic:.3f})"
