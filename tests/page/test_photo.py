"""The tab Photo: which faces are found, and that each is made as on the command line."""

import re
import shutil
from pathlib import Path

import gradio as gr
import numpy as np
import onnxruntime
import pytest

from srez.drawn.faces import draw_face
from srez.options import Options
from srez.photo.align import eyes_of_box
from srez.pictures.geometry import celeba_box, shrink
from srez.pictures.image import read_image, to_uint8, write_image
from srez.quality.export import export
from srez_infer import infer
from tests.conftest import ROOT
from tests.page.conftest import VISITOR

ASTRONAUT = ROOT / "docs" / "astronaut_small.png"


def _sharpened(page, path, fidelity=1.0):
    """The words and the result file of a picture's first face."""
    photo, *_ = page.photo.look(str(path), VISITOR)
    words, *_, files, _ = page.photo.sharpen(photo, 1, fidelity, VISITOR)
    return words, files[0]


@pytest.mark.parametrize("fidelity", [0.0, 0.35, 1.0])
def test_the_page_gives_the_same_files_as_the_command_line(page, here, fidelity):
    infer(Options(infer_input=str(ASTRONAUT), faces="all", fidelity=fidelity, weights="shipped"))
    _, found = _sharpened(page, ASTRONAUT, fidelity)
    assert Path(found).read_bytes() == Path("result.png").read_bytes()
    photo, *_ = page.photo.look(str(ASTRONAUT), VISITOR)
    _, (*_, whole) = page.photo.put_back(photo, 1, fidelity, VISITOR)
    assert Path(whole).read_bytes() == Path("result_photo.png").read_bytes()


@pytest.mark.slow
def test_the_page_gives_the_pixels_of_the_onnx_export(page, here):
    [small] = to_uint8(np.asarray(shrink(celeba_box(np.asarray(draw_face(1, 0)))[None] / 255, 16)))
    write_image("small.png", small)
    path = export(Options(weights="shipped", fidelity=0.35, export_format="onnx"))
    session = onnxruntime.InferenceSession(str(path))
    low_res = small[None] / np.float32(255.0)
    expected = to_uint8(session.run(None, {session.get_inputs()[0].name: low_res})[0][0])
    _, found = _sharpened(page, "small.png", 0.35)
    differences = np.abs(read_image(found).astype(int) - expected)
    # A value between two levels is rounded to one or the other by the last bits of a sum.
    assert differences.max() <= 1 and (differences > 0).mean() < 1e-3


def test_a_face_is_told_of_in_words(page):
    words, _ = _sharpened(page, ASTRONAUT)
    assert words.startswith("astronaut_small.png (48x48): 1 face, 20 pixels wide")
    assert re.search(r"Made small again, .* \d\d\.\d\d dB\.", words)
    assert re.search(r"The details are invented\*\*, \d\.\d of 255 levels", words)
    assert str(page.folder) not in words


def test_a_face_too_large_to_gain_is_said_to_be_so(page, tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    write_image(path, read_image(ASTRONAUT).repeat(8, axis=0).repeat(8, axis=1))
    eyes = np.array([eyes_of_box(90, 80, 200)])
    monkeypatch.setattr("srez.photo.faces.find_faces", lambda _: eyes)
    photo, *_ = page.photo.look(str(path), VISITOR)
    words, *_ = page.photo.sharpen(photo, 1, 1.0, VISITOR)
    assert "1 face, 200 pixels wide, brought to 128x128" in words
    assert "**A face of more than 128 pixels keeps its size in the photo.**" in words


def test_a_narrow_picture_is_shown_no_larger_than_others(page, tmp_path, monkeypatch):
    monkeypatch.setattr("srez.photo.faces.missing", lambda: "No faces here")
    write_image(tmp_path / "narrow.png", np.zeros((3000, 1, 3), np.uint8))
    _, picture, *_ = page.photo.look(str(tmp_path / "narrow.png"), VISITOR)
    assert read_image(picture).shape == (3000, 1, 3)


def test_an_upload_without_a_face_is_said_to_be_so_and_takes_the_place_of_the_last_one(
    page, tmp_path
):
    write_image(tmp_path / "white.png", np.full((60, 60, 3), 255, np.uint8))
    photo, found, _, _, words = page.photo.look(str(tmp_path / "white.png"), VISITOR)
    assert photo is None and found is None
    assert words.startswith("white.png (60x60): no face found, so nothing is made. A face is")
    said, *nothing, _ = page.photo.sharpen(photo, None, 1.0, VISITOR)
    assert said == gr.skip() and nothing == [None] * 4


def test_a_photo_on_its_side_is_shown_upright_and_gives_the_same_face(page, tmp_path):
    image = np.pad(read_image(ASTRONAUT), ((0, 30), (0, 50), (0, 0)), mode="edge")
    write_image(tmp_path / "upright.png", image)
    write_image(tmp_path / "side.png", np.rot90(image))
    (one, shown, *_), (two, also, *_) = (
        page.photo.look(str(tmp_path / f"{name}.png"), VISITOR) for name in ("upright", "side")
    )
    assert np.array_equal(read_image(shown), read_image(also))
    np.testing.assert_allclose(one.centres, two.centres)
    assert "side.png (78x98) lies on its side (faces turned a quarter to the right): 1" in two.words
    pair = [_sharpened(page, tmp_path / f"{name}.png")[1] for name in ("upright", "side")]
    assert np.abs(np.subtract(*(read_image(path).astype(int) for path in pair))).max() <= 1


def test_a_face_whose_upload_was_removed_is_named(page, tmp_path):
    path = shutil.copy(ASTRONAUT, tmp_path / "me.png")
    photo, *_ = page.photo.look(str(path), VISITOR)
    path.unlink()
    with pytest.raises(gr.Error, match="me.png is gone: upload it again"):
        page.photo.put_back(photo, 1, 1.0, VISITOR)
