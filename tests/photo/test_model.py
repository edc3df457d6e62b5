import doctest
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from PIL import Image
from skimage import data

import srez
import srez.photo.align
import srez.photo.faces
import srez_infer
import srez_main
from srez.options import Options
from srez.pictures.image import read_image
from srez.run.weights import Networks
from tests.conftest import ROOT


@pytest.fixture
def checkpoint_dir(trained_small, small):
    return str(trained_small / "original" / "checkpoint")


@pytest.fixture
def model(checkpoint_dir):
    return srez.load(checkpoint_dir=checkpoint_dir, faces="all")


@pytest.fixture
def photo(here, monkeypatch):
    """A photo's path, in which two faces are found."""
    boxes = ((30, 20, 40), (120, 60, 90))
    eyes = np.array([srez.photo.align.eyes_of_box(*box) for box in boxes])
    monkeypatch.setattr(srez.photo.faces, "find_faces", lambda _: eyes)
    Image.fromarray(data.chelsea()[:200, :300]).save("me.png")
    return "me.png"


def test_the_results_are_those_of_the_command_line_bit_for_bit(model, checkpoint_dir, photo):
    srez_infer.infer(Options(infer_input=photo, checkpoint_dir=checkpoint_dir, faces="all"))
    found = model.enlarge(photo)
    assert len(found) == 2
    for number, face in enumerate(found, 1):
        np.testing.assert_array_equal(face.image, read_image(f"result_{number}.png"))
    np.testing.assert_array_equal(found.photo, read_image("result_photo.png"))


def test_a_path_a_pillow_image_and_an_array_give_the_same(model, photo, capsys):
    image = Image.open(photo)
    results = [model.enlarge(each) for each in (photo, image, np.asarray(image))]
    for found in results:
        assert [face.box for face in found] == [(30, 20, 70, 60), (120, 60, 210, 150)]
        np.testing.assert_array_equal(found[1].image, results[0][1].image)
        np.testing.assert_array_equal(found.photo, results[0].photo)
    assert capsys.readouterr().out == ""


def test_what_a_cut_out_lets_through_the_photo_lets_through_too(model, photo):
    image = Image.open(photo)
    image.putalpha(128)
    assert model.enlarge(image).photo.getpixel((0, 0))[3] == 128


def test_a_photo_without_a_face_stays_as_it_is(model, photo, monkeypatch):
    monkeypatch.setattr(srez.photo.faces, "find_faces", lambda _: np.zeros((0, 2, 2)))
    found = model.enlarge(photo)
    assert len(found) == 0
    np.testing.assert_array_equal(found.photo, Image.open(photo))


def test_a_small_picture_is_one_face(model, here):
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    [face] = found = model.enlarge(image)
    assert face.box == (0, 0, 16, 16)
    np.testing.assert_array_equal(found.photo, face.image)
    np.testing.assert_array_equal(face.image, model(image[None])[0])


def test_where_faces_cant_be_looked_for_it_is_said_and_the_square_is_for_the_asking(
    model, checkpoint_dir, photo, monkeypatch
):
    monkeypatch.setattr(srez.photo.faces, "missing", lambda: "no dlib here")
    monkeypatch.setattr("srez.photo.model.missing", lambda: "no dlib here")
    with pytest.raises(OSError, match="me.png .300x200.: no dlib here"):
        model.enlarge(photo)
    square = srez.load(checkpoint_dir=checkpoint_dir, faces="off")
    [face] = square.enlarge(photo)
    assert face.box == (50, 0, 250, 200)


def test_arrays_keep_their_type_and_threads_give_the_same(model):
    images = np.random.default_rng(0).random((4, 16, 16, 3))
    expected = model(images)
    assert expected.dtype == np.float32 and expected.shape == (4, 64, 64, 3)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(model, [images] * 8):
            np.testing.assert_array_equal(found, expected)
    levels = np.rint(255 * images).astype(np.uint8)
    assert model(levels).dtype == np.uint8


@pytest.mark.parametrize("shape", [(16, 16, 3), (1, 16, 16, 4)])
def test_arrays_of_other_shapes_and_types_are_refused(model, shape):
    with pytest.raises(ValueError, match=r"expected \[B, H, W, 3\]"):
        model(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="int64: expected"):
        model(np.zeros((1, 16, 16, 3), np.int64))
    with pytest.raises(ValueError, match=r"expected \[H, W, 3\], uint8"):
        model.enlarge(np.zeros((16, 16, 3)))


def test_an_option_that_is_none_and_a_bad_value_are_refused():
    with pytest.raises(TypeError, match="fidelty"):
        srez.load(fidelty=1.0)
    with pytest.raises(ValueError, match="--fidelity=2"):
        srez.enlarge("me.png", fidelity=2.0)
    with pytest.raises(OSError, match="--checkpoint_dir=nowhere"):
        srez.load(checkpoint_dir="nowhere")


def test_another_keras_than_srez_needs_is_named(monkeypatch, checkpoint_dir):
    monkeypatch.setattr(keras.config, "floatx", lambda: "float16")
    with pytest.raises(OSError, match="Keras is set to tensorflow, float16, channels_last"):
        srez.load(checkpoint_dir=checkpoint_dir)


def test_networks_are_loaded_once_whatever_threads_ask(checkpoint_dir):
    networks = Networks(Options(checkpoint_dir=checkpoint_dir))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: networks.of(64, "on")[0], range(4)))
    assert len({id(each) for each in found}) == 1


def test_importing_srez_loads_nothing_heavy():
    code = "import srez, sys; print({'tensorflow', 'keras', 'numpy', 'PIL'} & {*sys.modules})"
    words = [sys.executable, "-c", code]
    assert subprocess.run(words, cwd=ROOT, capture_output=True, text=True).stdout == "set()\n"


def test_training_has_the_options_names_and_ctrl_c_is_a_keyboard_interrupt(monkeypatch):
    asked = []
    monkeypatch.setattr(srez_main, "train", asked.append)
    srez.train(train_batches=3, batch_size=2)
    assert asked == [Options(train_batches=3, batch_size=2)]

    def stopped(_):
        raise SystemExit(130)

    monkeypatch.setattr(srez_main, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        srez.train()
    monkeypatch.setattr(srez_main, "train", lambda _: 1)
    with pytest.raises(OSError, match="status 1"):
        srez.train()


def test_the_lines_of_the_documentation_give_what_they_say(here):
    (here / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "astronaut_small.png", here / "docs")
    found = doctest.testfile(str(ROOT / "docs" / "API.md"), module_relative=False)
    assert found.attempted > 8 and not found.failed
