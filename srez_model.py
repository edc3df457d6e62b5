"""The networks and the losses of srez.

Images are float32 in [0, 1], NHWC. Both networks are fully convolutional: any batch size, and any
height and width (the discriminator halves them four times, rounding up).
"""

import srez  # noqa: F401, before Keras: it says which backend that takes

# isort: split
import contextlib
import functools
import math

import keras
import numpy as np
from keras import ops

SCALE = 4  # output pixels per input pixel, along each side
# Input pixels around a place that the generator's output there depends on: 4 convolutions of 3x3
# at the input's resolution (4 pixels), 4 and an up-convolution at twice that (2.5), one of each at
# four times it (0.5). Batch norm at inference is the same everywhere.
RADIUS = 7
PROJECTION_RADIUS = 16  # each projection looks two pixels further
PROJECTIONS = 8  # times that outputs are moved towards their input; then they have converged
RES_UNITS = (256, 128, 96)  # channels of the generator's stages, from low to high resolution
RES_BLOCKS = 2  # residual blocks per stage; the last stage is a plain tail instead
DISCRIMINATOR_UNITS = (64, 128, 256, 512)  # channels of its stride-2 layers

# Gains of the initial weights: tiny inside residual blocks, so that each starts as the identity
# and the untrained generator already passes its input through; 2 in front of a ReLU
# (https://arxiv.org/abs/1502.01852), 1 elsewhere.
RESIDUAL_GAIN = 1e-3
LINEAR_GAIN = 1.0
RELU_GAIN = 2.0


def build_generator(channels=3, momentum=0.99, precision="float32", sync=False):
    """Maps low_res [B, H, W, channels] in [0, 1] to images [B, 4H, 4W, channels] in (0, 1).

    A ResNet of pre-activation blocks (https://arxiv.org/abs/1603.05027) that doubles the
    resolution after each of its first two stages. `momentum` is that of the moving batch
    statistics: 0 keeps those of the last batch alone. `precision` is "float32", "bfloat16" or
    "float16": what it computes in; variables, batch statistics and the output are float32. With
    `sync` batch statistics are those of all replicas' pictures, under a tf.distribute strategy.
    """
    with _policy(precision):
        return _generator(channels, functools.partial(_norm_relu, momentum=momentum, sync=sync))


def build_discriminator(channels=3, precision="float32", sync=False):
    """Maps images [B, H, W, channels] in [0, 1] to real/fake logits [B, 1], float32.

    `precision` and `sync` are as for the generator.
    """
    with _policy(precision):
        return _discriminator(channels, functools.partial(_norm_relu, sync=sync))


def project(images, low_res):
    """Moves images [B, 4H, 4W, 3], as little as need be, to average to low_res [B, H, W, 3].

    y + U(x - D(y)), with D the 4x4 averages and U bicubic enlargement, again and again.
    """
    bicubic = bicubic_layer()
    for _ in range(PROJECTIONS):
        images = images + bicubic(low_res - area_downscale(images))
    return images


def enlarge(generator, low_res, exact):
    """Maps low_res [B, H, W, 3] in [0, 1] to images [B, 4H, 4W, 3], about in [0, 1].

    If the inputs are `exact`, 1.0 and not 0.0, they are averages of 4x4 squares, and the output is
    projected.
    """
    images = generator(low_res)
    return project(images, low_res) if exact else images


def bicubic_layer():
    """A layer that maps [B, H, W, 3] to [B, 4H, 4W, 3] by Keys' cubic interpolation.

    Within two pixels of the border its weights don't add up to 1.
    """
    at = np.abs((np.arange(-6, 10) + 0.5) / SCALE - 0.5)  # distances, in input pixels
    near = (1.5 * at - 2.5) * at**2 + 1
    far = ((-0.5 * at + 2.5) * at - 4) * at + 2
    line = np.where(at < 1, near, far)
    kernel = np.outer(line, line)[:, :, None, None] * np.eye(3)  # each channel by itself
    return keras.layers.Conv2DTranspose(
        3,
        len(line),
        SCALE,
        padding="same",
        use_bias=False,
        kernel_initializer=keras.initializers.Constant(kernel),
        trainable=False,
    )


def area_downscale(images):
    """Averages each 4x4 square: [B, 4H, 4W, C] to [B, H, W, C], the range unchanged."""
    return ops.average_pool(images, SCALE, SCALE, data_format="channels_last")


def generator_loss(fake_logits, generated, low_res, l1_factor):
    """Scalar: fool the discriminator, yet downscale back to the input.

    (1 - l1_factor) * adversarial_loss + l1_factor * l1_loss, the idea of David Garcia's srez.
    """
    adversarial = (1.0 - l1_factor) * adversarial_loss(fake_logits)
    return adversarial + l1_factor * l1_loss(generated, low_res)


def adversarial_loss(fake_logits):
    """Scalar: cross-entropy of the fake logits [B, 1] with the label "real"."""
    return _cross_entropy(fake_logits, ops.ones_like(fake_logits))


def l1_loss(generated, low_res):
    """Scalar: mean absolute difference of the downscaled output [B, 4H, 4W, C] and the input."""
    return ops.mean(ops.abs(area_downscale(generated) - low_res))


def discriminator_losses(real_logits, fake_logits):
    """Scalars (real, fake): cross-entropy of each [B, 1] with its label; the loss is their sum."""
    return (
        _cross_entropy(real_logits, ops.ones_like(real_logits)),
        _cross_entropy(fake_logits, ops.zeros_like(fake_logits)),
    )


class UpConv2DTranspose(keras.layers.Conv2DTranspose):
    """Nearest-neighbour x2, then a 3x3 transposed convolution of stride 1: as one, for less work.

    Resize, then convolve, for no checkerboard: https://distill.pub/2016/deconv-checkerboard/.
    Both steps are linear, and together they are one transposed convolution of stride 2 whose 4x4
    kernel is the 3x3 kernel summed over each 2x2 box: 16 multiplications per input pixel, not 36.
    Maps [B, H, W, C] to [B, 2H, 2W, filters]; the variables are Conv2DTranspose's.
    """

    def __init__(self, filters, kernel_initializer, **kwargs):
        super().__init__(
            filters, 3, padding="same", kernel_initializer=kernel_initializer, **kwargs
        )

    def compute_output_shape(self, input_shape):
        """The shape of the output for that of the input."""
        batch, height, width, _ = input_shape
        return (batch, height and 2 * height, width and 2 * width, self.filters)

    def folded_kernel(self):
        """The kernel [4, 4, filters, C] of the one transposed convolution that both steps are."""
        kernel = ops.convert_to_tensor(self.kernel)
        return sum(
            ops.pad(kernel, ((top, 1 - top), (left, 1 - left), (0, 0), (0, 0)))
            for top in (0, 1)
            for left in (0, 1)
        )

    def call(self, inputs):
        """Maps [B, H, W, C] to [B, 2H, 2W, filters]."""
        return self.bias + ops.conv_transpose(
            inputs, self.folded_kernel(), 2, "same", data_format="channels_last"
        )


def _generator(channels, norm_relu):
    images = keras.Input((None, None, channels))
    x = images
    for units in RES_UNITS[:-1]:
        if x.shape[-1] != units:
            x = _conv2d(x, units, kernel_size=1, gain=LINEAR_GAIN)
        for _ in range(RES_BLOCKS):
            x = _residual_block(x, norm_relu)
        x = _upscale(x, norm_relu)
    x = keras.layers.ReLU()(_conv2d(x, RES_UNITS[-1], kernel_size=3, gain=RELU_GAIN))
    x = keras.layers.ReLU()(_conv2d(x, RES_UNITS[-1], kernel_size=1, gain=RELU_GAIN))
    x = _conv2d(x, channels, kernel_size=1, gain=LINEAR_GAIN)
    activation = keras.layers.Activation("sigmoid", dtype=keras.config.floatx())
    return keras.Model(images, activation(x), name="generator")


def _discriminator(channels, norm_relu):
    images = keras.Input((None, None, channels))
    x = keras.layers.Rescaling(2.0, offset=-1.0)(images)
    for units in DISCRIMINATOR_UNITS:
        x = norm_relu(_conv2d(x, units, kernel_size=3, strides=2, gain=RELU_GAIN))
    x = norm_relu(_conv2d(x, DISCRIMINATOR_UNITS[-1], kernel_size=3, gain=RELU_GAIN))
    x = norm_relu(_conv2d(x, DISCRIMINATOR_UNITS[-1], kernel_size=1, gain=RELU_GAIN))
    x = _conv2d(x, 1, kernel_size=1, gain=RELU_GAIN)
    pooling = keras.layers.GlobalAveragePooling2D(dtype=keras.config.floatx())
    return keras.Model(images, pooling(x), name="discriminator")


def _residual_block(x, norm_relu):
    shortcut = x
    for _ in range(2):
        x = norm_relu(x)
        x = _conv2d(x, x.shape[-1], kernel_size=3, gain=RESIDUAL_GAIN)
    return x + shortcut


def _upscale(x, norm_relu):
    # Batch norm and ReLU come before the upscaling, not after it: nearest-neighbour copies
    # change neither, and there are a quarter of the pixels here.
    x = norm_relu(x)
    units = x.shape[-1]
    return UpConv2DTranspose(units, _initial_weights(units, units, 3, LINEAR_GAIN))(x)


def _norm_relu(x, momentum=0.99, sync=False):
    norm = keras.layers.BatchNormalization(
        momentum=momentum, epsilon=1e-3, scale=False, synchronized=sync
    )
    return keras.layers.ReLU()(norm(x))


def _conv2d(x, units, kernel_size, gain, strides=1):
    weights = _initial_weights(x.shape[-1], units, kernel_size, gain)
    return keras.layers.Conv2D(
        units, kernel_size, strides, padding="same", kernel_initializer=weights
    )(x)


def _initial_weights(units_in, units_out, kernel_size, gain):
    # The geometric mean of fan-in and fan-out. Not VarianceScaling: it would divide by 0.88 to
    # make up for the truncation at two sigma, and the original's does not.
    fan = math.sqrt(units_in * units_out) * kernel_size**2
    return keras.initializers.TruncatedNormal(stddev=math.sqrt(gain / fan))


@contextlib.contextmanager
def _policy(precision):
    """Layers made inside compute in `precision` and keep their variables in float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(before if precision == "float32" else f"mixed_{precision}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _cross_entropy(logits, labels):
    return ops.mean(ops.binary_crossentropy(labels, logits, from_logits=True))
