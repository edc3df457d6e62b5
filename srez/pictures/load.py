"""Loads pictures as they are, without jitter: for sheets, measurements and the cache."""

import concurrent.futures

import numpy as np
import tensorflow as tf

from srez.pictures.augment import plain_pair
from srez.pictures.bad import BadImages
from srez.pictures.crop import CROP_SHAPE, WIGGLE, decode_alone, encoded_crop
from srez.pictures.image import BOX_SIDE, to_uint8

CHUNK = 256  # pictures decoded at a time, by several threads


def load_pictures(source, files, sample_size, bad_images=None):
    """Loads the centre boxes of pictures: (numbers [n], low_res, high_res) of the good ones.

    low_res [n, S/4, S/4, 3] and high_res [n, S, S, 3] are float32 arrays in [0, 1], as in a batch.
    A bad picture is noted in `bad_images` (BadImages) and left out, so n may be 0.
    """
    numbers, boxes = [], []
    for chunk, crops, bad in load_crops(source, files, bad_images):
        numbers += np.compress(~bad, chunk).tolist()
        boxes.append(crops[~bad, WIGGLE : WIGGLE + BOX_SIDE, WIGGLE : WIGGLE + BOX_SIDE])
    low_res, high_res = plain_pair(tf.constant(np.concatenate(boxes)), sample_size)
    return numbers, low_res.numpy(), high_res.numpy()


def eight_bit(images):
    """Rounds images in [0, 1] to 8 bits, as in a picture's file: float32 in [0, 1]."""
    return to_uint8(images) / np.float32(255.0)


def load_crops(source, files, bad_images=None):
    """Yields (numbers [n], crops uint8 [n, 144, 144, 3], bad [n]) of all pictures `files`.

    A bad picture is noted in `bad_images` (BadImages), and its crop is black.
    """
    bad_images = bad_images or BadImages(len(source.names), limit=1.0)

    def load(number):
        with bad_images.noting(number, source.names[number]):
            return decode_alone(encoded_crop(source, number))

    with concurrent.futures.ThreadPoolExecutor() as pool:
        for at in range(0, len(files), CHUNK):
            numbers = files[at : at + CHUNK]
            crops = list(pool.map(load, numbers))
            bad = np.array([crop is None for crop in crops])
            blank = np.zeros(CROP_SHAPE, np.uint8)
            yield numbers, np.stack([blank if crop is None else crop for crop in crops]), bad
