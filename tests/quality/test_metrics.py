import numpy as np
import pytest
import tensorflow as tf

import srez.quality.metrics


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    return random.random((3, 16, 16, 3), np.float32), random.random((3, 16, 16, 3), np.float32)


def test_psnr_agrees_with_tensorflow(images):
    expected = tf.image.psnr(*images, max_val=1.0)
    np.testing.assert_allclose(srez.quality.metrics.psnr(*images), expected, rtol=1e-5)


def test_psnr_of_equal_images_is_the_largest(images):
    assert srez.quality.metrics.psnr(images[0], images[0]).tolist() == [100.0] * 3


def test_lr_psnr_compares_averages_of_squares(images):
    low_res = images[0].reshape(3, 4, 4, 4, 4, 3).mean((2, 4))
    assert srez.quality.metrics.lr_psnr(images[0], low_res).min() > 99.0
    brighter = srez.quality.metrics.lr_psnr(images[0] + 0.1, low_res)
    np.testing.assert_allclose(brighter, 20.0, atol=1e-3)
