import functools
import io
import os

import numpy as np
import pytest
from PIL import Image, ImageOps

from srez.files import MAX_BYTES
from srez.pictures.image import celeba_box, centre_square, comparison_grid, read_image, write_image
from tests.odd_files import TURNS, encoded


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
_progressive = functools.partial(_jpeg, progressive=True)
ENCODINGS = {
    "png": _png,
    "jpeg": _jpeg,
    "progressive": _progressive,
    "cmyk": lambda image: _jpeg(image.convert("CMYK")),
    # 6: to be shown turned clockwise by a quarter
    "turned by EXIF": lambda image: _jpeg(image.transpose(Image.ROTATE_90), exif=_exif(6)),
    "opaque alpha": lambda image: _png(image.convert("RGBA")),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_read_image_gives_the_upright_rgb_picture(picture, encoding):
    image = read_image(ENCODINGS[encoding](Image.fromarray(picture)), "picture")
    assert image.dtype == np.uint8
    assert image.shape == picture.shape
    assert np.abs(image.astype(int) - picture).max() <= 6


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


def test_read_image_takes_a_png_named_jpg(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a b'\n.jpg", format="PNG")
    assert (read_image(tmp_path / "a b'\n.jpg") == picture).all()


@pytest.mark.parametrize(
    "content", [b"", b"not a picture", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n" + bytes(40)]
)
def test_read_image_names_what_is_no_picture(content):
    with pytest.raises(OSError, match=r"broken\.jpg: cannot be read as a picture"):
        read_image(content, "broken.jpg")


@pytest.mark.parametrize(("encode", "end"), [(_jpeg, -300), (_png, -1), (_png, -12), (_png, -40)])
def test_read_image_names_a_picture_that_is_cut_off(picture, encode, end):
    data = encode(Image.fromarray(picture))
    with pytest.raises(OSError, match=r"a\.jpg.*cut off"):
        read_image(data[:end], "a.jpg")


@pytest.mark.parametrize("encode", [_jpeg, _png, _progressive])
def test_what_follows_the_end_of_a_picture_does_not_matter(picture, encode):
    data = encode(Image.fromarray(picture))
    plain = read_image(data, "plain")
    for rest in (bytes(500), b"SEFT", data, data[:100]):
        assert (read_image(data + rest, "longer") == plain).all()


def test_an_error_is_one_line_whatever_the_name():
    with pytest.raises(OSError) as caught:
        read_image(b"", "a\nb\udcff\x1b.jpg")
    assert str(caught.value) == r"a\nb\udcff\x1b.jpg: cannot be read as a picture (empty)"


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


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(OSError, match=r"pipe\.jpg: not a regular file"):
        read_image(tmp_path / "pipe.jpg")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_of_too_many_pixels_is_refused_by_its_header(monkeypatch, picture):
    data = _png(Image.fromarray(picture))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)  # of 1200
    read_image(data, "picture")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 599)
    monkeypatch.setattr(Image.core, "new", None)  # nothing is to be made
    with pytest.raises(OSError, match="more than 120,000,000 pixels"):
        read_image(data, "picture")


def test_write_image_clips_rounds_and_casts(tmp_path):
    image = np.zeros((1, 4, 3)) + np.array([-0.5, 0.5, 1.0, 7.0])[None, :, None]
    write_image(tmp_path / "out.png", image)
    assert read_image(tmp_path / "out.png")[0, :, 0].tolist() == [0, 128, 255, 255]


def test_a_picture_written_and_read_is_the_same(tmp_path, picture):
    write_image(tmp_path / "out.png", picture / 255.0)
    assert (read_image(tmp_path / "out.png") == picture).all()


def test_centre_square_keeps_the_middle():
    wide = np.arange(21).reshape(3, 7, 1)
    tall = wide.swapaxes(0, 1)
    assert (centre_square(wide) == wide[:, 2:5]).all()
    assert (centre_square(tall) == tall[2:5]).all()


def test_the_celeba_box_is_the_original_one():
    image = np.zeros((218, 178, 3))
    image[60:188, 25:153] = 1.0
    assert celeba_box(image).shape == (128, 128, 3)
    assert celeba_box(image).all()


def test_only_celeba_shapes_have_a_celeba_box():
    assert celeba_box(np.zeros((178, 218, 3))) is None


def test_comparison_grid_sets_columns_side_by_side():
    first, second = np.zeros((2, 3, 5, 3)), np.ones((2, 3, 5, 3))
    grid = comparison_grid([first, second], magnify=2)
    assert grid.shape == (12, 20, 3)
    assert not grid[:, :10].any()
    assert grid[:, 10:].all()
