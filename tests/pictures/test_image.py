import io
import os

import numpy as np
import pytest
from PIL import Image, ImageOps

import srez.pictures.image


@pytest.fixture
def picture():
    """A smooth 40x30 picture, uint8 [30, 40, 3], that JPEG hardly changes."""
    x, y = np.meshgrid(np.linspace(40, 215, 40), np.linspace(60, 200, 30))
    return np.stack([x, y, (x + y) / 2], axis=-1).astype(np.uint8)


def _encoded(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def _as_is(image):
    return _encoded(image, format="PNG")


def _jpeg(image):
    return _encoded(image, format="JPEG", quality=98, subsampling=0)


def _progressive(image):
    return _encoded(image, format="JPEG", quality=98, subsampling=0, progressive=True)


def _cmyk(image):
    return _encoded(image.convert("CMYK"), format="JPEG", quality=98, subsampling=0)


def _turned_by_exif(image):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by a quarter
    turned = image.transpose(Image.Transpose.ROTATE_90)
    return _encoded(turned, format="JPEG", quality=98, subsampling=0, exif=exif)


def _opaque_alpha(image):
    return _encoded(image.convert("RGBA"), format="PNG")


@pytest.mark.parametrize(
    "encode", [_as_is, _jpeg, _progressive, _cmyk, _turned_by_exif, _opaque_alpha]
)
def test_read_image_gives_the_upright_rgb_picture(picture, encode):
    image = srez.pictures.image.read_image(encode(Image.fromarray(picture)), "picture")
    assert image.dtype == np.uint8
    assert image.shape == picture.shape
    assert np.abs(image.astype(int) - picture).max() <= 6


def test_read_image_takes_grey():
    grey = np.arange(200, dtype=np.uint8).reshape(10, 20)
    image = srez.pictures.image.read_image(_as_is(Image.fromarray(grey)), "grey")
    assert (image == grey[..., None]).all()


def test_read_image_brings_16_bits_to_8():
    deep = np.linspace(0, 65535, 200).astype(np.uint16).reshape(10, 20)
    image = srez.pictures.image.read_image(_as_is(Image.fromarray(deep)), "deep")
    assert np.abs(image - deep[..., None] / 257.0).max() <= 1.0


def test_read_image_puts_alpha_over_white():
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    assert srez.pictures.image.read_image(_as_is(half), "half").tolist()[0][0] == [127, 127, 127]


def test_read_image_puts_a_transparent_palette_over_white():
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    data = _encoded(palette, format="PNG", transparency=1)
    assert srez.pictures.image.read_image(data, "palette").tolist()[0][0] == [255, 255, 255]


def test_read_image_takes_a_png_named_jpg(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a b'\n.jpg", format="PNG")
    assert (srez.pictures.image.read_image(tmp_path / "a b'\n.jpg") == picture).all()


@pytest.mark.parametrize(
    "content", [b"", b"not a picture", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n" + bytes(40)]
)
def test_read_image_names_what_is_no_picture(content):
    with pytest.raises(OSError, match=r"broken\.jpg: cannot be read as a picture"):
        srez.pictures.image.read_image(content, "broken.jpg")


def test_read_image_names_a_picture_that_is_cut_off(picture):
    data = _jpeg(Image.fromarray(picture))
    with pytest.raises(OSError, match=r"cut\.jpg"):
        srez.pictures.image.read_image(data[: len(data) // 2], "cut.jpg")


def test_read_image_names_a_png_that_is_cut_off(picture):
    data = _as_is(Image.fromarray(picture))
    for end in (-1, -12, -40):
        with pytest.raises(OSError, match=r"cut\.png.*cut off"):
            srez.pictures.image.read_image(data[:end], "cut.png")


@pytest.mark.parametrize("encode", [_jpeg, _as_is, _progressive])
def test_what_follows_the_end_of_a_picture_is_no_matter(picture, encode):
    data = encode(Image.fromarray(picture))
    plain = srez.pictures.image.read_image(data, "plain")
    for rest in (bytes(500), b"SEFT", data, data[:100]):
        assert (srez.pictures.image.read_image(data + rest, "longer") == plain).all()


def test_an_error_is_one_line_whatever_the_name():
    with pytest.raises(OSError) as caught:
        srez.pictures.image.read_image(b"", "a\nb\udcff\x1b.jpg")
    assert str(caught.value) == r"a\nb\udcff\x1b.jpg: cannot be read as a picture (empty)"


def test_all_orientations_of_exif_are_turned_as_pillow_does(picture):
    for orientation in range(10):
        exif = Image.Exif()
        exif[0x0112] = orientation
        for options in ({"format": "JPEG", "quality": 98}, {"format": "PNG"}, {"format": "TIFF"}):
            data = _encoded(Image.fromarray(picture), exif=exif, **options)
            expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
            assert (srez.pictures.image.read_image(data, "turned") == np.asarray(expected)).all()


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with open(tmp_path / "large.jpg", "wb") as file:
        file.truncate(srez.files.MAX_BYTES + 1)
    with pytest.raises(OSError, match=r"large\.jpg: larger than 256 MiB"):
        srez.pictures.image.read_image(tmp_path / "large.jpg")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(OSError, match=r"pipe\.jpg: not a regular file"):
        srez.pictures.image.read_image(tmp_path / "pipe.jpg")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_of_too_many_pixels_is_refused_by_its_header(monkeypatch, picture):
    data = _as_is(Image.fromarray(picture))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)  # of 1200
    srez.pictures.image.read_image(data, "picture")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 599)
    monkeypatch.setattr(Image.core, "new", None)  # nothing is to be made
    with pytest.raises(OSError, match="more than 120,000,000 pixels"):
        srez.pictures.image.read_image(data, "picture")


def test_write_image_clips_rounds_and_casts(tmp_path):
    image = np.zeros((1, 4, 3)) + np.array([-0.5, 0.5, 1.0, 7.0])[None, :, None]
    srez.pictures.image.write_image(tmp_path / "out.png", image)
    assert srez.pictures.image.read_image(tmp_path / "out.png")[0, :, 0].tolist() == [
        0,
        128,
        255,
        255,
    ]


def test_a_picture_written_and_read_is_the_same(tmp_path, picture):
    srez.pictures.image.write_image(tmp_path / "out.png", picture / 255.0)
    assert (srez.pictures.image.read_image(tmp_path / "out.png") == picture).all()


def test_centre_square_keeps_the_middle():
    image = np.arange(3 * 7)[None].repeat(3, 0).reshape(3, 7, 3)
    assert (srez.pictures.image.centre_square(image) == image[:, 2:5]).all()
    wide = image.swapaxes(0, 1)
    assert (srez.pictures.image.centre_square(wide) == wide[2:5]).all()


def test_the_celeba_box_is_the_original_one():
    image = np.zeros((218, 178, 3))
    image[60:188, 25:153] = 1.0
    assert srez.pictures.image.celeba_box(image).shape == (128, 128, 3)
    assert srez.pictures.image.celeba_box(image).all()
    assert srez.pictures.image.celeba_box(image).sum() == image.sum()


def test_only_celeba_shapes_have_a_celeba_box():
    assert srez.pictures.image.celeba_box(np.zeros((178, 218, 3))) is None


def test_comparison_grid_sets_columns_side_by_side():
    first, second = np.zeros((2, 3, 5, 3)), np.ones((2, 3, 5, 3))
    grid = srez.pictures.image.comparison_grid([first, second], magnify=2)
    assert grid.shape == (12, 20, 3)
    assert not grid[:, :10].any()
    assert grid[:, 10:].all()
