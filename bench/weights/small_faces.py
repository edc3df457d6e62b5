"""Makes faces as small and as bad as they are in photos, for the training of the cleaner.

Blurred, resampled by any program, noisy, packed as JPEG or WebP; often several of these.
"""

import io

import numpy as np
from PIL import Image

from srez.pictures.image import to_uint8

WHOLE = 0.15  # so many keep their side; the others are smaller, down to what a network takes
BLURRED, BLURS = 0.35, (0.3, 0.6, 1.8)  # so many are blurred: least, most if tiny, most
KERNELS = (
    Image.Resampling.BOX,
    Image.Resampling.LANCZOS,
    Image.Resampling.BICUBIC,
    Image.Resampling.BILINEAR,
    Image.Resampling.NEAREST,
)
SMALLER, SMALLEST = 0.2, 0.6  # so many were smaller still and then enlarged: down to that part
NOISY, NOISES, SMOOTH = 0.4, 8.0, 0.3  # levels; of noise so much is smooth, as phones leave it
PACKED, QUALITIES = 0.5, (50, 97)
AGAIN, WEBP = 0.25, 0.15  # of what is packed so much is packed twice, so much as WebP
GRID = 8  # JPEG's blocks: where they begin is anywhere


def small_face(image, least, draw):
    """Makes an image [S, S, 3] in [0, 1] smaller and worse: two uint8 [s, s, 3], and a truth value.

    First what is seen of it, then how it would be without fault at that side, `least` to S; last
    whether nothing was done but to make it smaller. `draw` is a numpy Generator.
    """
    side = len(image)
    small = side if draw.random() < WHOLE else round(side * (least / side) ** draw.random())
    is_blurred, is_noisy, is_packed = draw.random(3) < (BLURRED, NOISY, PACKED)
    around, box, smaller = _grid(image, draw, small)
    kernel = KERNELS[draw.integers(len(KERNELS))]
    seen = _blurred(around, draw, side / small) if is_blurred else around
    seen = Image.fromarray(to_uint8(seen)).resize((smaller, smaller), kernel, box=box)
    if smaller < small:
        seen = seen.resize((small, small), Image.Resampling.BICUBIC)
    seen = _noisy(np.asarray(seen), draw) if is_noisy else np.asarray(seen)
    for _ in range(is_packed * (1 + (draw.random() < AGAIN))):
        seen = _packed(seen, draw)
    planes = map(Image.fromarray, np.moveaxis(around, -1, 0))
    truth = [plane.resize((small, small), Image.Resampling.BICUBIC, box=box) for plane in planes]
    is_clean = not (is_blurred or is_noisy or is_packed)
    return seen, to_uint8(np.stack(truth, axis=-1)), is_clean


def _grid(image, draw, small):
    """(the image with its edge going on, the box in it that a pixel grid covers, its first side).

    A grid of `small` pixels lies anywhere: up to half of its pixel away. Some are coarser at first.
    """
    side, pixel = len(image), len(image) / small
    shift = draw.uniform(-0.5, 0.5, 2) * pixel if small < side else np.zeros(2)
    reach = int(np.ceil(pixel))
    left, top = reach + shift
    smaller = draw.uniform(SMALLEST, 1.0) if draw.random() < SMALLER else 1.0
    around = np.pad(np.float32(image), ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    return around, (left, top, left + side, top + side), round(smaller * small)


def _blurred(image, draw, pixel):
    """An image out of focus, or moved; one pixel of the small face is `pixel` of its pixels."""
    least, tiny, most = BLURS
    size = draw.uniform(least, tiny + (most - tiny) / pixel) * pixel
    kind, angle = draw.integers(3), draw.uniform(0, np.pi)
    reach = int(np.ceil(3 * size))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    if kind == 0:
        kernel = np.exp(-(x**2 + y**2) / (2 * size**2))
    elif kind == 1:
        kernel = (1.5 * size + 0.5 - np.hypot(x, y)).clip(0, 1)
    else:
        along, beside = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
        kernel = (1 - abs(beside)).clip(0) * (2 * size + 0.5 - abs(along)).clip(0, 1)
    import scipy.signal  # here, for it takes a second to import

    around = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    kernel = (kernel / kernel.sum()).astype(np.float32)[..., None]
    return scipy.signal.fftconvolve(around, kernel, mode="valid", axes=(0, 1))


def _noisy(image, draw):
    noise = draw.standard_normal(image.shape, np.float32)
    if draw.random() < SMOOTH:
        import scipy.ndimage  # here, as above

        noise = scipy.ndimage.gaussian_filter(noise, (*2 * [draw.uniform(0.5, 1.0)], 0))
        noise /= noise.std()
    return (image + draw.uniform(0.0, NOISES) * noise).round().clip(0, 255).astype(np.uint8)


def _packed(image, draw):
    """An image uint8 [H, W, 3] as it comes back from JPEG or WebP of some quality."""
    quality = int(draw.integers(QUALITIES[0], QUALITIES[1] + 1))
    top, left = draw.integers(GRID, size=2)
    around = np.pad(image, ((top, 0), (left, 0), (0, 0)), mode="edge")
    kind = {"format": "JPEG", "subsampling": 2 if draw.random() < 0.75 else 0}
    if draw.random() < WEBP:
        kind = {"format": "WEBP"}
    file = io.BytesIO()
    Image.fromarray(around).save(file, quality=quality, **kind)
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"))[top:, left:]
