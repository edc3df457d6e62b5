import numpy as np
import tensorflow as tf

from srez.pictures.crop import CROP_SHAPE, _margin_crop, cut, decode, decode_alone


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
