"""The modern recipe: its networks, losses and schedules.

The generator adds detail to bicubic interpolation, and its last layers see to it that each 4x4
square of the output averages to its input pixel. In the first stage of a training it learns to be
true to the pixels (L1); in the second one also to be plausible, against a discriminator.

Networks and losses are made of Keras' layers and operations alone, so that they run on each of its
backends.
"""

import math

import keras
from keras import layers, ops

from srez.options import ADVERSARIAL_BATCHES
from srez_model import SCALE, area_downscale, bicubic_layer

UNITS = (128, 96, 64)  # channels of the generator at the input's size, twice and four times that
RES_BLOCKS = 12  # residual blocks at the input's size
SMALL = 1e-3  # standard deviation of initial weights that end a residual: it starts as nothing
# Input pixels around a place that the generator's output there depends on: 25 convolutions of 3x3
# at the input's resolution, an upscaling and 2 at twice that (2), one and 2 at four times it (1).
RADIUS = 28
UPSCALE_KERNEL = 6  # as many weights as a 3x3 convolution to 4 times the channels has

# (channels, stride) of the discriminator's convolutions.
DISCRIMINATOR_LAYERS = ((64, 2), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2))
DISCRIMINATOR_DENSE = 256
LEAK = 0.2  # of leaky ReLU

FAITHFUL, ADVERSARIAL = "faithful", "adversarial"  # the stages
FAITHFUL_RATE, GENERATOR_RATE, DISCRIMINATOR_RATE = 4e-4, 1.5e-4, 3e-4  # learning rates
BETAS = (0.5, 0.99)  # Adam's
MAX_DECAY, WARM_UP = 0.999, 20  # of the weights' average; batches after which it is half of that
ADVERSARIAL_SHARE = 3.0  # norm of the adversarial gradient at the output, over that of L1
RAMP = 1000  # batches in which it rises from 0, for the discriminator knows nothing yet
PENALTY = 0.3  # gamma of R1 and R2


class Modern:
    """The recipe: networks, optimizers, and the gradients of a batch in each of two stages.

    `replicas` are the parallel.replicas.Replicas that take each step together.
    """

    first_learning_rate = 0.0  # for no warning that it is low: it falls to 0 at the end
    losses = {  # on the console, by their titles
        "L1": "loss/gene_l1_loss",
        "G_Loss": "loss/gene_adversarial_loss",
        "D_Loss": "loss/disc_loss",
        "Penalty": "penalty",
    }

    def __init__(self, options, replicas):
        self.replicas = replicas
        self.l1_batches = options.l1_batches
        in_all = options.train_batches or self.l1_batches + ADVERSARIAL_BATCHES
        adversarial_batches = max(in_all - self.l1_batches, 1)
        self.generator = build_generator(options.precision)
        self.discriminator = build_discriminator(options.sample_size, options.precision)
        self.average = build_generator(options.precision)
        self.faithful = build_generator(options.precision)  # the average as the first stage left it
        self.more_state = {"faithful": self.faithful}
        self.generator_optimizer = _adam(
            self.generator,
            FallingRates((FAITHFUL_RATE, GENERATOR_RATE), (self.l1_batches, adversarial_batches)),
        )
        self.discriminator_optimizer = _adam(
            self.discriminator, FallingRates((DISCRIMINATOR_RATE,), (adversarial_batches,))
        )

    def stage(self, batch):
        """FAITHFUL or ADVERSARIAL."""
        return FAITHFUL if batch < self.l1_batches else ADVERSARIAL

    def decay(self, batch):
        """The decay of the weights' average at a batch: it begins anew with each stage."""
        batch = ops.where(batch > self.l1_batches, batch - self.l1_batches, batch) - 1.0
        return ops.minimum(MAX_DECAY, batch / (batch + WARM_UP))

    def gradients(self, low_res, high_res, batch, stage):
        """(scalars, the generator's gradients, the discriminator's), of one forward pass.

        In the first stage the discriminator has none, and its losses are those of chance.
        """
        import tensorflow as tf  # here, for all else runs without it too

        with tf.GradientTape() as generator_tape:
            generated = self.generator(low_res, training=True)
        l1_loss, gradient = l1(generated, high_res)
        gene_loss = disc_loss = ops.convert_to_tensor(math.log(2.0))
        penalty = weight = ops.zeros(())
        discriminator_gradients = []
        if stage == ADVERSARIAL:
            with tf.GradientTape() as discriminator_tape:
                images = ops.concatenate([high_res, generated])
                with tf.GradientTape() as tape:
                    tape.watch(images)
                    logits = self.discriminator(images, training=True)
                slopes = tape.gradient(logits, images)  # of each logit by its own picture
                disc_loss, gene_loss, penalty = relativistic_losses(logits, slopes)
                total = disc_loss + penalty
            variables = self.discriminator.trainable_variables
            discriminator_gradients = discriminator_tape.gradient(total, variables)
            adversarial = adversarial_gradient(logits, slopes)
            weight = self._weight(gradient, adversarial, batch)
            gradient += weight * adversarial
        generator_gradients = generator_tape.gradient(
            generated, self.generator.trainable_variables, output_gradients=gradient
        )
        scalars = {
            "loss/gene_l1_loss": l1_loss,
            "loss/gene_adversarial_loss": gene_loss,
            "loss/disc_loss": disc_loss,
            "penalty": penalty,
            "adversarial_weight": weight,
            "learning_rate": self.generator_optimizer.learning_rate,
        }
        return scalars, generator_gradients, discriminator_gradients

    def _weight(self, l1_gradient, adversarial, batch):
        """The adversarial loss's weight: its gradient shall be ADVERSARIAL_SHARE of L1's.

        Only that part of them counts which doesn't change the 4x4 averages: the rest is lost in
        the generator's last layers.
        """
        squares = self.replicas.mean(
            {
                "l1": ops.sum(ops.square(free(l1_gradient))),
                "adversarial": ops.sum(ops.square(free(adversarial))),
            }
        )
        ramp = ops.minimum(ops.cast(batch - self.l1_batches, l1_gradient.dtype) / RAMP, 1.0)
        ratio = ops.sqrt(squares["l1"] / (squares["adversarial"] + 1e-20))
        return ADVERSARIAL_SHARE * ramp * ops.cast(ratio, l1_gradient.dtype)


class FallingRates(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rates, one after another for so many `batches`: the second half falls to 0."""

    def __init__(self, rates, batches):
        self.rates, self.batches = rates, batches

    def __call__(self, step):
        """The learning rate at a step, a float32 scalar."""
        step = ops.cast(step, "float32")
        value, start = 0.0, 0
        for rate, batches in zip(self.rates, self.batches, strict=True):
            left = 1.0 - (step - start) / max(batches, 1)
            value = ops.where(step >= start, rate * ops.clip(2.0 * left, 0.0, 1.0), value)
            start += batches
        return value

    def get_config(self):
        """As Keras wants it."""
        return {"rates": self.rates, "batches": self.batches}


def l1(generated, high_res):
    """The mean absolute difference of images [B, H, W, C], and its gradient by the generated."""
    difference = generated - high_res
    gradient = ops.sign(difference) / ops.cast(ops.size(difference), difference.dtype)
    return ops.mean(ops.abs(difference)), gradient


def relativistic_losses(logits, slopes):
    """Scalars (discriminator's loss, generator's, the discriminator's penalties).

    `logits` [2B, 1] are those of B real pictures and of the B generated ones for the same inputs,
    `slopes` [2B, H, W, C] each logit's gradient by its picture. Each generated picture is judged
    against its own real one (https://arxiv.org/abs/1807.00734). The penalties keep the slopes
    small at the real ones (R1) and at the generated (R2): https://arxiv.org/abs/2501.05441.
    """
    real, fake = ops.split(logits, 2)
    squares = ops.sum(ops.square(slopes), axis=(1, 2, 3))
    penalty = PENALTY * ops.mean(squares)  # half of it times two means, of B each
    return ops.mean(ops.softplus(fake - real)), ops.mean(ops.softplus(real - fake)), penalty


def adversarial_gradient(logits, slopes):
    """The gradient [B, H, W, C] of the generator's loss by the generated pictures.

    A logit depends on its own picture alone, so the slopes tell it.
    """
    real, fake = ops.split(logits, 2)
    _, slopes = ops.split(slopes, 2)
    return -(ops.sigmoid(real - fake) / ops.shape(real)[0])[:, :, None, None] * slopes


def free(images):
    """That part of images [B, 4H, 4W, C] which doesn't change the averages of 4x4 squares."""
    return images - _nearest(area_downscale(images))


def build_generator(precision="float32", consistent=True):
    """Maps low_res [B, H, W, 3] in [0, 1] to float32 images [B, 4H, 4W, 3], about in [0, 1].

    If `consistent`, each 4x4 square of the output averages to its input pixel. Fully convolutional:
    any height and width. The convolutions compute in `precision`, "float32" or "bfloat16".
    """
    policy = _policy(precision)
    width, middle, last = UNITS
    low_res = keras.Input((None, None, 3))
    first = x = _conv2d(low_res, width, policy)
    for _ in range(RES_BLOCKS):
        x = _residual_block(x, policy)
    x = _upscale(x + first, middle, policy)
    x = _residual_block(x, policy)
    x = layers.ReLU(dtype=policy)(_upscale(x, last, policy))
    x = layers.ReLU(dtype=policy)(_conv2d(x, last, policy))
    detail = layers.Activation("linear", dtype=keras.config.floatx())(
        _conv2d(x, 3, policy, stddev=SMALL)
    )
    bicubic = bicubic_layer()
    images = bicubic(low_res) / bicubic(ops.ones_like(low_res)) + detail
    if consistent:
        images = images + _nearest(low_res - area_downscale(images))
    return keras.Model(low_res, images, name="generator")


def build_discriminator(size, precision="float32"):
    """Maps images [B, size, size, 3] in [0, 1] to float32 logits [B, 1].

    It has no normalization: its penalties need the gradient of each picture by itself.
    """
    policy = _policy(precision)
    images = keras.Input((size, size, 3))
    x = layers.Rescaling(2.0, offset=-1.0, dtype=policy)(images)
    for units, strides in DISCRIMINATOR_LAYERS:
        x = layers.LeakyReLU(LEAK, dtype=policy)(_conv2d(x, units, policy, strides=strides))
    x = layers.Flatten(dtype=keras.config.floatx())(x)
    x = layers.Dense(
        DISCRIMINATOR_DENSE, kernel_initializer="he_normal", dtype=keras.config.floatx()
    )(x)
    x = layers.LeakyReLU(LEAK, dtype=keras.config.floatx())(x)
    return keras.Model(
        images, layers.Dense(1, dtype=keras.config.floatx())(x), name="discriminator"
    )


def _nearest(images):
    return layers.UpSampling2D(SCALE, dtype=keras.config.floatx())(images)


def _residual_block(x, policy):
    y = layers.ReLU(dtype=policy)(_conv2d(x, x.shape[-1], policy))
    return x + _conv2d(y, x.shape[-1], policy, stddev=SMALL)


def _upscale(x, units, policy):
    # Each output pixel is made from a quarter of the kernel's weights.
    stddev = math.sqrt(2 / (x.shape[-1] * UPSCALE_KERNEL**2 / 4))
    return layers.Conv2DTranspose(
        units,
        UPSCALE_KERNEL,
        2,
        padding="same",
        kernel_initializer=keras.initializers.RandomNormal(stddev=stddev),
        dtype=policy,
    )(x)


def _conv2d(x, units, policy, strides=1, stddev=None):
    weights = keras.initializers.RandomNormal(stddev=stddev) if stddev else "he_normal"
    return layers.Conv2D(
        units, 3, strides, padding="same", kernel_initializer=weights, dtype=policy
    )(x)


def _policy(precision):
    return keras.config.dtype_policy() if precision == "float32" else f"mixed_{precision}"


def _adam(network, learning_rate):
    optimizer = keras.optimizers.Adam(learning_rate, *BETAS, epsilon=1e-8)
    optimizer.build(network.trainable_variables)
    return optimizer
