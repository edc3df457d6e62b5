import keras
import numpy as np
import pytest
import tensorflow as tf

import srez_model
from srez.options import Options
from srez_train import Trainer
from tests.small import shrink


@pytest.fixture(scope="module", autouse=True)
def small_networks():
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch.setattr)
        yield


@pytest.fixture(scope="module")
def batch():
    """(low_res, high_res) of two random pictures of 16x16: CPUs are slow in float16."""
    high_res = tf.random.stateless_uniform((2, 16, 16, 3), seed=(0, 1))
    return srez_model.area_downscale(high_res), high_res


def _trainer(**options):
    return Trainer(Options(batch_size=2, **({"precision": "float32"} | options)))


def _values(network):
    return np.concatenate([weight.numpy().ravel() for weight in network.trainable_variables])


@pytest.fixture(scope="module")
def stepped(batch):
    """Two trainers of the same seed after five steps, the second one without averaging.

    With them: the first one's learning rate, generator and average at the start and at each step.
    """
    flags = {"learning_rate_half_life": 2}
    averaged, plain = _trainer(ema=0.2, **flags), _trainer(ema=0, **flags)
    steps = [(None, _values(averaged.generator), _values(averaged.average))]
    for _ in range(5):
        rate = averaged.train_step(*batch)["learning_rate"]
        steps.append((float(rate), _values(averaged.generator), _values(averaged.average)))
        plain.train_step(*batch)
    return averaged, plain, steps


def test_the_same_seed_gives_the_same_network():
    first, second, other = (_values(_trainer(random_seed=seed).generator) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_a_step_is_traced_once(stepped):
    assert stepped[0]._step.experimental_get_tracing_count() == 1


def test_the_training_is_untouched_by_the_average(stepped):
    averaged, plain, _ = stepped
    np.testing.assert_array_equal(_values(averaged.generator), _values(plain.generator))


def test_without_averaging_the_average_is_the_generator(stepped):
    _, plain, _ = stepped
    np.testing.assert_array_equal(_values(plain.average), _values(plain.generator))


def test_the_average_follows_the_stated_decay_up_to_the_flag(stepped):
    _, generators, averages = zip(*stepped[-1], strict=True)
    for number, decay in ((1, 2 / 11), (2, 0.2), (3, 0.2)):
        expected = decay * averages[number - 1] + (1 - decay) * generators[number]
        np.testing.assert_allclose(averages[number], expected, rtol=1e-4, atol=1e-7)


def test_refreshed_statistics_are_the_mean_over_the_batches(batch):
    trainer = _trainer()
    batches = [batch[0], batch[0] * 0.5]
    trainer.recipe.refresh_average(batches)
    layer = next(layer for layer in trainer.average.layers if hasattr(layer, "moving_mean"))
    front = trainer.average.layers[1]
    means = [tf.reduce_mean(front(low_res), axis=(0, 1, 2)) for low_res in batches]
    np.testing.assert_allclose(layer.moving_mean, sum(means) / 2, rtol=1e-4, atol=1e-6)


def test_the_noise_reaches_the_generator_only(batch):
    quiet, noisy = (_trainer(noise_level=level).gradients(*batch)[0] for level in (0, 0.3))
    assert quiet["loss/disc_real_loss"] == noisy["loss/disc_real_loss"]
    assert quiet["loss/disc_fake_loss"] != noisy["loss/disc_fake_loss"]


def test_the_noise_changes_with_the_batch_number(batch):
    trainer = _trainer(noise_level=0.3)
    losses = []
    for number in (0, 0, 1):
        trainer.batch.assign(number)
        losses.append(float(trainer.gradients(*batch)[0]["loss/gene_loss"]))
    assert losses[0] == losses[1] != losses[2]


def test_the_learning_rate_halves_after_each_half_life(stepped):
    rates = [rate for rate, *_ in stepped[-1][1:]]
    np.testing.assert_allclose(rates, [2e-4, 2e-4, 1e-4, 1e-4, 5e-5], rtol=1e-6)


def test_adam_gets_the_flags():
    trainer = Trainer(Options(epsilon=1e-5, learning_beta1=0.7, precision="float32"))
    for optimizer in (trainer.generator_optimizer, trainer.discriminator_optimizer):
        assert (optimizer.epsilon, optimizer.beta_1) == (1e-5, 0.7)


def test_the_l1_factor_weighs_the_two_losses(batch):
    scalars = _trainer(gene_l1_factor=0.25).gradients(*batch)[0]
    expected = 0.25 * scalars["loss/gene_l1_loss"] + 0.75 * scalars["loss/gene_ce_loss"]
    assert float(scalars["loss/gene_loss"]) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_reduced_precision_keeps_variables_and_losses_in_float32(batch, precision):
    trainer = _trainer(precision=precision)
    scalars, *_ = trainer.gradients(*batch)
    networks = (trainer.generator, trainer.discriminator, trainer.average)
    assert {v.dtype for network in networks for v in network.variables} == {"float32"}
    assert {tf.as_dtype(value.dtype) for value in scalars.values()} == {tf.float32}
    assert trainer.generator(batch[0], training=False).dtype == tf.float32
    inner = next(layer for layer in trainer.generator.layers if "conv2d" in layer.name)
    assert inner.compute_dtype == precision


def test_float16_leaves_out_a_step_that_overflows(batch):
    trainer = _trainer(precision="float16")
    before = _values(trainer.generator)
    trainer.generator_optimizer.dynamic_scale.assign(3e38)
    trainer.train_step(*batch)
    np.testing.assert_array_equal(before, _values(trainer.generator))
    assert float(trainer.generator_optimizer.dynamic_scale) == pytest.approx(1.5e38)


def test_building_leaves_the_policy_of_keras_alone():
    before = keras.config.dtype_policy()
    srez_model.build_generator(precision="bfloat16")
    assert keras.config.dtype_policy() == before


@pytest.mark.slow
def test_xla_gives_the_same_step(batch):
    # Without noise: XLA makes other normal numbers of the same seed.
    plain, compiled = (
        _trainer(noise_level=0, jit_compile=jit).train_step(*batch) for jit in (False, True)
    )
    for name, value in plain.items():
        assert float(value) == pytest.approx(float(compiled[name]), rel=1e-3, abs=1e-5)
