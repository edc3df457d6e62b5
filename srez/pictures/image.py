"""The one way in for pictures and the one way out (Pillow and numpy, no TensorFlow)."""

import collections
import contextlib
import functools
import io
import re
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import (
    ExifTags,
    Image,
    ImageCms,
    ImageDraw,
    ImageFont,
    ImageOps,
    PngImagePlugin,
    UnidentifiedImageError,
    features,
)

from srez.files import atomic_path, printable, read_file
from srez.options import RESULT_FORMATS
from srez.pictures.geometry import CELEBA_HEIGHT, CELEBA_WIDTH

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
PICTURE_SUFFIXES += (".avif",) if features.check("avif") else ()  # as Pillow was built
_OTHER_SUFFIXES = (".avif", ".heic", ".heif", ".jp2", ".jxl", ".dng", ".cr2", ".nef", ".arw")
MAX_PIXELS = 120_000_000  # of a picture: a camera's 100 megapixels, and a few more
QUALITY = 95  # of results that are JPEG or WebP
MAX_GREY_SPREAD = 2  # of 255 levels, between a grey pixel's channels
PLAIN_BYTES = 2**20  # at most, in a plain CelebA JPEG: a hundred times the usual
GAP, TITLE_HEIGHT, TITLE_SIZE = 4, 26, 16  # pixels, of a grid with titles: its gaps, its letters
GROUND, INK = 24, "rgb(235, 235, 235)"  # behind its images; its letters
MAX_EXIF = 60_000  # bytes kept of a photo's: a JPEG takes 65,533 in all
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"

# What a file named .jpg or .png may really be. Pillow knows more formats, but it would run an EPS
# file, which is a program. The usual ones come first: for others it imports all that it knows.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF")
_LOSSY = ("AVIF", "JPEG", "WEBP")
_MAX_PARTS = 100_000  # segments or chunks in a file: a file with more was made to take our time
# A JPEG's marker, but not a stuffed zero, a restart or a filler.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_HEIF_BRANDS = dict.fromkeys((b"heic", b"heix", b"mif1", b"msf1"), "HEIC") | {b"avif": "AVIF"}
# EXIF: what says how and by whom a photo was taken holds for its result. What depends on its pixels
# or its file doesn't, and a maker's note has previews and offsets in it.
_TAGS = ExifTags.Base
_KEPT_TAGS = (_TAGS.ImageDescription, _TAGS.Make, _TAGS.Model, _TAGS.DateTime, _TAGS.Artist)
_KEPT_TAGS += (_TAGS.HostComputer, _TAGS.Copyright, _TAGS.Rating, *range(0x9C9B, 0x9CA0))
_STALE_TAGS = (_TAGS.MakerNote, _TAGS.CompressedBitsPerPixel, _TAGS.ExifInteroperabilityOffset)
_STALE_TAGS += (_TAGS.SubjectLocation, 0x9214, _TAGS.Gamma, _TAGS.CFAPattern)  # 0x9214: SubjectArea
_STALE_TAGS += (_TAGS.SpatialFrequencyResponse, *range(0xA20E, 0xA211))  # the sensor's pixels
_OWN_TAGS = ("Software", "Comment")  # texts that have a tag of their own
_PNG_START = b"\x89PNG\r\n\x1a\n"

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


def read_image(file, name=None):
    """Decodes a picture to uint8 [H, W, 3], sRGB in [0, 255], upright, 8 bits, alpha over white.

    `file` is a path or the file's bytes; errors call it `name`. It may be JPEG, PNG, GIF, WebP, BMP
    or TIFF, whatever its name says: grey, palette, alpha, CMYK, 16 bits, turned by EXIF, in the
    colours of a profile. A broken profile doesn't count. A JPEG needs its end marker and a PNG its
    last chunk; what follows them doesn't matter.

    Raises OSError, with one line that names it, if the file is missing, is no picture, is cut off,
    or is larger than MAX_BYTES or MAX_PIXELS.
    """
    return read_with_alpha(file, name)[0]


def read_with_alpha(file, name=None):
    """What `read_image` gives, and the picture's alpha uint8 [H, W], None where it has no holes."""
    data = file if isinstance(file, bytes) else read_file(file, name)
    with _opened(data, name or file) as image:
        return pixels_of(image)


def pixels_of(image):
    """The same of Pillow's image. Raises OSError: it holds no such pixels."""
    image.load()
    _turn_upright(image)
    return _to_rgb(image)


def is_lossless(file):
    """Whether a picture's file holds its pixels as they are, unlike JPEG. Raises OSError."""
    with _opened(read_file(file), file) as image:
        return image.format not in _LOSSY


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
        reason = _reason(error, data)
        raise OSError(f"{printable(name)}: can't be read as a picture ({reason})") from error


def write_image(path, image, about=None, alpha=None, exif=None):
    """Writes an image [H, W, 3], floats in [0, 1] or uint8: whole or not at all.

    It is PNG, or by the path's suffix JPEG or WebP. Floats outside of [0, 1] are clipped. `about`
    are texts by name, such as Software and Comment: PNG's texts, or EXIF's Software and
    ImageDescription. `exif` is a photo's, as from `kept_exif`. An `alpha` uint8 [h, w] is enlarged
    to the image's size; over white, the file looks like the image, and a JPEG lies over white.
    Raises OSError where `path` can't be written.
    """
    kind = RESULT_FORMATS.get(Path(path).suffix.lower(), "PNG")
    picture = with_alpha(image, None if kind == "JPEG" else alpha)
    write_about = _about_png if kind == "PNG" else _about_lossy
    words = write_about(about or {}, exif or {}, image.shape)
    with atomic_path(path) as temporary:
        picture.save(temporary, format=kind, **words)


def kept_exif(file):
    """What a photo's EXIF says that holds for a result too: values, and dicts of them, by tag.

    Broken EXIF says nothing. Raises OSError if the file can't be read as a picture.
    """
    with _opened(read_file(file), file) as image:
        try:
            exif = image.getexif()
            kept = {tag: exif[tag] for tag in _KEPT_TAGS if tag in exif}
            for part in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
                values = {tag: v for tag, v in exif.get_ifd(part).items() if tag not in _STALE_TAGS}
                kept |= {part: values} if values else {}
            is_short = len(_exif(kept, {}, (1, 1))) < MAX_EXIF
        except MemoryError:
            raise
        except Exception:  # Pillow raises nearly anything on broken metadata
            return {}
    return kept if is_short else {}


def _about_png(about, exif, shape):
    text = PngImagePlugin.PngInfo()
    text.add(b"sRGB", b"\1")  # relative colorimetric
    for name, words in about.items():
        text.add_text(name, words)
    return {"pnginfo": text} | ({"exif": _exif(exif, about, shape)} if exif else {})


def _about_lossy(about, exif, shape):
    profile = ImageCms.ImageCmsProfile(_srgb()).tobytes()
    exif = _exif(exif, about, shape)
    return {"exif": exif, "icc_profile": profile, "quality": QUALITY, "subsampling": 0}


def _exif(kept, about, shape):
    """EXIF's bytes for an upright sRGB image of a shape: what is kept of a photo's, and `about`."""
    height, width, *_ = shape
    others = (f"{name}: {words}." for name, words in about.items() if name not in _OWN_TAGS)
    words = (kept.get(_TAGS.ImageDescription, "").strip(), about.get("Comment", ""), *others)
    texts = {
        _TAGS.Software: about.get("Software"),
        _TAGS.ImageDescription: " ".join(filter(None, words)),
    }
    size = {_TAGS.ExifImageWidth: width, _TAGS.ExifImageHeight: height, _TAGS.ColorSpace: 1}  # sRGB
    exif = Image.Exif()
    exif.update(kept | {tag: text for tag, text in texts.items() if text} | {_TAGS.Orientation: 1})
    for tag, text in exif.items():  # Pillow has read it as Latin-1, and would write it as ASCII
        exif[tag] = text.encode("latin-1", "replace") if isinstance(text, str) else text
    exif[ExifTags.IFD.Exif] = kept.get(ExifTags.IFD.Exif, {}) | size
    return exif.tobytes()


def with_alpha(image, alpha=None):
    """Pillow's image of pixels [H, W, 3], floats in [0, 1] or uint8.

    With an `alpha` uint8 [h, w], which is enlarged to their size, it looks over white like them.
    """
    image = to_uint8(image)
    if alpha is None:
        return Image.fromarray(image)
    size = image.shape[1::-1]
    alpha = np.asarray(Image.fromarray(alpha).resize(size, Image.Resampling.BICUBIC))
    image, edge = image.copy(), (alpha > 0) & (alpha < 255)
    share = alpha[edge, None] / np.float32(255.0)
    image[edge] = to_uint8(1 - (1 - image[edge] / np.float32(255.0)) / share)
    return Image.fromarray(np.dstack([image, alpha]))


def to_uint8(image):
    """Turns floats in [0, 1] into uint8 in [0, 255]: clip, round, cast. Leaves uint8 as it is."""
    if image.dtype == np.uint8:
        return image
    return np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)


def eight_bit(images):
    """Rounds images in [0, 1] to 8 bits, as in a picture's file: float32 in [0, 1]."""
    return to_uint8(images) / np.float32(255.0)


def is_grey(image):
    """Whether a uint8 image [H, W, 3] has no colours, but for JPEG's rounding."""
    return np.ptp(image, axis=2).max() <= MAX_GREY_SPREAD


def to_grey(images):
    """Images [..., 3] whose channels are all the mean of theirs, of the same type."""
    means = images.mean(axis=-1, keepdims=True, dtype=np.float32)
    means = np.rint(means) if images.dtype == np.uint8 else means
    return means.repeat(3, axis=-1).astype(images.dtype)


def titled_grid(columns, magnify=1):
    """Sets columns of N images, each [N, H, W, 3], side by side with gaps: uint8 [..., ..., 3].

    `columns` is a dict by the title that stands above. Each pixel becomes a square of `magnify` x
    `magnify` pixels.
    """
    cells = np.stack([to_uint8(np.asarray(column)) for column in columns.values()])
    cells = cells.repeat(magnify, axis=2).repeat(magnify, axis=3)
    across, rows, height, width, _ = cells.shape
    shape = TITLE_HEIGHT + rows * (height + GAP), GAP + across * (width + GAP), 3
    grid = np.full(shape, GROUND, np.uint8)
    for column, row in np.ndindex(across, rows):
        top, left = TITLE_HEIGHT + row * (height + GAP), GAP + column * (width + GAP)
        grid[top : top + height, left : left + width] = cells[column, row]
    picture = Image.fromarray(grid)
    for column, title in enumerate(columns):
        middle = GAP + column * (width + GAP) + width / 2
        write_title(picture, title, (middle, TITLE_HEIGHT / 2), width)
    return np.asarray(picture)


def write_title(picture, title, middle, width):
    """Writes a line around a place (x, y) of Pillow's picture, smaller where it is too wide."""
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(TITLE_SIZE)
    fits = min(width / draw.textlength(title, font), 1.0)
    font = font.font_variant(size=max(int(TITLE_SIZE * fits), 1))
    draw.text(middle, title, INK, font, anchor="mm")


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


def _reason(error, data):
    if isinstance(error, UnidentifiedImageError):
        if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
            return f"{_HEIF_BRANDS[data[8:12]]}: convert it to JPEG or PNG"
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
    if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
        raise OSError("32 bits for a pixel: save it with 8 or 16")
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip at 255
        grey = np.clip(np.asarray(image) // 257, 0, 255)
        image = Image.fromarray(grey.astype(np.uint8))
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    image = _to_srgb(image)
    if alpha is None or alpha.getextrema() == (255, 255):
        return np.asarray(image), None
    image = Image.composite(image, Image.new("RGB", image.size, "white"), alpha)
    return np.asarray(image), np.asarray(alpha)


def _to_srgb(image):
    """The picture without its alpha in sRGB, by its colour profile if that is whole."""
    plain = {"LA": "L", "P": "RGB", "PA": "RGB", "RGBA": "RGB", "1": "L"}.get(image.mode)
    profile = image.info.get("icc_profile")
    image = image.convert(plain) if plain else image
    if profile:
        try:
            return ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                _srgb(),
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
                "RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
        except (ImageCms.PyCMSError, OSError, ValueError):  # it is broken, or of other colours
            pass
    return image.convert("RGB")


@functools.cache
def _srgb():
    return ImageCms.createProfile("sRGB")
