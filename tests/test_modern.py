import numpy as np
import pytest
import tensorflow as tf

from srez import modern
from srez.options import ADVERSARIAL_BATCHES, Options
from srez.run.resume import Start, take_up
from srez.run.weights import load_generator
from srez_model import SCALE, area_downscale
from srez_train import Trainer
from tests.small import shrink


def pair(count=2, side=16):
    coarse = np.random.default_rng(0).random((count, 8, 8, 3), np.float32)
    size = [SCALE * side] * 2
    high_res = tf.clip_by_value(tf.image.resize(coarse, size, "nearest"), 0.0, 1.0)
    return area_downscale(high_res), high_res


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", [(2, 16, 16, 3), (1, 1, 1, 3), (1, 7, 20, 3)])
def test_the_output_averages_to_the_input_at_any_size(shape, precision):
    low_res = tf.random.stateless_uniform(shape, (1, 2))
    images = modern.enlarge(modern.build_generator(precision), low_res, exact=1.0)
    assert images.dtype == tf.float32
    np.testing.assert_allclose(area_downscale(images), low_res, atol=1e-6)


def test_the_untrained_generator_gives_bicubic_interpolation_with_the_averages_put_right():
    low_res, _ = pair()
    bicubic = tf.image.resize(low_res, (64, 64), "bicubic")
    expected = modern.free(bicubic) + tf.repeat(tf.repeat(low_res, 4, axis=1), 4, axis=2)
    images = modern.enlarge(modern.build_generator(), low_res, exact=1.0)
    assert np.abs(images - expected).mean() < 0.05


def test_only_exact_inputs_are_averaged_back_to_and_only_the_plane_tells():
    low_res, _ = pair()
    generator = modern.build_generator()
    both = modern.enlarge(generator, low_res, tf.reshape([1.0, 0.0], (2, 1, 1, 1)))
    exact, free = (modern.enlarge(generator, low_res, flag) for flag in (1.0, 0.0))
    np.testing.assert_allclose(both, tf.stack([exact[0], free[1]]), atol=1e-6)
    errors = np.abs(area_downscale(both) - low_res).max(axis=(1, 2, 3))
    assert errors[0] < 1e-6 < 1e-3 < errors[1]


def test_inputs_are_exact_up_to_their_rounding():
    low_res, high_res = pair(4)
    changed = tf.reshape([0.0, 0.5 / 255, 1 / 255, -1 / 255], (4, 1, 1, 1)) + low_res
    assert modern.is_exact(changed, high_res).numpy().ravel().tolist() == [1, 1, 0, 0]
    assert modern.is_exact(tf.round(255 * low_res) / 255, high_res).numpy().all()


def test_free_is_what_doesnt_change_the_averages():
    _, images = pair()
    part = modern.free(images)
    np.testing.assert_allclose(area_downscale(part), 0.0, atol=1e-6)
    np.testing.assert_allclose(modern.free(part), part, atol=1e-6)
    moved = images + tf.reshape([0.1, 0.2], (2, 1, 1, 1))
    np.testing.assert_allclose(modern.free(moved), part, atol=1e-6)


def test_the_gradient_of_l1_is_that_of_the_tape():
    low_res, high_res = pair()
    generated = tf.Variable(high_res[::-1])
    with tf.GradientTape() as tape:
        loss, gradient = modern.l1(generated, high_res)
    np.testing.assert_allclose(gradient, tape.gradient(loss, generated), rtol=1e-5)
    assert float(loss) == pytest.approx(np.abs(generated - high_res).mean())


def test_the_adversarial_gradient_is_that_of_the_generators_loss():
    _, high_res = pair()
    generated = tf.Variable(high_res[::-1] ** 2)
    discriminator = modern.build_discriminator(64)
    with tf.GradientTape() as tape:
        images = tf.concat([high_res, generated], axis=0)
        with tf.GradientTape() as slope_tape:
            slope_tape.watch(images)
            logits, *_ = discriminator(images, training=True)
        slopes = slope_tape.gradient(logits, images)
        _, gene_loss, _ = modern.relativistic_losses(logits, slopes)
    expected = tape.gradient(gene_loss, generated).numpy()
    found = modern.adversarial_gradient(logits, slopes)
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


def test_the_losses_of_known_logits_and_slopes():
    logits, slopes = tf.constant([[1.0], [0.0], [0.0], [2.0]]), tf.fill([4, 2, 2, 1], 0.5)
    disc_loss, gene_loss, penalty = modern.relativistic_losses(logits, slopes)
    assert float(disc_loss) == pytest.approx(np.log1p(np.exp([-1.0, 2.0])).mean())
    assert float(gene_loss) == pytest.approx(np.log1p(np.exp([1.0, -2.0])).mean())
    assert float(penalty) == pytest.approx(modern.PENALTY / 2 * (1.0 + 1.0))


def test_each_learning_rate_falls_to_0_in_its_second_half():
    rates = modern.FallingRates((4.0, 1.0), (10, 20))
    found = [float(rates(step)) for step in (0, 5, 7, 10, 20, 25, 30, 99)]
    np.testing.assert_allclose(found, [4.0, 4.0, 2.4, 1.0, 1.0, 0.5, 0.0, 0.0], atol=1e-6)


@pytest.mark.parametrize(
    ("batch", "decay"), [(1, 0.0), (21, 0.5), (4000, 0.995), (4001, 0.0), (4021, 0.5), (1e6, 0.999)]
)
def test_the_average_begins_anew_with_each_stage(batch, decay):
    recipe = modern.Modern.__new__(modern.Modern)
    recipe.l1_batches = 4000
    assert float(recipe.decay(tf.constant(float(batch)))) == pytest.approx(decay, abs=1e-4)


def test_a_training_has_18000_batches_and_no_limit_of_time_unless_told():
    options = Options(recipe="modern")
    assert (options.train_batches, options.train_time) == (4000 + ADVERSARIAL_BATCHES, None)
    assert Options(recipe="modern", train_time=5.0).train_batches == 0


@pytest.fixture(scope="module")
def stages():
    """The trainer after 0, 1, 2 and 3 batches, 1 of stage 1: networks' weights, and the scalars."""
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch.setattr)
        trainer = _trainer(l1_batches=1, train_batches=9)
    found = [(_weights(trainer), {})]
    for _ in range(3):
        scalars = trainer.train_step(*pair())
        found.append((_weights(trainer), {name: float(value) for name, value in scalars.items()}))
    return found


def _trainer(**flags):
    return Trainer(Options(precision="float32", recipe="modern", batch_size=2, **flags))


def _weights(trainer):
    return {
        name: [weight.numpy() for weight in value.trainable_variables]
        for name, value in trainer.state.items()
        if name in ("generator", "discriminator", "average", "faithful")
    }


def differ(first, second):
    return any((a != b).any() for a, b in zip(first, second, strict=True))


def test_the_discriminator_learns_in_the_second_stage_only(stages):
    (fresh, _), (first, scalars), (second, later), _ = stages
    assert not differ(first["discriminator"], fresh["discriminator"])
    assert differ(first["discriminator"], second["discriminator"])
    assert scalars["loss/disc_loss"] == pytest.approx(np.log(2.0))
    assert later["loss/disc_loss"] != scalars["loss/disc_loss"]
    assert list(scalars) == list(later)


def test_the_faithful_weights_stay_as_the_first_stage_left_them(stages):
    _, (first, _), (second, _), (third, _) = stages
    assert not differ(first["faithful"], first["average"])
    assert not differ(first["faithful"], third["faithful"])
    assert differ(second["average"], third["average"])


def test_each_gradient_has_its_share_of_the_norm(small, monkeypatch):
    monkeypatch.setattr(modern, "RAMP", 4)
    trainer = _trainer(l1_batches=1, train_batches=9)
    draws = np.random.default_rng(1)
    l1_gradient, *others = (draws.normal(size=(2, 64, 64, 3)).astype(np.float32) for _ in range(3))
    others = {name: 7 * gradient for name, gradient in zip(modern.SHARES, others, strict=True)}
    for batch, ramp in ((1, 0.0), (3, 0.5), (5, 1.0), (99, 1.0)):
        weights = trainer.recipe.weights(l1_gradient, others, batch)
        for name, gradient in others.items():
            norm = np.linalg.norm(modern.free(float(weights[name]) * gradient))
            share = norm / np.linalg.norm(modern.free(l1_gradient))
            assert share == pytest.approx(modern.SHARES[name] * ramp)


def test_the_feature_loss_compares_each_picture_with_its_own_and_moves_the_generated_one():
    features = [tf.Variable([[1.0, 2.0], [3.0, 4.0]]), tf.Variable([[[1.0]], [[-1.0]]])]
    with tf.GradientTape() as tape:
        loss = modern.feature_loss(features)
    assert float(loss) == 2.0 + 2.0
    gradients = tape.gradient(loss, features)
    np.testing.assert_allclose(gradients[0], [[0.0, 0.0], [0.5, 0.5]])
    np.testing.assert_allclose(gradients[1], [[[0.0]], [[-1.0]]])


@pytest.mark.parametrize(
    ("size", "sides"),
    [
        (64, [32, 16, 16, 8, 8, 4]),
        (72, [36, 18, 18, 9, 9, 5]),
        (96, [48, 24, 24, 12, 12, 6]),
        (120, [60, 30, 30, 15, 15, 8]),
        (128, [64, 32, 32, 16, 16, 8, 4]),
    ],
)
def test_the_discriminator_takes_one_more_step_down_for_large_faces(size, sides):
    logits, *features = modern.build_discriminator(size).outputs
    assert logits.shape[1:] == (1,)
    assert [feature.shape[1] for feature in features] == sides
    assert features[-1].shape[1:] == (sides[-1], sides[-1], 512)


def test_the_first_stage_learns(small):
    trainer = _trainer(l1_batches=100, train_batches=100)
    scalars = [trainer.train_step(*pair()) for _ in range(40)]
    first, *_, last = (float(values["loss/gene_l1_loss"]) for values in scalars)
    assert last < 0.9 * first


def test_a_training_begins_with_the_box_at_the_fidelity_asked_for(capsys):
    flags = {"recipe": "modern", "batch_size": 2, "weights": "shipped", "l1_batches": 0}
    flags |= {"precision": "float32"}
    trainer = Trainer(Options(**flags, fidelity=0.0))
    take_up(trainer, Start(None, None, {}, {}))
    recipe = trainer.recipe
    expected = load_generator(Options(weights="shipped", fidelity=0.0))[0].get_weights()
    for network in (recipe.generator, recipe.average, recipe.faithful):
        for found, value in zip(network.get_weights(), expected, strict=True):
            np.testing.assert_array_equal(found, value)
    assert "Beginning with the weights in the box" in capsys.readouterr().out
