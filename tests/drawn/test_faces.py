import contextlib
import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

import srez.drawn.faces
from srez.drawn.faces import draw_face, sample_faces
from srez.pictures.geometry import celeba_box
from srez.pictures.image import read_image
from tests.conftest import PATIENCE, ROOT, until


@pytest.fixture(scope="module")
def drawn():
    """Twenty faces, uint8 [20, 218, 178, 3]."""
    return np.stack([np.asarray(draw_face(0, index)) for index in range(20)])


def _mean(pictures, x, y, reach):
    window = pictures[:, y - reach : y + reach + 1, x - reach : x + reach + 1]
    return window.mean((1, 2, 3))


def test_the_same_numbers_give_the_same_face():
    first, second = (draw_face(3, 7).tobytes() for _ in range(2))
    assert first == second


def test_other_numbers_give_other_faces(drawn):
    other_seed = np.asarray(draw_face(1, 0))
    faces = np.concatenate([drawn, other_seed[None]])[:, ::4, ::4].astype(int)
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


def test_sample_faces_are_drawn_once_and_that_is_said(tmp_path, monkeypatch, capsys):
    folder = sample_faces(tmp_path, seed=5, count=2)
    said = f"Drawing 2 sample faces, once: they are kept in {folder}.\n"
    assert capsys.readouterr().out == said
    assert os.listdir(tmp_path) == [folder.name]
    assert sorted(os.listdir(folder)) == ["000000.jpg", "000001.jpg"]
    difference = np.asarray(draw_face(5, 1), int) - read_image(folder / "000001.jpg")
    assert np.abs(difference).mean() < 3  # JPEG's loss
    monkeypatch.setattr(srez.drawn.faces, "tempfile", None)
    assert sample_faces(tmp_path, seed=5, count=2) == folder
    assert capsys.readouterr().out == ""


def test_an_incomplete_folder_is_drawn_again(tmp_path):
    folder = tmp_path / "faces-v1-0"
    folder.mkdir()
    (folder / "000000.jpg").touch()
    (tmp_path / ".faces-killed").mkdir()
    assert sample_faces(tmp_path, count=2) == folder
    assert len(os.listdir(folder)) == 2


def test_a_faster_process_is_no_error(tmp_path):
    for name in ("late", "there"):
        (tmp_path / name).mkdir()
    (tmp_path / "there" / "000000.jpg").touch()
    srez.drawn.faces._take_the_place(tmp_path / "late", tmp_path / "there", 1)
    assert len(os.listdir(tmp_path / "there")) == 1


def test_a_failed_drawing_leaves_nothing(tmp_path, monkeypatch):
    wait = Mock(side_effect=KeyboardInterrupt)
    monkeypatch.setattr(srez.drawn.faces.connection, "wait", wait)
    with pytest.raises(KeyboardInterrupt):
        sample_faces(tmp_path, count=2)
    assert os.listdir(tmp_path) == []


# So many that they would not be done in PATIENCE.
DRAW = "from srez.drawn.faces import sample_faces; sample_faces({!r}, count=50_000)"


@pytest.fixture
def drawing(tmp_path):
    """A process group that draws into tmp_path, where all its processes are at work."""
    command = [sys.executable, "-c", DRAW.format(str(tmp_path))]
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True) as process:
        until(lambda: list(tmp_path.glob(".faces-*/*/*.jpg")))
        yield process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _is_empty(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_ctrl_c_ends_the_drawing_at_once(drawing, tmp_path):
    for _ in range(2):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(drawing.pid, signal.SIGINT)
        time.sleep(0.02)  # the second comes while the first is heeded
    assert drawing.wait(timeout=PATIENCE) == -signal.SIGINT
    until(lambda: _is_empty(drawing.pid))


def test_a_killed_drawing_leaves_no_process(drawing):
    drawing.kill()
    drawing.wait()
    until(lambda: _is_empty(drawing.pid))


def test_a_face_that_cant_be_written_is_an_error_here_too(tmp_path):
    (tmp_path / "000001.jpg").mkdir()
    with pytest.raises(OSError, match=os.strerror(errno.EISDIR)):
        srez.drawn.faces._draw_all(tmp_path, 0, 50_000)


def test_a_process_that_was_killed_is_an_error_here_too(tmp_path, monkeypatch):
    wait = srez.drawn.faces.connection.wait

    def killing(*arguments):
        for child in multiprocessing.active_children():
            child.kill()
        return wait(*arguments)

    monkeypatch.setattr(srez.drawn.faces.connection, "wait", killing)
    with pytest.raises(OSError, match="was killed: start again"):
        srez.drawn.faces._draw_all(tmp_path, 0, 2)


@pytest.mark.skipif(
    not hasattr(signal, "pthread_sigmask"),
    reason="Windows has no such mask, and the code that is tested does nothing there",
)
def test_the_processes_that_draw_never_see_ctrl_c(tmp_path):
    code = (
        "import multiprocessing, signal\n"
        "from srez.drawn.faces import _ctrl_c_is_for_the_parent\n"
        "context = multiprocessing.get_context('spawn')\n"
        "with _ctrl_c_is_for_the_parent():\n"
        "    context.Process(target=print).start()\n"
        "    print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "True" in found.stdout
