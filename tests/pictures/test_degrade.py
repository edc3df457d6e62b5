import numpy as np
import pytest
import tensorflow as tf

from srez.pictures.degrade import DRAWS, KERNELS, degrade
from srez_model import SCALE, area_downscale

SIDE = 32


@pytest.fixture(scope="module")
def pair():
    coarse = np.random.default_rng(0).random((1, 12, 12, 3), np.float32)
    high_res = tf.clip_by_value(tf.image.resize(coarse, [SCALE * SIDE] * 2, "bicubic"), 0.0, 1.0)
    return area_downscale(high_res), high_res


def degraded(pair, share=1.0, kernel=0.0, smaller=0.0, noisy=0.0, packed=0.99, quality=0.0):
    draws = tf.constant([[0.5, kernel, smaller, noisy, packed, quality]])
    noise = tf.random.stateless_normal(pair[0].shape, (1, 2))
    return degrade(*pair, share, draws, noise).numpy()


def test_a_share_is_degraded_and_the_others_stay_as_they_are(pair):
    count = 200
    pairs = [tf.repeat(images, count, axis=0) for images in pair]
    draws = tf.random.stateless_uniform([count, DRAWS], (3, 4))
    changed = degrade(*pairs, 0.3, draws, tf.zeros([count, *pair[0].shape[1:]])).numpy()
    stay = (changed == pairs[0].numpy()).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(stay, draws[:, 0] >= 0.3)
    assert changed.shape == pairs[0].shape and changed.min() >= 0 and changed.max() <= 1


@pytest.mark.parametrize(("number", "name"), [*enumerate(KERNELS)])
def test_the_picture_is_made_smaller_by_each_kernel(pair, number, name):
    expected = tf.image.resize(pair[1], [SIDE, SIDE], name, antialias=name != "area")
    expected = np.clip(expected, 0.0, 1.0)
    found = degraded(pair, kernel=(number + 0.5) / len(KERNELS))
    assert np.abs(found - expected).max() < 0.51 / 255
    assert (np.abs(found - pair[0]).max() < 0.51 / 255) == (name == "area")


def test_what_was_smaller_still_is_blurred(pair):
    blurred = degraded(pair, smaller=0.999)
    expected = tf.image.resize(pair[1], [round(0.6 * SIDE)] * 2, "area")
    expected = tf.image.resize(expected, [SIDE, SIDE], "bicubic")
    assert np.abs(blurred - np.clip(expected, 0, 1)).max() < 2 / 255


@pytest.mark.parametrize(("noisy", "levels"), [(0.0, 0.0), (0.5, 0.0), (0.75, 4.0), (0.999, 8.0)])
def test_the_noise_has_up_to_eight_levels(noisy, levels):
    grey = [tf.fill([1, side, side, 3], 0.5) for side in (SIDE, SCALE * SIDE)]
    assert degraded(grey, noisy=noisy).std() * 255 == pytest.approx(levels, rel=0.05, abs=0.05)


def test_jpeg_has_the_quality_of_the_draw_and_halved_colours(pair):
    errors = [
        np.abs(degraded(pair, packed=0.0, quality=quality) - pair[0]).mean()
        for quality in (0.0, 0.5, 0.99)
    ]
    assert errors == sorted(errors, reverse=True) and errors[-1] > 0.5 / 255
    red = tf.cast(tf.range(SCALE * SIDE) // SCALE % 2, tf.float32)  # each second column
    stripes = tf.broadcast_to(red[:, None] * [1.0, 0.0, 0.0], [1, *[SCALE * SIDE] * 2, 3])
    found = degraded((area_downscale(stripes), stripes), packed=0.0, quality=0.99)
    assert found[..., 2].max() > 0.1  # the colour of a stripe went into its neighbours
