"""Seeds of all that is drawn for a batch: functions of (random_seed, batch number)."""

import tensorflow as tf

AUGMENTATION, NOISE, DEGRADATION = 1, 2, 3  # streams of random numbers


def batch_seed(random_seed, stream, batch):
    """The seed [2] of one stream of random numbers for the stateless ops of one batch."""
    seed = tf.constant([random_seed, stream], tf.int64)
    return tf.random.experimental.stateless_fold_in(seed, batch)
