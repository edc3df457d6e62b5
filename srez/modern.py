"""The modern recipe: its networks, losses and schedules.

The generator adds detail to bicubic interpolation. Where the input is exact, its output is then
projected, so that each 4x4 square averages to its input pixel, and it learns through that. In the
first stage of a training it learns to be true to the pixels (L1). In the second one it also learns
to be plausible, against a discriminator, and to be like the real picture in the discriminator's
features.

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
# Input pixels around a place that the generator's output there depends on. 25 convolutions of 3x3
# at the input's size reach 25 pixels; an upscaling and 2 convolutions at twice that size reach 2
# more; as many at four times that size reach 1 more.
RADIUS = 28
PROJECTION_RADIUS = 0  # it stays within the pixel
ROUNDING = 0.6 / 255  # an input that differs less from the averages is exact, but in 8 bits
UPSCALE_KERNEL = 6  # as many weights as a 3x3 convolution to 4 times the channels has

# (channels, stride) of the discriminator's convolutions.
DISCRIMINATOR_LAYERS = ((64, 2), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2))
DISCRIMINATOR_SIDE = 8  # pixels; its last layer is repeated until its output is smaller
DISCRIMINATOR_DENSE = 256
DETAIL_GAIN = 4.0  # of the detail that it is shown beside the picture: small, yet all that differs
LEAK = 0.2  # of leaky ReLU

FAITHFUL, ADVERSARIAL = 1, 2  # the stages
ENDS = ("faithful", "average")  # of the fidelity scale, 0 and 1: what each stage leaves
FAITHFUL_RATE, GENERATOR_RATE, DISCRIMINATOR_RATE = 4e-4, 1.5e-4, 3e-4  # learning rates
BETAS = (0.5, 0.99)  # Adam's
MAX_DECAY, WARM_UP = 0.999, 20  # of the weights' average; after so many batches it is half of 1
SHARES = {"adversarial": 1.0, "features": 2.0}  # norms of gradients at the output, times that of L1
RAMP = 200  # batches in which they rise from 0: at first the discriminator knows nothing
PENALTY = 0.03  # gamma of R1 and R2
CHANCE = {  # scalars while there is no discriminator
    "loss/gene_feature_loss": 0.0,
    "loss/gene_adversarial_loss": math.log(2.0),
    "loss/disc_loss": math.log(2.0),
    "penalty": 0.0,
    **{f"weight/{name}": 0.0 for name in SHARES},
}


class Modern:
    """The recipe: networks, optimizers, and the gradients of a batch in each of two stages.

    `replicas` are the parallel.replicas.Replicas that take each step together.
    """

    networks = ("generator", "discriminator", "average", "faithful")
    first_learning_rate = 0.0  # so that nobody is warned that it is low: it falls to 0 on purpose
    remedy = "more --l1_batches"  # if it goes wrong: to start anew with
    when_diverged = "use --precision=float32, or start anew with another --random_seed"
    losses = {  # on the console, by their titles
        "L1": "loss/gene_l1_loss",
        "Features": "loss/gene_feature_loss",
        "G_Loss": "loss/gene_adversarial_loss",
        "D_Loss": "loss/disc_loss",
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

    def averages(self, batch, stage):
        """[(average, network, decay)]: which weights move towards which; `batch` is float32."""
        moves = [(self.average, self.generator, self.decay(batch))]
        if stage == FAITHFUL:
            moves.append((self.faithful, self.average, 0.0))  # a copy, once the average has moved
        return moves

    def refresh_average(self, _):
        """Has nothing to do: there is no batch norm."""

    def gradients(self, low_res, high_res, batch, stage):
        """(scalars, the generator's gradients, the discriminator's), of one forward pass.

        In the first stage the discriminator has none, and its scalars are those of chance.
        """
        import tensorflow as tf  # here, for all else runs without it too

        with tf.GradientTape() as tape:
            exact = is_exact(low_res, high_res)
            generated = enlarge(self.generator, low_res, exact, training=True)
        l1_loss, gradient = l1(generated, high_res)
        scalars = {
            "loss/gene_l1_loss": l1_loss,
            "learning_rate": self.generator_optimizer.learning_rate,
        }
        scalars |= {name: ops.convert_to_tensor(value) for name, value in CHANCE.items()}
        discriminator_gradients = []
        if stage == ADVERSARIAL:
            losses, discriminator_gradients, others = self._judge(high_res, generated)
            weights = self.weights(gradient, others, batch)
            gradient += sum(weights[name] * others[name] for name in SHARES)
            scalars |= losses | {f"weight/{name}": weights[name] for name in SHARES}
        variables = self.generator.trainable_variables
        generator_gradients = tape.gradient(generated, variables, output_gradients=gradient)
        return scalars, generator_gradients, discriminator_gradients

    def _judge(self, high_res, generated):
        """(losses, the discriminator's gradients, those of the generator's losses at its output)"""
        import tensorflow as tf

        with tf.GradientTape() as losses_tape:
            images = ops.concatenate([high_res, generated])
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(images)
                logits, *features = self.discriminator(images, training=True)
                with losses_tape.stop_recording():
                    features = feature_loss(features)
            slopes = tape.gradient(logits, images)  # of each logit by its own picture
            disc_loss, gene_loss, penalty = relativistic_losses(logits, slopes)
            total = disc_loss + penalty
        others = {
            "adversarial": adversarial_gradient(logits, slopes),
            "features": ops.split(tape.gradient(features, images), 2)[1],
        }
        losses = {
            "loss/gene_feature_loss": features,
            "loss/gene_adversarial_loss": gene_loss,
            "loss/disc_loss": disc_loss,
            "penalty": penalty,
        }
        return losses, losses_tape.gradient(total, self.discriminator.trainable_variables), others

    def weights(self, l1_gradient, others, batch):
        """The weights of the other losses: they make the norms of their gradients SHARES of L1's.

        Only that part of a gradient counts which doesn't change the 4x4 averages: the projection
        takes the rest away.
        """
        gradients = others | {"l1": l1_gradient}
        squares = self.replicas.mean(
            {name: ops.sum(ops.square(free(gradient))) for name, gradient in gradients.items()}
        )
        ramp = ops.minimum(ops.cast(batch - self.l1_batches, l1_gradient.dtype) / RAMP, 1.0)
        return {
            name: SHARES[name]
            * ramp
            * ops.cast(ops.sqrt(squares["l1"] / (squares[name] + 1e-20)), ramp.dtype)
            for name in others
        }


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
    penalty = PENALTY * ops.mean(squares)  # PENALTY / 2 times the sum of two means, of B each
    return ops.mean(ops.softplus(fake - real)), ops.mean(ops.softplus(real - fake)), penalty


def adversarial_gradient(logits, slopes):
    """The gradient [B, H, W, C] of the generator's loss by the generated pictures.

    A logit depends on its own picture alone, so the slopes tell it.
    """
    real, fake = ops.split(logits, 2)
    _, slopes = ops.split(slopes, 2)
    return -(ops.sigmoid(real - fake) / ops.shape(real)[0])[:, :, None, None] * slopes


def feature_loss(features):
    """Scalar: the mean differences of features of generated pictures from the real ones', added up.

    `features` are a discriminator's, [2B, H, W, C] each, for B real pictures and for the B
    generated ones. Feature matching as in https://arxiv.org/abs/1711.11585.
    """
    total = 0.0
    for feature in features:
        real, fake = ops.split(ops.cast(feature, keras.config.floatx()), 2)
        total += ops.mean(ops.abs(ops.stop_gradient(real) - fake))
    return total


def free(images):
    """That part of images [B, 4H, 4W, C] which doesn't change the averages of 4x4 squares."""
    return images - _nearest(area_downscale(images))


def is_exact(low_res, high_res):
    """Which inputs [B, H, W, 3] are the averages of images [B, 4H, 4W, 3]: 0 or 1, [B, 1, 1, 1]."""
    errors = ops.abs(area_downscale(high_res) - low_res)
    return ops.cast(ops.max(errors, axis=(1, 2, 3), keepdims=True) < ROUNDING, low_res.dtype)


def enlarge(generator, low_res, exact, training=False):
    """Maps low_res [B, H, W, 3] in [0, 1] to float32 images [B, 4H, 4W, 3], about in [0, 1].

    `exact` is which inputs are the averages of 4x4 squares: 0s and 1s [B, 1, 1, 1], or a number for
    all. For these the output is projected, so that its squares average to them, too.
    """
    exact = exact * ops.ones_like(low_res[:, :1, :1, :1])
    images = generator([low_res, exact], training=training)
    return images + exact * _nearest(low_res - area_downscale(images))


def build_generator(precision="float32"):
    """Maps low_res [B, H, W, 3] in [0, 1] and `exact` [B, 1, 1, 1] to images, as `enlarge` says.

    Fully convolutional: any height and width. The convolutions compute in `precision`, "float32" or
    "bfloat16".
    """
    policy = _policy(precision)
    width, middle, last = UNITS
    low_res, exact = keras.Input((None, None, 3)), keras.Input((1, 1, 1))
    plane = exact * ops.ones_like(low_res[..., :1])
    first = x = _conv2d(ops.concatenate([low_res, plane], axis=-1), width, policy)
    for _ in range(RES_BLOCKS):
        x = _residual_block(x, policy)
    x = _upscale(x + first, middle, policy)
    x = _residual_block(x, policy)
    x = layers.ReLU(dtype=policy)(_upscale(x, last, policy))
    x = layers.ReLU(dtype=policy)(_conv2d(x, last, policy))
    detail = layers.Activation("linear", dtype=keras.config.floatx())(
        _conv2d(x, 3, policy, stddev=SMALL)
    )
    bicubic = bicubic_layer()  # at the edges it takes zeros for what lies outside: that is undone
    images = bicubic(low_res) / bicubic(ops.ones_like(low_res)) + detail
    return keras.Model([low_res, exact], images, name="generator")


def build_discriminator(size, precision="float32"):
    """Maps images [B, size, size, 3] in [0, 1] to [float32 logits [B, 1], features...].

    The features are what its convolutions give. Beside the picture it sees what of it can differ
    between a real and a generated one. It has no normalization: its penalties need the gradient of
    each picture by itself.
    """
    policy = _policy(precision)
    images = keras.Input((size, size, 3))
    x = ops.concatenate([2.0 * images - 1.0, DETAIL_GAIN * free(images)], axis=-1)
    features = []
    side = size // math.prod(strides for _, strides in DISCRIMINATOR_LAYERS)
    more = max(math.floor(math.log2(side / DISCRIMINATOR_SIDE)) + 1, 0)
    for units, strides in (*DISCRIMINATOR_LAYERS, *more * DISCRIMINATOR_LAYERS[-1:]):
        x = layers.LeakyReLU(LEAK, dtype=policy)(_conv2d(x, units, policy, strides=strides))
        features.append(x)
    x = layers.Flatten(dtype=keras.config.floatx())(x)
    x = layers.Dense(
        DISCRIMINATOR_DENSE, kernel_initializer="he_normal", dtype=keras.config.floatx()
    )(x)
    x = layers.LeakyReLU(LEAK, dtype=keras.config.floatx())(x)
    logits = layers.Dense(1, dtype=keras.config.floatx())(x)
    return keras.Model(images, [logits, *features], name="discriminator")


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
