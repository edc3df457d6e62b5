import os
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

import srez.drawn.faces
from srez.drawn.faces import draw_face, sample_faces
from srez.pictures.image import celeba_box, read_image


@pytest.fixture(scope="module")
def drawn():
    """Twenty faces, uint8 [20, 218, 178, 3]."""
    return np.stack([np.asarray(draw_face(0, index)) for index in range(20)])


def _mean(pictures, x, y, reach):
    window = pictures[:, y - reach : y + reach + 1, x - reach : x + reach + 1]
    return window.mean((1, 2, 3))


def test_a_face_has_the_size_of_celeba():
    face = draw_face(0, 0)
    assert (face.mode, face.size) == ("RGB", (178, 218))


def test_the_same_numbers_give_the_same_face():
    first, second = (draw_face(3, 7).tobytes() for _ in range(2))
    assert first == second


def test_other_numbers_give_other_faces(drawn):
    other_seed = np.asarray(draw_face(1, 0))
    faces = np.concatenate([drawn, other_seed[None]]).astype(int)
    differences = np.abs(faces[:, None] - faces).mean((2, 3, 4))
    assert differences[~np.eye(len(faces), dtype=bool)].min() > 10


def test_the_eyes_are_where_celeba_has_them(drawn):
    for x in (69, 108):
        eyes = _mean(drawn, x, 111, 2)
        for beside in (_mean(drawn, x, 127, 3), _mean(drawn, 88, 119, 2)):
            assert (eyes < beside).mean() > 0.8


def test_faces_differ_in_how_light_their_skin_is(drawn):
    cheeks = _mean(drawn, 70, 130, 4)
    assert cheeks.min() < 110
    assert cheeks.max() > 190


def test_a_64x64_crop_has_detail_that_16x16_pixels_lack(drawn):
    crops = np.stack([celeba_box(face) for face in drawn]) / 255.0
    high_res = crops.reshape(-1, 64, 2, 64, 2, 3).mean((2, 4))
    low_res = high_res.reshape(-1, 16, 4, 16, 4, 3).mean((2, 4))
    for small, large in zip(low_res, high_res, strict=True):
        image = Image.fromarray((small * 255).astype(np.uint8)).resize((64, 64), Image.BICUBIC)
        assert np.abs(np.asarray(image) / 255.0 - large).mean() > 0.015


@pytest.fixture
def folder(tmp_path):
    """A folder with two sample faces, alone in `tmp_path`."""
    return sample_faces(tmp_path, seed=5, count=2)


def test_sample_faces_are_as_many_as_asked_for(folder):
    assert sorted(os.listdir(folder)) == ["000000.jpg", "000001.jpg"]
    difference = np.asarray(draw_face(5, 1), int) - read_image(folder / "000001.jpg")
    assert np.abs(difference).mean() < 3  # JPEG's loss


def test_sample_faces_are_drawn_once(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(srez.drawn.faces, "tempfile", None)
    assert sample_faces(tmp_path, seed=5, count=2) == folder


def test_an_incomplete_folder_is_drawn_again(folder, tmp_path):
    (folder / "000001.jpg").unlink()
    (tmp_path / ".faces-killed").mkdir()
    assert sample_faces(tmp_path, seed=5, count=2) == folder
    assert len(os.listdir(folder)) == 2


def test_a_faster_process_is_no_error(folder, tmp_path):
    (tmp_path / "late").mkdir()
    srez.drawn.faces._take_the_place(tmp_path / "late", folder, 2)
    assert len(os.listdir(folder)) == 2


def test_nothing_but_the_faces_is_left(folder, tmp_path):
    assert os.listdir(tmp_path) == [folder.name]


def test_a_failed_drawing_leaves_nothing(tmp_path, monkeypatch):
    pool = srez.drawn.faces.concurrent.futures.ProcessPoolExecutor
    monkeypatch.setattr(pool, "map", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        sample_faces(tmp_path, count=2)
    assert os.listdir(tmp_path) == []
