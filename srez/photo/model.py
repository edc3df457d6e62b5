"""A loaded model for other programs: what srez.load and srez.enlarge give."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from srez.options import Options
from srez.photo.align import put_back
from srez.photo.faces import Faces, NoFace, name_and_size
from srez.pictures.image import (
    is_lossless,
    pixels_of,
    read_with_alpha,
    to_grey,
    to_uint8,
    with_alpha,
)
from srez.quality.descriptors import missing
from srez.quality.metrics import averages_back
from srez.run.weights import Networks, upscale


@dataclasses.dataclass(frozen=True)
class Face:
    """A face, enlarged."""

    image: Image.Image
    """It, upright, in RGB, four times as large as what the network saw of it."""
    box: tuple[int, int, int, int]
    """Where it was: left, upper, right, lower in the picture's pixels, as Pillow's crop has it."""
    psnr: float
    """How truly it averages back to what the network saw, in dB; from 55 on, it does."""


class Enlarged(list):
    """The faces of a picture, from left to right; `photo` is the picture with them put back.

    `photo` is a Pillow image, up to four times as large as the picture, with its alpha. Of a
    picture that was taken as one face it is that face. Where there is no face, it is the picture.
    """

    def __init__(self, faces: list[Face], photo: Image.Image):
        super().__init__(faces)
        self.photo = photo


class Model:
    """Networks that stay loaded. All threads may use it at once.

    `options` are srez.options.Options. Raises OSError: there are no such weights, or Keras is set
    to compute in another way.
    """

    def __init__(self, options: Options):
        _check_keras()
        self._networks = Networks(options)
        self._faces = Faces(self._networks, options)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Enlarges images [B, H, W, 3] of faces, each filling its image, to [B, 4H, 4W, 3].

        They are uint8, or floats in [0, 1], and so are the results: uint8 or float32. Images that
        are exact averages are what it likes best: --consistent tells whether it holds to them.

        Raises:
            ValueError: they have another shape or type.
        """
        images = np.asarray(images)
        is_float = np.issubdtype(images.dtype, np.floating)
        if images.ndim != 4 or images.shape[3] != 3 or not (is_float or images.dtype == np.uint8):
            raise ValueError(
                f"images of shape {images.shape} and type {images.dtype}: expected [B, H, W, 3], "
                "uint8 or floats in [0, 1]"
            )
        low_res = images.astype(np.float32) if is_float else images / np.float32(255.0)
        size = self._networks.size_for(max(images.shape[1:3]))
        [network, *_] = self._networks.of(size, self._networks.consistent(size, lambda: True))
        results = upscale(network, low_res)
        return results if is_float else to_uint8(results)

    def enlarge(self, picture: str | Path | Image.Image | np.ndarray) -> Enlarged:
        """The faces of a picture: a file's path, Pillow's image, or an array uint8 [H, W, 3].

        What is taken for a photo, and which of its faces, is as on the command line.

        Raises:
            OSError: it can't be read, or faces can't be looked for here and `faces` isn't "off".
            ValueError: the array has another shape or type.
        """
        image, alpha, name, has_lost_nothing = _opened(picture)
        wants_faces = self._faces.options.faces != "off"
        try:
            item = self._faces.find(image, name, wants_faces, has_lost_nothing)
        except NoFace:
            return Enlarged([], with_alpha(image, alpha))
        if item.notes and missing() in item.notes:
            raise OSError(f"{name}: {missing()}")
        [(item, outputs)] = self._faces.enlarge([item])
        results = [to_grey(output[0]) if item.is_grey else output[0] for output in outputs]
        faces = [
            Face(with_alpha(result), part.box, float(averages_back(result, part.known)))
            for result, part in zip(results, item.parts, strict=True)
        ]
        if faces and item.eyes is None:
            return Enlarged(faces, faces[0].image)
        photo = put_back(image, item.eyes, results, item.photo_scale) if faces else image
        return Enlarged(faces, with_alpha(photo, alpha))


def _check_keras():
    found = keras.backend.backend(), keras.config.floatx(), keras.config.image_data_format()
    if found != ("tensorflow", "float32", "channels_last"):
        raise OSError(
            f"Keras is set to {', '.join(found)} in this program, and srez needs tensorflow, "
            "float32, channels_last: import srez before Keras, or use another process"
        )


def _opened(picture):
    """(pixels, alpha, what it is called, a function: has it lost nothing) of a picture."""
    if isinstance(picture, Image.Image):
        image, alpha = pixels_of(picture.copy())
        return image, alpha, name_and_size("image", image), lambda: True
    if isinstance(picture, np.ndarray):
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise ValueError(
                f"an array of shape {picture.shape} and type {picture.dtype}: "
                "expected [H, W, 3], uint8"
            )
        return picture, None, name_and_size("array", picture), lambda: True
    image, alpha = read_with_alpha(picture)
    return image, alpha, name_and_size(picture, image), lambda: is_lossless(picture)
