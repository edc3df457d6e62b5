"""Batches of training pictures, made on a GPU by JAX, from a file of bench.weights.pack.

A GPU trains on thousands of pairs a second, so they are made there: as srez_input makes them, with
what srez.pictures.pairs and srez.pictures.degrade do. Of JPEG its losses are computed: the halved
colours and the rounding, in the picture and of the transform.
"""

import io
from concurrent.futures import ThreadPoolExecutor

import jax
import keras
import numpy as np
from jax import numpy as jnp
from PIL import Image

from srez.pictures.geometry import BOX_SIDE
from srez_model import area_downscale

# JPEG's example tables (ITU-T T.81, K.1 and K.2) at quality 50, and its transform.
LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
CHROMINANCE = np.full((8, 8), 99)
CHROMINANCE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
DCT = np.cos(np.pi / 8 * np.outer(np.arange(8), np.arange(8) + 0.5)) / 2
DCT[0] /= np.sqrt(2)


class Pictures:
    """Training pictures on a GPU, and the batches made of them; `degraded` is --degrade."""

    def __init__(self, path, size, degraded):
        arrays = np.load(path)
        self.size, self.degraded = size, degraded
        self._train = jnp.asarray(_decoded(arrays, "train"))
        self._validation = _decoded(arrays, "validation")
        self._matrices = jnp.asarray(arrays[f"matrices{size}"])
        odds = "SMALLER", "SMALLEST", "NOISY", "MAX_NOISE", "PACKED", "QUALITIES"
        self._odds = {name: arrays[name].tolist() for name in odds}

    def __len__(self):
        return len(self._train)

    def pairs(self, key, numbers):
        """(low_res, high_res) of training pictures `numbers` [B], as srez_input makes them."""
        for_offsets, for_colours, for_degrading, for_noise = jax.random.split(key, 4)
        crops = self._train[numbers]
        room = crops.shape[1] - BOX_SIDE
        offsets = jax.random.randint(for_offsets, (len(numbers), 2), 0, room + 1)
        shape = BOX_SIDE, BOX_SIDE, 3
        boxes = jax.vmap(lambda crop, at: jax.lax.dynamic_slice(crop, (*at, 0), shape))(
            crops, offsets
        )
        high_res = _smaller(boxes.astype(jnp.float32) / 255.0, self.size)
        draws = jax.random.uniform(for_colours, (4, len(numbers), 1, 1, 1))
        high_res = augment(high_res, draws)
        low_res = area_downscale(high_res)
        if self.degraded:
            draws = jax.random.uniform(for_degrading, (6, len(numbers)))
            noise = jax.random.normal(for_noise, low_res.shape)
            is_degraded = (draws[0] < self.degraded)[:, None, None, None]
            low_res = jnp.where(is_degraded, self._degrade(high_res, draws, noise), low_res)
        return low_res, high_res

    def validation(self):
        """(low_res, high_res) of the validation pictures, plain."""
        crops = self._validation
        margin = (crops.shape[1] - BOX_SIDE) // 2
        boxes = crops[:, margin:-margin, margin:-margin] / np.float32(255.0)
        high_res = _smaller(boxes, self.size)
        return area_downscale(high_res), high_res

    def _degrade(self, high_res, draws, noise):
        known = self._odds
        _, kernel, smaller, noisy, packed, quality = draws
        kernels, firsts, low, _ = self._matrices.shape
        first = 1.0 - (1.0 - known["SMALLEST"]) * _excess(smaller, known["SMALLER"])
        first = jnp.round(first * low).astype(int) - (low - firsts + 1)
        matrix = self._matrices[(kernel * kernels).astype(int), first]
        image = jnp.einsum("bij,bjkc,blk->bilc", matrix, high_res, matrix, precision="highest")
        noisy = _excess(noisy, known["NOISY"])[:, None, None, None]
        image += noisy * known["MAX_NOISE"] * noise
        image = jnp.round(255.0 * jnp.clip(image, 0.0, 1.0))
        least, most = known["QUALITIES"]
        quality = jnp.floor(least + (most - least) * quality)
        is_packed = (packed < known["PACKED"])[:, None, None, None]
        return jnp.where(is_packed, packed_as_jpeg(image, quality), image) / 255.0


def augment(images, draws):
    """srez.pictures.pairs.augment in JAX; `draws` [4, B, 1, 1, 1]."""
    saturation, brightness, contrast = draws[1:] * 0.1 - 0.05
    images = jnp.where(draws[0] < 0.5, images[:, :, ::-1], images)
    largest = images.max(axis=-1, keepdims=True)
    spread = largest - images.min(axis=-1, keepdims=True)
    factor = jnp.where(spread > 0, largest / jnp.where(spread > 0, spread, 1.0), 0.0)
    factor = jnp.minimum(1.0 + saturation, factor)
    images = largest * (1.0 - factor) + images * factor
    mean = images.mean(axis=(1, 2), keepdims=True)
    images = images * (1.0 + contrast) + (brightness - contrast * mean)
    return jnp.clip(images, 0.0, 1.0)


def packed_as_jpeg(images, quality):
    """Images [B, H, W, 3] in 0..255 as they come back from JPEG of a `quality` [B] from 50 up."""
    shift = np.array([0.0, 128.0, 128.0])
    ycc = jnp.round(images @ TO_YCC.T.astype(np.float32) + shift)
    height, width = images.shape[1:3]
    small = ycc[..., 1:].reshape(-1, height // 2, 2, width // 2, 2, 2).mean(axis=(2, 4))
    # Half levels are rounded up and down in turn, as libjpeg does.
    small = jnp.floor(small + 0.5 - 0.25 * (np.arange(width // 2) % 2 == 0)[:, None])
    scale = 2.0 - quality / 50.0

    def coded(planes, table):
        table = jnp.clip(jnp.floor(table * scale[:, None, None] + 0.5), 1.0, 255.0)
        table = table[:, None, None, :, :, None]
        side, other = planes.shape[1] // 8, planes.shape[2] // 8
        blocks = planes.reshape(-1, side, 8, other, 8, planes.shape[-1]).transpose(0, 1, 3, 2, 4, 5)
        transform = jnp.asarray(DCT, jnp.float32)
        values = jnp.einsum("uy,bijyxc,vx->bijuvc", transform, blocks - 128.0, transform)
        values = jnp.round(values / table) * table
        blocks = jnp.einsum("uy,bijuvc,vx->bijyxc", transform, values, transform) + 128.0
        blocks = jnp.clip(jnp.round(blocks), 0.0, 255.0)
        return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(planes.shape)

    rows, columns = _tent(height), _tent(width)
    colours = jnp.einsum("yi,bijc,xj->byxc", rows, coded(small, CHROMINANCE), columns)
    ycc = jnp.concatenate([coded(ycc[..., :1], LUMINANCE), jnp.round(colours)], axis=-1)
    rgb = (ycc - shift) @ np.linalg.inv(TO_YCC).T.astype(np.float32)
    return jnp.clip(jnp.round(rgb), 0.0, 255.0)


def _tent(side):
    """How a decoder doubles colours: [side, side / 2], three quarters the nearer one."""
    matrix = np.zeros((side, side // 2), np.float32)
    for row in range(side):
        near = row // 2
        far = min(max(near + (1 if row % 2 else -1), 0), side // 2 - 1)
        matrix[row, near] += 0.75
        matrix[row, far] += 0.25
    return matrix


def _smaller(boxes, size):
    factor = boxes.shape[1] // size
    return keras.ops.average_pool(boxes, factor, factor, data_format="channels_last")


def _excess(draw, share):
    return jnp.maximum(draw - (1.0 - share), 0.0) / share


def _decoded(arrays, name):
    """A subset's crops, uint8 [N, M, M, 3]."""
    ends, side = arrays[f"{name}_ends"], arrays["MARGIN_SIDE"]
    data, starts = arrays[name].tobytes(), [0, *ends[:-1]]

    def decode(place):
        with Image.open(io.BytesIO(data[place[0] : place[1]])) as image:
            pixels = np.asarray(image.convert("RGB"))
        return pixels[-side:, -side:]  # the rest is what the blocks hold beside it

    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(decode, zip(starts, ends, strict=True))))
