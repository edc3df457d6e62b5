"""Makes faces as small and as bad as they are in photos, and brings them back to the result's side.

Blurred, resampled by any program, noisy, packed as JPEG or WebP; or exact averages.
"""

import io

import numpy as np
from PIL import Image

from srez.pictures.geometry import brought
from srez.pictures.image import to_uint8

LEAST = 10 / 128  # of the result's side: the smallest face
EXACT = {8: 0.3, 4: 0.45, 2: 0.25}  # of the exact ones so many are averages over such squares
BLURRED, BLURS = 0.35, (0.3, 0.6, 1.8)  # so many are blurred: least, most if tiny, most
KERNELS = (
    Image.Resampling.BOX,
    Image.Resampling.LANCZOS,
    Image.Resampling.BICUBIC,
    Image.Resampling.BILINEAR,
    Image.Resampling.NEAREST,
)
SMALLER, SMALLEST = 0.2, 0.6  # so many were smaller still and then enlarged: down to that part
NOISY, NOISES, SMOOTH = 0.5, 8.0, 0.3  # levels; of noise so much is smooth, as phones leave it
PACKED, QUALITIES = 0.5, (50, 97)
AGAIN, WEBP = 0.25, 0.15  # of what is packed so much is packed twice, so much as WebP
GRID = 8  # JPEG's blocks: where they begin is anywhere


def known_of(high_res, seeds, share):
    """What is known of faces high_res [B, S, S, 3] in [0, 1] once they are small: [B, S, S, 5].

    As srez.modern.restore takes it, float32. A `share` of them is degraded, the others are exact
    averages. `seeds`, one for each, tell all that is drawn.
    """
    drawn = zip(high_res, map(np.random.default_rng, seeds), strict=True)
    return np.stack([_known(image, draw, share) for image, draw in drawn])


def _known(image, draw, share):
    side = len(image)
    if draw.random() >= share:
        fitting = [factor for factor in EXACT if side % factor == 0]
        odds = np.array([EXACT[factor] for factor in fitting])
        factor = draw.choice(fitting, p=odds / odds.sum())
        squares = image.reshape(side // factor, factor, side // factor, factor, 3)
        return brought(squares.mean(axis=(1, 3)), side, exact=True)
    small = max(round(side * LEAST ** draw.random()), 1)
    if draw.random() < BLURRED:
        image = _blurred(image, draw, side / small)
    image, shift = _resampled(to_uint8(image), draw, small)
    if draw.random() < NOISY:
        image = _noisy(image, draw)
    if draw.random() < PACKED:
        for _ in range(1 + (draw.random() < AGAIN)):
            image = packed(image, draw)
    return brought(image / np.float32(255.0), side, exact=False, shift=shift)


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
    import scipy.signal  # here, for it takes a second to import, and most have no use for it

    around = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    kernel = (kernel / kernel.sum()).astype(np.float32)[..., None]
    return scipy.signal.fftconvolve(around, kernel, mode="valid", axes=(0, 1))


def _resampled(image, draw, small):
    """(an image made `small` pixels wide, how far its grid is moved, in these pixels)."""
    pixel = len(image) / small
    kernel = KERNELS[draw.integers(len(KERNELS))]
    first = small
    if draw.random() < SMALLER:
        first = max(round(small * draw.uniform(SMALLEST, 1.0)), 1)
    shift = draw.uniform(-0.5, 0.5, 2) if small < len(image) else np.zeros(2)
    reach = int(np.ceil(pixel))
    around = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    left, top = reach + shift * pixel
    box = (left, top, left + len(image), top + len(image))
    picture = Image.fromarray(around).resize((first, first), kernel, box=box)
    if first != small:
        picture = picture.resize((small, small), Image.Resampling.BICUBIC)
    return np.asarray(picture), shift


def _noisy(image, draw):
    noise = draw.standard_normal(image.shape, np.float32)
    if draw.random() < SMOOTH:
        import scipy.ndimage  # here, as above

        noise = scipy.ndimage.gaussian_filter(noise, (*2 * [draw.uniform(0.5, 1.0)], 0))
        noise /= noise.std() + 1e-6
    return (image + draw.uniform(0.0, NOISES) * noise).round().clip(0, 255).astype(np.uint8)


def packed(image, draw):
    """An image uint8 [H, W, 3] as it comes back from JPEG or WebP of some quality."""
    quality = int(draw.integers(QUALITIES[0], QUALITIES[1] + 1))
    top, left = draw.integers(GRID, size=2)
    around = np.pad(image, ((top, 0), (left, 0), (0, 0)), mode="edge")
    kind = {"format": "WEBP"} if draw.random() < WEBP else {"format": "JPEG"}
    if kind["format"] == "JPEG":
        kind["subsampling"] = 2 if draw.random() < 0.75 else 0
    file = io.BytesIO()
    Image.fromarray(around).save(file, quality=quality, **kind)
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"))[top:, left:]
