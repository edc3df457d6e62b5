"""The one way in for pictures and the one way out (Pillow and numpy, no TensorFlow)."""

import contextlib
import io
import os
import stat
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")
CELEBA_WIDTH, CELEBA_HEIGHT = 178, 218  # of an aligned CelebA picture
BOX_LEFT, BOX_TOP, BOX_SIDE = 25, 60, 128  # what training sees of it: face and some hair
MAX_PIXELS = 2**27  # of a picture; more is refused by its header, before memory is taken
MAX_BYTES = 2**28  # of a picture's file
Image.MAX_IMAGE_PIXELS = None  # Pillow's own check would only warn, up to twice its limit

# What Pillow's decoders raise on a broken file, beside OSError.
_DECODE_ERRORS = (
    Image.DecompressionBombError,
    EOFError,
    IndexError,
    OverflowError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def read_image(file, name=None):
    """Decodes a picture to uint8 [H, W, 3] RGB in [0, 255], upright, 8 bits, alpha over white.

    `file` is a path or the file's bytes, `name` what to call it in an error. Takes every kind
    that Pillow reads: grey, palette, alpha, CMYK, 16 bits, turned by EXIF.

    Raises:
        OSError: the file is missing or is no picture; one line that names it.
    """
    name = name or os.fspath(file)
    data = file if isinstance(file, bytes) else read_file(file)
    if not data:
        raise OSError(f"{name}: cannot be read as a picture (the file is empty)")
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width}x{image.height} pixels, {MAX_PIXELS} at most")
            return np.asarray(_to_rgb(ImageOps.exif_transpose(image)))
    except (OSError, *_DECODE_ERRORS) as error:
        reason = "not a picture" if isinstance(error, Image.UnidentifiedImageError) else error
        raise OSError(f"{name}: cannot be read as a picture ({reason})") from error


def read_file(path):
    """The bytes of a file.

    Raises:
        OSError: it can't be read, is no regular file (a pipe could block for ever), or is larger
            than any picture.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path}: is no regular file")
        if status.st_size > MAX_BYTES:
            raise OSError(f"{path}: {status.st_size} bytes, {MAX_BYTES} at most for a picture")
        return file.read()


def write_image(path, image):
    """Writes a float image [H, W, 3] in [0, 1] as PNG: whole or not at all.

    Values outside of [0, 1] are clipped. Raises OSError where `path` can't be written.
    """
    with atomic_path(path) as temporary:
        Image.fromarray(to_uint8(image)).save(temporary, format="png")


def to_uint8(image):
    """Turns floats in [0, 1] into uint8 in [0, 255]: clip, round, cast."""
    return np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)


@contextlib.contextmanager
def atomic_path(path):
    """Gives a temporary path beside `path` to write to, then renames it; on an error removes it."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(suffix=path.suffix, prefix=".", dir=path.parent)
    os.close(handle)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def make_folder(path):
    """Makes a folder, and those it lies in, unless it is there.

    Raises:
        OSError: it can't be made; a NotADirectoryError if a file of its name is there.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(f"{path} is a file: give a folder") from error


def celeba_box(image, margin=0):
    """The 128x128 pixels that training sees of an aligned CelebA picture, `margin` more around.

    Maps [218, 178, 3] to a view [128 + 2 * margin, 128 + 2 * margin, 3], any other shape to None.
    """
    if image.shape[:2] != (CELEBA_HEIGHT, CELEBA_WIDTH):
        return None
    top, left, side = BOX_TOP - margin, BOX_LEFT - margin, BOX_SIDE + 2 * margin
    return image[top : top + side, left : left + side]


def centre_square(image):
    """The largest centred square of an image [H, W, 3]: a view [S, S, 3], S = min(H, W)."""
    height, width, _ = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def comparison_grid(columns, magnify=1):
    """Sets columns of N images, each [N, H, W, 3], side by side: [N * H, columns * W, 3].

    Each pixel becomes a square of `magnify` x `magnify` pixels.
    """
    grid = np.concatenate([np.concatenate(list(column), axis=0) for column in columns], axis=1)
    return grid.repeat(magnify, axis=0).repeat(magnify, axis=1)


def _to_rgb(image):
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip at 255
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
