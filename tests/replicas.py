"""Trains under a strategy and keeps what came of it: python -m tests.replicas STRATEGY OUT.

STRATEGY is none, mirrored (over two logical CPU devices) or multi_worker (with TF_CONFIG). The
chief writes OUT, a .npz: losses and gradients of the first step in float32; losses of 20 steps and
the weights then in float64; and the moving statistics after two steps without synchronisation.
"""

import sys

import keras
import numpy as np
import tensorflow as tf

import srez.drawn.faces
from srez.options import Options
from srez.parallel.cluster import Cluster
from srez.pictures.image import celeba_box
from srez_train import Trainer

BATCH = 4
STEPS = 20  # of float64, where rounding doesn't grow into anything that can be seen
FACES = 12
GRAIN = 0.05


def main(name, path):
    """Does all three trainings."""
    if name == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        devices = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, devices)
    cluster = Cluster(name)
    if name == "mirrored":
        cluster.strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    found = _first_step(cluster) | _unsynchronised(cluster)
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    found |= _many_steps(cluster)
    cluster.wait_for_all()
    if cluster.is_chief:
        np.savez(path, **found)


def batches(count, dtype, cluster, batch_size=BATCH, side=64):
    """This process's share of batches of drawn faces, `side` pixels wide: (low_res, high_res)."""
    boxes = [celeba_box(np.asarray(srez.drawn.faces.draw_face(0, index))) for index in range(FACES)]
    step = 128 // side
    faces = np.stack(boxes).reshape(FACES, side, step, side, step, 3).mean((2, 4)) / 255.0
    order = np.random.default_rng(0)
    # Drawn faces are flat, photos are not: of flat ones many pixels cross a ReLU's kink at once.
    faces = np.clip(faces + order.normal(0, GRAIN, faces.shape), 0, 1)
    first, end = cluster.share(batch_size)
    for _ in range(count):
        high_res = faces[order.choice(FACES, batch_size, replace=False)][first:end].astype(dtype)
        low_res = high_res.reshape(-1, side // 4, 4, side // 4, 4, 3).mean((2, 4)).astype(dtype)
        yield tf.constant(low_res), tf.constant(high_res)


def _trainer(cluster, **flags):
    return Trainer(Options(batch_size=BATCH, **flags), cluster.strategy)


def _first_step(cluster):
    trainer = _trainer(cluster)
    # Few and small pictures: where rounding pushes one of a million numbers over a ReLU's kink, a
    # gradient jumps by a thousandth, whatever computes it.
    *_, pair = batches(2, np.float32, cluster, batch_size=2, side=32)
    pair = trainer.replicas.share_out(*pair)

    @tf.function
    def gradients():
        def of_all(*pair):
            scalars, *both = trainer.gradients(*pair)
            if trainer.replicas.count == 1:
                return scalars, both
            context = tf.distribute.get_replica_context()
            scalars = {
                name: context.all_reduce("MEAN", tf.identity(value))
                for name, value in scalars.items()
            }
            return scalars, [context.all_reduce("MEAN", some) for some in both]

        return cluster.strategy.run(of_all, tuple(pair))

    local = cluster.strategy.experimental_local_results(gradients())[0]
    scalars, (generator, discriminator) = local
    found = {"losses": np.array([scalars[name] for name in sorted(scalars) if "loss/" in name])}
    for name, some in (("generator", generator), ("discriminator", discriminator)):
        found |= {f"gradient_{name}_{index:03d}": value.numpy() for index, value in enumerate(some)}
    return found


def _unsynchronised(cluster):
    trainer = _trainer(cluster, sync_batch_norm=False)
    for pair in batches(2, np.float32, cluster):
        trainer.train_step(*pair)
    values = [value.numpy().ravel() for value in trainer.generator.non_trainable_variables]
    copies = [
        [copy.numpy().ravel() for copy in cluster.strategy.experimental_local_results(value.value)]
        for value in trainer.generator.non_trainable_variables
    ]
    return {
        "statistics": np.concatenate(values),
        "copies_differ": np.array([np.abs(some[0] - some[-1]).max() for some in copies]),
    }


def _many_steps(cluster):
    trainer, rows = _trainer(cluster), []
    for pair in batches(STEPS, np.float64, cluster):
        scalars = trainer.train_step(*pair)
        rows.append([scalars[name] for name in sorted(scalars) if name.startswith("loss/")])
    found = {"many_losses": np.array(rows)}
    found["sums"] = np.array(cluster.sums(cluster.index + 1, 0))
    for name in ("generator", "discriminator", "average"):
        values = trainer.state[name].trainable_variables
        found[f"weights_{name}"] = np.concatenate([value.numpy().ravel() for value in values])
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
