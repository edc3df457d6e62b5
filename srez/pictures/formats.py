"""Kinds of picture files: by their names, what Pillow may open, and how large; what is cut off.

To import it sets Pillow's own limits, too.
"""

import collections
import re
import struct
import warnings

from PIL import Image, PngImagePlugin, UnidentifiedImageError, features

from srez.files import printable
from srez.pictures.geometry import CELEBA_HEIGHT, CELEBA_WIDTH

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
PICTURE_SUFFIXES += (".avif",) if features.check("avif") else ()  # as Pillow was built
_OTHER_SUFFIXES = (".avif", ".heic", ".heif", ".jp2", ".jxl", ".dng", ".cr2", ".nef", ".arw")

# What a file named .jpg or .png may really be. Pillow knows more formats, but it would run an EPS
# file, which is a program. The usual ones come first: for others it imports all that it knows.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF")
LOSSY = ("AVIF", "JPEG", "WEBP")
MAX_PIXELS = 120_000_000  # of a picture: a camera's 100 megapixels, and a few more
PLAIN_BYTES = 2**20  # at most, in a plain CelebA JPEG: a hundred times the usual
_MAX_PARTS = 100_000  # segments or chunks in a file: a file with more was made to take our time
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_PNG_START = b"\x89PNG\r\n\x1a\n"
# A JPEG's marker, but not a stuffed zero, a restart or a filler.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_HEIF_BRANDS = dict.fromkeys((b"heic", b"heix", b"mif1", b"msf1"), "HEIC") | {b"avif": "AVIF"}

# Pillow compares the size in the header with its limit before it takes memory: it warns above the
# limit and refuses above twice the limit. Our users need no warnings of this or of odd metadata.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2
warnings.filterwarnings("ignore", module=r"PIL\.")
# A PNG's compressed text or colour profile: limits are for bombs, and some MB are none.
PngImagePlugin.MAX_TEXT_CHUNK = 2**24


def is_unreadable(name):
    """Whether a name is that of a picture of a kind that srez doesn't read."""
    name = name.lower()
    return name.endswith(_OTHER_SUFFIXES) and not name.endswith(PICTURE_SUFFIXES)


def counted_suffixes(names):
    """How many of each kind the names of unreadable pictures are, in words."""
    suffixes = collections.Counter(name.lower().rpartition(".")[2] for name in names)
    kinds = ", ".join(f"{count} .{suffix}" for suffix, count in sorted(suffixes.items()))
    return f"{kinds}: convert them to JPEG or PNG"


def is_plain_celeba_jpeg(data):
    """Returns whether TensorFlow's own decoder gives the right picture for a file's bytes.

    It does for a JPEG that is RGB, 178x218, upright, whole and without a colour profile. Raises
    OSError if it is cut off.
    """
    if len(data) > PLAIN_BYTES or not data.startswith(_JPEG_START):
        return False
    if not data.rstrip(b"\0").endswith(_JPEG_END):  # cut off, or something is appended
        return False
    for marker, content in _jpeg_segments(data):
        if marker in (0xE1, 0xE2, 0xEE):  # EXIF may turn it; a profile, Adobe's mark: its colours
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


def refuse_cut_off(data):
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


def reason_of(error, data):
    """Why bytes can't be read as a picture, in words, from the error that Pillow or we raised."""
    if isinstance(error, UnidentifiedImageError):
        if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
            return f"{_HEIF_BRANDS[data[8:12]]}: convert it to JPEG or PNG"
        return "not a picture"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS:,} pixels"
    return printable(str(error)) or type(error).__name__
