import os

import numpy as np
import pytest
from PIL import Image

import srez_generator
import srez_infer
from srez_image import celeba_box, read_image
from srez_input import load_pictures
from srez_source import open_source
from tests.odd_files import jpeg, png


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """Enlarges with the trained network in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def infer(infer_input, infer_output=None, weights="ema", infer_batch=16):
        checkpoint_dir = str(trained[0] / "checkpoint")
        srez_infer.infer(infer_input, infer_output, checkpoint_dir, weights, infer_batch)

    return infer


def test_a_celeba_picture_gives_64x64_from_its_box(run, faces, tmp_path, capsys):
    run(faces / "00.jpg")
    assert read_image("result.png").shape == (64, 64, 3)
    assert "the dataset's box" in capsys.readouterr().out


def test_the_input_is_what_training_sees(faces):
    expected, _ = load_pictures(open_source(faces), [3], 64)
    low_res, _ = srez_infer.to_low_res(read_image(faces / "03.jpg"), 16)
    np.testing.assert_allclose(low_res, expected, atol=2 / 255)


def test_the_result_is_the_networks_output(run, trained, faces):
    run(faces / "00.jpg", "out.png")
    generator, size = srez_generator.load_generator(str(trained[0] / "checkpoint"), "ema")
    low_res, _ = srez_infer.to_low_res(read_image(faces / "00.jpg"), size)
    expected = srez_generator.upscale(generator, low_res)[0]
    assert np.abs(read_image("out.png") / 255.0 - expected).max() <= 0.51 / 255


def test_the_comparison_shows_input_bicubic_and_result(run, faces):
    run(faces / "00.jpg")
    comparison = read_image("result_compare.png")
    assert comparison.shape == (256, 768, 3)
    shown = comparison[::4, 512::4]
    assert (shown == read_image("result.png")).all()
    box = celeba_box(read_image(faces / "00.jpg"))
    first = box.reshape(16, 8, 16, 8, 3).mean((1, 3))
    assert np.abs(comparison[8::16, 8:256:16] - first).max() <= 1


@pytest.mark.parametrize(("size", "expected"), [((16, 16), (64, 64)), ((20, 31), (80, 124))])
def test_a_tiny_picture_is_taken_as_it_is(run, tmp_path, capsys, size, expected):
    Image.new("RGB", size, "teal").save(tmp_path / "tiny.png")
    run("tiny.png")
    width, height = expected
    assert read_image("result.png").shape == (height, width, 3)
    assert "taken as it is" in capsys.readouterr().out


def test_any_other_picture_gives_its_centred_square(run, tmp_path, capsys):
    Image.new("RGB", (33, 500), "teal").save(tmp_path / "tall.png")
    run("tall.png")
    assert read_image("result.png").shape == (64, 64, 3)
    assert "the centred square" in capsys.readouterr().out


def test_the_square_is_averaged_over_its_area():
    image = np.random.default_rng(0).integers(0, 256, (320, 480, 3), np.uint8)
    low_res, _ = srez_infer.to_low_res(image, 16)
    expected = image[:, 80:400].reshape(16, 20, 16, 20, 3).mean((1, 3)) / 255.0
    np.testing.assert_allclose(low_res[0], expected, atol=1e-5)


def test_raw_and_averaged_weights_differ(run, faces, capsys):
    run(faces / "00.jpg", "ema.png")
    run(faces / "00.jpg", "raw.png", weights="raw")
    assert (read_image("ema.png") != read_image("raw.png")).any()
    out = capsys.readouterr().out
    assert "averaged weights" in out
    assert "raw weights" in out


def test_a_folder_gives_a_folder_of_png_and_equal_stems_stay_apart(run, faces, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    with Image.open(faces / "00.jpg") as image:
        for name in ("a.jpg", "a.png", "b c.JPG"):
            image.save(folder / name)
    run(folder)
    assert sorted(path.name for path in (tmp_path / "result").iterdir()) == [
        "a.jpg.png",
        "a.png.png",
        "b c.png",
        "compare",
    ]
    assert len(list((tmp_path / "result" / "compare").iterdir())) == 3


def test_a_folder_gives_what_each_picture_alone_gives(run, faces, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.jpg").write_bytes((faces / f"{number:02d}.jpg").read_bytes())
    Image.new("RGB", (20, 12), "teal").save(folder / "tiny.png")
    run(folder, "out", infer_batch=2)
    for picture in folder.iterdir():
        run(picture, "one.png")
        together = read_image(tmp_path / "out" / f"{picture.stem}.png").astype(int)
        assert np.abs(together - read_image("one.png")).max() <= 1


def test_names_that_would_be_equal_all_keep_their_suffix(tmp_path):
    for name in ("a.jpg", "a.png", "a.jpg.png", "b.png"):
        (tmp_path / name).touch()
    jobs = srez_infer._folder_jobs(tmp_path, tmp_path / "out")
    names = [job.target.name for job in jobs]
    assert names == ["a.jpg.png", "a.jpg.png.png", "a.png.png", "b.png.png"]


def test_a_folder_is_not_written_into_a_file(run, tmp_path, faces):
    (tmp_path / "file.png").touch()
    with pytest.raises(NotADirectoryError, match="--infer_output=file.png is a file"):
        run(faces, "file.png")


def test_failures_of_a_folder_are_named_and_the_good_ones_written(run, faces, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jpg").write_text("broken")
    (folder / "b.jpg").write_bytes((faces / "00.jpg").read_bytes())
    with pytest.raises(OSError, match="1 of 2 pictures failed"):
        run(folder, "out")
    assert "a.jpg: cannot be read" in capsys.readouterr().err
    assert (tmp_path / "out" / "b.png").exists()


def test_an_input_is_never_overwritten(run, faces, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    Image.new("RGB", (16, 16)).save(folder / "a.png")
    for infer_input, infer_output in ((folder, folder), (folder / "a.png", folder / "a.png")):
        with pytest.raises(OSError, match="would overwrite the input"):
            run(infer_input, infer_output)


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
@pytest.mark.parametrize("linked", ["result.png", "result_compare.png"])
def test_an_input_is_not_overwritten_by_another_name(tmp_path, monkeypatch, link, linked):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (16, 16)).save("in.png")
    before = (tmp_path / "in.png").read_bytes()
    getattr(tmp_path / linked, link)(tmp_path / "in.png")
    with pytest.raises(OSError, match="would overwrite the input"):
        srez_infer.infer("in.png", None, "nowhere", "ema", 16)
    assert (tmp_path / "in.png").read_bytes() == before


def test_a_result_is_not_written_over_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (16, 16)).save("in.png")
    (tmp_path / "out").mkdir()
    with pytest.raises(IsADirectoryError, match="--infer_output=out is a folder"):
        srez_infer.infer("in.png", "out", "nowhere", "ema", 16)


def test_odd_pictures_are_enlarged_and_hostile_ones_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        srez_infer, "upscale", lambda _, low_res: low_res.repeat(4, axis=1).repeat(4, axis=2)
    )
    folder = tmp_path / "in"
    folder.mkdir()
    Image.new("RGB", (1, 1), "teal").save(folder / "dot.png")
    Image.new("RGB", (3000, 1), "teal").save(folder / "line.jpg")
    Image.new("CMYK", (50, 70), "teal").save(folder / "a\nb.jpg", format="JPEG")
    Image.new("LA", (50, 70)).save(folder / "\udcff.jpg", format="PNG")
    (folder / "bomb.png").write_bytes(png(50000, 50000, 8, 2, b""))
    (folder / "cut.jpg").write_bytes(jpeg()[:3000])
    (folder / "gone.jpg").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.jpg")
    jobs = srez_infer._folder_jobs(folder, tmp_path / "out")
    failures = srez_infer._infer_all(jobs, None, 16, 2)
    assert len(failures) == 4
    assert not any("\n" in str(failure) for failure in failures)
    names = ["\udcff.png", "a\nb.png", "compare", "dot.png", "line.png"]
    assert sorted(os.listdir(tmp_path / "out")) == sorted(names)
    assert sorted(os.listdir(tmp_path / "out" / "compare")) == sorted(set(names) - {"compare"})
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("full")

    (tmp_path / "in.jpg").write_bytes(jpeg())
    monkeypatch.setattr(
        srez_infer, "upscale", lambda _, low_res: low_res.repeat(4, axis=1).repeat(4, axis=2)
    )
    monkeypatch.setattr(Image.Image, "save", fail)
    target = tmp_path / "out" / "a.png"
    job = srez_infer._Job(tmp_path / "in.jpg", target, target.with_name("a_compare.png"))
    [failure] = srez_infer._infer_all([job], None, 16, 1)
    assert str(failure) == "full"
    assert os.listdir(tmp_path / "out") == []


def test_a_missing_picture_or_folder_or_checkpoint_is_named(run, faces, tmp_path):
    with pytest.raises(FileNotFoundError, match="--infer_input=nowhere.jpg"):
        run("nowhere.jpg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="--infer_input=empty holds no"):
        run("empty")
    with pytest.raises(FileNotFoundError, match="--checkpoint_dir=nowhere; run --run train first"):
        srez_infer.infer(faces / "00.jpg", None, "nowhere", "ema", 16)
