import numpy as np
import pytest
import tensorflow as tf

from srez.quality import metrics


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    return random.random((3, 16, 16, 3), np.float32), random.random((3, 16, 16, 3), np.float32)


def test_psnr_agrees_with_tensorflow(images):
    expected = tf.image.psnr(*images, max_val=1.0)
    np.testing.assert_allclose(metrics.psnr(*images), expected, rtol=1e-5)


def test_lr_psnr_compares_averages_of_squares(images):
    low_res = images[0].reshape(3, 4, 4, 4, 4, 3).mean((2, 4))
    assert metrics.lr_psnr(images[0], low_res).min() > 99.0
    brighter = metrics.lr_psnr(images[0] + 0.1, low_res)
    np.testing.assert_allclose(brighter, 20.0, atol=1e-3)


def test_the_sharpness_match_is_that_of_each_square():
    truths = np.full((2, 20, 20, 3), 0.5)  # its squares are whole or not
    truths[:, :8, :8] += np.indices((8, 8)).sum(0)[:, :, None] % 2 / 4
    moved = truths[:, :, ::-1]
    np.testing.assert_allclose(metrics.sharpness(moved, truths), 1, rtol=0.2)
    np.testing.assert_allclose(metrics.sharpness_match(truths, truths), 1.0)
    assert (metrics.sharpness_match(moved, truths) < 0.7).all()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([60.0], "it is its input: 60.00 dB."),
        ([54.9, 60.0], "each is nearly its input: 54.90 to 60.00 dB."),
        ([28.3], "it differs a little from its input: 28.30 dB."),
        ([120.0, 120.0], "each is its input: 100+ dB."),
    ],
)
def test_how_true_results_are_is_told_in_words(values, words):
    assert metrics.trueness(values) == f"Made small again, {words}"
