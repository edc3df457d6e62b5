"""What srez is measured against: the same networks and data as a tutorial would write them."""

import math

import keras
import tensorflow as tf

import srez_model

_WIGGLE, _LEFT, _TOP, _SIDE = 8, 25, 60, 128


def build_generator():
    """srez_model's generator of plain Keras layers, its up-convolutions not folded."""
    images = x = keras.Input((None, None, 3))
    *all_units, last_units = srez_model.RES_UNITS
    for units in all_units:
        if x.shape[-1] != units:
            x = keras.layers.Conv2D(units, 1)(x)
        for _ in range(srez_model.RES_BLOCKS):
            shortcut = x
            for _ in range(2):
                x = _norm_relu(x)
                x = keras.layers.Conv2D(units, 3, padding="same")(x)
            x = x + shortcut
        x = _norm_relu(keras.layers.UpSampling2D()(x))
        x = keras.layers.Conv2DTranspose(units, 3, padding="same")(x)
    for size in (3, 1):
        x = keras.layers.Conv2D(last_units, size, padding="same", activation="relu")(x)
    return keras.Model(images, keras.layers.Conv2D(3, 1, activation="sigmoid")(x))


class TextbookTrainer:
    """The alternating step of a tutorial: a forward pass of both networks for each update."""

    def __init__(self):
        self.generator = build_generator()
        self.discriminator = srez_model.build_discriminator()
        self._generator_optimizer = _optimizer(self.generator)
        self._discriminator_optimizer = _optimizer(self.discriminator)

    @tf.function
    def train_step(self, low_res, high_res):
        """Updates the discriminator, then the generator; returns the generator's loss."""
        with tf.GradientTape() as tape:
            fake_logits = self.discriminator(self.generator(low_res, training=True), training=True)
            real_logits = self.discriminator(high_res, training=True)
            loss = sum(srez_model.discriminator_losses(real_logits, fake_logits))
        gradients = tape.gradient(loss, self.discriminator.trainable_variables)
        self._discriminator_optimizer.apply(gradients)
        with tf.GradientTape() as tape:
            generated = self.generator(low_res, training=True)
            fake_logits = self.discriminator(generated, training=True)
            loss = srez_model.generator_loss(fake_logits, generated, low_res, 0.9)
        gradients = tape.gradient(loss, self.generator.trainable_variables)
        self._generator_optimizer.apply(gradients)
        return loss


def step_multiplications(batch_size, size):
    """How many multiplications the convolutions of one training step need, none of them folded.

    Going forward, back to the weights and back to the inputs takes three forward passes of a
    network. The discriminator does that for real and for generated pictures, and for the generator
    it goes back to the generated ones once more. `size` is the large pictures' side in pixels.
    """
    generator = _multiplications(build_generator(), size // srez_model.SCALE)
    discriminator = _multiplications(srez_model.build_discriminator(), size)
    return batch_size * (3 * generator + 7 * discriminator)


def decode_op_by_op(data):
    """The original's input, operation by operation: a JPEG's bytes to (low_res, high_res)."""
    image = tf.image.random_flip_left_right(tf.io.decode_jpeg(data, channels=3))
    image = tf.image.random_saturation(image, 0.95, 1.05)
    image = tf.image.random_brightness(image, 0.05)
    image = tf.image.random_contrast(image, 0.95, 1.05)
    around = _SIDE + 2 * _WIGGLE
    image = tf.image.crop_to_bounding_box(image, _TOP - _WIGGLE, _LEFT - _WIGGLE, around, around)
    image = tf.image.random_crop(image, (_SIDE, _SIDE, 3))
    image = tf.cast(image[None], tf.float32) / 255.0
    high_res = tf.image.resize(image, (64, 64), method="area")
    return tf.image.resize(high_res, (16, 16), method="area")[0], high_res[0]


def _optimizer(network):
    optimizer = keras.optimizers.Adam(2e-4, beta_1=0.5, epsilon=1e-8)
    optimizer.build(network.trainable_variables)
    return optimizer


def _norm_relu(x):
    return keras.layers.ReLU()(keras.layers.BatchNormalization(scale=False)(x))


def _multiplications(network, size):
    """Those of all convolutions in a forward pass over one picture of size x size."""
    kinds = keras.layers.Conv2D | keras.layers.Conv2DTranspose
    layers = [layer for layer in network.layers if isinstance(layer, kinds)]
    probe = keras.Model(network.inputs, [layer.output for layer in layers])
    outputs = probe(tf.zeros((1, size, size, 3)))
    return sum(
        math.prod(output.shape[1:3]) * math.prod(layer.kernel.shape)
        for layer, output in zip(layers, outputs, strict=True)
    )
