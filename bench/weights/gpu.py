"""Trains the weights in the box on a GPU: the modern recipe by JAX, which is at home there.

BENCH_BACKEND=jax python3 -m bench.weights.gpu FILE [START] OPTIONS...: FILE is of
bench.weights.pack, OPTIONS are srez's own for the modern recipe, such as --l1_batches; --dataset is
what was packed, and --precision has to be told. Writes both ends of the fidelity scale beside FILE,
facesS_faithful.npz and facesS_average.npz for --sample_size S, in float16; a stage of no batches
writes none. bench.weights.box puts them into the box.

It begins with the weights in START, a .npz that it wrote, or with --weights shipped with those in
the box, at --fidelity. If both are given, START's weights have the lower rates of the box's. Needs
Keras, JAX, scipy and Pillow, no TensorFlow.
"""

import functools
import itertools
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import keras
import numpy as np
from jax import numpy as jnp

from bench.weights import pictures
from srez import modern
from srez.console import say
from srez.flags import parse
from srez.run.weights import CHUNK, choose_weights

NETWORKS = ("generator", "discriminator")


class Training:
    """The state of a training as JAX likes it, and the steps that advance it.

    `options` are srez.options.Options; `weights`, arrays, are what the generator begins with.
    """

    def __init__(self, options, weights=None):
        keras.utils.set_random_seed(options.random_seed)
        one_replica = SimpleNamespace(mean=lambda values: values)
        self.options, self.recipe = options, modern.Modern(options, one_replica)
        self.state = {name: _values(getattr(self.recipe, name)) for name in NETWORKS}
        for name in NETWORKS:
            optimizer = getattr(self.recipe, f"{name}_optimizer")
            self.state[f"{name}_optimizer"] = [variable.value for variable in optimizer.variables]
        if weights is not None:
            self.state["generator"] = [jnp.array(value, jnp.float32) for value in weights]
        self.state["average"] = [value.copy() for value in self.state["generator"]]
        self.batch = 0

    def run(self, batches, count, validation):
        """Trains on `count` of the batches, all of one stage; says how it goes.

        `batches` and `validation` are what bench.weights.pictures gives.
        """
        step = self._compiled(self.recipe.stage(self.batch))
        end, start, waited = self.batch + count, time.monotonic(), 0.0
        while self.batch < end:
            asked = time.monotonic()
            batch = next(batches)
            waited += time.monotonic() - asked
            # Copied before the next one is asked for.
            batch = jax.block_until_ready(jax.device_put(batch, may_alias=False))
            self.state, losses = step(self.state, batch, self.batch)
            self.batch += 1
            if self.batch % self.options.evaluate_period == 0 or self.batch == end:
                losses = {name: f"{float(value):.4f}" for name, value in losses.items()}
                figures = self._measured(*validation)
                took = time.monotonic() - start
                say(
                    f"{took:.0f} s, {waited:.0f} of them waiting, batch {self.batch}: "
                    f"{figures} on validation, {losses}"
                )

    def _measured(self, high_res, known):
        """The average's mean PSNR by kind of what is known, in words."""
        found = []
        for kind, inputs in known.items():
            parts = [inputs[at : at + CHUNK] for at in range(0, len(inputs), CHUNK)]
            images = np.concatenate([self._restore(self.state["average"], part) for part in parts])
            images = np.round(255 * np.clip(images, 0.0, 1.0)) / 255
            errors = np.mean(np.square(images - high_res), axis=(1, 2, 3))
            found.append(f"{kind} {-10 * np.mean(np.log10(errors)):.3f} dB")
        return ", ".join(found)

    @functools.cached_property
    def _restore(self):
        generator = self.recipe.generator
        return jax.jit(lambda weights, known: modern.restore(_call(generator, weights), known))

    def _compiled(self, stage):
        def step(state, batch, number):
            known, high_res = jnp.split(batch, [modern.PLANES], axis=-1)
            return self.step(state, known, high_res, number, stage)

        return jax.jit(step, donate_argnums=0)

    def step(self, state, known, high_res, batch, stage):
        """(the state after a batch, losses), as srez_train.Trainer's step gives them."""
        recipe, state = self.recipe, dict(state)
        losses, *gradients = self.gradients(state, known, high_res, batch, stage)
        for name, of_network in zip(NETWORKS, gradients, strict=True):
            if of_network:
                optimizer = getattr(recipe, f"{name}_optimizer")
                state[name], state[f"{name}_optimizer"] = optimizer.stateless_apply(
                    state[f"{name}_optimizer"], of_network, state[name]
                )
        decay = recipe.decay(keras.ops.cast(batch + 1, "float32"))
        pairs = zip(state["average"], state["generator"], strict=True)
        state["average"] = [weight + decay * (old - weight) for old, weight in pairs]
        return state, losses

    def gradients(self, state, known, high_res, batch, stage):
        """(losses, the generator's gradients, the discriminator's) as srez.modern.Modern's."""
        recipe, others = self.recipe, {}

        def restore(weights):
            return modern.restore(_call(recipe.generator, weights), known, training=True)

        generated, pull_back = jax.vjp(restore, state["generator"])
        l1_loss, gradient = modern.l1(generated, high_res)
        losses, of_discriminator = {"L1": l1_loss}, []
        if stage == modern.ADVERSARIAL:
            images = keras.ops.concatenate([high_res, generated])
            of_judge, of_discriminator, others = self._judge(state["discriminator"], images)
            losses |= of_judge
            weights = recipe.weights(gradient, others, batch)
            gradient += sum(weights[name] * others[name] for name in others)
        return losses, pull_back(gradient)[0], of_discriminator

    def _judge(self, weights, images):
        def judge(weights, images):
            logits, *features = _call(self.recipe.discriminator, weights)(images, training=True)
            return logits, modern.feature_loss(features)

        def slopes_of(weights):
            def added(images):
                logits, _ = judge(weights, images)
                return logits.sum(), logits

            return jax.grad(added, has_aux=True)(images)

        def loss(weights):
            slopes, logits = slopes_of(weights)
            disc_loss, gene_loss, penalty = modern.relativistic_losses(logits, slopes)
            losses = {"D": disc_loss, "G": gene_loss, "penalty": penalty}
            return disc_loss + penalty, (losses, logits, slopes)

        of_weights, (losses, logits, slopes) = jax.grad(loss, has_aux=True)(weights)
        features, gradient = jax.value_and_grad(lambda images: judge(weights, images)[1])(images)
        others = {
            "adversarial": modern.adversarial_gradient(logits, slopes),
            "features": keras.ops.split(gradient, 2)[1],
        }
        return losses | {"Features": features}, of_weights, others


def _values(network):
    return [variable.value for variable in network.trainable_variables]


def _call(network, weights):
    """The network as a function of its inputs, with other weights."""
    fixed = [variable.value for variable in network.non_trainable_variables]

    def call(inputs, training=False):
        return network.stateless_call(weights, fixed, inputs, training=training)[0]

    return call


def main(path, *words):
    """Trains as the options say, and saves an end after each stage."""
    if keras.backend.backend() != "jax":
        raise SystemExit("bench.weights.gpu needs BENCH_BACKEND=jax in the environment")
    start = list(itertools.takewhile(lambda word: not word.startswith("-"), words))
    options = parse(["srez", "--run=train", "--recipe=modern", *words[len(start) :]], {"train"})
    validation = pictures.validation(pictures.load(path, "validation").array, options)
    training = Training(options, _begun(options, *start))
    stages = options.l1_batches, options.train_batches - options.l1_batches
    maker = pictures.Maker(pictures.load(path, "train"), options)
    batches = pictures.batches(maker, sum(stages))
    for end, count in zip(modern.ENDS, stages, strict=True):
        if count:
            training.run(batches, count, validation)
            # In float32 it would not fit what comes back from some machines.
            halves = [np.asarray(value, np.float16) for value in training.state["average"]]
            result = Path(path).with_name(f"faces{options.sample_size}_{end}.npz")
            np.savez(result, *halves, options=json.dumps(options.of_training()))
            say(f"Wrote {result}.")


def _begun(options, start=None):
    """The weights that a training begins with, or None."""
    if start:
        arrays = np.load(start)
        return [arrays[f"arr_{place}"] for place in range(len(arrays) - 1)]  # and the options
    if options.weights == "shipped":
        weights = choose_weights(options.checkpoint_dir, "shipped", options.sample_size)
        return _values(weights.between(options.fidelity))
    return None


if __name__ == "__main__":
    main(*sys.argv[1:])
