"""The one way in for pictures and the one way out (Pillow and numpy, no TensorFlow)."""

import base64
import contextlib
import functools
import io
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin

import srez
from srez.files import atomic_path, printable, read_file
from srez.pictures.formats import FORMATS, LOSSY, reason_of, refuse_cut_off
from srez.values import RESULT_FORMATS

MADE = {"Software": f"srez {srez.__version__}"}  # in what srez writes
QUALITY = 95  # of results that are JPEG or WebP
MAX_GREY_SPREAD = 2  # of 255 levels, between a grey pixel's channels
MAX_EXIF = 60_000  # bytes kept of a photo's: a JPEG takes 65,533 in all

# EXIF: what says how and by whom a photo was taken holds for its result. What depends on its pixels
# or its file doesn't, and a maker's note has previews and offsets in it.
_TAGS = ExifTags.Base
_KEPT_TAGS = (_TAGS.ImageDescription, _TAGS.Make, _TAGS.Model, _TAGS.DateTime, _TAGS.Artist)
_KEPT_TAGS += (_TAGS.HostComputer, _TAGS.Copyright, _TAGS.Rating, *range(0x9C9B, 0x9CA0))
_STALE_TAGS = (_TAGS.MakerNote, _TAGS.CompressedBitsPerPixel, _TAGS.ExifInteroperabilityOffset)
_STALE_TAGS += (_TAGS.SubjectLocation, 0x9214, _TAGS.Gamma, _TAGS.CFAPattern)  # 0x9214: SubjectArea
_STALE_TAGS += (_TAGS.SpatialFrequencyResponse, *range(0xA20E, 0xA211))  # the sensor's pixels
_OWN_TAGS = ("Software", "Comment")  # texts that have a tag of their own


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
        return image.format not in LOSSY


def check_picture(data, name):
    """Raises OSError if the header or the end of a file's bytes isn't that of a whole picture."""
    with _opened(data, name):
        pass


@contextlib.contextmanager
def _opened(data, name):
    """Gives Pillow's image, not decoded yet; any error becomes an OSError of one line."""
    try:
        refuse_cut_off(data)
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            yield image
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on a broken file
        reason = reason_of(error, data)
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


def data_url(image):
    """A uint8 image [H, W, 3] as the address of a PNG, for a page."""
    data = io.BytesIO()
    Image.fromarray(image).save(data, format="png")
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"


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
