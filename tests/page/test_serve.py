"""The page without a browser: what its functions give, and how its server starts and ends."""

import concurrent.futures
import dataclasses
import os
import re
import shutil
import signal
import socket
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from unittest.mock import Mock

import gradio as gr
import gradio_client
import numpy as np
import onnxruntime
import pytest

import srez_main
from srez.console import install
from srez.drawn.faces import draw_face
from srez.options import Options
from srez.page.serve import Page
from srez.page.server import is_local, launch, temporary_folder
from srez.page.training import Training
from srez.photo.align import eyes_of_box
from srez.pictures.image import celeba_box, read_image, to_uint8, write_image
from srez.pictures.resize import shrink
from srez.quality.export import export
from srez.run.weights import Networks
from srez_infer import infer
from tests.conftest import ROOT, free_port, run_main, serving
from tests.odd_files import jpeg, jpeg_of_size

ASTRONAUT = ROOT / "docs" / "astronaut_small.png"
VISITOR = Mock(session_hash="one")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    options = Options(run="serve", weights="shipped")
    return Page(options, tmp_path_factory.mktemp("page"))


def _sharpened(page, path, number=1, fidelity=1.0):
    """The words and the result file of a picture's face."""
    photo, *_ = page.look(str(path), VISITOR)
    words, *_, files, _ = page.sharpen(photo, number, fidelity, VISITOR)
    return words, files[0]


@pytest.mark.parametrize("fidelity", [0.0, 0.35, 1.0])
def test_the_page_gives_the_same_file_as_the_command_line(page, here, fidelity):
    infer(Options(infer_input=str(ASTRONAUT), faces="all", fidelity=fidelity, weights="shipped"))
    _, found = _sharpened(page, ASTRONAUT, fidelity=fidelity)
    assert Path(found).read_bytes() == Path("result.png").read_bytes()


def test_the_page_gives_the_pixels_of_the_onnx_export(page, here):
    [small] = to_uint8(np.asarray(shrink(celeba_box(np.asarray(draw_face(1, 0)))[None] / 255, 16)))
    write_image("small.png", small)
    path = export(Options(weights="shipped", fidelity=0.35, export_format="onnx"))
    session = onnxruntime.InferenceSession(str(path))
    low_res = small[None] / np.float32(255.0)
    expected = to_uint8(session.run(None, {session.get_inputs()[0].name: low_res})[0][0])
    _, found = _sharpened(page, "small.png", fidelity=0.35)
    differences = np.abs(read_image(found).astype(int) - expected)
    # A value between two levels is rounded to one or the other by the last bits of a sum.
    assert differences.max() <= 1 and (differences > 0).mean() < 1e-3


def test_the_fidelity_of_one_request_leaves_no_trace_in_the_next(page):
    first, other, again = (
        Path(_sharpened(page, ASTRONAUT, fidelity=fidelity)[1]).read_bytes()
        for fidelity in (0.3, 0.9, 0.3)
    )
    assert first == again != other


def test_a_face_is_chosen_by_a_click_near_it_and_is_named_in_words(page):
    photo, picture, *_ = page.look(str(ASTRONAUT), VISITOR)
    two = dataclasses.replace(photo, centres=[(10, 10), (200, 50)])
    assert page.choose(two, Mock(index=(150, 80))) == 2
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
    photo, *_ = page.look(str(path), VISITOR)
    words, *_ = page.sharpen(photo, 1, 1.0, VISITOR)
    assert "1 face, 200 pixels wide, brought to 32x32" in words
    assert "**A face of more than 128 pixels can't gain: it is made smaller first.**" in words


def test_another_fidelity_has_files_of_its_own_for_the_browser_to_show(page):
    photo, *_ = page.look(str(ASTRONAUT), VISITOR)
    first, second = (page.sharpen(photo, 1, fidelity, VISITOR)[1:5] for fidelity in (0.0, 1.0))
    for (before, after), invented, compare, files in (first, second):
        assert len({before, after, invented, compare, *files}) == 5
    assert not {*first[0], *first[1:3], *first[3]} & {*second[0], *second[1:3], *second[3]}


def test_a_narrow_picture_is_shown_no_larger_than_others(page, tmp_path, monkeypatch):
    monkeypatch.setattr("srez.photo.faces.missing", lambda: "No faces here")
    write_image(tmp_path / "narrow.png", np.zeros((3000, 1, 3), np.uint8))
    _, picture, *_ = page.look(str(tmp_path / "narrow.png"), VISITOR)
    assert read_image(picture).shape == (3000, 1, 3)


def test_an_upload_without_a_face_is_said_to_be_so_and_takes_the_place_of_the_last_one(
    page, tmp_path
):
    write_image(tmp_path / "white.png", np.full((60, 60, 3), 255, np.uint8))
    photo, found, _, _, words = page.look(str(tmp_path / "white.png"), VISITOR)
    assert photo is None and found is None
    assert words.startswith("white.png (60x60): no face found, nothing is made of it. A face is")
    said, *nothing, _ = page.sharpen(photo, None, 1.0, VISITOR)
    assert said == gr.skip() and nothing == [None] * 4


def test_a_photo_on_its_side_is_shown_upright_and_gives_the_same_face(page, tmp_path):
    image = np.pad(read_image(ASTRONAUT), ((0, 30), (0, 50), (0, 0)), mode="edge")
    write_image(tmp_path / "upright.png", image)
    write_image(tmp_path / "side.png", np.rot90(image))
    (one, shown, *_), (two, also, *_) = (
        page.look(str(tmp_path / f"{name}.png"), VISITOR) for name in ("upright", "side")
    )
    assert np.array_equal(read_image(shown), read_image(also))
    np.testing.assert_allclose(one.centres, two.centres)
    assert "side.png (78x98) lies on its side (faces turned a quarter to the right): 1" in two.words
    pair = [_sharpened(page, tmp_path / f"{name}.png")[1] for name in ("upright", "side")]
    assert np.abs(np.subtract(*(read_image(path).astype(int) for path in pair))).max() <= 1


def test_a_face_whose_upload_was_removed_is_named(page, tmp_path):
    path = shutil.copy(ASTRONAUT, tmp_path / "me.png")
    photo, *_ = page.look(str(path), VISITOR)
    path.unlink()
    with pytest.raises(gr.Error, match="me.png is gone: upload it again"):
        page.put_back(photo, 1, 1.0, VISITOR)


def test_the_photo_with_its_face_put_back_is_the_command_lines(page, here):
    infer(Options(infer_input=str(ASTRONAUT), faces="all", weights="shipped"))
    photo, *_ = page.look(str(ASTRONAUT), VISITOR)
    _, files = page.put_back(photo, 1, 1.0, VISITOR)
    assert Path(files[2]).read_bytes() == Path("result_photo.png").read_bytes()


BAD_UPLOADS = {
    "text.png": b"no picture",
    "empty.png": b"",
    "cut.jpg": jpeg()[:-300],
    "large.jpg": jpeg_of_size(60_000, 60_000),
    "movie.mp4": b"\0\0\0\x18ftypmp42",
}


@pytest.mark.parametrize("name", sorted(BAD_UPLOADS))
def test_a_bad_upload_is_one_line_that_names_it(page, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BAD_UPLOADS[name])
    with pytest.raises(gr.Error) as caught:
        page.look(str(path), VISITOR)
    assert caught.value.message.startswith(f"{name}: can't be read as a picture (")
    assert "\n" not in caught.value.message


def test_what_was_made_for_a_visitor_is_gone_when_he_leaves(page):
    _, found = _sharpened(page, ASTRONAUT)
    assert os.path.exists(found)
    page.leave(VISITOR)
    assert not os.path.exists(found)


def test_many_pictures_become_a_gallery_and_a_zip_and_bad_ones_are_named(
    page, faces, tmp_path, capsys
):
    (tmp_path / "bad.png").write_text("no picture")
    shutil.copy(faces / "00.jpg", tmp_path / "bad2.txt")
    shutil.copy(faces / "02.jpg", tmp_path / "00.jpg")
    write_image(tmp_path / "white.png", np.full((60, 60, 3), 255, np.uint8))
    paths = [faces / "00.jpg", faces / "01.jpg", tmp_path / "bad.png", tmp_path / "bad2.txt"]
    paths += [tmp_path / "00.jpg", tmp_path / "white.png"]
    words, gallery, archive = page.many.sharpen_all(list(map(str, paths)), VISITOR)
    assert not any(capsys.readouterr())  # what visitors do isn't told in the terminal
    assert words.startswith("3 results made.")
    assert "bad.png: can't be read as a picture" in words
    assert "\n\nwhite.png (60x60): no face found, nothing is made of it\n\n" in words
    assert "Left out: 1 that are no pictures" in words
    assert [name for _, name in gallery] == ["00", "01", "5_00"]
    assert {"00.png", "01.png"} < set(zipfile.ZipFile(archive).namelist())


@pytest.mark.parametrize("side", [16, 32])
def test_a_painted_face_is_what_the_network_gives(page, faces, side):
    box = celeba_box(read_image(faces / "03.jpg"))
    step = 128 // side
    small = to_uint8(box.reshape(side, step, side, step, 3).mean(axis=(1, 3)) / 255)
    url = page.drawing.paint(small.tobytes().hex())
    with urllib.request.urlopen(url) as answer:
        found = read_image(answer.read(), "painted")
    networks = Networks(Options(weights="shipped"))
    low_res = small[None] / np.float32(255.0)
    expected = to_uint8(networks.of(4 * side, "on")[0](low_res).numpy()[0])
    assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("pixels", [None, 5, "", "zz", "00" * 3 * 8 * 8, "00" * 769, ["00"]])
def test_anything_but_a_grid_is_no_painting(page, pixels):
    assert page.drawing.paint(pixels) == ""


def test_a_training_is_shown_with_its_newest_sheet_and_followed(trained, tmp_path):
    watch = Training(trained[0] / "train", tmp_path)
    seen, words, _, sheet, charts, options = watch.look(None, True, 1)
    assert "**batch000012**" in words
    newest = read_image(sheet)
    assert np.array_equal(newest, read_image(trained[0] / "train" / "batch000012_out.png"))
    assert charts.count("<svg") >= 4 and options["batch_size"] == 4
    assert all(value == gr.skip() for value in watch.look(seen, True, 1))
    follow, words, first = watch.sheet(1)
    assert follow is False and "batch000000" in words
    assert not np.array_equal(read_image(first), newest)


def test_a_training_without_a_sheet_yet_leaves_the_slider_in_its_range(tmp_path):
    (tmp_path / "losses.csv").write_text("batch\n")
    _, words, number, sheet, *_ = Training(tmp_path, tmp_path).look(None, True, 1)
    assert "no sheet yet" in words and sheet is None
    assert number.minimum <= number.value <= number.maximum


def test_without_a_training_it_says_how_to_start_one(tmp_path):
    _, words, *_ = Training(tmp_path / "train", tmp_path).look(None, True, 1)
    assert "No training in" in words and "--run train" in words


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("me", False)],
)
def test_an_address_is_local_or_not(host, local):
    assert is_local(host) is local


def test_an_address_that_gradio_cannot_take_is_one_line(page):
    with pytest.raises(OSError, match="^--serve_host=::1: give an IPv4 address, or a name$"):
        launch(page.build(), Options(run="serve", serve_host="::1"))


def test_a_fidelity_that_the_weights_lack_is_refused_before_the_page_opens(trained, tmp_path):
    checkpoints = str(trained[0] / "checkpoint")
    with pytest.raises(OSError, match="--fidelity and --invented need weights"):
        Page(Options(run="serve", checkpoint_dir=checkpoints, fidelity=0.5), tmp_path)


def test_the_folder_of_a_server_that_was_killed_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "srez_page_dead").mkdir()
    with temporary_folder() as folder:
        assert [path.name for path in tmp_path.iterdir()] == [folder.name]
        with temporary_folder():
            assert folder.exists()
    assert not list(tmp_path.iterdir())


def test_without_gradio_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert srez_main.main(["srez_main.py", "--run", "serve"]) == 1
    assert capsys.readouterr().err == (
        "srez: --run serve needs Gradio: {}\n".format(install("page.txt"))
    )


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_server_ends_within_a_second_and_leaves_nothing(tmp_path, number, status):
    port = free_port()
    with serving(tmp_path, f"--serve_port={port}") as (process, address):
        assert address == f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(address) as answer:
            assert "default-src 'self'" in answer.headers["content-security-policy"]
        began = time.monotonic()
        process.send_signal(number)
        assert process.wait(10) == status
        assert time.monotonic() - began < 1
    assert not list(tmp_path.glob("srez_page_*"))


@pytest.mark.slow
def test_visitors_at_once_bad_files_and_a_kill_are_survived(tmp_path):
    (tmp_path / "bad.png").write_text("no picture")
    arguments = (f"--serve_port={free_port()}", "--weights=shipped")

    def sharpened(path, address):
        client = gradio_client.Client(address, verbose=False, download_files=tmp_path / "got")
        client.predict(gradio_client.handle_file(path), api_name="/look")
        return client.predict(1, 1.0, api_name="/sharpen")[0]

    for _ in range(2):  # after the first time it is killed, and started again at the same port
        with serving(tmp_path, *arguments) as (_, address):
            with concurrent.futures.ThreadPoolExecutor(6) as pool:
                words = [pool.submit(sharpened, ASTRONAUT, address) for _ in range(6)]
                bad = pool.submit(sharpened, tmp_path / "bad.png", address)
            with pytest.raises(gradio_client.exceptions.AppError, match="bad.png: can't be read"):
                bad.result()
            assert all("are invented" in each.result() for each in words)


@pytest.mark.slow
def test_a_port_in_use_is_one_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = run_main("--run", "serve", f"--serve_port={port}", cwd=tmp_path)
    assert process.returncode == 1
    [line] = process.stderr.splitlines()
    assert f"--serve_port={port}: can't listen there" in line


@pytest.mark.slow
def test_for_all_addresses_it_warns_or_asks_for_the_password(tmp_path):
    port = f"--serve_port={free_port()}"
    with serving(tmp_path, "--serve_host=0.0.0.0", port) as (process, _):
        assert "all who reach this machine can use the page" in process.stderr.readline()
    arguments = ("--serve_host=0.0.0.0", port, "--serve_password=mellon")
    with serving(tmp_path, *arguments) as (_, address):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{address}/gradio_api/info")
        answers = []
        for password in ("friend", "mellon"):
            body = f"username=me&password={password}".encode()
            try:
                answers.append(urllib.request.urlopen(f"{address}/login", body).status)
            except urllib.error.HTTPError as error:
                answers.append(error.code)
    assert answers == [400, 200]
