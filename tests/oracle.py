"""Compares this program's arithmetic with the original's: python -m tests.oracle [FILE].

FILE (default: tests/data/srez_oracle.json) holds what the 2016 program computes for weights and
inputs that are rebuilt here from seeds. Prints the largest errors as one JSON line and exits 0 only
if all are within LIMITS.
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
# Largest absolute errors, but relative ones for the gradients' norms.
LIMITS = {"outputs": 2e-4, "logits": 2e-4, "losses": 2e-4, "gradients": 5e-3, "trajectory": 2e-2}
UP_CONVOLUTIONS = (15, 32)  # in Keras these kernels are [k, k, out, in]
LOSSES = ("gene_loss", "gene_l1_loss", "gene_ce_loss", "disc_real_loss", "disc_fake_loss")


def errors(oracle, config):
    """The largest error of each kind in LIMITS, as a dict, for the content of an oracle file."""
    trainer = srez_train.Trainer(config)
    set_weights(trainer, oracle["vars"])
    low_res, high_res = inputs(oracle)

    generated = trainer.generator(low_res, training=True).numpy()
    samples = oracle["generator_output"]["samples"]
    outputs = [generated[tuple(sample[:4])] - sample[4] for sample in samples]
    outputs += [generated.mean() - oracle["generator_output"]["mean"]]
    outputs += [generated.std() - oracle["generator_output"]["std"]]
    logits = [
        trainer.discriminator(images, training=True).numpy().ravel() - oracle[name]
        for name, images in (("disc_real_logits", high_res), ("disc_fake_logits", generated))
    ]
    scalars, *gradients = trainer.gradients(low_res, high_res)
    trajectory = []
    for expected in oracle["trajectory"]:
        step = trainer.train_step(low_res, high_res)
        trajectory += _loss_errors(step, expected)
    found = {
        "outputs": outputs,
        "logits": np.concatenate(logits),
        "losses": _loss_errors(scalars, oracle["losses"]),
        "gradients": _norm_errors(gradients, oracle),
        "trajectory": trajectory,
    }
    return {name: float(np.max(np.abs(values))) for name, values in found.items()}


def set_weights(trainer, entries):
    """Gives the trainer's networks the weights that the oracle's `vars` describe."""
    variables = trainer.generator.trainable_variables + trainer.discriminator.trainable_variables
    for variable, entry in zip(variables, entries, strict=True):
        random = np.random.RandomState(entry["rng_seed"])
        value = (random.standard_normal(entry["shape"]) * entry["scale"]).astype("float32")
        if entry["index"] in UP_CONVOLUTIONS:
            value = value.swapaxes(2, 3)
        variable.assign(value)


def inputs(oracle):
    """The oracle's (low_res, high_res), float32 [B, S/4, S/4, 3] and [B, S, S, 3]."""
    batch, size = oracle["batch"], oracle["size"]
    high_res = np.random.RandomState(oracle["seed"]).rand(batch, size, size, 3).astype("float32")
    small = size // srez_model.SCALE
    squares = high_res.reshape(batch, small, srez_model.SCALE, small, srez_model.SCALE, 3)
    return tf.constant(squares.mean((2, 4))), tf.constant(high_res)


def _loss_errors(scalars, expected):
    return [float(scalars[f"loss/{name}"]) - expected[name] for name in LOSSES]


def _norm_errors(gradients, oracle):
    """Relative errors of the gradients' norms; of those near zero, to the largest of their net."""
    errors = []
    expected = iter(oracle["grad_l2"])
    for net in gradients:
        norms = np.array([[float(tf.norm(gradient)), next(expected)] for gradient in net])
        # A bias in front of a batch norm changes nothing: its gradient is rounding alone.
        scale = np.where(norms[:, 1] < 1e-5 * norms[:, 1].max(), norms[:, 1].max(), norms[:, 1])
        errors.extend((norms[:, 0] - norms[:, 1]) / scale)
    return errors


def main(argv):
    """Prints the errors against the file argv names; returns 0 if all are within LIMITS."""
    oracle = json.loads(Path(argv[1] if len(argv) > 1 else ORACLE).read_text())
    config = Options(
        batch_size=oracle["batch"],
        learning_beta1=oracle["beta1"],
        learning_rate_start=oracle["lr"],
        noise_level=0.0,
        sample_size=oracle["size"],
    )
    found = errors(oracle, config)
    print(json.dumps(found))
    return int(any(not found[name] <= limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
