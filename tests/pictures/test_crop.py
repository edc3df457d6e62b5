import numpy as np
import pytest
import tensorflow as tf

import srez.pictures.crop
from srez.data.source import open_source
from srez.pictures.crop import decode


@pytest.fixture(scope="module")
def source(faces):
    return open_source(faces)


def test_tensorflow_and_pillow_decode_a_picture_alike(source):
    fast = decode(tf.constant([source.read(0)]), tf.constant([[3, 11]])).numpy()[0]
    slow = srez.pictures.crop._margin_crop(source.read(0), "0")[3:131, 11:139]
    difference = np.abs(fast.astype(int) - slow)
    assert difference.mean() < 0.5
    assert difference[1:-1, 1:-1].max() <= 3  # at the crop's edge chroma is interpolated otherwise


def test_a_raw_crop_and_a_jpeg_are_cut_at_the_same_place(source):
    jpeg = source.read(0)
    raw = b"\0" + srez.pictures.crop._margin_crop(jpeg, "0").tobytes()
    offsets = tf.constant([[2, 13], [2, 13]])
    first, second = decode(tf.constant([jpeg, raw]), offsets).numpy().astype(int)
    assert np.abs(first - second).mean() < 0.5
