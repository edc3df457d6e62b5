import numpy as np
import pytest
from PIL import Image

from srez.data.source import open_source
from srez.pictures.image import celeba_box, read_image
from srez.pictures.load import load_pictures
from tests.odd_files import TURNS, face


def test_load_pictures_gives_the_plain_box(source):
    _, low_res, high_res = load_pictures(source, [2], 64)
    box = celeba_box(read_image(source.read(2), "2")) / 255.0
    expected = box.reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(high_res[0] - expected).max() < 2 / 255
    assert low_res.shape == (1, 16, 16, 3)


@pytest.mark.parametrize("size", [(300, 200), (60, 90), (144, 144), (1500, 1000)])
def test_a_picture_of_another_size_gives_its_centred_square(tmp_path, size):
    width, height = size
    columns = np.abs(np.arange(width) - (width - 1) / 2) / min(size)  # dark middle, light sides
    image = np.repeat((columns * 255)[None, :, None], height, 0).repeat(3, 2).astype(np.uint8)
    for number in range(5):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    _, _, high_res = load_pictures(open_source(tmp_path), [0], 64)
    profile = high_res[0].mean((0, 2))
    # The box is the 128 of 144 pixels in the middle of the square: 4/9 to either side.
    np.testing.assert_allclose(profile, profile[::-1], atol=0.01)
    assert profile[0] == pytest.approx(4 / 9, abs=0.015)


def test_a_picture_turned_by_exif_is_turned_back(tmp_path):
    exif = Image.Exif()
    exif[TURNS] = 3  # upside down
    face().rotate(180).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    face().save(tmp_path / "upright.jpg", quality=95)
    _, _, (turned, upright) = load_pictures(open_source(tmp_path), [0, 1], 64)
    assert np.abs(turned - upright).mean() < 0.01
