import re
import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

import srez_demo
from srez.pictures.image import write_image


def _sheets(folder, count, size=(64, 32)):
    for number in range(count):
        grey = np.full((*size, 3), number / max(count - 1, 1))
        write_image(folder / f"batch{number * 200:06d}_out.png", grey)


def _frames(video):
    frames = imageio_ffmpeg.read_frames(str(video))
    width, height = next(frames)["size"]
    return [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in frames]


def test_the_video_plays_in_a_browser(tmp_path):
    _sheets(tmp_path, 4)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", srez_demo.make_video(tmp_path)]
    text = subprocess.run(command, capture_output=True, text=True).stderr
    assert "Video: h264" in text
    assert "yuv420p" in text
    assert "30 fps" in text
    assert re.search("Duration: 00:00:05.0", text)


def test_its_sides_are_even(tmp_path):
    _sheets(tmp_path, 1, (33, 21))
    height, width, _ = _frames(srez_demo.make_video(tmp_path))[0].shape
    assert (height % 2, width % 2) == (0, 0)


def test_each_sheet_is_held_for_its_share(tmp_path):
    _sheets(tmp_path, 3)
    frames = _frames(srez_demo.make_video(tmp_path))
    assert len(frames) == 150
    levels = [frame[-20:].mean() for frame in frames]
    for start, grey in ((0, 0.0), (50, 127.5), (100, 255.0)):
        np.testing.assert_allclose(levels[start : start + 50], grey, atol=6)


def test_many_sheets_get_a_frame_each(tmp_path):
    _sheets(tmp_path, 160, (16, 16))
    assert len(_frames(srez_demo.make_video(tmp_path))) == 160


def test_the_batch_number_stands_on_each_frame(tmp_path):
    for batch in (0, 200):
        write_image(tmp_path / f"batch{batch:06d}_out.png", np.zeros((64, 64, 3)))
    frames = _frames(srez_demo.make_video(tmp_path))
    captions = [frame[: srez_demo.CAPTION_HEIGHT].astype(int) for frame in (frames[0], frames[-1])]
    assert all((caption > 200).sum() > 100 for caption in captions)
    assert (np.abs(captions[0] - captions[1]) > 100).sum() > 50


def test_sheets_of_another_size_and_broken_ones_are_named_and_left_out(tmp_path, capsys):
    _sheets(tmp_path, 3)
    write_image(tmp_path / "batch000001_out.png", np.zeros((10, 10, 3)))
    (tmp_path / "batch000002_out.png").write_text("broken")
    (tmp_path / "batch_of_mine_out.png").write_text("no sheet")
    srez_demo.make_video(tmp_path)
    out = capsys.readouterr().out
    assert "batch000001_out.png is 10x10, the newest sheet 32x64" in out
    assert "batch000002_out.png: can't be read as a picture" in out
    assert "3 sheets" in out


def test_sheets_are_shown_in_the_order_of_their_batches(tmp_path):
    for batch, grey in ((999_999, 0.0), (1_000_000, 1.0)):
        write_image(tmp_path / f"batch{batch:06d}_out.png", np.full((16, 16, 3), grey))
    frames = _frames(srez_demo.make_video(tmp_path))
    assert frames[0][-10:].mean() < 10
    assert frames[-1][-10:].mean() > 245


def test_without_sheets_it_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"--train_dir={tmp_path}; run --run train first"):
        srez_demo.make_video(tmp_path)


def test_no_temporary_file_is_left(tmp_path):
    _sheets(tmp_path, 2)
    srez_demo.make_video(tmp_path)
    names = {path.name for path in tmp_path.iterdir() if path.suffix != ".png"}
    assert names == {"demo1.mp4", "demo1.webp"}


def test_the_animation_shows_the_sheets_in_two_megabytes_at_most(tmp_path, monkeypatch):
    draws = np.random.default_rng(0)
    for batch in range(0, 600, 20):  # noise: nothing takes more bytes
        write_image(tmp_path / f"batch{batch:06d}_out.png", draws.random((900, 40, 3)))
    monkeypatch.setattr(srez_demo, "ANIMATION_BYTES", 100_000)
    srez_demo.make_video(tmp_path)
    assert (tmp_path / "demo1.webp").stat().st_size <= 100_000
    with Image.open(tmp_path / "demo1.webp") as animation:
        assert animation.n_frames == 25
        assert animation.info["loop"] == 0


def test_the_animation_is_no_higher_than_720_pixels(tmp_path):
    write_image(tmp_path / "batch000000_out.png", np.zeros((900, 40, 3)))
    srez_demo.make_video(tmp_path)
    with Image.open(tmp_path / "demo1.webp") as animation:
        assert animation.height == 720


def test_losses_stand_beside_the_batch(tmp_path):
    (tmp_path / "losses.csv").write_text("batch,loss/gene_l1_loss,loss/gene_loss\n20,0.1,0.25\n30,")
    paths = [tmp_path / f"batch{batch:06d}_out.png" for batch in (0, 20, 23)]
    for path in paths:
        write_image(path, np.zeros((64, 532, 3)))
    letters = [(srez_demo._frame(path).max(axis=2) > 150).sum() for path in paths]
    assert letters[1] > 2 * letters[0]
    assert letters[2] > 2 * letters[0]
