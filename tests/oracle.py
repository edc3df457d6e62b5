"""Compares this program's arithmetic with the original's: python -m tests.oracle [FILE].

FILE (default: tests/data/srez_oracle.json) holds what the 2016 program computes. Weights and inputs
are made again here, from seeds. Prints the largest errors as one JSON line. The exit status is 0
only if all are within LIMITS.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

import srez_model
import srez_train
from srez.options import Options

ORACLE = Path(__file__).parent / "data" / "srez_oracle.json"
# The largest absolute errors, but relative ones for the gradients' norms.
LIMITS = {"outputs": 2e-4, "logits": 2e-4, "losses": 2e-4, "gradients": 5e-3, "trajectory": 2e-2}
UP_CONVOLUTIONS = (15, 32)  # in Keras these kernels are [k, k, out, in]


def errors(oracle):
    """The largest error of each kind in LIMITS, as a dict, for the content of an oracle file."""
    trainer = build_trainer(oracle)
    low_res, high_res = inputs(oracle)

    generated = trainer.generator(low_res, training=True).numpy()
    expected = oracle["generator_output"]
    outputs = [generated[tuple(place)] - value for *place, value in expected["samples"]]
    outputs += [generated.mean() - expected["mean"], generated.std() - expected["std"]]
    logits = [
        trainer.discriminator(images, training=True).numpy().ravel() - oracle[name]
        for name, images in (("disc_real_logits", high_res), ("disc_fake_logits", generated))
    ]
    scalars, *gradients = trainer.gradients(low_res, high_res)
    found = {
        "outputs": outputs,
        "logits": logits,
        "losses": _loss_errors(scalars, oracle["losses"]),
        "gradients": _norm_errors(gradients, oracle),
        "trajectory": [
            _loss_errors(trainer.train_step(low_res, high_res), losses)
            for losses in oracle["trajectory"]
        ],
    }
    return {name: float(np.max(np.abs(values))) for name, values in found.items()}


def build_trainer(oracle, precision="float32"):
    """A Trainer with the options and the weights that an oracle file describes."""
    options = Options(
        batch_size=oracle["batch"],
        learning_beta1=oracle["beta1"],
        learning_rate_start=oracle["lr"],
        noise_level=0.0,
        precision=precision,
        sample_size=oracle["size"],
    )
    trainer = srez_train.Trainer(options)
    variables = trainer.generator.trainable_variables + trainer.discriminator.trainable_variables
    for variable, entry in zip(variables, oracle["vars"], strict=True):
        random = np.random.RandomState(entry["rng_seed"])
        value = (random.standard_normal(entry["shape"]) * entry["scale"]).astype("float32")
        if entry["index"] in UP_CONVOLUTIONS:
            value = value.swapaxes(2, 3)
        variable.assign(value)
    return trainer


def inputs(oracle):
    """The oracle's (low_res, high_res), float32 [B, S/4, S/4, 3] and [B, S, S, 3]."""
    batch, size = oracle["batch"], oracle["size"]
    high_res = np.random.RandomState(oracle["seed"]).rand(batch, size, size, 3).astype("float32")
    small = size // srez_model.SCALE
    squares = high_res.reshape(batch, small, srez_model.SCALE, small, srez_model.SCALE, 3)
    return tf.constant(squares.mean((2, 4))), tf.constant(high_res)


def _loss_errors(scalars, expected):
    return [float(scalars[f"loss/{name}"]) - value for name, value in expected.items()]


def _norm_errors(gradients, oracle):
    """The relative errors of the gradients' norms; near-zero norms count against the largest."""
    errors = []
    all_expected = iter(oracle["grad_l2"])
    for network in gradients:
        norms, expected = np.array(
            [(float(tf.norm(gradient)), next(all_expected)) for gradient in network]
        ).T
        # A bias in front of a batch norm changes nothing: its gradient is rounding alone.
        scale = np.where(expected < 1e-5 * expected.max(), expected.max(), expected)
        errors.extend((norms - expected) / scale)
    return errors


def main(argv):
    """Prints the errors against the file that argv names; returns 0 if all are within LIMITS."""
    oracle = json.loads(Path(argv[1] if len(argv) > 1 else ORACLE).read_text())
    found = errors(oracle)
    print(json.dumps(found))
    return int(any(not found[name] <= limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
