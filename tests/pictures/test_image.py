import functools
import io
import os
import struct

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageOps

from srez.files import MAX_BYTES
from srez.pictures.image import (
    is_grey,
    kept_exif,
    read_image,
    read_with_alpha,
    to_grey,
    write_image,
)
from tests.odd_files import TURNS, encoded

TAGS, IFD = ExifTags.Base, ExifTags.IFD
ORIENTED, PARTS = (TAGS.Orientation,), (IFD.Exif, IFD.GPSInfo)


@pytest.fixture
def picture():
    """A smooth 40x30 picture, uint8 [30, 40, 3], that JPEG hardly changes."""
    x, y = np.meshgrid(np.linspace(40, 215, 40), np.linspace(60, 200, 30))
    return np.stack([x, y, (x + y) / 2], axis=-1).astype(np.uint8)


def _exif(orientation):
    exif = Image.Exif()
    exif[TURNS] = orientation
    return exif


_png = functools.partial(encoded, kind="PNG")
_jpeg = functools.partial(encoded, quality=98, subsampling=0)


@pytest.mark.parametrize(("dtype", "step", "tolerance"), [(np.uint8, 1, 0), (np.uint16, 257, 1)])
def test_read_image_takes_grey_of_8_and_of_16_bits(dtype, step, tolerance):
    grey = np.linspace(0, 255 * step, 200).astype(dtype).reshape(10, 20, 1)
    image = read_image(_png(Image.fromarray(grey[..., 0])), "grey")
    assert np.abs(image - grey / step).max() <= tolerance


def test_read_image_puts_transparent_pixels_over_white():
    half = _png(Image.new("RGBA", (4, 4), (0, 0, 0, 128)))
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    assert (read_image(half, "half") == 127).all()
    assert (read_image(_png(palette, transparency=1), "palette") == 255).all()


@pytest.mark.parametrize("size", [(40, 30), (160, 120)])
def test_what_is_written_with_alpha_looks_the_same_over_white(tmp_path, picture, size):
    alpha = np.linspace(0, 255, 1200).astype(np.uint8).reshape(30, 40)
    cut_out = Image.fromarray(np.dstack([picture, alpha]))
    image, found = read_with_alpha(_png(cut_out), "cut-out")
    assert (found == alpha).all()
    image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    write_image(tmp_path / "out.png", image, alpha=found)
    with Image.open(tmp_path / "out.png") as written:
        enlarged = Image.fromarray(alpha).resize(size, Image.Resampling.BICUBIC)
        assert (np.asarray(written.getchannel("A")) == enlarged).all()
    assert np.abs(read_image(tmp_path / "out.png").astype(int) - image).max() <= 2


def test_an_opaque_picture_has_no_alpha(picture):
    for image in (Image.fromarray(picture), Image.fromarray(picture).convert("RGBA")):
        assert read_with_alpha(_png(image), "opaque")[1] is None


def _profile(name):
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()


def _wide_gamut():
    """A profile like sRGB's whose red and green are exchanged: colours are plainly others."""
    data = bytearray(_profile("sRGB"))
    red, green = data.index(b"rXYZ"), data.index(b"gXYZ")
    data[red : red + 4], data[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(data)


@pytest.mark.parametrize("encode", [_png, _jpeg])
def test_the_colours_are_those_of_the_profile(picture, encode):
    plain = read_image(encode(Image.fromarray(picture)), "plain").astype(int)
    found = read_image(encode(Image.fromarray(picture), icc_profile=_wide_gamut()), "wide")
    assert np.abs(found - plain[..., [1, 0, 2]]).max() <= 2


# A profile holds the second it was made in: the tests' processes have to agree on a name.
@pytest.mark.parametrize(
    "profile",
    [b"broken", _profile("LAB"), _profile("sRGB")[:-500]],
    ids=["no profile", "LAB", "cut short"],
)
def test_a_broken_profile_or_one_of_other_colours_does_not_count(picture, profile):
    data = _png(Image.fromarray(picture), icc_profile=profile)
    assert np.abs(read_image(data, "picture").astype(int) - picture).max() <= 1


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK"])
def test_a_profile_of_srgb_changes_little_in_any_mode(picture, mode):
    kind = "TIFF" if mode == "CMYK" else "PNG"
    image = Image.fromarray(picture).convert(mode)
    plain = read_image(encoded(image, kind), "plain").astype(int)
    found = read_image(encoded(image, kind, icc_profile=_profile("sRGB")), "profile")
    assert np.abs(found - plain).max() <= 1


def test_a_large_profile_in_a_png_is_taken(picture):
    profile = _profile("sRGB") + os.urandom(3 << 20)
    data = _png(Image.fromarray(picture), icc_profile=profile)
    assert np.abs(read_image(data, "picture").astype(int) - picture).max() <= 1


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_32_bits_for_a_pixel_are_refused(dtype):
    data = encoded(Image.fromarray(np.ones((4, 4), dtype)), "TIFF")
    with pytest.raises(OSError, match="32 bits for a pixel: save it with 8 or 16"):
        read_image(data, "deep.tif")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(10))
def test_exif_turns_a_picture_as_pillow_does(picture, orientation, kind):
    data = encoded(Image.fromarray(picture), kind, exif=_exif(orientation))
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert (read_image(data, "turned") == np.asarray(expected)).all()


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with open(tmp_path / "large.jpg", "wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(OSError, match=r"large\.jpg: larger than 256 MiB"):
        read_image(tmp_path / "large.jpg")


def test_write_image_clips_rounds_and_casts(tmp_path):
    image = np.zeros((1, 4, 3)) + np.array([-0.5, 0.5, 1.0, 7.0])[None, :, None]
    write_image(tmp_path / "out.png", image)
    assert read_image(tmp_path / "out.png")[0, :, 0].tolist() == [0, 128, 255, 255]


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".jpg", "JPEG"), (".JPEG", "JPEG"), (".webp", "WEBP")]
)
def test_the_suffix_says_what_a_result_is_written_as(tmp_path, suffix, kind):
    path = tmp_path / f"out{suffix}"
    image = np.linspace(0, 1, 64 * 64 * 3).reshape(64, 64, 3)
    write_image(path, image, {"Software": "srez", "Comment": "Made by srez.", "Factor": "4"})
    with Image.open(path) as file:
        assert file.format == kind
        assert file.getexif()[TAGS.ImageDescription] == "Made by srez. Factor: 4."
        assert file.getexif()[TAGS.Software] == "srez"
        assert "sRGB" in ImageCms.getProfileDescription(io.BytesIO(file.info["icc_profile"]))
    assert np.abs(read_image(path) - 255 * image).mean() < 2


def test_a_png_has_the_texts_by_name_and_no_exif(tmp_path, picture):
    about = {"Software": "srez", "Comment": "Made by srez.", "Factor": "4"}
    write_image(tmp_path / "out.png", picture, about)
    with Image.open(tmp_path / "out.png") as file:
        assert file.text == about
        assert file.info["srgb"] == 1
        assert not file.getexif()


def _camera_exif(**values):
    """A camera's EXIF, with what doesn't hold for a result: size, turn, thumbnail, maker's note."""
    exif = Image.Exif()
    exif.update({TAGS.Orientation: 6, TAGS.XResolution: 300.0, TAGS.Software: "Camera 1.0"})
    exif.update({TAGS.ImageDescription: b"Caf\xc3\xa9  ", TAGS.Make: "Camera"})
    exif[IFD.Exif] = {TAGS.ExifImageWidth: 9, TAGS.ColorSpace: 65535, TAGS.ISOSpeedRatings: 200}
    exif[IFD.Exif] |= {TAGS.MakerNote: b"preview", TAGS.ExposureTime: 0.125}
    exif[IFD.Exif] |= {getattr(TAGS, name): value for name, value in values.items()}
    exif[IFD.GPSInfo] = {2: (48.0, 12.0, 30.0)}
    return _with_thumbnail(exif.tobytes())


def _with_thumbnail(exif):
    """EXIF's bytes with a directory of a thumbnail at the end, which Pillow reads but can't write.

    The first directory begins 14 bytes from the start: a count, 12 bytes for each entry, and where
    the next one is, counted from byte 6.
    """
    assert exif[6:14] == b"MM\0*\0\0\0\10"
    at = 16 + 12 * int.from_bytes(exif[14:16])
    entry = struct.pack(">HHHII", 1, TAGS.JpegIFOffset, 4, 1, 8)
    return exif[:at] + struct.pack(">I", len(exif) - 6) + exif[at + 4 :] + entry + bytes(4)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_photos_exif_is_kept_where_it_holds_for_the_result(tmp_path, picture, kind, suffix):
    photo = tmp_path / "photo"
    photo.write_bytes(encoded(Image.fromarray(picture), kind, exif=_camera_exif()))
    with Image.open(photo) as file:
        assert kind == "TIFF" or file.getexif().get_ifd(IFD.IFD1)
        words = file.getexif()[TAGS.ImageDescription].strip()
    path, about = tmp_path / f"out{suffix}", {"Software": "srez", "Comment": "Made by srez."}
    write_image(path, picture.repeat(4, 0).repeat(4, 1), about, exif=kept_exif(photo))
    with Image.open(path) as file:
        exif = file.getexif()
        details, place, thumbnail = map(exif.get_ifd, (IFD.Exif, IFD.GPSInfo, IFD.IFD1))
        assert set(exif) == {TAGS.ImageDescription, TAGS.Make, TAGS.Software, *ORIENTED, *PARTS}
    assert exif[TAGS.ImageDescription] == f"{words} Made by srez."
    assert (exif[TAGS.Make], exif[TAGS.Software]) == ("Camera", "srez")
    assert exif[TAGS.Orientation] == 1
    assert (details[TAGS.ExifImageWidth], details[TAGS.ExifImageHeight]) == (160, 120)
    assert (details[TAGS.ISOSpeedRatings], details[TAGS.ExposureTime]) == (200, 0.125)
    assert details[TAGS.ColorSpace] == 1
    assert TAGS.MakerNote not in details
    assert place == {2: (48.0, 12.0, 30.0)}
    assert not thumbnail
    assert read_image(path).shape == (120, 160, 3)


def test_exif_that_is_broken_or_too_long_for_a_jpeg_is_not_kept(tmp_path, picture):
    for exif in (
        _camera_exif(UserComment=bytes(64_000)),
        b"Exif\0\0II*\0broken",
        b"Exif\0\0" + bytes(300),
    ):
        Image.fromarray(picture).save(tmp_path / "photo.png", exif=exif)
        assert kept_exif(tmp_path / "photo.png") == {}
    write_image(tmp_path / "out.jpg", picture, exif=kept_exif(tmp_path / "photo.png"))
    assert read_image(tmp_path / "out.jpg").shape == picture.shape


def test_a_picture_without_colours_is_grey_and_one_with_a_coloured_pixel_is_not(picture):
    grey = read_image(_jpeg(Image.fromarray(picture).convert("L").convert("RGB")), "grey").copy()
    assert is_grey(grey)
    grey[3, 4] = 200, 100, 100
    assert not is_grey(grey)


@pytest.mark.parametrize("factor", [1, np.float32(1 / 255)])
def test_to_grey_gives_each_channel_the_mean(picture, factor):
    images = picture[None] * factor
    found = to_grey(images)
    assert (found.dtype, found.shape) == (images.dtype, images.shape)
    expected = images.mean(-1, keepdims=True).repeat(3, -1)
    np.testing.assert_allclose(found, expected, atol=0.51 * factor)
