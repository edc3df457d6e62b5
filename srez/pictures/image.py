"""The one way in for pictures and the one way out (Pillow and numpy, no TensorFlow)."""

import contextlib
import io
import os
import re
import stat
import tempfile
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")
CELEBA_WIDTH, CELEBA_HEIGHT = 178, 218  # of an aligned CelebA picture
CELEBA_EYES = (69, 111), (108, 111)  # (x, y) of the pixels its eyes are aligned to
BOX_LEFT, BOX_TOP, BOX_SIDE = 25, 60, 128  # what training sees of it: face and some hair
MAX_BYTES = 2**28  # of a picture's file
MAX_PIXELS = 120_000_000  # of a picture: a camera's 100 megapixels, and some
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"

# What a file named .jpg or .png may really be. Not all that Pillow knows: EPS, for one, is a
# program, which it would run.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
_MAX_PARTS = 100_000  # segments or chunks in a file, for one made to take long
# A JPEG's marker in or between its parts, but for a stuffed zero, a restart or a filler.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_PNG_START = b"\x89PNG\r\n\x1a\n"
_TURNS = {  # by EXIF's orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow looks at the header's size before it takes memory, warns from its limit on, and refuses
# from twice that on. Its warnings, of such and of odd metadata, are no matter for our users.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2
warnings.filterwarnings("ignore", module=r"PIL\.")


def read_image(file, name=None):
    """Decodes a picture to uint8 [H, W, 3] RGB in [0, 255], upright, 8 bits, alpha over white.

    `file` is a path or the file's bytes, `name` what to call it in an error. Takes JPEG, PNG, GIF,
    WebP, BMP and TIFF, whatever its name says: grey, palette, alpha, CMYK, 16 bits, turned by EXIF.
    A JPEG has to have its end marker and a PNG its last chunk; what follows them is no matter.

    Raises:
        OSError: the file is missing, is no picture, is cut off, or is larger than MAX_BYTES or
            MAX_PIXELS; one line that names it.
    """
    name = os.fspath(file) if name is None else name
    data = file if isinstance(file, bytes) else read_file(file, name)
    try:
        _refuse_cut_off(data)
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            image.load()
            return np.asarray(_to_rgb(_upright(image)))
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on a broken file
        reason = _reason(error)
        raise OSError(f"{printable(name)}: cannot be read as a picture ({reason})") from error


def read_file(path, name=None):
    """The bytes of a file. Raises OSError: not there, a pipe or a device, or too large."""
    # Without O_NONBLOCK, to open a pipe is to wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        name = printable(os.fspath(path) if name is None else name)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{name}: not a regular file")
        if status.st_size > MAX_BYTES:
            raise OSError(f"{name}: larger than {MAX_BYTES >> 20} MiB")
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def printable(text):
    """A file's name for one line of text: line ends, control and invalid characters escaped."""
    return repr(text)[1:-1]


def write_image(path, image):
    """Writes an image [H, W, 3], floats in [0, 1] or uint8, as PNG: whole or not at all.

    Floats outside of [0, 1] are clipped. Raises OSError where `path` can't be written.
    """
    with atomic_path(path) as temporary:
        Image.fromarray(to_uint8(image)).save(temporary, format="png")


def to_uint8(image):
    """Turns floats in [0, 1] into uint8 in [0, 255]: clip, round, cast. Leaves uint8 as it is."""
    if image.dtype == np.uint8:
        return image
    return np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)


@contextlib.contextmanager
def atomic_path(path):
    """Gives a temporary path beside `path` to write to, then renames it; on an error removes it."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(suffix=path.suffix, prefix=".", dir=path.parent)
    os.close(handle)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_UMASK)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
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


def _refuse_cut_off(data):
    """Raises OSError if a file is empty, or is a JPEG or PNG that doesn't come to its end."""
    if not data:
        raise OSError("empty")
    if data.startswith(JPEG_START):
        step, at = _jpeg_segment, len(JPEG_START)
    elif data.startswith(_PNG_START):
        step, at = _png_chunk, len(_PNG_START)
    else:
        return
    for _ in range(_MAX_PARTS):
        at, is_end = step(data, at)
        if at > len(data):
            raise OSError("cut off: its end is missing")
        if is_end:
            return
    raise OSError(f"made of more than {_MAX_PARTS:,} parts")


def _jpeg_segment(data, at):
    """Where a JPEG's next segment ends, beyond the data if that does, and whether it is the last.

    What lies between segments, the pixels too, is skipped: https://www.w3.org/Graphics/JPEG/itu-t81.pdf
    """
    marker = _JPEG_MARKER.search(data, at)
    if marker is None:
        return len(data) + 1, False
    if marker[0] == JPEG_END:
        return marker.end(), True
    return marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big"), False


def _png_chunk(data, at):
    """Where a PNG's chunk ends, beyond the data if that does, and whether it is the last."""
    length = int.from_bytes(data[at : at + 4], "big")
    return at + length + 12, data[at + 4 : at + 8] == b"IEND"


def _reason(error):
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS:,} pixels"
    return printable(str(error)) or type(error).__name__


def _upright(image):
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
        turn = _TURNS.get(orientation)
    except Exception:  # broken metadata of a good picture
        turn = None
    return image if turn is None else image.transpose(turn)


def _to_rgb(image):
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip at 255
        grey = np.clip(np.asarray(image) // 257, 0, 255)
        image = Image.fromarray(grey.astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _read_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _read_umask()  # once, for reading it sets it for a moment, in all threads
