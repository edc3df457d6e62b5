import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from srez.data.source import open_source
from srez.pictures.geometry import celeba_box
from srez.pictures.image import read_image
from srez.pictures.pairs import (
    CROP_SHAPE,
    _margin_crop,
    augment,
    cut,
    decode,
    decode_alone,
    load_pictures,
)
from tests.conftest import FACES


def test_tensorflow_and_pillow_decode_a_picture_alike(source):
    fast = decode(tf.constant([source.read(0)])).numpy()[0]
    difference = np.abs(fast.astype(int) - _margin_crop(source.read(0), "0"))
    assert difference.mean() < 0.5
    assert difference[1:-1, 1:-1].max() <= 3  # at the crop's edge chroma is interpolated otherwise


def test_a_picture_alone_is_decoded_as_in_a_batch_whatever_the_others_are(source):
    jpegs = [source.read(number) for number in (0, 1)]
    raw = b"\0" + _margin_crop(source.read(2), "2").tobytes()
    alone = [decode_alone(crop) for crop in (*jpegs, raw)]
    assert (decode(tf.constant(jpegs)).numpy() == alone[:2]).all()
    assert (decode(tf.constant([*jpegs, raw])).numpy() == alone).all()


def test_boxes_are_cut_at_their_offsets():
    crops = np.random.default_rng(0).integers(0, 256, (2, *CROP_SHAPE), np.uint8)
    first, second = cut(tf.constant(crops), tf.constant([[2, 13], [16, 0]])).numpy()
    assert (first == crops[0, 2:130, 13:141]).all()
    assert (second == crops[1, 16:, :128]).all()


def _many_draws(count):
    return tf.random.stateless_uniform((4, count), seed=(1, 2))


def _op_by_op(box, draws):
    """The original's operations in its order, by the same draws, on a box [128, 128, 3]."""
    saturation, brightness, contrast = draws[1:] * 0.1 - 0.05
    box = tf.image.flip_left_right(box) if draws[0] < 0.5 else box
    box = tf.image.adjust_saturation(box, 1.0 + saturation)
    box = tf.image.adjust_brightness(box, brightness)
    return tf.clip_by_value(tf.image.adjust_contrast(box, 1.0 + contrast), 0.0, 1.0)


def test_the_jitter_agrees_with_tensorflows_own_operations(source):
    _, _, images = load_pictures(source, range(FACES), 128)
    draws = _many_draws(FACES)
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


def test_load_pictures_gives_the_plain_box(source):
    _, low_res, high_res = load_pictures(source, [2], 64)
    box = celeba_box(read_image(source.read(2), "2")) / 255.0
    expected = box.reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(high_res[0] - expected).max() < 2 / 255
    assert low_res.shape == (1, 16, 16, 3)


@pytest.mark.parametrize("size", [(300, 200), (60, 90), (144, 144), (1500, 1000)])
def test_a_picture_of_another_size_gives_its_centred_square(tmp_path, size):
    width, height = size
    columns = np.abs(np.arange(width) - (width - 1) / 2) / min(size)  # dark middle, light sides
    image = np.repeat((columns * 255)[None, :, None], height, 0).repeat(3, 2).astype(np.uint8)
    for number in range(5):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    _, _, high_res = load_pictures(open_source(tmp_path), [0], 64)
    profile = high_res[0].mean((0, 2))
    # The box is the 128 of 144 pixels in the middle of the square: 4/9 to either side.
    np.testing.assert_allclose(profile, profile[::-1], atol=0.01)
    assert profile[0] == pytest.approx(4 / 9, abs=0.015)
