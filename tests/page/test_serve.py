"""The page without a browser: what its functions give, and how its server starts and ends."""

import concurrent.futures
import shutil
import signal
import socket
import urllib.request
import zipfile
from unittest.mock import Mock

import gradio as gr
import gradio_client
import numpy as np
import pytest

import srez_main
from srez.console import install
from srez.options import Options
from srez.page import serve
from srez.page.serve import Page
from srez.page.server import is_local, launch, temporary_folder
from srez.page.training import Training
from srez.pictures.geometry import celeba_box
from srez.pictures.image import read_image, to_uint8, write_image
from srez.run.weights import BOX, Networks
from tests.conftest import PATIENCE, ROOT, free_port, serving
from tests.page.conftest import VISITOR

ASTRONAUT = ROOT / "docs" / "astronaut_small.png"


@pytest.fixture
def early(tmp_path):
    """A page whose networks aren't there yet."""
    return Page(Options(run="serve", weights="shipped"), tmp_path)


def test_an_upload_that_comes_too_early_waits_and_is_answered(early):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        found = pool.submit(early.photo.look, str(ASTRONAUT), VISITOR)
        assert early.asked.wait(PATIENCE) and not found.done()
        early.load()
        assert "1 face, 20 pixels wide" in found.result(PATIENCE)[-1]


def test_the_tabs_tell_that_they_are_getting_ready_as_long_as_they_are(early):
    early.networks.of = lambda *_: []
    early.drawing.warm_up = lambda: None
    told = early.tell()
    assert [tab.visible for tab in next(told)] == [True] * 3
    early.load()
    assert [tab.visible for tab in next(told)] == [False] * 3
    assert early.asked.is_set()
    assert [[tab.visible for tab in tabs] for tabs in early.tell()] == [[False] * 3]


def test_networks_that_cant_be_loaded_end_the_server_with_their_line(early, monkeypatch):
    early.networks.of = Mock(side_effect=OSError("weights: damaged"))
    monkeypatch.setattr(serve, "Page", lambda *_: early)
    monkeypatch.setattr(serve, "launch", lambda *_: "http://me")
    early.asked.set()
    with pytest.raises(OSError, match="^weights: damaged$"):
        serve._serve(early.options, [])
    with pytest.raises(gr.Error, match="can't be loaded"):
        early.photo.look(str(ASTRONAUT), VISITOR)
    assert early.drawing.paint("80" * (3 * 16 * 16)) == ""


def test_damaged_weights_in_the_box_are_told_before_the_page_opens(tmp_path, monkeypatch):
    copy = tmp_path / "box"
    shutil.copytree(BOX, copy)
    (copy / "faces128_faithful.weights.h5").write_bytes(b"no weights")
    monkeypatch.setattr("srez.run.weights.BOX", copy)
    with pytest.raises(OSError, match="faces128_faithful.weights.h5 is damaged or gone"):
        Page(Options(run="serve", weights="shipped"), tmp_path)


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
    assert "\n\nwhite.png (60x60): no face found, so nothing is made\n\n" in words
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


def test_an_address_is_local_or_not():
    hosts = ["127.0.0.1", "localhost", "::1", "0.0.0.0", "me"]
    assert [host for host in hosts if is_local(host)] == ["127.0.0.1", "localhost", "::1"]


@pytest.mark.parametrize("password", [None, "mellon"])
def test_for_all_addresses_it_warns_without_a_password(early, monkeypatch, capsys, password):
    early.load = lambda: None
    monkeypatch.setattr(serve, "Page", lambda *_: early)
    monkeypatch.setattr(serve, "launch", lambda *_: "http://me")
    serve._serve(Options(run="serve", serve_host="0.0.0.0", serve_password=password), [143])
    warned = "all who reach this machine can use the page; give" in capsys.readouterr().err
    assert warned == (not password)


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


def test_a_port_in_use_is_one_line(here, monkeypatch, capsys):
    monkeypatch.setattr(serve.signal, "signal", Mock())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        flag = f"--serve_port={taken.getsockname()[1]}"
        assert srez_main.main(["srez_main.py", "--run=serve", "--weights=shipped", flag]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert f"{flag}: can't listen there" in line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_and_waits_for_no_thread(monkeypatch, number):
    handlers, leave = {}, Mock()
    monkeypatch.setattr(serve.signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(serve, "_serve", lambda *_: handlers[number](number, None))
    monkeypatch.setattr(serve.os, "_exit", leave)
    with pytest.raises(SystemExit):
        serve.serve(Options(run="serve"))
    leave.assert_called_once_with(128 + number)


@pytest.mark.slow
def test_visitors_at_once_bad_files_and_a_kill_are_survived_and_ctrl_c_leaves_nothing(tmp_path):
    (tmp_path / "bad.png").write_text("no picture")
    port = free_port()
    arguments = (f"--serve_port={port}", "--weights=shipped")

    def sharpened(path, address):
        client = gradio_client.Client(address, verbose=False, download_files=tmp_path / "got")
        client.predict(gradio_client.handle_file(path), api_name="/look")
        return client.predict(1, 1.0, api_name="/sharpen")[0]

    with serving(tmp_path, *arguments):
        pass  # it is killed
    assert len(list(tmp_path.glob("srez_page_*"))) == 1
    with serving(tmp_path, *arguments) as (process, address):
        assert address == f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(address) as answer:
            assert "default-src 'self'" in answer.headers["content-security-policy"]
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            words = [pool.submit(sharpened, ASTRONAUT, address) for _ in range(6)]
            bad = pool.submit(sharpened, tmp_path / "bad.png", address)
        with pytest.raises(gradio_client.exceptions.AppError, match="bad.png: can't be read"):
            bad.result()
        assert all("are invented" in each.result() for each in words)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    assert not list(tmp_path.glob("srez_page_*"))
