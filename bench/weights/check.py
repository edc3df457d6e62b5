"""Whether bench.weights.gpu computes what srez does.

BENCH_BACKEND=... python3 -m bench.weights.check FILE. Run it with jax, then with tensorflow. The
first run writes to FILE, a .npz, the gradients of one batch in both stages, and an augmented batch.
The second prints how far its own are from these: the norm of the difference over the norm, of the
tensor that differs most. Weights and pictures are drawn.
"""

import sys
from pathlib import Path

import keras
import numpy as np

from srez.modern import ADVERSARIAL, FAITHFUL
from srez.options import Options
from srez_model import SCALE

BATCH, SIZE = 16, 64
AT = 150  # the number of the batch: within the ramp of the second stage
NOTHING = 1e-6  # a norm of gradients that are 0 but for rounding


def main(path):
    """Writes the file or compares."""
    options = Options(recipe="modern", l1_batches=0, batch_size=BATCH, precision="float32")
    backend = keras.backend.backend()
    found = {"tensorflow": _by_tensorflow, "jax": _by_jax}[backend](options)
    if not Path(path).exists():
        np.savez(path, **found)
        print(f"Wrote {path} with {backend}.")
        return
    other = np.load(path)
    norms = {name: np.linalg.norm(value) for name, value in found.items()}
    large = [name for name, norm in norms.items() if norm > NOTHING]
    distances = {name: np.linalg.norm(found[name] - other[name]) / norms[name] for name in large}
    worst = max(distances, key=distances.get)
    print(f"{len(large)} of {len(found)} tensors are not 0; {worst}: {distances[worst]:.1e}")


def _by_tensorflow(options):
    from srez.pictures.pairs import augment
    from srez_train import Trainer

    trainer = Trainer(options)
    for name in ("generator", "discriminator"):
        for variable, value in zip(*_drawn(getattr(trainer, name)), strict=True):
            variable.assign(value)
    trainer.batch.assign(AT)
    augmented = augment(_pair()[1], _draws())
    return _named(augmented, lambda stage: trainer.gradients(*_pair(), stage))


def _by_jax(options):
    from bench.weights.gpu import GpuTraining
    from bench.weights.pictures import augment

    training = GpuTraining(options, pictures=None)
    for name in ("generator", "discriminator"):
        _, training.state[name] = _drawn(getattr(training.recipe, name))
    augmented = augment(_pair()[1], _draws()[:, :, None, None, None])
    return _named(augmented, lambda stage: training.gradients(training.state, *_pair(), AT, stage))


def _named(augmented, gradients):
    """What is compared, by name: the augmented batch, and the gradients of both stages."""
    named = {"augmented": np.asarray(augmented)}
    for stage in (FAITHFUL, ADVERSARIAL):
        _, *of_networks = gradients(stage)
        for network, values in zip("GD", of_networks, strict=True):
            for place, value in enumerate(values):
                named[f"stage {stage}, {network}{place}"] = np.asarray(value)
    return named


def _drawn(network):
    """(a network's variables, weights for them)"""
    draws, variables = np.random.default_rng(0), network.trainable_variables
    scales = [max(np.prod(variable.shape[:-1]), 1) ** -0.5 for variable in variables]
    values = [
        (draws.standard_normal(variable.shape) * scale).astype(np.float32)
        for variable, scale in zip(variables, scales, strict=True)
    ]
    return variables, values


def _pair():
    """A batch in which every second input is exact."""
    high_res = np.random.default_rng(1).random((BATCH, SIZE, SIZE, 3), np.float32)
    squares = high_res.reshape(BATCH, SIZE // SCALE, SCALE, SIZE // SCALE, SCALE, 3)
    low_res = squares.mean(axis=(2, 4))
    low_res[::2] += 0.1
    return keras.ops.convert_to_tensor(low_res), keras.ops.convert_to_tensor(high_res)


def _draws():
    return np.random.default_rng(2).random((4, BATCH), np.float32)


if __name__ == "__main__":
    main(*sys.argv[1:])
