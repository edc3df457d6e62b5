import numpy as np
import pytest
import tensorflow as tf

from srez.pictures.augment import augment
from srez.pictures.load import load_pictures


def _many_draws(count):
    return tf.random.stateless_uniform((4, count), seed=(1, 2))


def test_half_of_the_pictures_are_flipped():
    ramp = np.broadcast_to(np.linspace(0.2, 0.8, 64)[:, None], (1000, 64, 64, 3))
    images = augment(tf.constant(ramp, tf.float32), _many_draws(1000)).numpy()
    flipped = images[:, 30, 50, 1] < images[:, 30, 10, 1]
    assert flipped.mean() == pytest.approx(0.5, abs=0.05)


def test_the_jitter_has_the_original_range():
    grey = tf.fill((1000, 16, 16, 3), 0.5)
    shifts = augment(grey, _many_draws(1000)).numpy().mean((1, 2, 3)) - 0.5
    assert -0.05 <= shifts.min() < -0.045
    assert 0.045 < shifts.max() <= 0.05
    assert abs(shifts.mean()) < 0.005


def _op_by_op(box, draws):
    """The original's operations in its order, by the same draws, on a box [128, 128, 3]."""
    saturation, brightness, contrast = draws[1:] * 0.1 - 0.05
    box = tf.image.flip_left_right(box) if draws[0] < 0.5 else box
    box = tf.image.adjust_saturation(box, 1.0 + saturation)
    box = tf.image.adjust_brightness(box, brightness)
    return tf.clip_by_value(tf.image.adjust_contrast(box, 1.0 + contrast), 0.0, 1.0)


def test_the_jitter_agrees_with_tensorflows_own_operations(source):
    _, _, images = load_pictures(source, range(8), 128)
    draws = _many_draws(8)
    expected = [_op_by_op(image, draws[:, at]) for at, image in enumerate(images)]
    np.testing.assert_allclose(augment(images, draws), expected, atol=1e-5)


def test_the_jitter_after_the_downscaling_keeps_the_distribution(source):
    _, _, boxes = load_pictures(source, [1], 128)
    draws = _many_draws(300)
    before = tf.stack([_op_by_op(boxes[0], draws[:, at]) for at in range(300)])
    before = tf.nn.avg_pool2d(before, 2, 2, "VALID").numpy()
    small = tf.nn.avg_pool2d(boxes, 2, 2, "VALID")
    after = augment(tf.repeat(small, 300, axis=0), draws).numpy()
    # Over the draws, at each pixel and channel; a step of 8 bits is 0.004.
    for figure, tolerance in ((np.mean, 0.004), (np.std, 0.004), (np.min, 0.03), (np.max, 0.03)):
        np.testing.assert_allclose(figure(after, 0), figure(before, 0), atol=tolerance)
