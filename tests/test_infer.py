import os
import sys
import types

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from skimage import data

import srez.run.weights
import srez_infer
import srez_main
from srez.data.source import open_source
from srez.options import Options
from srez.photo.jobs import list_jobs
from srez.pictures.image import celeba_box, read_image
from srez.pictures.load import load_pictures
from tests.odd_files import jpeg, png


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """Enlarges with the trained network in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def infer(infer_input, infer_output=None, weights="ema", infer_batch=16):
        infer_output = infer_output and str(infer_output)
        checkpoint_dir = str(trained[0] / "checkpoint")
        srez_infer.infer(
            Options(
                infer_input=str(infer_input),
                infer_output=infer_output,
                checkpoint_dir=checkpoint_dir,
                weights=weights,
                infer_batch=infer_batch,
                faces="off",
            )
        )

    return infer


def test_a_celeba_picture_gives_64x64_from_its_box(run, faces, tmp_path, capsys):
    run(faces / "00.jpg")
    assert read_image("result.png").shape == (64, 64, 3)
    assert "the dataset's box" in capsys.readouterr().out


def test_the_input_is_what_training_sees(faces):
    _, expected, _ = load_pictures(open_source(faces), [3], 64)
    low_res, _ = srez_infer.to_low_res(read_image(faces / "03.jpg"), 16)
    np.testing.assert_allclose(low_res, expected, atol=2 / 255)


def test_the_result_is_the_networks_output(run, trained, faces):
    run(faces / "00.jpg", "out.png")
    checkpoint_dir = str(trained[0] / "checkpoint")
    options = Options(checkpoint_dir=checkpoint_dir, weights="ema")
    generator, _ = srez.run.weights.load_generator(options)
    low_res, _ = srez_infer.to_low_res(read_image(faces / "00.jpg"), 16)
    expected = srez.run.weights.upscale(generator, low_res)[0]
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
        srez_infer.infer(Options(infer_input="in.png", checkpoint_dir="nowhere"))
    assert (tmp_path / "in.png").read_bytes() == before


def test_a_result_is_not_written_over_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (16, 16)).save("in.png")
    (tmp_path / "out.png").mkdir()
    with pytest.raises(IsADirectoryError, match="--infer_output=out.png is a folder"):
        srez_infer.infer(Options(infer_input="in.png", infer_output="out.png"))


def test_odd_pictures_are_enlarged_and_hostile_ones_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        srez_infer, "upscale", lambda _, low_res, *__: low_res.repeat(4, axis=1).repeat(4, axis=2)
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
    jobs = list_jobs(folder, tmp_path / "out", False)
    failures = srez_infer.enlarge_all(jobs, srez_infer.Squares([None], 16, 2))
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
        srez_infer, "upscale", lambda _, low_res, *__: low_res.repeat(4, axis=1).repeat(4, axis=2)
    )
    monkeypatch.setattr(Image.Image, "save", fail)
    target = tmp_path / "out" / "a.png"
    [job] = list_jobs(tmp_path / "in.jpg", target, False)
    [failure] = srez_infer.enlarge_all([job], srez_infer.Squares([None], 16, 1))
    assert str(failure) == "full"
    assert os.listdir(tmp_path / "out") == []


def test_a_missing_picture_or_folder_or_checkpoint_is_named(run, faces, tmp_path):
    with pytest.raises(FileNotFoundError, match="--infer_input=nowhere.jpg"):
        run("nowhere.jpg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="--infer_input=empty holds no"):
        run("empty")
    with pytest.raises(FileNotFoundError, match="--checkpoint_dir=nowhere: run --run train first"):
        picture = str(faces / "00.jpg")
        srez_infer.infer(Options(infer_input=picture, checkpoint_dir="nowhere"))


@pytest.fixture
def enlarge(here, monkeypatch):
    """Enlarges in an empty folder with bicubic interpolation in place of a network."""

    def generator(low_res, training):
        assert not training
        bicubic = tf.image.resize(low_res, 4 * tf.shape(low_res)[1:3], "bicubic")
        return tf.clip_by_value(bicubic, 0.0, 1.0)

    weights = types.SimpleNamespace(sample_size=64, margin=8)
    monkeypatch.setattr(srez_infer, "load_generator", lambda _: (generator, weights))

    def infer(infer_input, infer_output=None, faces="auto", full_tile=None):
        srez_infer.infer(
            Options(
                infer_input=str(infer_input),
                infer_output=infer_output,
                faces=faces,
                upscale_full=full_tile is not None,
                tile=full_tile or 128,
            )
        )

    return infer


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of public-domain photos: one face, the same turned, two faces, none."""
    folder = tmp_path_factory.mktemp("photos")
    astronaut = Image.fromarray(data.astronaut())
    astronaut.save(folder / "one.png")
    astronaut.rotate(20, Image.Resampling.BICUBIC, expand=True).save(folder / "turned.png")
    mirrored = astronaut.resize((200, 200)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    two = Image.new("RGB", (712, 512))
    two.paste(astronaut, (200, 0))
    two.paste(mirrored, (0, 156))
    two.save(folder / "two.png")
    Image.fromarray(data.coffee()).save(folder / "none.png")
    return folder


def test_a_face_in_a_photo_is_enlarged_and_put_back(enlarge, photos, here, capsys):
    enlarge(photos / "one.png")
    names = ["result.png", "result_compare.png", "result_photo.png"]
    assert sorted(os.listdir(here)) == names
    assert read_image("result.png").shape == (64, 64, 3)
    assert read_image("result_compare.png").shape == (256, 768, 3)
    difference = np.abs(read_image("result_photo.png").astype(int) - data.astronaut())
    outside = np.ones((512, 512), bool)
    outside[24:190, 145:305] = False
    assert difference[outside].max() == 0
    assert 1 < difference[70:150, 190:260].mean() < 20
    out = capsys.readouterr().out
    assert "a face in 141x141 pixels, averaged to 16x16" in out
    assert "result_photo.png (512x512)" in out


def test_a_turned_photo_gives_the_same_face(enlarge, photos):
    enlarge(photos / "one.png", "one.png")
    enlarge(photos / "turned.png", "turned.png")
    difference = read_image("one.png").astype(int) - read_image("turned.png")
    assert np.abs(difference).mean() < 3


def test_several_faces_are_numbered_from_left_to_right(enlarge, photos, here, capsys):
    enlarge(photos / "one.png")
    one = read_image("result.png").astype(int)
    (here / "result.png").unlink()
    enlarge(photos / "two.png")
    assert not (here / "result.png").exists()
    left, right = (read_image(f"result_{number}.png") for number in (1, 2))
    assert np.abs(left[:, ::-1] - one).mean() < 8
    assert np.abs(right - one).mean() < 3
    assert read_image("result_compare.png").shape == (512, 768, 3)
    assert read_image("result_photo.png").shape == (1024, 1424, 3)
    assert "the photo, 2 times as large, with faces put back" in capsys.readouterr().out


def test_without_a_face_the_centred_square_is_taken_and_that_is_said(enlarge, photos, here, capsys):
    enlarge(photos / "none.png")
    assert sorted(os.listdir(here)) == ["result.png", "result_compare.png"]
    assert "no face found: the centred square" in capsys.readouterr().out


def test_faces_off_takes_the_centred_square_of_any_photo(enlarge, photos, here, capsys):
    enlarge(photos / "one.png", faces="off")
    assert sorted(os.listdir(here)) == ["result.png", "result_compare.png"]
    assert "no face found" not in capsys.readouterr().out


def test_neither_celeba_nor_tiny_pictures_are_searched(enlarge, faces, here, monkeypatch):
    def find_faces(_):
        raise AssertionError

    monkeypatch.setattr(srez_infer, "find_faces", find_faces)
    enlarge(faces / "00.jpg")
    Image.new("RGB", (32, 20), "teal").save("tiny.png")
    enlarge("tiny.png")
    assert read_image("result.png").shape == (80, 128, 3)


def test_a_folder_of_photos_gives_faces_photos_and_comparisons(enlarge, photos, here):
    enlarge(photos, "out")
    results = ["compare", "none.png", "one.png", "photo", "turned.png", "two_1.png", "two_2.png"]
    assert sorted(os.listdir(here / "out")) == results
    assert sorted(os.listdir(here / "out" / "photo")) == ["one.png", "turned.png", "two.png"]
    assert len(os.listdir(here / "out" / "compare")) == 4
    enlarge(photos / "two.png")
    for number in (1, 2):
        alone = read_image(here / f"result_{number}.png")
        assert (read_image(here / "out" / f"two_{number}.png") == alone).all()


def test_without_dlib_it_is_said_once_how_to_get_it(enlarge, photos, here, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "dlib", None)
    enlarge(photos, "out")
    out = capsys.readouterr().out
    assert out.count("pip install -r requirements/face.txt") == 1
    assert out.count("the centred square") == 4
    assert sorted(os.listdir(here / "out")) == [
        *("compare", "none.png", "one.png", "turned.png", "two.png")
    ]


def test_without_dlib_nothing_is_said_where_no_face_is_looked_for(
    enlarge, faces, photos, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "dlib", None)
    enlarge(faces / "00.jpg")
    enlarge(photos / "one.png", faces="off")
    assert "requirements/face.txt" not in capsys.readouterr().out


def test_a_whole_picture_is_enlarged_four_times(enlarge, photos, here, capsys):
    enlarge(photos / "none.png", full_tile=128)
    assert sorted(os.listdir(here)) == ["result.png", "result_compare.png"]
    result = read_image("result.png")
    assert result.shape == (1600, 2400, 3)
    averaged = result.reshape(400, 4, 600, 4, 3).mean(axis=(1, 3))
    assert np.abs(averaged - read_image(photos / "none.png")).mean() < 2
    comparison = read_image("result_compare.png")
    assert comparison.shape == (512, 1536, 3)
    assert np.abs(comparison[:, 1024:].astype(int) - result[544:1056, 944:1456]).max() <= 1
    assert "none.png (600x400) -> result.png (2400x1600)" in capsys.readouterr().out


def test_a_whole_folder_is_enlarged_and_its_bad_pictures_named(enlarge, here, capsys):
    (here / "in").mkdir()
    (here / "in" / "a.jpg").write_text("broken")
    Image.new("RGB", (178, 218)).save(here / "in" / "b.png")
    with pytest.raises(OSError, match="1 of 2 pictures failed"):
        enlarge("in", full_tile=128)
    assert read_image("result/b.png").shape == (872, 712, 3)
    assert "a.jpg: cannot be read" in capsys.readouterr().err


def test_a_picture_too_large_to_enlarge_as_a_whole_is_named(enlarge, here):
    Image.new("RGB", (7501, 1000)).save("wide.png")
    with pytest.raises(OSError, match=r"wide.png \(7501x1000\): four times .* a smaller picture"):
        enlarge("wide.png", full_tile=128)
    assert os.listdir(here) == ["wide.png"]


def test_the_command_line_enlarges_a_whole_picture_and_a_face(trained, photos, here):
    with Image.open(photos / "one.png") as image:
        image.resize((70, 70)).save("small.png")
    command = ["srez_main.py", "--run=infere", f"--checkpoint_dir={trained[0] / 'checkpoint'}"]
    assert srez_main.main([*command, "--infer_input=small.png", "--upscale_full", "--tile=32"]) == 0
    assert read_image("result.png").shape == (280, 280, 3)
    assert (
        srez_main.main([*command, f"--infer_input={photos / 'one.png'}", "--noupscale_full"]) == 0
    )
    assert read_image("result.png").shape == (64, 64, 3)
    assert read_image("result_photo.png").shape == (512, 512, 3)
