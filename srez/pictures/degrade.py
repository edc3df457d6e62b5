"""Degrades the network's inputs as small faces in photos are: resampled, noisy, packed as JPEG."""

import tensorflow as tf

# How others make pictures smaller, by names of tf.image.resize; srez itself takes averages: "area".
KERNELS = ("area", "lanczos3", "bicubic", "bilinear", "nearest")
SMALLER, SMALLEST = 0.25, 0.6  # so many were smaller still and then enlarged: down to that side
NOISY, MAX_NOISE = 0.5, 8 / 255  # so many have noise: its standard deviation at most
PACKED, QUALITIES = 0.5, (55, 97)  # so many were packed as JPEG, with colours halved
DRAWS = 6  # for each picture


def degrade(low_res, high_res, share, draws, noise):
    """Degrades about a `share` of the inputs low_res [B, h, w, 3] of high_res [B, 4h, 4w, 3].

    Images are float32 in [0, 1]. `draws` [B, DRAWS] are uniform in [0, 1), `noise` [B, h, w, 3] is
    normal.
    """

    def degraded(picture):
        return tf.cond(picture[2][0] < share, lambda: _degraded(*picture), lambda: picture[0])

    pictures = low_res, high_res, draws, noise
    return tf.map_fn(degraded, pictures, fn_output_signature=tf.TensorSpec(low_res.shape[1:]))


def _degraded(low_res, high_res, draws, noise):
    _, kernel, smaller, noisy, packed, quality = tf.unstack(draws)
    sides = tf.constant(low_res.shape[:2].as_list())
    image = _resampled(high_res, sides, kernel, _excess(smaller, SMALLER))
    image += _excess(noisy, NOISY) * MAX_NOISE * noise
    image = tf.round(255.0 * tf.clip_by_value(image, 0.0, 1.0)) / 255.0
    low, high = QUALITIES
    quality = tf.cast(low + (high - low) * quality, tf.int32)
    image = tf.cond(
        packed < PACKED, lambda: tf.image.adjust_jpeg_quality(image, quality), lambda: image
    )
    return tf.ensure_shape(image, low_res.shape)


def _resampled(high_res, sides, kernel, smaller):
    """A picture made smaller to `sides` by a kernel; before that to less, where `smaller` > 0."""
    first = 1.0 - (1.0 - SMALLEST) * smaller
    first = tf.cast(tf.round(first * tf.cast(sides, tf.float32)), tf.int32)

    def shrunk(method):
        return lambda: tf.image.resize(high_res, first, method, antialias=method != "area")

    chosen = tf.cast(kernel * len(KERNELS), tf.int32)
    image = tf.switch_case(chosen, [shrunk(method) for method in KERNELS])
    return tf.image.resize(image, sides, "bicubic")


def _excess(draw, share):
    """0 for all draws but a `share` of them; for these from 0 to 1."""
    return tf.maximum(draw - (1.0 - share), 0.0) / share
