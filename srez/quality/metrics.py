"""Figures of how good enlarged pictures are: on pixels as 8 bits give them, RGB, to the border."""

import numpy as np

from srez.pictures.geometry import shrink
from srez.pictures.image import to_uint8

STRIP = 64  # rows of a large picture measured at a time
PART = 16  # pictures measured at a time: it takes no more memory than a training step
TITLES = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "lr_psnr": "LR-PSNR",
    "sharpness": "sharpness",
    "identity_distance": "identity distance",
    "frechet_distance": "Frechet face distance",
}
UNITS = {"psnr": "dB", "lr_psnr": "dB"}
# From so many dB on an image is its input once it is made small again: 55 dB are differences of 0.5
# of 255 levels, 35 dB of 4.5.
TRUENESS = ((55.0, "is"), (35.0, "is nearly"), (-np.inf, "differs a little from"))
MATCHED = 8  # pixels, the side of a square in `sharpness_match`
SEEN = 2 / 255  # a smaller gradient is hardly seen
MAX_DECIBELS = 100.0  # of pictures that are (nearly) the same, where the logarithm has no end


def figures(images, truths, low_res):
    """The figures of each image, arrays [N] by name; see the functions below.

    `images` are uint8 [N, H, W, C], `truths` the same in [0, 1], and `low_res` what was enlarged.
    """
    parts = []
    for at in range(0, len(images), PART):
        part = slice(at, at + PART)
        eight_bit = images[part] / 255.0
        found = {
            "psnr": psnr(eight_bit, truths[part]),
            "ssim": ssim(eight_bit, truths[part]),
            "lr_psnr": lr_psnr(eight_bit, low_res[part]),
            "sharpness": sharpness(eight_bit, truths[part]),
        }
        parts.append(found)
    return joined(parts)


def joined(parts):
    """Figures of many parts, dicts of arrays by name, as one."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def shown(name, value, title=False):
    """A figure as people read it, with its unit, and with a `title` in front."""
    digits = f"{value:.2f} dB" if name in UNITS else f"{value:.3f}"
    if name == "lr_psnr" and value >= MAX_DECIBELS - 0.005:
        digits = f"{MAX_DECIBELS:.0f}+ dB"
    return f"{TITLES[name]} {digits}" if title else digits


def psnr(images, truths):
    """Peak signal-to-noise ratio of each image: [N, H, W, C] in [0, 1], twice, to [N] in dB."""
    errors = np.mean(np.square(np.asarray(images, np.float64) - truths), axis=(1, 2, 3))
    return -10.0 * np.log10(np.maximum(errors, 10 ** (-MAX_DECIBELS / 10)))


def ssim(images, truths):
    """Structural similarity of each image: [N, H, W, C] in [0, 1], twice, to [N], 1 at best.

    The mean over the channels, with the usual 11x11 Gaussian window: Wang et al., Image quality
    assessment: from error visibility to structural similarity, 2004.
    """
    import tensorflow as tf  # here, for all else does without

    pair = (tf.cast(images, tf.float32), tf.cast(truths, tf.float32))
    return np.float64(tf.image.ssim(*pair, max_val=1.0))


def lr_psnr(images, low_res):
    """PSNR of the area-downscaled images [N, sH, sW, C] against their inputs [N, H, W, C], in dB.

    How true an image is to its input; what srez's L1 term works on.
    """
    return psnr(_averaged(images, images.shape[1] // low_res.shape[1]), low_res)


def averages_back(image, low_res):
    """LR-PSNR of an image [sH, sW, C] in [0, 1] as 8 bits, against its input [H, W, C], in dB.

    A square image may have any side from that of its input up; else s is whole. However large the
    image is, it takes little memory.
    """
    scale, rest = divmod(image.shape[0], low_res.shape[0])
    if rest:
        image = np.asarray(shrink(to_uint8(image[None]) / np.float32(255.0), len(low_res)))
        return psnr(image, low_res[None])[0]
    errors = []
    for top in range(0, len(low_res), STRIP):
        rows = low_res[None, top : top + STRIP]
        images = to_uint8(image[None, scale * top : scale * (top + STRIP)]) / np.float32(255.0)
        errors += [10 ** (-lr_psnr(images, rows)[0] / 10)] * rows.shape[1]
    return -10 * np.log10(np.mean(errors))


def trueness(values):
    """What LR-PSNRs of results as `averages_back` gives them mean, in a sentence."""
    least, most = (shown("lr_psnr", value) for value in (min(values), max(values)))
    at = most if least == most else f"{least.removesuffix(' dB')} to {most}"
    how = next(words for limit, words in TRUENESS if min(values) >= limit)
    return f"Made small again, {'it' if len(values) == 1 else 'each'} {how} its input: {at}."


def sharpness(images, truths):
    """Mean gradient of each image over its truth's: [N, H, W, C], twice, to [N]; below 1 is soft.

    A truth without any gradient, a plain colour, counts as 1.
    """
    gradient, expected = (_gradient(pair).mean(axis=(1, 2, 3)) for pair in (images, truths))
    return np.divide(gradient, expected, out=np.ones_like(expected), where=expected > 0)


def sharpness_match(images, truths):
    """How near the sharpness is to the truth's everywhere: [N, H, W, C], twice, to [N]; 1 at best.

    The mean over squares, such as the eyes fit in, of the smaller mean gradient over the larger.
    Noise on a cheek makes up for soft eyes in `sharpness`, but not here.
    """
    pair = [_gradient(pictures).mean(axis=3, keepdims=True) for pictures in (images, truths)]
    whole = [(0, 0), *[(0, -side % MATCHED) for side in pair[0].shape[1:3]], (0, 0)]
    pair = [_averaged(np.pad(each, whole), MATCHED) for each in pair]
    least, most = np.minimum(*pair) + SEEN, np.maximum(*pair) + SEEN
    return np.mean(least / most, axis=(1, 2, 3))


def _gradient(images):
    """The length of the gradient at each pixel: [N, H, W, C] to [N, H - 1, W - 1, C]."""
    images = np.asarray(images, np.float64)
    down = images[:, 1:, :-1] - images[:, :-1, :-1]
    across = images[:, :-1, 1:] - images[:, :-1, :-1]
    return np.sqrt(np.square(down) + np.square(across))


def _averaged(images, side):
    """The means over squares of `side` pixels: [N, sH, sW, C] to [N, H, W, C]."""
    count, height, width, channels = images.shape
    squares = count, height // side, side, width // side, side, channels
    return np.reshape(np.asarray(images, np.float64), squares).mean(axis=(2, 4))


def identity_distance(descriptors, truths):
    """Euclidean distance of face descriptors to their truths': [N, D], twice, to [N].

    How much of the person is lost; 0.6 is where dlib's own use takes two faces for two people.
    """
    return np.linalg.norm(descriptors - truths, axis=1)


def frechet_distance(descriptors, truths):
    """Frechet distance of two sets of descriptors, [N, D] and [M, D], as Gaussians.

    How far the pictures as a whole are from real faces, whoever is on them: https://arxiv.org/abs/1706.08500.
    """
    means = [faces.mean(axis=0) for faces in (descriptors, truths)]
    covariances = [np.cov(faces, rowvar=False) for faces in (descriptors, truths)]
    import scipy.linalg  # here, for scipy takes 0.7 s to import, and most have no use for it

    # The product may be singular, when its root has an imaginary part of rounding errors.
    root = np.real(scipy.linalg.sqrtm(covariances[0] @ covariances[1]))
    return float(
        np.square(means[0] - means[1]).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    )


def mean_interval(values):
    """(mean, low, high) of values [N]: their mean and its 95 % bootstrap interval."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, mean, mean
    import scipy.stats  # here, as above

    found = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=2000, batch=100, method="percentile", rng=0
    )
    return mean, float(found.confidence_interval.low), float(found.confidence_interval.high)
