import functools
import os
import shutil
import sys
import time
import types
from unittest.mock import Mock

import numpy as np
import pytest
import tensorflow as tf
from PIL import ExifTags, Image
from skimage import data

import srez
import srez.photo.align
import srez.photo.faces
import srez.photo.output
import srez.run.weights
import srez_infer
import srez_main
from srez.console import install
from srez.drawn.faces import draw_face
from srez.files import sha256
from srez.options import Options
from srez.photo.prepare import looks_exact, picture_part
from srez.pictures.geometry import celeba_box, shrink
from srez.pictures.grid import GAP, TITLE_HEIGHT
from srez.pictures.image import read_image, to_uint8
from srez.run.weights import BOX, choose_weights
from tests.conftest import FACES, cell
from tests.odd_files import encoded, jpeg, png

EYES = np.array([[204, 102.5], [247, 105]])  # the astronaut's


@pytest.fixture(autouse=True)
def quick_search(monkeypatch):
    """Photos are searched enlarged to 1500 pixels: the smallest faces here have 55 of 700."""
    monkeypatch.setattr("srez.quality.descriptors.SEARCH_SIDE", 1500)


class FewNetworks:
    """Bicubic interpolation in place of networks, by the sizes of their results."""

    def __init__(self, *sizes):
        self.sizes = sizes
        self.used = []  # (size, how many inputs)

    size_for = srez.run.weights.Networks.size_for

    def weights(self, size):
        return types.SimpleNamespace(margin=8)

    def consistent(self, size, is_exact):
        return "on" if is_exact() else "off"

    def announce(self):
        pass

    def told(self, size, consistent):
        return {"Weights": f"bicubic {size}", "Consistent": consistent}

    def of(self, size, consistent):
        def generator(low_res, training):
            assert not training
            self.used.append((size, len(low_res)))
            bicubic = tf.image.resize(low_res, 4 * tf.shape(low_res)[1:3], "bicubic")
            return tf.clip_by_value(bicubic, 0.0, 1.0)

        return [generator]


def comparison_shape(rows=1, side=256, photo=None):
    """Of a comparison with three columns, below the photo [H, W, 3] if it has several faces."""
    height, width = TITLE_HEIGHT + rows * (side + GAP), GAP + 3 * (side + GAP)
    return height + (round(width / photo[1] * photo[0]) if photo else 0), width, 3


def part_of(image, *sizes, lossless=True):
    """The Part of a picture for networks of the sizes, or of 64."""
    networks = FewNetworks(*(sizes or (64,)))
    return picture_part(image, networks, lambda _: lossless)[0]


@pytest.fixture(scope="module")
def enlarged(trained, faces, tmp_path_factory):
    """A folder with what the trained network makes of a face, and of the face in grey."""
    folder = tmp_path_factory.mktemp("enlarged")
    (folder / "in").mkdir()
    with Image.open(faces / "00.jpg") as image:
        image.save(folder / "in" / "face.png")
        image.convert("L").save(folder / "in" / "grey.png")
    places = {"infer_input": str(folder / "in"), "infer_output": str(folder)}
    checkpoint_dir = str(trained[0] / "checkpoint")
    srez_infer.infer(Options(**places, checkpoint_dir=checkpoint_dir, weights="ema", faces="off"))
    return folder


@pytest.fixture
def enlarge(here, monkeypatch):
    """Enlarges in an empty folder with FewNetworks, which it returns."""

    def infer(infer_input, infer_output=None, faces="all", sizes=(64,), **flags):
        networks = FewNetworks(*sizes)
        monkeypatch.setattr(srez_infer, "Networks", lambda _: networks)
        places = {"infer_input": str(infer_input), "infer_output": infer_output}
        srez_infer.infer(Options(**places, faces=faces, **flags))
        return networks

    return infer


@pytest.mark.parametrize(
    ("size", "expected", "words"),
    [
        ((178, 218), (64, 64), "the dataset's box"),
        ((16, 16), (64, 64), "taken as it is"),
        ((10, 15), (40, 60), "taken as it is"),
        ((33, 500), (64, 64), "the centred square"),
    ],
)
def test_it_is_said_what_of_a_picture_is_enlarged(enlarge, capsys, size, expected, words):
    Image.new("RGB", size, "teal").save("in.png")
    enlarge("in.png", faces="off")
    assert Image.open("result.png").size == expected
    assert words in capsys.readouterr().out


def test_the_result_is_the_networks_output(enlarged, trained):
    options = Options(checkpoint_dir=str(trained[0] / "checkpoint"), weights="ema")
    generator, _ = srez.run.weights.load_generator(options)
    part = part_of(read_image(enlarged / "in" / "face.png"))
    expected = srez.run.weights.upscale(generator, part.low_res[None])[0]
    assert np.abs(read_image(enlarged / "face.png") / 255.0 - expected).max() <= 0.51 / 255


@pytest.mark.parametrize(("suffix", "kind"), [("jpg", "JPEG"), ("webp", "WEBP")])
def test_a_result_is_jpeg_or_webp_by_its_suffix_and_says_no_more_than_is_true(
    enlarge, faces, capsys, suffix, kind
):
    enlarge(faces / "00.jpg", f"out.{suffix}")
    with Image.open(f"out.{suffix}") as image:
        assert (image.format, image.size) == (kind, (64, 64))
        words = image.getexif()[ExifTags.Base.ImageDescription]
    assert words.startswith(f"{srez.photo.output.INVENTED} Factor: 4. Weights: bicubic 64.")
    assert "lose a little of that: .png keeps it all" in capsys.readouterr().out
    assert read_image("out_compare.png").shape == comparison_shape()


def test_a_result_tells_how_it_was_made(enlarged, trained):
    [weights] = (trained[0] / "checkpoint" / "batch000012").glob("tensors.data*")
    with Image.open(enlarged / "face.png") as image:
        texts = image.text
    assert texts.pop("Comment").startswith(f"{srez.photo.output.INVENTED} Made small again, it is ")
    assert texts == {
        "Software": f"srez {srez.__version__}",
        "Factor": "4",
        "Weights": f"average of batch000012/{weights.name} (SHA-256 {sha256(weights)[:12]})",
        "Consistent": "on",
    }


def test_a_result_of_the_box_names_its_files_and_their_sums():
    options = Options(weights="shipped", fidelity=0.5)
    told = choose_weights(options.checkpoint_dir, "shipped", 128).told(options.fidelity)
    for name in ("average", "faithful"):
        file = BOX / f"faces128_{name}.weights.h5"
        assert f"{file.name} (SHA-256 {sha256(file)[:12]})" in told["Weights"]
    assert told["Fidelity"] == "0.5"
    assert "faithful" not in choose_weights("checkpoint", "shipped", 128).told(1.0)["Weights"]


def test_the_comparison_shows_input_bicubic_and_result(enlarge, faces):
    enlarge(faces / "00.jpg")
    comparison = read_image("result_compare.png")
    assert comparison.shape == comparison_shape()
    plain, _, result = (cell(comparison, 0, column, 256) for column in range(3))
    assert (result[::4, ::4] == read_image("result.png")).all()
    box = celeba_box(read_image(faces / "00.jpg"))
    first = box.reshape(16, 8, 16, 8, 3).mean((1, 3))
    assert np.abs(plain[8::16, 8::16] - first).max() <= 1


def test_a_grey_picture_gives_a_grey_result(enlarged):
    result = read_image(enlarged / "grey.png")
    assert (result == result[..., :1]).all()
    assert result.std() > 10


def test_ctrl_c_in_a_folder_keeps_what_is_whole_and_the_next_run_goes_on(
    enlarge, here, faces, monkeypatch, capsys
):
    written, write = [], srez.photo.output.write_image

    def interrupting(path, *arguments):
        if len(written) == 4:  # two results and their comparisons
            raise KeyboardInterrupt
        written.append(path)
        write(path, *arguments)

    monkeypatch.setattr(srez.photo.output, "write_image", interrupting)
    go_on = functools.partial(enlarge, faces, faces="off", infer_batch=1)
    with pytest.raises(KeyboardInterrupt):
        go_on()
    assert (
        f"Stopped, {FACES - 2} pictures left; with --infer_skip_existing" in capsys.readouterr().out
    )
    written.clear()
    with pytest.raises(KeyboardInterrupt):  # over earlier results, which don't count
        go_on()
    assert f"Stopped, {FACES - 2} pictures left.\n" in capsys.readouterr().out
    monkeypatch.setattr(srez.photo.output, "write_image", write)
    times = {path: path.stat().st_mtime_ns for path in written}
    go_on(infer_skip_existing=True)
    assert {path: path.stat().st_mtime_ns for path in written} == times
    assert len(list((here / "result").glob("*.png"))) == FACES
    go_on(infer_skip_existing=True)
    assert "all are enlarged already" in capsys.readouterr().out


@pytest.mark.parametrize("cores", [2, 64])
def test_so_many_photos_are_in_memory_as_are_in_flight(enlarge, faces, monkeypatch, cores):
    at_work, most = set(), []

    def reading(path):
        at_work.add(path)
        most.append(len(at_work))
        time.sleep(0.02)
        at_work.remove(path)
        raise OSError("read")

    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setattr(srez.photo.faces, "read_image", reading)
    with pytest.raises(OSError, match=f"{FACES} of {FACES} pictures failed"):
        enlarge(faces, infer_batch=FACES)
    assert max(most) == min(cores, srez.photo.output.IN_FLIGHT)


def test_the_square_is_averaged_over_its_area():
    image = np.random.default_rng(0).integers(0, 256, (320, 480, 3), np.uint8)
    part = part_of(image)
    expected = image[:, 80:400].reshape(16, 20, 16, 20, 3).mean((1, 3)) / 255.0
    np.testing.assert_allclose(part.low_res, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "size", "inputs"),
    [
        ((16, 16), 64, (16, 16)),
        ((17, 15), 64, (17, 15)),
        ((18, 15), 128, (18, 15)),
        ((32, 32), 128, (32, 32)),
        ((32, 33), 128, (32, 32)),
        ((33, 17), 64, (17, 17)),
        ((500, 300), 128, (32, 32)),
        ((218, 178), 128, (32, 32)),
    ],
)
def test_a_picture_goes_through_the_network_for_its_size(shape, size, inputs):
    part = part_of(np.zeros((*shape, 3), np.uint8), 64, 128)
    assert (part.size, part.low_res.shape) == (size, (*inputs, 3))


@pytest.mark.parametrize(("side", "lossless"), [(16, "off"), (60, "off"), (64, "on"), (500, "on")])
def test_results_average_back_to_lossless_pictures_and_to_averages(side, lossless):
    image = np.zeros((side, side, 3), np.uint8)
    assert part_of(image, 64, 128, lossless=True).consistent == "on"
    assert part_of(image, 64, 128, lossless=False).consistent == lossless


@functools.cache
def small_ways(side):
    """The astronaut's face in so many pixels square, uint8, by the way that it was made small."""
    face = to_uint8(srez.photo.align.align_face(data.astronaut(), EYES, 128))
    [averages] = to_uint8(np.asarray(shrink(face[None] / np.float32(255.0), side)))
    noise = np.random.default_rng(0).normal(0.0, 5.0, averages.shape)
    return {
        "averages": averages,
        "noise": to_uint8((averages + noise) / 255.0),
        "JPEG": read_image(encoded(Image.fromarray(averages), quality=75), "JPEG"),
        "nearest": np.asarray(Image.fromarray(face).resize((side, side), Image.NEAREST)),
    }


@pytest.mark.parametrize("side", [16, 32])
def test_the_picture_itself_tells_whether_its_pixels_are_exact_averages(side):
    found = {
        name: looks_exact(image / np.float32(255.0)) for name, image in small_ways(side).items()
    }
    assert found == {"averages": True, "noise": False, "JPEG": False, "nearest": False}


@pytest.mark.parametrize(("name", "consistent"), [("averages", "on"), ("noise", "off")])
def test_a_png_cut_out_of_a_noisy_photo_is_not_held_to_its_noise(enlarge, name, consistent):
    Image.fromarray(small_ways(32)[name]).save("small.png")
    enlarge("small.png", sizes=(64, 128))
    assert Image.open("result.png").text["Consistent"] == consistent


@pytest.mark.parametrize("shape", [(1, 1), (2, 40), (16, 16), (300, 20)])
def test_plain_and_tiny_pictures_are_exact(shape):
    assert looks_exact(np.full((*shape, 3), 0.5, np.float32))


def test_a_folder_gives_what_each_picture_alone_gives(enlarge, faces, here):
    (here / "in").mkdir()
    for number in range(3):
        shutil.copy(faces / f"{number:02d}.jpg", "in")
    Image.new("RGB", (20, 12), "teal").save("in/01 tiny.png")
    enlarge("in", "out", sizes=(64, 128), infer_batch=3)
    for picture in (here / "in").iterdir():
        enlarge(picture, "one.png", sizes=(64, 128))
        assert (read_image(f"out/{picture.stem}.png") == read_image("one.png")).all()


def test_no_weights_are_looked_for_if_the_input_would_be_overwritten(here):
    Image.new("RGB", (16, 16)).save("in.png")
    places = {"infer_input": "in.png", "infer_output": "in.png", "checkpoint_dir": "nowhere"}
    with pytest.raises(OSError, match="would overwrite the input in.png"):
        srez_infer.infer(Options(**places))


def test_odd_pictures_are_enlarged_and_hostile_ones_named(enlarge, here, capsys):
    folder = here / "in"
    folder.mkdir()
    Image.new("RGB", (1, 1), "teal").save(folder / "dot.png")
    Image.new("RGB", (3000, 1), "teal").save(folder / "line.jpg")
    Image.new("CMYK", (50, 70), "teal").save(folder / "a\nb.jpg", format="JPEG")
    Image.new("LA", (50, 70)).save(folder / "\udcff.jpg", format="PNG")
    (folder / "bomb.png").write_bytes(png(50000, 50000, 8, 2, b""))
    (folder / "cut.jpg").write_bytes(jpeg()[:3000])
    (folder / "gone.jpg").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.jpg")
    with pytest.raises(OSError, match="4 of 8 pictures failed"):
        enlarge("in", "out", faces="off", infer_batch=2)
    names = {"\udcff.png", "a\nb.png", "dot.png", "line.png"}
    assert {*os.listdir("out")} == {"compare", *names}
    assert {*os.listdir("out/compare")} == names
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == 4
    assert len(said.out.splitlines()) == 4 * 4


def test_a_failed_write_leaves_nothing(enlarge, faces, monkeypatch):
    monkeypatch.setattr(Image.Image, "save", Mock(side_effect=OSError("full")))
    with pytest.raises(OSError, match="^full$"):
        enlarge(faces / "00.jpg", "out/a.png")
    assert os.listdir("out") == []


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
    assert read_image("result_compare.png").shape == comparison_shape()
    difference = np.abs(read_image("result_photo.png").astype(int) - data.astronaut())
    outside = np.ones((512, 512), bool)
    outside[24:190, 145:305] = False
    assert difference[outside].max() == 0
    assert difference[70:150, 190:260].mean() < 1  # it is larger than its result
    out = capsys.readouterr().out
    assert "one.png (512x512): 1 face, 141 pixels wide, brought to 64x64\n  -> result.png" in out
    assert "result_photo.png (512x512)" in out


@pytest.mark.parametrize(
    ("upscale_full", "result", "times"), [(False, "result_photo.png", 2), (True, "result.png", 4)]
)
def test_a_photos_exif_and_its_ground_go_into_its_result_and_not_into_a_face(
    enlarge, group, upscale_full, result, times
):
    exif = Image.Exif()
    exif[ExifTags.Base.Artist], exif[ExifTags.Base.Orientation] = "NASA", 6
    alpha = Image.new("L", (600, 400))
    alpha.paste(255, (100, 0, 400, 400))
    with Image.open(group) as image:
        image.putalpha(alpha)
        image.transpose(Image.Transpose.ROTATE_90).save("photo.png", exif=exif)
    enlarge("photo.png", upscale_full=upscale_full)
    with Image.open(result) as image:
        assert image.size == (600 * times, 400 * times)
        assert image.text["Factor"] == f"{times}"
        exif = image.getexif()
        enlarged = alpha.resize(image.size, Image.Resampling.BICUBIC)
        assert (np.asarray(image.getchannel("A")) == enlarged).all()
    assert exif[ExifTags.Base.Artist] == "NASA"
    assert exif[ExifTags.Base.Orientation] == 1
    if not upscale_full:
        with Image.open("result_1.png") as face:
            assert face.mode == "RGB" and not face.getexif() and face.text["Factor"] == "4"


def test_a_photo_names_the_weights_of_all_its_faces(enlarge, group):
    enlarge(group, faces="auto", sizes=(64, 128))
    with Image.open("result_photo.png") as photo, Image.open("result_1.png") as face:
        assert photo.text["Weights"] == "bicubic 128, bicubic 64"
        assert photo.text["Comment"] == srez.photo.output.INVENTED
        assert face.text["Weights"] == "bicubic 64"
        cleaner = f"cleaner.weights.h5 (SHA-256 {sha256(BOX / 'cleaner.weights.h5')[:12]})"
        assert photo.text["Cleaner"] == cleaner  # of the face of 60 pixels
        assert "Cleaner" not in face.text


def test_several_faces_are_numbered_from_left_to_right(enlarge, photos, here, capsys):
    enlarge(photos / "one.png")
    one = read_image("result.png").astype(int)
    (here / "result.png").unlink()
    enlarge(photos / "two.png", photo_scale=2)
    assert not (here / "result.png").exists()
    left, right = (read_image(f"result_{number}.png") for number in (1, 2))
    assert np.abs(left[:, ::-1] - one).mean() < 8
    assert np.abs(right - one).mean() < 3
    compared = read_image("result_compare.png")
    assert compared.shape == comparison_shape(rows=2, photo=(512, 712))
    rows = len(compared) - 2 * (256 + GAP) + np.array([0, 256 + GAP])
    assert (compared[rows + 1, GAP + 1] == (255, 210, 0)).all()  # where each row's number stands
    assert read_image("result_photo.png").shape == (1024, 1424, 3)
    out = capsys.readouterr().out
    assert "-> result_photo.png (1424x1024): the photo, 2 times as large, faces put back\n" in out


def test_what_an_earlier_run_left_beside_new_results_is_named(enlarge, group, capsys):
    enlarge(group, face_max=60, faces="auto")
    assert "From an earlier run" not in capsys.readouterr().out
    enlarge(group, faces="off")
    left = "From an earlier run, not from this one: result_1.png, result_2.png, result_photo.png."
    assert capsys.readouterr().out.splitlines().count(left) == 1
    enlarge(group)
    assert "From an earlier run, not from this one: result.png." in capsys.readouterr().out
    with pytest.raises(OSError, match=r"--face=4: .*none.png \(600x400\): 3 faces found"):
        enlarge(group, face=4)
    assert "From an earlier run" not in capsys.readouterr().out  # an error says all


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([f"a_{number}.png" for number in range(9)], ", result/a_4.png, 4 more."),
        (["photo/a.png"], " result/photo/a.png."),
    ],
)
def test_what_an_earlier_run_left_in_a_folder_is_counted(enlarge, here, capsys, names, words):
    (here / "in").mkdir()
    (here / "result" / "photo").mkdir(parents=True)
    Image.new("RGB", (16, 16)).save("in/a.png")
    for name in (*names, "b_1.png"):
        (here / "result" / name).touch()
    enlarge("in", faces="off")
    [left] = [line for line in capsys.readouterr().out.splitlines() if "earlier run" in line]
    assert left.startswith(f"From an earlier run, not from this one: result/{names[0]}")
    assert left.endswith(words) and "b_1" not in left


@pytest.mark.parametrize("face", [0, 2])
def test_nothing_is_made_of_a_photo_without_a_face_and_that_is_said(
    enlarge, photos, here, monkeypatch, face
):
    monkeypatch.setattr(srez.photo.faces, "find_faces", lambda _: np.zeros((0, 2, 2)))
    words = r"none.png \(600x400\): no face found, so nothing is made: .* --faces off takes the"
    with pytest.raises(OSError, match=words):
        enlarge(photos / "none.png", face=face)
    assert os.listdir(here) == []


def test_in_a_folder_photos_without_a_face_are_named_and_the_others_made(
    enlarge, here, monkeypatch, capsys
):
    eyes = srez.photo.align.eyes_of_box(10, 10, 60)[None]
    monkeypatch.setattr(srez.photo.faces, "find_faces", lambda image: eyes[: int(image.any())])
    (here / "in").mkdir()
    for name, colour in (("one", "teal"), ("none", "black"), ("nobody", "black")):
        Image.new("RGB", (90, 80), colour).save(f"in/{name}.png")
    Image.new("RGB", (16, 12), "teal").save("in/tiny.png")
    enlarge("in", infer_batch=1)  # ends well: a folder may hold landscapes
    assert sorted(os.listdir("result")) == ["compare", "one.png", "photo", "tiny.png"]
    assert os.listdir("result/photo") == ["one.png"]
    said = capsys.readouterr()
    for name in ("none", "nobody"):
        assert f"in/{name}.png (90x80): no face found, so nothing is made.\n" in said.out
    assert said.out.count("--faces off takes the centred square") == 1
    assert not said.err
    (here / "in" / "bad.jpg").write_text("broken")
    with pytest.raises(OSError, match="^1 of 5 pictures failed"):
        enlarge("in")


TURNS = {90: "lies on its side (faces turned a quarter to the right)"}
TURNS |= {180: "is upside down (faces turned by half)"}
TURNS |= {270: "lies on its side (faces turned a quarter to the left)"}


def _nearly(first, second):
    """Whether two pictures' files are the same, but for what is rounded to the next levels."""
    return np.abs(read_image(first).astype(int) - read_image(second)).max() <= 3


@pytest.fixture
def upright(tmp_path, monkeypatch):
    """A folder of photos of large faces: the astronaut, a drawn face, both in one photo."""
    monkeypatch.setattr("srez.quality.descriptors.SEARCH_SIDE", 1000)
    folder = tmp_path / "upright"
    folder.mkdir()
    astronaut = Image.fromarray(data.astronaut()).resize((300, 300))
    astronaut.save(folder / "astronaut.png")
    drawn = Image.new("RGB", (300, 260), "teal")
    drawn.paste(draw_face(0, 1), (70, 20))
    drawn.save(folder / "drawn.png")
    two = Image.new("RGB", (478, 300), "white")
    two.paste(astronaut, (178, 0))
    two.paste(draw_face(0, 1), (0, 40))
    two.save(folder / "two.png")
    return folder


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_folder_of_turned_photos_gives_what_upright_ones_give_and_stays_turned(
    enlarge, upright, here, capsys, degrees
):
    enlarge(upright, "expected")
    (here / "in").mkdir()
    for path in upright.iterdir():
        with Image.open(path) as image:
            image.rotate(degrees, expand=True).save(f"in/{path.name}")
    capsys.readouterr()
    enlarge("in", "out")
    assert capsys.readouterr().out.count(TURNS[degrees]) == 3
    for path in (here / "expected").rglob("*.png"):
        found = here / "out" / path.relative_to(here / "expected")
        if found.parent.name == "photo":
            with Image.open(found) as photo:
                photo.rotate(-degrees, expand=True).save("back.png")
            found = "back.png"
        assert _nearly(found, path), path


@pytest.mark.parametrize(
    ("degrees", "box"), [(90, "8,150,90"), (180, "150,202,90"), (270, "202,60,90")]
)
def test_the_box_of_a_turned_face_is_turned_with_it(enlarge, upright, here, degrees, box):
    enlarge(upright / "astronaut.png", "upright.png", face_box="60,8,90")
    Image.open(upright / "astronaut.png").rotate(degrees, expand=True).save("turned.png")
    enlarge("turned.png", face_box=box)
    assert _nearly("result.png", "upright.png")


def test_neither_celeba_nor_tiny_pictures_are_searched(enlarge, faces, here, monkeypatch):
    monkeypatch.setattr(srez.photo.faces, "find_faces", None)
    enlarge(faces / "00.jpg")
    Image.new("RGB", (32, 20), "teal").save("tiny.png")
    enlarge("tiny.png", sizes=(64, 128))
    assert read_image("result.png").shape == (80, 128, 3)


@pytest.fixture
def group(photos, monkeypatch):
    """A photo in which faces of 16, 60 and 141 pixels are found."""
    boxes = ((60, 100, 16), (200, 100, 60), (330, 20, 141))
    eyes = np.array([srez.photo.align.eyes_of_box(*box) for box in boxes])
    monkeypatch.setattr(srez.photo.faces, "find_faces", lambda _: eyes)
    return photos / "none.png"


def test_each_face_goes_through_the_network_for_its_size(enlarge, group, here, capsys):
    networks = enlarge(group, faces="auto", sizes=(64, 128))
    assert networks.used == [(64, 1), (128, 1)]
    assert [read_image(f"result_{number}.png").shape[0] for number in (1, 2)] == [64, 128]
    compared = read_image("result_compare.png")
    assert compared.shape == comparison_shape(rows=2, photo=(400, 600))
    in_boxes = (np.abs(compared.astype(int) - (255, 210, 0)) < 2).all(axis=2).any(axis=0)
    edges = np.diff(np.flatnonzero(in_boxes)) > 1
    assert edges.sum() >= 2  # three faces from left to right, whichever are enlarged
    assert read_image("result_photo.png").shape == (3 * 400, 3 * 600, 3)
    out = capsys.readouterr().out
    assert "1 of 3 faces, 141 pixels wide:\n  larger than the 128 that srez makes, left as" in out
    words = "2 of 3 faces, 16 and 60 pixels wide"
    assert f"none.png (600x400): {words}\n  -> result_1.png" in out
    assert "the photo, 3 times as large (--photo_scale 4 shows more of the smallest face), " in out
    assert "\n  Made small again, each is" in out


@pytest.mark.parametrize(
    ("flags", "used"),
    [
        ({"face_max": 40}, [(64, 1)]),
        ({"face_min": 50}, [(128, 1)]),
        ({"face_min": 61, "face_max": 99}, []),
        ({"face": 3}, [(128, 1)]),
        ({"face_box": "500,20,141"}, [(128, 1)]),
        ({"faces": "all"}, [(64, 1), (128, 1), (128, 1)]),
    ],
)
def test_the_faces_asked_for_are_enlarged(enlarge, group, here, flags, used):
    networks = enlarge(group, sizes=(64, 128), **{"faces": "auto"} | flags)
    assert networks.used == used
    assert any(here.iterdir()) == bool(used)


@pytest.mark.parametrize(
    ("width", "consistent", "is_larger"),
    [(127, "off", False), (128, "on", False), (129, "on", True)],
)
def test_a_face_as_large_as_its_result_is_exact_and_a_larger_one_is_said_to_be_made_smaller(
    enlarge, group, capsys, width, consistent, is_larger
):
    enlarge(group, face_box=f"100,50,{width}", sizes=(64, 128))
    with Image.open("result.png") as image:
        assert image.text["Consistent"] == consistent
    out = capsys.readouterr().out
    assert (f"1 face, {width} pixels wide, brought to 128x128\n" in out) == is_larger
    assert ("\nA face of more than 128 pixels keeps its size in the photo." in out) == is_larger


def test_a_photo_grows_by_what_the_faces_that_were_made_need(enlarge, group, here):
    enlarge(group, faces="auto", face=3, sizes=(64, 128))
    assert read_image("result_photo.png").shape == (400, 600, 3)
    changed = np.abs(read_image("result_photo.png").astype(int) - read_image(group))
    assert changed[20:161, 330:471].mean() < 1  # the face is larger than its result, and sharp
    changed[20:161, 330:471] = 0
    assert not changed.any()


def test_no_larger_photo_is_promised_than_there_can_be(enlarge, group, monkeypatch, capsys):
    monkeypatch.setattr(srez.photo.align, "MAX_PIXELS", 9 * 400 * 600)
    enlarge(group, faces="auto", sizes=(64, 128))
    assert "the photo, 3 times as large, faces put back\n" in capsys.readouterr().out


@pytest.mark.parametrize("box", ["600,0,40", "-41,0,40", "0,400,2", "0,-99,40"])
def test_a_box_outside_of_the_photo_is_refused(enlarge, photos, here, box):
    with pytest.raises(OSError, match=rf"--face_box={box} lies outside of .*none.png \(600x400\)"):
        enlarge(photos / "none.png", face_box=box)
    assert not os.listdir(here)


def test_the_box_of_a_face_gives_what_is_in_it(enlarge, photos, here):
    enlarge(photos / "none.png", face_box="200,100,64")
    box = read_image(photos / "none.png")[100:164, 200:264]
    result = read_image("result.png").reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    assert np.abs(result - box.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))).mean() < 3
    assert read_image("result_photo.png").shape == read_image(photos / "none.png").shape


def test_a_folder_of_photos_gives_faces_photos_and_comparisons(enlarge, photos, here):
    enlarge(photos, "out")
    results = ["compare", "one.png", "photo", "turned.png", "two_1.png", "two_2.png"]
    assert sorted(os.listdir(here / "out")) == results
    assert sorted(os.listdir(here / "out" / "photo")) == ["one.png", "turned.png", "two.png"]
    assert len(os.listdir(here / "out" / "compare")) == 3
    enlarge(photos / "two.png")
    for number in (1, 2):
        alone = read_image(here / f"result_{number}.png")
        assert (read_image(here / "out" / f"two_{number}.png") == alone).all()


def test_without_dlib_it_is_said_once_how_to_get_it(enlarge, photos, here, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "dlib", None)
    enlarge(photos, "out")
    out = capsys.readouterr().out
    assert out.count(install("face.txt")) == 1
    assert out.count("the centred square") == 4
    names = ["compare", "none.png", "one.png", "turned.png", "two.png"]
    assert sorted(os.listdir("out")) == names


def test_a_face_asked_for_by_number_is_not_replaced_by_the_square(enlarge, photos, monkeypatch):
    Image.new("RGB", (16, 16), "teal").save("tiny.png")
    with pytest.raises(OSError, match=r"--face=2: tiny.png \(16x16\): taken as it is, as one face"):
        enlarge("tiny.png", face=2)
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(OSError, match="--face=2: faces need two more packages"):
        enlarge(photos / "one.png", face=2)


def test_without_dlib_nothing_is_said_where_no_face_is_looked_for(
    enlarge, faces, photos, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "dlib", None)
    enlarge(faces / "00.jpg")
    enlarge(photos / "one.png", faces="off")
    assert "requirements/face.txt" not in capsys.readouterr().out


def test_a_whole_picture_is_enlarged_four_times(enlarge, photos, here, capsys):
    enlarge(photos / "none.png", upscale_full=True)
    assert sorted(os.listdir(here)) == ["result.png", "result_compare.png"]
    result = read_image("result.png")
    assert result.shape == (1600, 2400, 3)
    averaged = result.reshape(400, 4, 600, 4, 3).mean(axis=(1, 3))
    assert np.abs(averaged - read_image(photos / "none.png")).mean() < 2
    comparison = read_image("result_compare.png")
    assert comparison.shape == comparison_shape(side=512)
    assert np.abs(cell(comparison, 0, 2, 512).astype(int) - result[544:1056, 944:1456]).max() <= 1
    assert "none.png (600x400)\n  -> result.png (2400x1600)\n" in capsys.readouterr().out


def test_a_whole_folder_is_enlarged_and_its_bad_pictures_named(enlarge, here, capsys):
    (here / "in").mkdir()
    (here / "in" / "a.jpg").write_text("broken")
    Image.new("RGB", (178, 218)).save(here / "in" / "b.png")
    with pytest.raises(OSError, match="1 of 2 pictures failed"):
        enlarge("in", upscale_full=True)
    assert read_image("result/b.png").shape == (872, 712, 3)
    assert "a.jpg: can't be read" in capsys.readouterr().err


def test_a_picture_too_large_to_enlarge_as_a_whole_is_named(enlarge, here):
    Image.new("RGB", (7501, 1000)).save("wide.png")
    with pytest.raises(OSError, match=r"wide.png \(7501x1000\): enlarged, it .* a smaller picture"):
        enlarge("wide.png", upscale_full=True)
    assert os.listdir(here) == ["wide.png"]


def test_the_command_line_enlarges_a_whole_picture_and_a_face(trained, photos, here):
    with Image.open(photos / "one.png") as image:
        image.resize((70, 70)).save("small.png")
    command = ["srez_main.py", "--run=infere", f"--checkpoint_dir={trained[0] / 'checkpoint'}"]
    assert srez_main.main([*command, "--infer_input=small.png", "--upscale_full", "--tile=32"]) == 0
    assert read_image("result.png").shape == (280, 280, 3)
    assert srez_main.main([*command, f"--infer_input={photos / 'one.png'}", "--faces=all"]) == 0
    assert read_image("result.png").shape == (64, 64, 3)
    assert read_image("result_photo.png").shape == (512, 512, 3)
