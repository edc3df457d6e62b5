"""Trains the weights in the box on a GPU: the modern recipe by JAX, which is at home there.

BENCH_BACKEND=jax python3 -m bench.weights.gpu FILE OPTIONS...: FILE is of bench.weights.pack,
OPTIONS are srez's own for the modern recipe, such as --l1_batches; --dataset is what was packed.
Writes both ends of the fidelity scale beside it, facesS_faithful.npz and facesS_average.npz for
--sample_size S, in float16. Needs Keras, JAX and Pillow, no TensorFlow. bench.weights.box puts them
into the box.
"""

import functools
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import keras
import numpy as np
from jax import numpy as jnp

from bench.weights.pictures import Pictures
from srez import modern
from srez.console import say
from srez.data.split import MAX_VALIDATION
from srez.flags import parse

AT_ONCE = 50  # batches a call: the host is too slow for one a call
NETWORKS = ("generator", "discriminator")


class GpuTraining:
    """The state of a training as JAX likes it, and the steps that advance it.

    `pictures` are bench.weights.pictures.Pictures, `options` srez.options.Options.
    """

    def __init__(self, options, pictures):
        keras.utils.set_random_seed(options.random_seed)
        one_replica = SimpleNamespace(mean=lambda values: values)
        self.options, self.recipe = options, modern.Modern(options, one_replica)
        self.pictures = pictures
        self.state = {name: _values(getattr(self.recipe, name)) for name in NETWORKS}
        for name in NETWORKS:
            optimizer = getattr(self.recipe, f"{name}_optimizer")
            self.state[f"{name}_optimizer"] = [variable.value for variable in optimizer.variables]
        self.state["average"] = [value.copy() for value in self.state["generator"]]
        self.order = np.random.default_rng(options.random_seed)
        self.numbers = np.zeros(0, int)
        self.batch = 0

    def run(self, batches):
        """Trains for so many batches of one stage; says how it goes."""
        stage = self.recipe.stage(self.batch)
        step = self._compiled(stage)
        end, start = self.batch + batches, time.monotonic()
        while self.batch < end:
            numbers = self._draw(AT_ONCE)
            self.state, losses = step(self.state, numbers, self.batch)
            self.batch += AT_ONCE
            if self.batch % self.options.evaluate_period < AT_ONCE or self.batch >= end:
                losses = {name: f"{float(value):.4f}" for name, value in losses.items()}
                psnr = self.psnr(self.state["average"])
                took = time.monotonic() - start
                say(f"{took:.0f} s, batch {self.batch}: {psnr:.3f} dB on validation, {losses}")

    def psnr(self, weights):
        """The mean PSNR in dB on validation pictures, exact inputs."""
        low_res, high_res = self._validation
        enlarge = self._enlarge
        parts = [enlarge(weights, low_res[at : at + 32]) for at in range(0, len(low_res), 32)]
        images = np.clip(np.concatenate(parts), 0.0, 1.0)
        errors = np.mean(np.square(np.round(255 * images) / 255 - high_res), axis=(1, 2, 3))
        return -10 * np.mean(np.log10(errors))

    @functools.cached_property
    def _validation(self):
        return [images[:MAX_VALIDATION] for images in self.pictures.validation()]

    @functools.cached_property
    def _enlarge(self):
        generator = self.recipe.generator

        def enlarge(weights, low_res):
            return modern.enlarge(_call(generator, weights), low_res, exact=1.0)

        return jax.jit(enlarge)

    def _draw(self, batches):
        """The numbers of pictures [batches, B], in the order of permutations of all."""
        count = batches * self.options.batch_size
        while len(self.numbers) < count:
            epoch = self.order.permutation(len(self.pictures))
            self.numbers = np.concatenate([self.numbers, epoch])
        numbers, self.numbers = np.split(self.numbers, [count])
        return numbers.reshape(batches, -1)

    def _compiled(self, stage):
        key = jax.random.key(self.options.random_seed)

        def one(carried, numbers):
            state, batch = carried
            pairs = self.pictures.pairs(jax.random.fold_in(key, batch), numbers)
            state, losses = self.step(state, *pairs, batch, stage)
            return (state, batch + 1), losses

        @functools.partial(jax.jit, donate_argnums=0)
        def many(state, numbers, batch):
            (state, _), losses = jax.lax.scan(one, (state, jnp.int32(batch)), numbers)
            return state, {name: values.mean() for name, values in losses.items()}

        return many

    def step(self, state, low_res, high_res, batch, stage):
        """(the state after a batch, losses), as srez_train.Trainer's step gives them."""
        recipe, state = self.recipe, dict(state)
        losses, *gradients = self.gradients(state, low_res, high_res, batch, stage)
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

    def gradients(self, state, low_res, high_res, batch, stage):
        """(losses, the generator's gradients, the discriminator's) as srez.modern.Modern's."""
        recipe, others = self.recipe, {}
        exact = modern.is_exact(low_res, high_res)

        def enlarge(weights):
            return modern.enlarge(_call(recipe.generator, weights), low_res, exact, training=True)

        generated, pull_back = jax.vjp(enlarge, state["generator"])
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
    options = parse(["srez", "--run=train", "--recipe=modern", *words], {"train"})
    training = GpuTraining(options, Pictures(path, options.sample_size, options.degrade))
    stages = options.l1_batches, options.train_batches - options.l1_batches
    for end, batches in zip(modern.ENDS, stages, strict=True):
        training.run(batches)
        # In float32 it would not fit what comes back from some machines.
        halves = [np.asarray(value, np.float16) for value in training.state["average"]]
        result = Path(path).with_name(f"faces{options.sample_size}_{end}.npz")
        np.savez(result, *halves, options=json.dumps(options.of_training()))
        say(f"Wrote {result}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
