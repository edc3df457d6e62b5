"""Trains under a strategy and keeps what came of it: python -m tests.replicas STRATEGY OUT.

STRATEGY is none, mirrored (over two logical CPU devices) or multi_worker (with TF_CONFIG). The
chief writes OUT, a .npz. It holds losses and weights of ten steps in float64, and moving statistics
of two steps without synchronisation. The networks are small: more layers tell no more of replicas.
"""

import sys

import keras
import numpy as np
import tensorflow as tf

import srez.drawn.faces
from srez.options import Options
from srez.parallel.cluster import Cluster
from srez.pictures.geometry import celeba_box
from srez_train import Trainer
from tests.small import shrink

BATCH = 4
STEPS = 10  # of float64, where rounding doesn't grow into anything that can be seen
FACES = 12
GRAIN = 0.05


def main(name, path):
    """Does all three trainings."""
    if name == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        devices = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, devices)
    shrink(setattr)
    cluster = Cluster(name)
    if name == "mirrored":
        cluster.strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    found = _unsynchronised(cluster)
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    found |= _many_steps(cluster, "original", 32, {})
    found |= _many_steps(cluster, "modern", 64, {"recipe": "modern", "l1_batches": STEPS // 2})
    cluster.wait_for_all()
    if cluster.is_chief:
        np.savez(path, **found)


def batches(count, dtype, cluster, side=64):
    """This process's share of batches of drawn faces, `side` pixels wide: (low_res, high_res)."""
    boxes = [celeba_box(np.asarray(srez.drawn.faces.draw_face(0, index))) for index in range(FACES)]
    step = 128 // side
    faces = np.stack(boxes).reshape(FACES, side, step, side, step, 3).mean((2, 4)) / 255.0
    order = np.random.default_rng(0)
    # Drawn faces are flat, photos are not: of flat ones many pixels cross a ReLU's kink at once.
    faces = np.clip(faces + order.normal(0, GRAIN, faces.shape), 0, 1)
    first, end = cluster.share(BATCH)
    for _ in range(count):
        high_res = faces[order.choice(FACES, BATCH, replace=False)][first:end].astype(dtype)
        low_res = high_res.reshape(-1, side // 4, 4, side // 4, 4, 3).mean((2, 4)).astype(dtype)
        yield tf.constant(low_res), tf.constant(high_res)


def _trainer(cluster, **flags):
    return Trainer(Options(batch_size=BATCH, precision="float32", **flags), cluster.strategy)


def _losses(scalars):
    return np.array([scalars[name] for name in sorted(scalars) if name.startswith("loss/")])


def _unsynchronised(cluster):
    trainer = _trainer(cluster, sync_batch_norm=False)
    for pair in batches(2, np.float32, cluster):
        trainer.train_step(*pair)
    statistics = trainer.generator.non_trainable_variables
    copies = [cluster.strategy.experimental_local_results(value.value) for value in statistics]
    return {
        "statistics": np.concatenate([value.numpy().ravel() for value in statistics]),
        "copies_differ": np.array([np.abs(each[0] - each[-1]).max() for each in copies]),
    }


def _many_steps(cluster, recipe, side, flags):
    trainer, losses = _trainer(cluster, **flags), []
    for pair in batches(STEPS, np.float64, cluster, side=side):
        losses.extend(_losses(trainer.train_step(*pair)))
    found = {f"{recipe}_losses": np.array(losses)}
    found["sums"] = np.array(cluster.sums(cluster.index + 1, 0))
    for name in ("generator", "discriminator", "average"):
        values = trainer.state[name].trainable_variables
        found[f"{recipe}_weights_{name}"] = np.concatenate(
            [value.numpy().ravel() for value in values]
        )
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
