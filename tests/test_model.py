import json
import math

import numpy as np
import pytest
import tensorflow as tf

import srez_model
from tests import oracle

TRUNCATED = 0.88  # standard deviation of a normal distribution cut off at two sigma


@pytest.fixture(scope="module")
def generator():
    return srez_model.build_generator()


@pytest.fixture(scope="module")
def discriminator():
    return srez_model.build_discriminator()


@pytest.fixture(scope="module")
def variables(generator, discriminator):
    return generator.trainable_variables + discriminator.trainable_variables


def _count(network):
    return sum(math.prod(variable.shape) for variable in network.trainable_variables)


def _oracle():
    return json.loads(oracle.ORACLE.read_text())


def _gains():
    """The gain of each kernel in the order of the oracle's variables."""
    unit = [1.0] + 4 * [1e-3] + [1.0]  # projection, two residual blocks, up-convolution
    return unit + unit + [2.0, 2.0, 1.0] + 7 * [2.0]


def test_the_networks_have_the_original_numbers_of_parameters(generator, discriminator):
    assert (_count(generator), _count(discriminator)) == (3_844_451, 4_175_937)


def test_variables_stand_in_the_order_of_the_oracle(variables):
    for variable, entry in zip(variables, _oracle()["vars"], strict=True):
        assert list(variable.shape) == entry["shape"]
        assert variable.name == entry["kind"]


def test_fresh_kernels_have_the_original_standard_deviation(variables):
    kernels = [variable for variable in variables if variable.name == "kernel"]
    for kernel, gain in zip(kernels, _gains(), strict=True):
        height, width, units_in, units_out = kernel.shape
        stddev = TRUNCATED * math.sqrt(gain / (math.sqrt(units_in * units_out) * height * width))
        values = kernel.numpy()
        # Four standard errors of a standard deviation estimated from that many values.
        assert values.std() == pytest.approx(stddev, rel=4 / math.sqrt(2 * values.size))


def test_fresh_biases_are_zero(variables):
    biases = [variable for variable in variables if variable.name in ("bias", "beta")]
    assert not any(bias.numpy().any() for bias in biases)


@pytest.mark.parametrize("shape", [(1, 16, 16, 3), (2, 18, 18, 3), (3, 7, 12, 3)])
def test_the_generator_enlarges_any_size_four_times(generator, shape):
    batch, height, width, channels = shape
    images = generator(tf.random.uniform(shape), training=False)
    assert images.shape == (batch, 4 * height, 4 * width, channels)
    assert float(tf.reduce_min(images)) > 0.0
    assert float(tf.reduce_max(images)) < 1.0


@pytest.mark.parametrize("shape", [(1, 64, 64, 3), (2, 72, 40, 3)])
def test_the_discriminator_gives_one_logit_an_image(discriminator, shape):
    assert discriminator(tf.random.uniform(shape), training=False).shape == (shape[0], 1)


def test_both_networks_take_other_numbers_of_channels():
    images = srez_model.build_generator(channels=1)(tf.zeros((1, 4, 4, 1)), training=False)
    logits = srez_model.build_discriminator(channels=1)(images, training=False)
    assert images.shape == (1, 16, 16, 1)
    assert logits.shape == (1, 1)


def test_the_up_convolution_equals_upscaling_and_then_convolving():
    layer = srez_model.UpConv2DTranspose(5, "random_normal", bias_initializer="random_normal")
    images = tf.random.normal((2, 6, 7, 4))
    folded = layer(images)
    upscaled = tf.repeat(tf.repeat(images, 2, axis=1), 2, axis=2)
    shape = (2, 12, 14, 5)
    expected = tf.nn.conv2d_transpose(upscaled, layer.kernel.value, shape, strides=1) + layer.bias
    np.testing.assert_allclose(folded, expected, atol=1e-5)


def test_area_downscale_averages_squares_of_four():
    images = np.arange(64, dtype="float32").reshape(1, 8, 8, 1)
    expected = images.reshape(1, 2, 4, 2, 4, 1).mean((2, 4))
    np.testing.assert_allclose(srez_model.area_downscale(images), expected)


def test_the_l1_loss_is_zero_for_an_output_that_downscales_to_the_input():
    low_res = tf.random.uniform((2, 4, 4, 3))
    generated = tf.image.resize(low_res, (16, 16), method="nearest")
    assert float(srez_model.l1_loss(generated, low_res)) == pytest.approx(0.0, abs=1e-7)


@pytest.mark.slow
def test_the_arithmetic_agrees_with_the_original(capsys):
    assert oracle.main(["oracle"]) == 0
    assert json.loads(capsys.readouterr().out).keys() == oracle.LIMITS.keys()


def test_the_oracle_fails_for_another_arithmetic(tmp_path, capsys, monkeypatch):
    content = _oracle()
    content["disc_fake_logits"][0] += 1e-3
    content["grad_l2"][0] *= 1.01
    content["trajectory"] = content["trajectory"][:1]
    step = {f"loss/{name}": value for name, value in content["trajectory"][0].items()}
    monkeypatch.setattr("srez_train.Trainer.train_step", lambda *_: step)  # takes seconds
    (tmp_path / "other.json").write_text(json.dumps(content))
    assert oracle.main(["oracle", str(tmp_path / "other.json")]) == 1
    errors = json.loads(capsys.readouterr().out)
    assert errors["logits"] == pytest.approx(1e-3, rel=0.1)
    assert errors["gradients"] == pytest.approx(0.01, rel=0.1)  # relative to their norms


def test_bfloat16_losses_agree_with_the_original_within_2_percent():
    content = _oracle()
    trainer = oracle.build_trainer(content, "bfloat16")
    scalars = trainer.gradients(*oracle.inputs(content))[0]
    for name, expected in content["losses"].items():
        assert float(scalars[f"loss/{name}"]) == pytest.approx(expected, rel=0.02)
