"""The one way in for pictures and the one way out (Pillow and numpy, no TensorFlow)."""

import contextlib
import io
import re
import struct
import warnings

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from srez.files import atomic_path, printable, read_file

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")
CELEBA_WIDTH, CELEBA_HEIGHT = 178, 218  # of an aligned CelebA picture
CELEBA_EYES = (69, 111), (108, 111)  # (x, y) of the pixels its eyes are aligned to
BOX_LEFT, BOX_TOP, BOX_SIDE = 25, 60, 128  # what training sees of it: face and some hair
MAX_PIXELS = 120_000_000  # of a picture: a camera's 100 megapixels, and a few more
PLAIN_BYTES = 2**20  # at most, in a plain CelebA JPEG: a hundred times the usual
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"

# What a file named .jpg or .png may really be. Pillow knows more formats, but it would run an EPS
# file, which is a program.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
_MAX_PARTS = 100_000  # segments or chunks in a file: a file with more was made to take our time
# A JPEG's marker, but not a stuffed zero, a restart or a filler.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_PNG_START = b"\x89PNG\r\n\x1a\n"

# Pillow compares the size in the header with its limit before it takes memory: it warns above the
# limit and refuses above twice the limit. Our users need no warnings of this or of odd metadata.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2
warnings.filterwarnings("ignore", module=r"PIL\.")


def read_image(file, name=None):
    """Decodes a picture to uint8 [H, W, 3] RGB in [0, 255], upright, 8 bits, alpha over white.

    `file` is a path or the file's bytes; errors call it `name`. It may be JPEG, PNG, GIF, WebP, BMP
    or TIFF, whatever its name says: grey, palette, alpha, CMYK, 16 bits, turned by EXIF. A JPEG
    needs its end marker and a PNG its last chunk; what follows them doesn't matter.

    Raises OSError, with one line that names it, if the file is missing, is no picture, is cut off,
    or is larger than MAX_BYTES or MAX_PIXELS.
    """
    data = file if isinstance(file, bytes) else read_file(file, name)
    with _opened(data, name or file) as image:
        image.load()
        _turn_upright(image)
        return np.asarray(_to_rgb(image))


def check_picture(data, name):
    """Raises OSError if the header or the end of a file's bytes isn't that of a whole picture."""
    with _opened(data, name):
        pass


@contextlib.contextmanager
def _opened(data, name):
    """Gives Pillow's image, not decoded yet; any error becomes an OSError of one line."""
    try:
        _refuse_cut_off(data)
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            yield image
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on a broken file
        reason = _reason(error)
        raise OSError(f"{printable(name)}: cannot be read as a picture ({reason})") from error


def write_image(path, image, comment=""):
    """Writes an image [H, W, 3], floats in [0, 1] or uint8, as PNG: whole or not at all.

    Floats outside of [0, 1] are clipped. A `comment` goes into the file's text. Raises OSError
    where `path` can't be written.
    """
    text = PngImagePlugin.PngInfo()
    if comment:
        text.add_text("Comment", comment)
    with atomic_path(path) as temporary:
        Image.fromarray(to_uint8(image)).save(temporary, format="png", pnginfo=text)


def to_uint8(image):
    """Turns floats in [0, 1] into uint8 in [0, 255]: clip, round, cast. Leaves uint8 as it is."""
    if image.dtype == np.uint8:
        return image
    return np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)


def celeba_box(image, margin=0):
    """Cuts what training sees of an aligned CelebA picture: 128x128 pixels, and `margin` around.

    Maps [218, 178, 3] to a view [128 + 2 * margin, 128 + 2 * margin, 3], any other shape to None.
    """
    if image.shape[:2] != (CELEBA_HEIGHT, CELEBA_WIDTH):
        return None
    top, left, side = BOX_TOP - margin, BOX_LEFT - margin, BOX_SIDE + 2 * margin
    return image[top : top + side, left : left + side]


def centre_square(image):
    """Cuts the largest centred square of an image [H, W, 3]: a view [S, S, 3], S = min(H, W)."""
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


def is_plain_celeba_jpeg(data):
    """Returns whether TensorFlow's own decoder gives the right picture for a file's bytes.

    It does for a JPEG that is RGB, 178x218, upright and whole. Raises OSError if it is cut off.
    """
    if len(data) > PLAIN_BYTES or not data.startswith(_JPEG_START):
        return False
    if not data.rstrip(b"\0").endswith(_JPEG_END):  # cut off, or something is appended
        return False
    for marker, content in _jpeg_segments(data):
        if marker in (0xE1, 0xEE):  # EXIF may turn it, Adobe's mark may change its colours
            return False
        if marker in (0xC0, 0xC1, 0xC2):  # the frame: bits, height, width, channels
            frame = struct.pack(">BHHB", 8, CELEBA_HEIGHT, CELEBA_WIDTH, 3)
            return content.startswith(frame)
    return False


def _jpeg_segments(data):
    """Yields (marker, content) of each segment of a JPEG, an int and bytes, up to its end marker.

    It skips what lies between segments, pixels too: https://www.w3.org/Graphics/JPEG/itu-t81.pdf
    Raises OSError if the JPEG is cut off.
    """
    at = len(_JPEG_START)
    while marker := _JPEG_MARKER.search(data, at):
        if marker[0] == _JPEG_END:
            return
        start = marker.end()
        at = start + int.from_bytes(data[start : start + 2], "big")
        if at > len(data):
            break
        yield marker[0][1], data[start + 2 : at]
    raise OSError("cut off: its end is missing")


def _png_chunks(data):
    """Yields the kind of each chunk of a PNG up to its end. Raises OSError if it is cut off."""
    at, kind = len(_PNG_START), b""
    while kind != b"IEND":
        kind = data[at + 4 : at + 8]
        at += int.from_bytes(data[at : at + 4], "big") + 12
        if at > len(data):
            raise OSError("cut off: its end is missing")
        yield kind


def _refuse_cut_off(data):
    """Raises OSError if a file is empty, or is a JPEG or PNG that doesn't come to its end."""
    if not data:
        raise OSError("empty")
    parts = ()
    if data.startswith(_JPEG_START):
        parts = _jpeg_segments(data)
    elif data.startswith(_PNG_START):
        parts = _png_chunks(data)
    for count, _ in enumerate(parts):
        if count > _MAX_PARTS:
            raise OSError(f"made of more than {_MAX_PARTS:,} parts")


def _reason(error):
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS:,} pixels"
    return printable(str(error)) or type(error).__name__


def _turn_upright(image):
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except MemoryError:
        raise
    except Exception:  # broken metadata of a good picture
        pass


def _to_rgb(image):
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip at 255
        grey = np.clip(np.asarray(image) // 257, 0, 255)
        image = Image.fromarray(grey.astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")
